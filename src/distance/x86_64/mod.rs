//! Kernels for x86-64 with vector extensions. A set is reachable only through the function here that checks, at run
//! time, for every feature its functions are compiled with: that is the proof that calling them is sound.
#![allow(unsafe_code, reason = "vector loads and stores, and calls of functions that need features of the processor")]

mod avx2;
mod avx512;
mod avx512vnni;
mod ssse3;

use super::Kernels;

/// The kernels for SSSE3, if the processor has it.
pub(super) fn ssse3() -> Option<&'static Kernels> {
    std::arch::is_x86_feature_detected!("ssse3").then_some(&ssse3::KERNELS)
}

/// The kernels for AVX2, FMA and POPCNT, if the processor and the system have them.
pub(super) fn avx2() -> Option<&'static Kernels> {
    let has = std::arch::is_x86_feature_detected!("avx2")
        && std::arch::is_x86_feature_detected!("fma")
        && std::arch::is_x86_feature_detected!("popcnt");
    has.then_some(&avx2::KERNELS)
}

/// The kernels for AVX-512 (F, BW, VL, DQ), if the processor and the system have them.
pub(super) fn avx512() -> Option<&'static Kernels> {
    let has = avx2().is_some()
        && std::arch::is_x86_feature_detected!("avx512f")
        && std::arch::is_x86_feature_detected!("avx512bw")
        && std::arch::is_x86_feature_detected!("avx512vl")
        && std::arch::is_x86_feature_detected!("avx512dq");
    has.then_some(&avx512::KERNELS)
}

/// The kernels for AVX-512 with VNNI, if the processor and the system have them.
pub(super) fn avx512vnni() -> Option<&'static Kernels> {
    let has = avx512().is_some() && std::arch::is_x86_feature_detected!("avx512vnni");
    has.then_some(&avx512vnni::KERNELS)
}

/// Asks for every cache line of a slice, wherever in a line it starts and ends, up to the second level: of the first there are
/// so few requests in flight that more of them wait, and it has not the room for what is fetched ahead.
pub(super) fn prefetch(bytes: &[u8]) {
    use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
    const LINE: usize = 64;
    let range = bytes.as_ptr_range();
    let mut line = range.start.map_addr(|address| address & !(LINE - 1));
    while line < range.end {
        // SAFETY: SSE is part of x86-64, and a prefetch of any address is a hint that never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(line.cast()) }
        line = line.wrapping_add(LINE);
    }
}

/// Fewer codes than a register has, and zeros.
#[inline(always)]
fn padded<const WIDTH: usize>(codes: &[u8]) -> [u8; WIDTH] {
    let mut padded = [0; WIDTH];
    padded[..codes.len()].copy_from_slice(codes);
    padded
}

/// Defines a set of kernels from the functions of the same names in the module `vectors`, which need the features that
/// the set's door in this module detects.
macro_rules! kernel_set {
    ($name:literal) => {
        pub(super) static KERNELS: $crate::distance::Kernels = {
            use $crate::distance::lanewise::{LEVELS, Quantised};
            use $crate::distance::scan::{Block, LANES, ScanTable};
            use $crate::distance::{Bound, Coded, Kernels, Halved};
            $crate::distance::x86_64::kernel_set! { @enter
                fn dot(a: &[f32], b: &[f32]) -> f32;
                fn squared_euclidean(a: &[f32], b: &[f32]) -> f32;
                fn manhattan(a: &[f32], b: &[f32]) -> f32;
                fn hamming(a: &[u8], b: &[u8]) -> u32;
                fn dot_i8(a: &[i8], b: &[i8]) -> i32;
                fn dots_i8(vector: &[i8], rows: &[i8], products: &mut [i32]) -> ();
                fn dots_codes(vector: &Halved<'_>, rows: &[&[u8]], sums: &mut [i32]) -> ();
                fn squared_euclidean_coded(vector: &[f32], coded: &Coded<'_>) -> f32;
                fn manhattan_coded(vector: &[f32], coded: &Coded<'_>) -> f32;
                fn scan(block: &Block<'_>, table: &ScanTable, bound: Bound, lower: &mut [f32; LANES]) -> u32;
                fn scan_bytes(block: &Block<'_>, query: &[u8], bound: Bound, lower: &mut [f32; LANES]) -> u32;
                fn fill(query: &[f32], entries: &mut [u8]) -> Quantised;
                fn quantise(values: &[f32], codes: &mut [u8]) -> (f32, f32);
                fn round_to_bytes(values: &[f32], origin: &[f32], codes: &mut [i8]) -> f32;
                fn fill_levels(query: &[f32], levels: &[[f32; LEVELS]], entries: &mut [u8]) -> Quantised;
                fn hadamard(values: &mut [f32]) -> ();
                fn multiply(values: &mut [f32], factors: &[f32]) -> ();
                fn add_assign(sum: &mut [f32], vector: &[f32]) -> ();
                fn approach(mean: &mut [f32], vector: &[f32], share: f32) -> ();
                fn widen_halves(halves: &[u16], scale: f32, out: &mut [f32]) -> ();
                fn widen_bytes(bytes: &[u8], least: f32, step: f32, out: &mut [f32]) -> ();
            }
            Kernels {
                name: $name,
                dot,
                squared_euclidean,
                manhattan,
                hamming,
                dot_i8,
                dots_i8,
                dots_codes,
                squared_euclidean_coded,
                manhattan_coded,
                scan,
                scan_bytes,
                fill,
                quantise,
                round_to_bytes,
                fill_levels,
                hadamard,
                multiply,
                add_assign,
                approach,
                widen_halves,
                widen_bytes,
            }
        };
    };
    (@enter $(fn $function:ident($($argument:ident: $type:ty),*) -> $result:ty;)*) => {
        $(fn $function($($argument: $type),*) -> $result {
            // SAFETY: this function is reachable only through the set, and the set only through the function of
            // `x86_64` that has found all of the features on this processor.
            unsafe { vectors::$function($($argument),*) }
        })*
    };
}
use kernel_set;
