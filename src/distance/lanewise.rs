//! Kernels without sums across lanes, written once as loops that the compiler turns into vector code: each set
//! compiles them for its own instructions. Every operation is a single addition, multiplication or comparison in a
//! fixed order, so that all sets give the same bits.

use super::scan::CHUNK_DIMENSIONS;

/// Values in the innermost piece of a transform, which is done in registers.
const PIECE: usize = 16;
/// Groups of four dimensions in a chunk.
const GROUPS: usize = CHUNK_DIMENSIONS / 4;
/// Bytes of table entries for a chunk.
const ENTRIES: usize = GROUPS * 16;
/// Levels of a component, which half a byte numbers.
pub(crate) const LEVELS: usize = 16;
/// Added to a float32 of 0 to 255, it leaves the nearest integer in the lowest byte (2^23).
const ROUND: f32 = 8_388_608.0;
/// Added to a float32 of -128 to 127, it leaves the nearest integer in the lowest byte (1.5 * 2^23).
const ROUND_SIGNED: f32 = 12_582_912.0;

/// What turns the integer sums of a table's entries back into sums of the query's components.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Quantised {
    /// The step of the quantisation.
    pub(super) scale: f32,
    /// The smallest sum there can be.
    pub(super) offset: f32,
}

/// The Hadamard transform in place, divided by the root of the length, which is a power of two. Stages ascend: the
/// first adds and subtracts neighbours, the last the two halves.
#[inline(always)]
pub(super) fn hadamard(values: &mut [f32]) {
    let length = values.len();
    let root = 1.0 / (length as f32).sqrt();
    let mut half = 1;
    if length >= PIECE {
        for piece in values.as_chunks_mut::<PIECE>().0 {
            let scaled = piece.map(|value| value * root);
            *piece = stage::<8>(stage::<4>(stage::<2>(stage::<1>(scaled))));
        }
        half = PIECE;
        while half * 4 <= length {
            values.chunks_exact_mut(half * 4).for_each(two_stages);
            half *= 4;
        }
    } else {
        values.iter_mut().for_each(|value| *value *= root);
    }
    while half < length {
        values.chunks_exact_mut(half * 2).for_each(one_stage);
        half *= 2;
    }
}

/// A stage within a piece: the sum and the difference of each two values `HALF` apart.
#[inline(always)]
fn stage<const HALF: usize>(values: [f32; PIECE]) -> [f32; PIECE] {
    let signs: [f32; PIECE] = std::array::from_fn(|at| if at & HALF == 0 { 1.0 } else { -1.0 });
    let partners: [f32; PIECE] = std::array::from_fn(|at| values[at ^ HALF]);
    std::array::from_fn(|at| partners[at] + values[at] * signs[at])
}

/// The sums and the differences of the halves of a block.
#[inline(always)]
fn one_stage(block: &mut [f32]) {
    let (low, high) = block.split_at_mut(block.len() / 2);
    for (low, high) in low.iter_mut().zip(high) {
        (*low, *high) = (*low + *high, *low - *high);
    }
}

/// Two stages in one pass over the quarters of a block: neighbours, then the first with the third and so on.
#[inline(always)]
fn two_stages(block: &mut [f32]) {
    let (low, high) = block.split_at_mut(block.len() / 2);
    let (first, second) = low.split_at_mut(low.len() / 2);
    let (third, fourth) = high.split_at_mut(high.len() / 2);
    for (((first, second), third), fourth) in first.iter_mut().zip(second).zip(third).zip(fourth) {
        let (a, b) = (*first + *second, *first - *second);
        let (c, d) = (*third + *fourth, *third - *fourth);
        (*first, *second, *third, *fourth) = (a + c, b + d, a - c, b - d);
    }
}

/// Multiplies each value by its factor.
#[inline(always)]
pub(super) fn multiply(values: &mut [f32], factors: &[f32]) {
    for (value, factor) in values.iter_mut().zip(factors) {
        *value *= factor;
    }
}

/// Adds a vector to a sum.
#[inline(always)]
pub(super) fn add_assign(sum: &mut [f32], vector: &[f32]) {
    for (sum, component) in sum.iter_mut().zip(vector) {
        *sum += component;
    }
}

/// Moves a mean by a share of the way to a vector.
#[inline(always)]
pub(super) fn approach(mean: &mut [f32], vector: &[f32], share: f32) {
    for (mean, component) in mean.iter_mut().zip(vector) {
        *mean += (component - *mean) * share;
    }
}

