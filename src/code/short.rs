//! Runs with short factors: of signs or half bytes, for items that are numbered in a row.
//!
//! The factors of a lane take 6 bytes where the others take 16, of which a scan of 128 dimensions, and of 16 bytes of code,
//! feels most. What rounding takes is given to the error, so that the bound stays one; section 2 of `docs/format.md`.

use super::items::CodedItem;
use super::kind::{CodeKind, RUN_HEADER_BYTES};
use super::levels::Levels;
use super::run::{Centroid, ResidualSums, RunHeader, is_too_short, subtract};
use crate::distance::{FactorScale, LANES, SHORT_FACTORS_BYTES, codes_bytes, kernels, set_bits, set_code};
use crate::types::Metric;

/// The number of steps from the least to the most.
const STEPS: f64 = 65_535.0;

/// The share of a distance that rounding, of distances as of bounds, may add to the bound of half bytes.
const ROUNDING: f32 = 1.0 / (1 << 19) as f32;

/// Fewer items of a run tell nothing of the errors of others, and with more each item need not be compared.
const FEWEST_TO_TELL: usize = 8;
const MOST_COMPARED: usize = 31;

/// What is allowed for at least, however little the items of a run show: less would save no distances.
const LEAST_ERROR_SHARE: f32 = 0.1;

/// What a run of items has, whose payloads are `first` and the numbers after it.
#[derive(Clone, Copy)]
pub(super) struct ShortRun<'c> {
    pub(super) number: u32,
    pub(super) centroid: &'c Centroid,
    pub(super) first: u32,
}

/// What is known of a run when its codes and factors are written.
pub(super) struct Filled {
    /// What the factors stand for.
    pub(super) scale: FactorScale,
    /// The largest norm of a residual.
    pub(super) radius: f32,
    /// See [`RunHeader::error_share`].
    pub(super) error_share: f32,
}

/// A run of signs, and the largest norm of a residual.
pub(super) fn encode_signs<'v>(
    metric: Metric,
    run: ShortRun<'_>,
    items: impl ExactSizeIterator<Item = CodedItem<'v>>,
) -> (Vec<u8>, f32) {
    let (padded, centroid) = (run.centroid.values().len(), run.centroid.values());
    assemble(CodeKind::ShortSigns, run, items.len(), |codes, factors| {
        let mut residual = vec![0.0; padded];
        let mut sums = Vec::with_capacity(items.len());
        for (at, item) in items.enumerate() {
            debug_assert_eq!(item.payload as usize, run.first as usize + at, "items numbered in a row");
            sums.push(subtract(item.placed, centroid, &mut residual));
            let block = &mut codes[at / LANES * codes_bytes(padded)..][..codes_bytes(padded)];
            set_code(block, at % LANES, &residual);
        }
        let radius = sums.iter().fold(0f32, |radius, sums| radius.max(sums.squared.sqrt() as f32));
        let sums: Vec<CodeSums> = sums.iter().map(|sums| sums.of_signs(padded)).collect();
        Filled { scale: put_factors(metric, &sums, padded, 0.0, factors), radius, error_share: 0.0 }
    })
}

/// A run of half bytes, whose factors are the errors of the items alone; there are no residuals.
pub(super) fn encode_half_bytes<'v>(
    levels: &Levels,
    run: ShortRun<'_>,
    items: impl ExactSizeIterator<Item = CodedItem<'v>>,
) -> (Vec<u8>, f32) {
    let padded = run.centroid.values().len();
    let block_bytes = codes_bytes(CodeKind::HalfBytes.bits(padded));
    assemble(CodeKind::HalfBytes, run, items.len(), |codes, factors| {
        let mut code = vec![0; padded / 2];
        let mut coded = Vec::with_capacity(items.len());
        for (at, item) in items.enumerate() {
            debug_assert_eq!(item.payload as usize, run.first as usize + at, "items numbered in a row");
            let error = levels.code(item.vector, &mut code);
            set_bits(&mut codes[at / LANES * block_bytes..][..block_bytes], at % LANES, &code);
            coded.push((item.vector, levels.decoded(&code), error));
        }
        let errors: Vec<f64> = coded.iter().map(|&(_, _, error)| error).collect();
        Filled { scale: put_errors(&errors, factors), radius: 0.0, error_share: error_share(&coded) }
    })
}

