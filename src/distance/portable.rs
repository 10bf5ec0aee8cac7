//! Kernels for any processor, through the types of `wide`: NEON on aarch64, whatever the build enables elsewhere.

use wide::{f32x8, i16x16, i32x8, u8x16, u16x8};

use super::scan::{Block, CHUNK_BYTES, LANES, ScanTable, WIDEN_CHUNKS};
use super::{Bound, Coded, Halved, Kernels, byte_scan, lanewise};

pub(super) static KERNELS: Kernels = SET;

/// The set, for others to build on.
pub(super) const SET: Kernels = Kernels {
    name: "portable",
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
    hadamard: lanewise::hadamard,
    multiply: lanewise::multiply,
    add_assign: lanewise::add_assign,
    approach: lanewise::approach,
    widen_halves: lanewise::widen_halves,
    widen_bytes: lanewise::widen_bytes,
};

/// Floats in a vector of `wide`.
const WIDTH: usize = 8;
/// Vectors in a step of a sum: as many additions are in flight at once.
const STEP: usize = 4;

fn dot(a: &[f32], b: &[f32]) -> f32 {
    sum_of_pairs(a, b, |a, b, sum| a.mul_add(b, sum), |a, b| a * b)
}

fn squared_euclidean(a: &[f32], b: &[f32]) -> f32 {
    let square = |a: f32x8, b: f32x8, sum| {
        let difference = a - b;
        difference.mul_add(difference, sum)
    };
    sum_of_pairs(a, b, square, |a, b| (a - b) * (a - b))
}

fn manhattan(a: &[f32], b: &[f32]) -> f32 {
    sum_of_pairs(a, b, |a, b, sum| sum + (a - b).abs(), |a, b| (a - b).abs())
}

