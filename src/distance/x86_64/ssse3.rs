//! SSSE3, for desktop processors without AVX2, which were sold until about 2020: the portable set with the byte
//! shuffle, without which a scan takes ten times as long. The build's baseline for x86-64 does not include it.

use std::arch::x86_64::{_mm_add_epi64, _mm_sad_epu8, _mm_setzero_si128, _mm_shuffle_epi8};

use crate::distance::scan::{Block, LANES, ScanTable};
use crate::distance::{Bound, Kernels, byte_scan, portable};

pub(super) static KERNELS: Kernels =
    Kernels { name: "ssse3", scan: enter_scan, scan_bytes: enter_scan_bytes, ..portable::SET };

fn enter_scan(block: &Block<'_>, table: &ScanTable, bound: Bound, lower: &mut [f32; LANES]) -> u32 {
    // SAFETY: this function is reachable only through the set, and the set only through the function of `x86_64` that
    // has found SSSE3 on this processor.
    unsafe { scan(block, table, bound, lower) }
}

fn enter_scan_bytes(block: &Block<'_>, query: &[u8], bound: Bound, lower: &mut [f32; LANES]) -> u32 {
    // SAFETY: as for `enter_scan`.
    unsafe { scan_bytes(block, query, bound, lower) }
}

#[target_feature(enable = "ssse3")]
fn scan_bytes(block: &Block<'_>, query: &[u8], bound: Bound, lower: &mut [f32; LANES]) -> u32 {
    let mut sums = [_mm_setzero_si128(); LANES / 2];
    for (piece, query) in byte_scan::pieces(block, query) {
        let query: [u8; 16] = std::array::from_fn(|at| query[at % byte_scan::BYTES]);
        for (sum, codes) in sums.iter_mut().zip(piece.as_chunks::<16>().0) {
            *sum = _mm_add_epi64(*sum, _mm_sad_epu8(bytemuck::cast(*codes), bytemuck::cast(query)));
        }
    }
    let sums: [[i64; 2]; LANES / 2] = bytemuck::cast(sums);
    let sums = std::array::from_fn(|lane| sums[lane / 2][lane % 2] as i32);
    byte_scan::bounds(block, &sums, bound, lower)
}

#[target_feature(enable = "ssse3")]
fn scan(block: &Block<'_>, table: &ScanTable, bound: Bound, lower: &mut [f32; LANES]) -> u32 {
    portable::scan_with(block, table, bound, lower, |entries, codes| {
        bytemuck::cast(_mm_shuffle_epi8(bytemuck::cast(entries), bytemuck::cast(codes)))
    })
}
