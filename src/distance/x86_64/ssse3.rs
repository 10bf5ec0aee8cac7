//! SSSE3, for desktop processors without AVX2, which were sold until about 2020: the portable set with the byte
//! shuffle, without which a scan takes ten times as long. The build's baseline for x86-64 does not include it.

use std::arch::x86_64::_mm_shuffle_epi8;

use crate::distance::scan::{Block, LANES, ScanTable};
use crate::distance::{Bound, Kernels, portable};

pub(super) static KERNELS: Kernels = Kernels { name: "ssse3", scan: enter_scan, ..portable::SET };

fn enter_scan(block: &Block<'_>, table: &ScanTable, bound: Bound, lower: &mut [f32; LANES]) -> u32 {
    // SAFETY: this function is reachable only through the set, and the set only through the function of `x86_64` that
    // has found SSSE3 on this processor.
    unsafe { scan(block, table, bound, lower) }
}

#[target_feature(enable = "ssse3")]
fn scan(block: &Block<'_>, table: &ScanTable, bound: Bound, lower: &mut [f32; LANES]) -> u32 {
    portable::scan_with(block, table, bound, lower, |entries, codes| {
        bytemuck::cast(_mm_shuffle_epi8(bytemuck::cast(entries), bytemuck::cast(codes)))
    })
}