/// Float16 times a scale, as float32. The bits of a half, shifted to their places in a float, are 2^-112 times its value,
/// also where it is subnormal. There are no infinities.
#[inline(always)]
pub(super) fn widen_halves(halves: &[u16], scale: f32, out: &mut [f32]) {
    let shift = f32::from_bits((127 + 112) << 23);
    for (out, &half) in out.iter_mut().zip(halves) {
        let (sign, magnitude) = (u32::from(half) & 0x8000, u32::from(half) & 0x7fff);
        *out = f32::from_bits(sign << 16 | magnitude << 13) * shift * scale;
    }
}

/// Steps above a least value, as float32.
#[inline(always)]
pub(super) fn widen_bytes(bytes: &[u8], least: f32, step: f32, out: &mut [f32]) {
    for (out, &byte) in out.iter_mut().zip(bytes) {
        *out = least + step * f32::from(byte);
    }
}

/// Writes each `(value - origin) / step`, rounded, and returns the step: a 127th of the largest magnitude. Where that is
/// nothing, or not finite, all codes and the step are 0.
#[inline(always)]
pub(super) fn round_to_bytes(values: &[f32], origin: &[f32], codes: &mut [i8]) -> f32 {
    let ((pieces, rest), (origins, origins_rest)) = (values.as_chunks::<PIECE>(), origin.as_chunks::<PIECE>());
    let mut lanes = [0f32; PIECE];
    for (piece, origins) in pieces.iter().zip(origins) {
        for lane in 0..PIECE {
            let magnitude = (piece[lane] - origins[lane]).abs();
            lanes[lane] = if magnitude > lanes[lane] { magnitude } else { lanes[lane] };
        }
    }
    let magnitudes = rest.iter().zip(origins_rest).map(|(value, origin)| (value - origin).abs());
    let largest = magnitudes.chain(lanes).fold(0.0, f32::max);
    let per_step = 127.0 / largest;
    if !(per_step.is_finite() && per_step > 0.0) {
        codes.fill(0);
        return 0.0;
    }
    for ((code, value), origin) in codes.iter_mut().zip(values).zip(origin) {
        *code = ((value - origin) * per_step + ROUND_SIGNED).to_bits() as i8;
    }
    largest / 127.0
}

/// Writes which of 256 even steps from the lowest value to the highest is nearest to each; returns the lowest and the
/// step.
#[inline(always)]
pub(super) fn quantise(values: &[f32], codes: &mut [u8]) -> (f32, f32) {
    let (pieces, rest) = values.as_chunks::<PIECE>();
    let (mut lows, mut highs) = ([f32::INFINITY; PIECE], [f32::NEG_INFINITY; PIECE]);
    for piece in pieces {
        for lane in 0..PIECE {
            lows[lane] = if piece[lane] < lows[lane] { piece[lane] } else { lows[lane] };
            highs[lane] = if piece[lane] > highs[lane] { piece[lane] } else { highs[lane] };
        }
    }
    let low = lows.iter().chain(rest).copied().fold(f32::INFINITY, f32::min);
    let high = highs.iter().chain(rest).copied().fold(f32::NEG_INFINITY, f32::max);
    let step = (high - low) / 255.0;
    let steps = if step > 0.0 { 1.0 / step } else { 0.0 };
    for (code, value) in codes.iter_mut().zip(values) {
        *code = ((value - low) * steps + ROUND).to_bits() as u8;
    }
    (low, step)
}

/// Writes the table entries of a query: for each group of four components and each of its 16 codes the signed sum,
/// less the smallest one, in steps of one scale that takes the widest group to 255.
#[inline(always)]
pub(super) fn fill(query: &[f32], entries: &mut [u8]) -> Quantised {
    let chunks = query.as_chunks::<CHUNK_DIMENSIONS>().0;
    let (mut widest, mut total) = ([0.0f32; GROUPS], [0.0f32; GROUPS]);
    for chunk in chunks {
        let spreads = spreads(chunk);
        widest = std::array::from_fn(|at| if spreads[at] > widest[at] { spreads[at] } else { widest[at] });
        total = std::array::from_fn(|at| total[at] + spreads[at]);
    }
    let widest = widest.into_iter().fold(0.0, f32::max);
    let scale = (2.0 * widest / 255.0).max(f32::MIN_POSITIVE);
    let steps = 1.0 / scale;
    for (chunk, entries) in chunks.iter().zip(entries.as_chunks_mut::<ENTRIES>().0) {
        let scaled = chunk.map(|component| component * steps);
        let spreads = spreads(&scaled);
        for (at, (group, spread)) in scaled.as_chunks::<4>().0.iter().zip(spreads).enumerate() {
            let start = at % 2 * (ENTRIES / 2) + at / 2 * 16;
            entries[start..start + 16].copy_from_slice(&codes_of(group, spread));
        }
    }
    Quantised { scale, offset: -total.into_iter().sum::<f32>() }
}