/// A run of `count` entries, and the largest norm of a residual; `fill` writes the codes and the factors of all blocks.
pub(super) fn assemble(
    kind: CodeKind,
    ShortRun { number, centroid, first }: ShortRun<'_>,
    count: usize,
    fill: impl FnOnce(&mut [u8], &mut [u8]) -> Filled,
) -> (Vec<u8>, f32) {
    let padded = centroid.values().len();
    let blocks = count.div_ceil(LANES);
    let mut run = vec![0; kind.run_bytes(padded, count).unwrap_or(0)];
    let (head, body) = run.split_at_mut(RUN_HEADER_BYTES + padded);
    for (byte, code) in head[RUN_HEADER_BYTES..].iter_mut().zip(centroid.codes()) {
        *byte = code.to_le_bytes()[0];
    }
    let (codes, factors) = body.split_at_mut(blocks * codes_bytes(kind.bits(padded)));
    let Filled { scale, radius, error_share } = fill(codes, factors);
    let header = RunHeader {
        step: centroid.step(),
        squared_norm: centroid.squared_norm(),
        entries: count as u32,
        blocks: blocks as u32,
        radius,
        number,
        first,
        scale,
        error_share,
    };
    header.write(&mut run);
    (run, radius)
}

/// What the factors of an entry with residual r are made of, whose code stands for a vector u that r is a multiple of, but
/// for the error.
pub(super) struct CodeSums {
    /// The squared norm of r.
    pub(super) squared: f64,
    /// The inner product of r and u.
    pub(super) product: f64,
    /// The squared norm of u.
    pub(super) code_squared: f64,
    /// The inner product of u and the centroid.
    pub(super) code_centroid: f64,
}

impl ResidualSums {
    /// The sums of a code of signs, each of which stands for 1 or -1.
    fn of_signs(&self, padded: usize) -> CodeSums {
        CodeSums {
            squared: self.squared,
            product: self.magnitudes,
            code_squared: padded as f64,
            code_centroid: self.signed_centroid,
        }
    }
}

/// Writes the factors of all entries, and returns what they stand for. Codes have `components`; of the squared distance from
/// the centroid as much as `outside` is in no residual.
pub(super) fn put_factors(
    metric: Metric,
    sums: &[CodeSums],
    components: usize,
    outside: f64,
    factors: &mut [u8],
) -> FactorScale {
    let unit = if metric == Metric::Dot { 1.0 } else { 2.0 };
    let ks: Vec<f64> =
        sums.iter().map(|sums| if sums.product > 0.0 { sums.squared / sums.product } else { 0.0 }).collect();
    let mul_step = (unit * most(&ks) / STEPS) as f32;
    let short_ks: Vec<u16> = ks.iter().map(|k| steps(unit * k, mul_step).round() as u16).collect();
    let (mut adds, mut errs) = (Vec::with_capacity(sums.len()), Vec::with_capacity(sums.len()));
    for ((sums, &k), &short) in sums.iter().zip(&ks).zip(&short_ks) {
        let rounded = f64::from(mul_step * f32::from(short)) / unit;
        let error = ((k * k * sums.code_squared - sums.squared).max(0.0) / (components as f64 - 1.0)).sqrt();
        errs.push(unit * (error + (rounded - k).abs() * sums.code_squared.sqrt()));
        let near = sums.squared - outside + 2.0 * rounded * sums.code_centroid;
        adds.push(if metric == Metric::Dot { 0.0 } else { near });
    }
    let least = adds.iter().copied().fold(f64::INFINITY, f64::min);
    let range = most(&adds) - least;
    let scale = FactorScale {
        least: (least as f32).next_down(),
        add: ((range / STEPS) as f32).next_up(),
        mul: mul_step,
        // One step is left for rounding up.
        err: (most(&errs) / (STEPS - 1.0)) as f32,
    };
    let too_short = metric == Metric::Dot && sums.iter().any(|sums| is_too_short(sums.squared, sums.product));
    if too_short
        || ![least as f32, scale.add * STEPS as f32, scale.mul * STEPS as f32, scale.err * STEPS as f32]
            .iter()
            .all(|value| value.is_finite())
    {
        // A residual is too long or too short for float32: every lane passes, and the distances are computed.
        return FactorScale { least: f32::MIN, ..FactorScale::default() };
    }
    for (at, ((&add, &mul), &err)) in adds.iter().zip(&short_ks).zip(&errs).enumerate() {
        put(factors, at, [round_down(add, scale), mul, round_up(err, scale.err)]);
    }
    scale
}

