//! The reference: what every other kernel must compute.

use super::scan::{Block, CHUNK_BYTES, LANES, ScanTable};
use super::{Bound, Coded, Halved, Kernels, byte_scan, lanewise};

pub(super) static KERNELS: Kernels = Kernels {
    name: "scalar",
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
    fill: lanewise::fill,
    quantise: lanewise::quantise,
    round_to_bytes: lanewise::round_to_bytes,
    fill_levels: lanewise::fill_levels,
    hadamard,
    multiply: lanewise::multiply,
    add_assign: lanewise::add_assign,
    approach: lanewise::approach,
    widen_halves: lanewise::widen_halves,
    widen_bytes: lanewise::widen_bytes,
};

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn squared_euclidean(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

fn manhattan(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum()
}

fn hamming(a: &[u8], b: &[u8]) -> u32 {
    a.iter().zip(b).map(|(a, b)| (a ^ b).count_ones()).sum()
}

fn dot_i8(a: &[i8], b: &[i8]) -> i32 {
    a.iter().zip(b).map(|(&a, &b)| i32::from(a) * i32::from(b)).sum()
}

fn dots_i8(vector: &[i8], rows: &[i8], products: &mut [i32]) {
    for (row, product) in rows.chunks_exact(vector.len()).zip(products) {
        *product = dot_i8(vector, row);
    }
}

fn dots_codes(vector: &Halved<'_>, rows: &[&[u8]], sums: &mut [i32]) {
    for (codes, sum) in rows.iter().zip(sums) {
        *sum = dot_codes(vector.words, codes);
    }
}

fn dot_codes(vector: &[i16], codes: &[u8]) -> i32 {
    let products = vector.iter().zip(codes).map(|(&component, &code)| i32::from(component) * i32::from(code));
    products.fold(0, i32::wrapping_add)
}

fn squared_euclidean_coded(vector: &[f32], coded: &Coded<'_>) -> f32 {
    coded.differences(vector).map(|difference| difference * difference).sum()
}

fn manhattan_coded(vector: &[f32], coded: &Coded<'_>) -> f32 {
    coded.differences(vector).map(f32::abs).sum()
}

fn scan(block: &Block<'_>, table: &ScanTable, bound: Bound, lower: &mut [f32; LANES]) -> u32 {
    let mut sums = [0u32; LANES];
    for (codes, entries) in block.codes().chunks_exact(CHUNK_BYTES).zip(table.entries().chunks_exact(128)) {
        let (low, high) = entries.split_at(CHUNK_BYTES);
        for (at, &code) in codes.iter().enumerate() {
            let group = at / LANES * LANES;
            sums[at % LANES] += u32::from(low[group + usize::from(code & 15)]);
            sums[at % LANES] += u32::from(high[group + usize::from(code >> 4)]);
        }
    }
    let [add, mul, err] = block.factors();
    let mut mask = 0;
    for lane in 0..LANES {
        let sum = table.scale() * sums[lane] as f32 + table.offset();
        lower[lane] = bound.base + add[lane] + mul[lane] * sum - bound.slack * err[lane];
        let above = lower[lane] > bound.threshold;
        mask |= u32::from(!above) << lane;
    }
    mask
}

fn scan_bytes(block: &Block<'_>, query: &[u8], bound: Bound, lower: &mut [f32; LANES]) -> u32 {
    let mut sums = [0i32; LANES];
    for (piece, query) in byte_scan::pieces(block, query) {
        for (at, &code) in piece.iter().enumerate() {
            sums[at / byte_scan::BYTES] += i32::from(code.abs_diff(query[at % byte_scan::BYTES]));
        }
    }
    byte_scan::bounds(block, &sums, bound, lower)
}

fn hadamard(values: &mut [f32]) {
    let root = 1.0 / (values.len() as f32).sqrt();
    values.iter_mut().for_each(|value| *value *= root);
    let mut half = 1;
    while half < values.len() {
        for block in values.chunks_exact_mut(half * 2) {
            for at in 0..half {
                (block[at], block[at + half]) = (block[at] + block[at + half], block[at] - block[at + half]);
            }
        }
        half *= 2;
    }
}