/// Writes the table entries of a query for codes of half a byte a component, which number its levels: the distance from
/// each level, less that from the nearest, in steps of one scale that takes the widest component to 255, rounded down.
///
/// Sums of entries stand for the negated distance from what a code stands for, or less than it is negated: the scale and the
/// offset, which is the distance from all nearest levels, are negative. All is 0 where a distance is not finite.
#[inline(always)]
pub(super) fn fill_levels(query: &[f32], levels: &[[f32; LEVELS]], entries: &mut [u8]) -> Quantised {
    let (mut widest, mut total) = (0.0f32, 0.0f64);
    for (&component, levels) in query.iter().zip(levels) {
        let distances = distances(component, levels);
        let nearest = fold(distances, |a, b| if a < b { a } else { b });
        // Levels ascend.
        let (first, last) = (distances[0], distances[LEVELS - 1]);
        let farthest = if first > last { first } else { last };
        widest = if farthest - nearest > widest { farthest - nearest } else { widest };
        total += f64::from(nearest);
    }
    if !(total < f64::from(f32::MAX) && widest.is_finite()) {
        entries.fill(0);
        return Quantised { scale: 0.0, offset: 0.0 };
    }
    let steps = 255.0 / widest;
    // Of levels that are all alike, or nearly, the nearest says enough.
    let (scale, steps) = if steps.is_finite() { (widest / 255.0, steps) } else { (0.0, 0.0) };
    for (group, (&component, levels)) in query.iter().zip(levels).enumerate() {
        let distances = distances(component, levels);
        let nearest = fold(distances, |a, b| if a < b { a } else { b });
        let start = group / GROUPS * ENTRIES + group % 2 * (ENTRIES / 2) + group % GROUPS / 2 * LEVELS;
        for (entry, distance) in entries[start..start + LEVELS].iter_mut().zip(distances) {
            // The nearest whole number to half less is no more.
            let below = (distance - nearest) * steps - 0.5;
            *entry = ((if below > 0.0 { below } else { 0.0 }) + ROUND).to_bits() as u8;
        }
    }
    Quantised { scale: -scale, offset: -total as f32 }
}

/// The distance of a component from each of its levels. A loop, for `map` is compiled apart, without the instructions of the
/// set.
#[inline(always)]
fn distances(component: f32, levels: &[f32; LEVELS]) -> [f32; LEVELS] {
    let mut distances = [0.0; LEVELS];
    for (distance, level) in distances.iter_mut().zip(levels) {
        *distance = (component - level).abs();
    }
    distances
}

/// One of all values, chosen two by two.
#[inline(always)]
fn fold(mut values: [f32; LEVELS], choose: impl Fn(f32, f32) -> f32) -> f32 {
    let mut half = LEVELS / 2;
    while half > 0 {
        for at in 0..half {
            values[at] = choose(values[at], values[at + half]);
        }
        half /= 2;
    }
    values[0]
}

/// The sum of magnitudes of each group of a chunk.
#[inline(always)]
fn spreads(chunk: &[f32; CHUNK_DIMENSIONS]) -> [f32; GROUPS] {
    let magnitude = |at: usize| chunk[at].abs();
    std::array::from_fn(|at| {
        (magnitude(4 * at) + magnitude(4 * at + 1)) + (magnitude(4 * at + 2) + magnitude(4 * at + 3))
    })
}

/// The 16 entries of a group whose components are in steps of the scale.
#[inline(always)]
fn codes_of(group: &[f32; 4], spread: f32) -> [u8; 16] {
    let [a, b, c, d] = *group;
    let low = [-a - b, a - b, b - a, a + b];
    let high = [-c - d, c - d, d - c, c + d].map(|sum| sum + spread);
    let sums: [f32; 16] = std::array::from_fn(|code| high[code / 4] + low[code % 4]);
    sums.map(|sum| (sum + ROUND).to_bits() as u8)
}