/// Of items near each other, given with what their codes stand for and their errors: the most by which one is nearer to
/// another than its code is, as a share of its error. 1 where there are too few to tell.
fn error_share(coded: &[(&[f32], Vec<f32>, f64)]) -> f32 {
    if coded.len() < FEWEST_TO_TELL {
        return 1.0;
    }
    let kernels = kernels();
    let mut most = 0f32;
    for (at, (item, decoded, error)) in coded.iter().enumerate() {
        for other in 1..coded.len().min(1 + MOST_COMPARED) {
            let (other, ..) = &coded[(at + other) % coded.len()];
            let nearer = kernels.manhattan(other, decoded) - kernels.manhattan(other, item);
            // Also where an error is 0, or not finite.
            let share = if nearer > 0.0 { nearer / *error as f32 } else { 0.0 };
            most = if share <= most { most } else { share };
        }
    }
    if most < 1.0 { most.max(LEAST_ERROR_SHARE) } else { 1.0 }
}

/// Writes the factors of items with errors: bounds are the distances from the codes, less the errors.
fn put_errors(errors: &[f64], factors: &mut [u8]) -> FactorScale {
    // One step is left for rounding up.
    let step = (most(errors).max(0.0) / (STEPS - 1.0)) as f32;
    if !(step * STEPS as f32).is_finite() {
        return FactorScale { least: f32::MIN, ..FactorScale::default() };
    }
    // A smaller one would be rounded to nothing.
    let step = if most(errors) > 0.0 { step.max(f32::MIN_POSITIVE) } else { step };
    for (at, &error) in errors.iter().enumerate() {
        put(factors, at, [0, 1, round_up(error, step)]);
    }
    FactorScale { least: 0.0, add: 0.0, mul: 1.0 - ROUNDING, err: step }
}

/// Writes the factors of an entry.
fn put(factors: &mut [u8], at: usize, short: [u16; 3]) {
    let lane = &mut factors[at / LANES * SHORT_FACTORS_BYTES..][..SHORT_FACTORS_BYTES];
    for (which, value) in short.into_iter().enumerate() {
        lane[2 * (which * LANES + at % LANES)..][..2].copy_from_slice(&value.to_le_bytes());
    }
}

fn most(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

/// How many steps make a value; 0 where there is no step.
fn steps(value: f64, step: f32) -> f64 {
    if step > 0.0 { (value / f64::from(step)).clamp(0.0, STEPS) } else { 0.0 }
}

/// The most steps that stand for `add` or less, as a scan computes it.
fn round_down(add: f64, scale: FactorScale) -> u16 {
    let mut short = steps(add - f64::from(scale.least), scale.add).floor() as u16;
    while short > 0 && f64::from(scale.least + scale.add * f32::from(short)) > add {
        short -= 1;
    }
    short
}

/// The fewest steps that stand for `err` or more.
fn round_up(err: f64, step: f32) -> u16 {
    let mut short = steps(err, step).ceil() as u16;
    while short < u16::MAX && f64::from(step * f32::from(short)) < err {
        short += 1;
    }
    short
}