/// Sixty-four bits at a time.
#[inline(always)]
pub(super) fn hamming(a: &[u8], b: &[u8]) -> u32 {
    let ((a, a_tail), (b, b_tail)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let words = a.iter().zip(b).map(|(a, b)| (u64::from_le_bytes(*a) ^ u64::from_le_bytes(*b)).count_ones());
    let tail = a_tail.iter().zip(b_tail).map(|(a, b)| (a ^ b).count_ones());
    words.sum::<u32>() + tail.sum::<u32>()
}

/// Sums a term over the pairs of components: `add` adds the terms of a vector to a sum, `term` is that of the tail.
#[inline(always)]
fn sum_of_pairs(
    a: &[f32],
    b: &[f32],
    add: impl Fn(f32x8, f32x8, f32x8) -> f32x8,
    term: impl Fn(f32, f32) -> f32,
) -> f32 {
    let ((a, a_tail), (b, b_tail)) = (a.as_chunks::<WIDTH>(), b.as_chunks::<WIDTH>());
    let ((a_steps, a_rest), (b_steps, b_rest)) = (a.as_chunks::<STEP>(), b.as_chunks::<STEP>());
    let mut sums = [f32x8::ZERO; STEP];
    for (a, b) in a_steps.iter().zip(b_steps) {
        sums = std::array::from_fn(|at| add(f32x8::new(a[at]), f32x8::new(b[at]), sums[at]));
    }
    for ((a, b), sum) in a_rest.iter().zip(b_rest).zip(&mut sums) {
        *sum = add(f32x8::new(*a), f32x8::new(*b), *sum);
    }
    let tail = a_tail.iter().zip(b_tail).map(|(a, b)| term(*a, *b)).sum::<f32>();
    ((sums[0] + sums[1]) + (sums[2] + sums[3])).reduce_add() + tail
}

fn dot_i8(a: &[i8], b: &[i8]) -> i32 {
    let ((a, a_tail), (b, b_tail)) = (a.as_chunks::<16>(), b.as_chunks::<16>());
    let mut sum = i32x8::ZERO;
    for (a, b) in a.iter().zip(b) {
        sum += i16x16::from_i8x16((*a).into()).dot(i16x16::from_i8x16((*b).into()));
    }
    let tail = a_tail.iter().zip(b_tail).map(|(&a, &b)| i32::from(a) * i32::from(b)).sum::<i32>();
    sum.reduce_add() + tail
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
    let ((vector, vector_tail), (codes, codes_tail)) = (vector.as_chunks::<16>(), codes.as_chunks::<16>());
    let mut sum = i32x8::ZERO;
    for (vector, codes) in vector.iter().zip(codes) {
        sum += i16x16::new(*vector).dot(i16x16::new(codes.map(i16::from)));
    }
    let tail = vector_tail.iter().zip(codes_tail).map(|(&a, &b)| i32::from(a) * i32::from(b));
    tail.chain(sum.to_array()).fold(0, i32::wrapping_add)
}

fn squared_euclidean_coded(vector: &[f32], coded: &Coded<'_>) -> f32 {
    let (low, step) = (f32x8::splat(coded.low), f32x8::splat(coded.step));
    let square = |component: f32x8, code: f32x8, sum| {
        let difference = step.mul_add(code, low - component);
        difference.mul_add(difference, sum)
    };
    sum_coded(vector, coded, square, |component, code| {
        let difference = coded.step * code + (coded.low - component);
        difference * difference
    })
}

fn manhattan_coded(vector: &[f32], coded: &Coded<'_>) -> f32 {
    let (low, step) = (f32x8::splat(coded.low), f32x8::splat(coded.step));
    let add = |component: f32x8, code: f32x8, sum| sum + step.mul_add(code, low - component).abs();
    sum_coded(vector, coded, add, |component, code| (coded.step * code + (coded.low - component)).abs())
}

/// Sums a term over pairs of a component and a code, as [`sum_of_pairs`] does.
#[inline(always)]
fn sum_coded(
    vector: &[f32],
    coded: &Coded<'_>,
    add: impl Fn(f32x8, f32x8, f32x8) -> f32x8,
    term: impl Fn(f32, f32) -> f32,
) -> f32 {
    let ((vectors, vector), (pieces, codes)) = (vector.as_chunks::<WIDTH>(), coded.codes.as_chunks::<WIDTH>());
    let mut sums = [f32x8::ZERO; STEP];
    for (vectors, pieces) in vectors.chunks(STEP).zip(pieces.chunks(STEP)) {
        for ((vector, codes), sum) in vectors.iter().zip(pieces).zip(&mut sums) {
            *sum = add(f32x8::new(*vector), f32x8::new(codes.map(f32::from)), *sum);
        }
    }
    let tail = vector.iter().zip(codes).map(|(&component, &code)| term(component, f32::from(code))).sum::<f32>();
    ((sums[0] + sums[1]) + (sums[2] + sums[3])).reduce_add() + tail
}

fn scan(block: &Block<'_>, table: &ScanTable, bound: Bound, lower: &mut [f32; LANES]) -> u32 {
    scan_with(block, table, bound, lower, u8x16::shuffle)
}

fn scan_bytes(block: &Block<'_>, query: &[u8], bound: Bound, lower: &mut [f32; LANES]) -> u32 {
    let mut totals = [0; LANES];
    let mut pieces = byte_scan::pieces(block, query);
    // A word sums two differences a piece: 16 bits hold 128 pieces of twice 255.
    while pieces.len() > 0 {
        let mut words = [u16x8::ZERO; LANES / 2];
        for (piece, query) in pieces.by_ref().take(128) {
            let query = u8x16::new(std::array::from_fn(|at| query[at % byte_scan::BYTES]));
            for (word, codes) in words.iter_mut().zip(piece.as_chunks::<16>().0) {
                let codes = u8x16::new(*codes);
                let difference = codes.saturating_sub(query) | query.saturating_sub(codes);
                let pairs: u16x8 = bytemuck::cast(difference);
                *word += (pairs & u16x8::splat(255)) + (pairs >> 8);
            }
        }
        for (lane, total) in totals.iter_mut().enumerate() {
            let words = words[lane / 2].to_array();
            let half = &words[lane % 2 * 4..lane % 2 * 4 + 4];
            *total += half.iter().map(|&word| i32::from(word)).sum::<i32>();
        }
    }
    byte_scan::bounds(block, &totals, bound, lower)
}

/// Scans a block with a way to look up 16 bytes: `shuffle` gets the entries of a group and the codes of the lanes.
#[inline(always)]
pub(super) fn scan_with(
    block: &Block<'_>,
    table: &ScanTable,
    bound: Bound,
    lower: &mut [f32; LANES],
    shuffle: impl Fn(u8x16, u8x16) -> u8x16,
) -> u32 {
    let sums = sums(block.codes(), table.entries(), shuffle);
    let (scale, offset) = (f32x8::splat(table.scale()), f32x8::splat(table.offset()));
    let [base, slack, threshold] = [bound.base, bound.slack, bound.threshold].map(f32x8::splat);
    let [add, mul, err] = block.factors();
    let mut above = 0;
    for half in 0..LANES / WIDTH {
        let lanes = half * WIDTH..(half + 1) * WIDTH;
        let sum = f32x8::from_i32x8(i32x8::from(&sums[lanes.clone()])).mul_add(scale, offset);
        let bounds = f32x8::from(&add[lanes.clone()]) + base;
        let bounds = f32x8::from(&mul[lanes.clone()]).mul_add(sum, bounds);
        let bounds = bounds - f32x8::from(&err[lanes.clone()]) * slack;
        lower[lanes.clone()].copy_from_slice(bounds.as_array());
        above |= bounds.simd_gt(threshold).to_bitmask() << lanes.start;
    }
    !above & 0xffff
}

/// The sum of the entries that each lane's code selects.
///
/// Two lanes share a 16-bit word: it sums the word as it is (the even lane plus 256 times the odd one, modulo 65,536)
/// and its upper half (the odd lane), and the even lane is what is left.
#[inline(always)]
fn sums(codes: &[u8], entries: &[u8], shuffle: impl Fn(u8x16, u8x16) -> u8x16) -> [i32; LANES] {
    let mut totals = [0; LANES];
    let codes = codes.as_chunks::<CHUNK_BYTES>().0.chunks(WIDEN_CHUNKS);
    let entries = entries.as_chunks::<{ 2 * CHUNK_BYTES }>().0.chunks(WIDEN_CHUNKS);
    for (codes, entries) in codes.zip(entries) {
        let (mut words, mut odd) = ([u16x8::ZERO; 2], [u16x8::ZERO; 2]);
        for (codes, entries) in codes.iter().zip(entries) {
            let (codes, entries) = (codes.as_chunks::<LANES>().0, entries.as_chunks::<16>().0);
            for (at, codes) in codes.iter().enumerate() {
                let codes = u8x16::new(*codes);
                let low = shuffle(u8x16::new(entries[at]), codes & u8x16::splat(15));
                let high_codes: u16x8 = bytemuck::cast::<u8x16, u16x8>(codes) >> 4;
                let high_codes: u8x16 = bytemuck::cast(high_codes);
                let high = shuffle(u8x16::new(entries[at + 4]), high_codes & u8x16::splat(15));
                for (half, found) in [low, high].into_iter().enumerate() {
                    let found: u16x8 = bytemuck::cast(found);
                    words[half] += found;
                    odd[half] += found >> 8;
                }
            }
        }
        let odd: u16x8 = odd[0] + odd[1];
        let even: u16x8 = words[0] + words[1] - (odd << 8);
        let (even, odd) = (even.to_array(), odd.to_array());
        for (lane, total) in totals.iter_mut().enumerate() {
            *total += i32::from(if lane % 2 == 0 { even[lane / 2] } else { odd[lane / 2] });
        }
    }
    totals
}
