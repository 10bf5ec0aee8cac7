//! Runs: a quantised centroid and the codes of what lies near it.
//!
//! Residuals are taken from the quantised centroid, so that nothing is lost by storing it in bytes. A run read from
//! disk is bounds-checked by [`Run::parse`]; its checksum is the caller's to ask for.

use super::kind::{CodeKind, RUN_HEADER_BYTES};
use crate::bytes::{Malformed, Reader, checksum};
use crate::code::NO_ENTRY;
use crate::distance::{Block, FactorScale, LANES, SHORT_FACTORS_BYTES, block_bytes, codes_bytes, set_code};
use crate::types::Metric;

/// Where the checksum of a run is; it covers everything else.
const CHECKSUM_AT: usize = 60;

/// What the lanes of a run stand for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Role {
    /// Items: the error of a lane is that of its estimate.
    Items,
    /// Leaves; for dot, the error of a lane is how far the leaf's items may spread.
    Leaves {
        /// The largest norm of a residual in the leaf's run.
        radius: f32,
    },
}

/// A centroid as it is stored, in bytes, and the values the bytes stand for.
#[derive(Clone, Debug)]
pub(crate) struct Centroid {
    step: f32,
    codes: Vec<i8>,
    values: Vec<f32>,
    squared_norm: f32,
}

impl Centroid {
    /// The nearest centroid that can be stored.
    pub(crate) fn quantise(mean: &[f32]) -> Centroid {
        let largest = mean.iter().fold(0f32, |largest, component| largest.max(component.abs()));
        let step = largest / 127.0;
        if !(step > 0.0 && step.is_finite()) {
            return Centroid::zero(mean.len());
        }
        let codes: Vec<i8> =
            mean.iter().map(|component| (component / step).round().clamp(-127.0, 127.0) as i8).collect();
        let values: Vec<f32> = codes.iter().map(|&code| f32::from(code) * step).collect();
        let squared_norm = crate::vector::squared_norm(&values) as f32;
        Centroid { step, codes, values, squared_norm }
    }

    /// The origin.
    pub(crate) fn zero(padded: usize) -> Centroid {
        Centroid { step: 0.0, codes: vec![0; padded], values: vec![0.0; padded], squared_norm: 0.0 }
    }

    /// What the stored bytes stand for.
    pub(crate) fn values(&self) -> &[f32] {
        &self.values
    }

    pub(super) fn step(&self) -> f32 {
        self.step
    }

    pub(super) fn codes(&self) -> &[i8] {
        &self.codes
    }

    pub(crate) fn squared_norm(&self) -> f32 {
        self.squared_norm
    }
}

/// A block without entries, of codes of so many bits.
pub(crate) fn empty_block(code_bits: usize) -> Vec<u8> {
    let mut block = vec![0; block_bytes(code_bits)];
    let factors = block.len() - 4 * 4 * LANES;
    for lane in 0..LANES {
        put(&mut block, factors, lane, f32::INFINITY.to_le_bytes());
        put(&mut block, factors + 3 * 4 * LANES, lane, NO_ENTRY.to_le_bytes());
    }
    block
}

/// Sets what stands beside the code of a lane: `add`, `mul` and `err`, and its payload.
pub(super) fn set_factors(block: &mut [u8], lane: usize, factors: [f32; 3], payload: u32) {
    let factors_at = block.len() - 4 * 4 * LANES;
    for (at, factor) in factors.into_iter().enumerate() {
        put(block, factors_at + at * 4 * LANES, lane, factor.to_le_bytes());
    }
    put(block, factors_at + 3 * 4 * LANES, lane, payload.to_le_bytes());
}

/// The bytes of a block's codes.
pub(super) fn codes_mut(block: &mut [u8]) -> &mut [u8] {
    let codes = block.len() - 4 * 4 * LANES;
    &mut block[..codes]
}

/// A run of `count` entries; `encode` sets the lane of the next and returns the norm of its residual.
/// Returns the largest of them as well.
pub(super) fn assemble(
    kind: CodeKind,
    number: u32,
    centroid: &Centroid,
    count: usize,
    mut encode: impl FnMut(&mut [u8], usize) -> f32,
) -> (Vec<u8>, f32) {
    let padded = centroid.values.len();
    let mut run = Vec::with_capacity(kind.run_bytes(padded, count).unwrap_or(0));
    run.resize(RUN_HEADER_BYTES, 0);
    run.extend(centroid.codes.iter().map(|code| code.to_le_bytes()[0]));
    let empty = empty_block(kind.bits(padded));
    let mut radius = 0f32;
    for at in 0..count {
        if at % LANES == 0 {
            run.extend_from_slice(&empty);
        }
        let block = run.len() - empty.len();
        radius = radius.max(encode(&mut run[block..], at % LANES));
    }
    let header = RunHeader {
        step: centroid.step,
        squared_norm: centroid.squared_norm,
        entries: count as u32,
        blocks: count.div_ceil(LANES) as u32,
        radius,
        number,
        first: 0,
        scale: FactorScale::default(),
        error_share: 0.0,
    };
    header.write(&mut run);
    (run, radius)
}

fn put(block: &mut [u8], array: usize, lane: usize, bytes: [u8; 4]) {
    let at = array + 4 * lane;
    block[at..at + 4].copy_from_slice(&bytes);
}

/// Codes placed vectors as signs into the lanes of blocks; holds the room for one residual.
#[derive(Debug)]
pub(crate) struct Encoder {
    metric: Metric,
    residual: Vec<f32>,
}

impl Encoder {
    pub(crate) fn new(metric: Metric, padded: usize) -> Encoder {
        Encoder { metric, residual: vec![0.0; padded] }
    }

    /// Sets a lane, which must be empty, of a block made by [`empty_block`]; returns the norm of the residual.
    pub(crate) fn encode_lane(
        &mut self,
        role: Role,
        block: &mut [u8],
        lane: usize,
        centroid: &[f32],
        vector: &[f32],
        payload: u32,
    ) -> f32 {
        let sums = subtract(vector, centroid, &mut self.residual);
        set_code(codes_mut(block), lane, &self.residual);
        set_factors(block, lane, factors(self.metric, role, &sums, vector.len()), payload);
        sums.squared.sqrt() as f32
    }

    /// A whole run; `entries` gives each entry's role, vector and payload, in the order of lanes.
    pub(crate) fn encode_run<'v>(
        &mut self,
        number: u32,
        centroid: &Centroid,
        mut entries: impl ExactSizeIterator<Item = (Role, &'v [f32], u32)>,
    ) -> (Vec<u8>, f32) {
        let count = entries.len();
        assemble(CodeKind::Signs, number, centroid, count, |block, lane| {
            let Some((role, vector, payload)) = entries.next() else { unreachable!("an entry for each lane") };
            self.encode_lane(role, block, lane, &centroid.values, vector, payload)
        })
    }
}

/// What the factors of a lane are made of, in float64 so that no square overflows.
pub(super) struct ResidualSums {
    pub(super) squared: f64,
    pub(super) magnitudes: f64,
    /// The inner product of the residual's signs and the centroid.
    pub(super) signed_centroid: f64,
}

/// Writes the residual and sums it up. Sixteen sums side by side, so that the loop vectorises; their order is fixed.
pub(super) fn subtract(vector: &[f32], centroid: &[f32], residual: &mut [f32]) -> ResidualSums {
    const WIDTH: usize = 16;
    let (mut squared, mut magnitudes, mut signed) = ([0f32; WIDTH], [0f32; WIDTH], [0f32; WIDTH]);
    let chunks = vector.chunks_exact(WIDTH).zip(centroid.chunks_exact(WIDTH));
    for ((vector, centroid), residual) in chunks.zip(residual.chunks_exact_mut(WIDTH)) {
        for lane in 0..WIDTH {
            let difference = vector[lane] - centroid[lane];
            residual[lane] = difference;
            squared[lane] += difference * difference;
            magnitudes[lane] += difference.abs();
            signed[lane] += if difference >= 0.0 { centroid[lane] } else { -centroid[lane] };
        }
    }
    let total = |sums: [f32; WIDTH]| sums.iter().map(|&sum| f64::from(sum)).sum::<f64>();
    ResidualSums { squared: total(squared), magnitudes: total(magnitudes), signed_centroid: total(signed) }
}

/// `add`, `mul` and `err` of a lane.
fn factors(metric: Metric, role: Role, sums: &ResidualSums, padded: usize) -> [f32; 3] {
    let p = padded as f64;
    let k = if sums.magnitudes > 0.0 { sums.squared / sums.magnitudes } else { 0.0 };
    let error = ((k * k * p - sums.squared).max(0.0) / (p - 1.0)).sqrt();
    let factors = match (metric, role) {
        (Metric::Euclidean | Metric::Cosine | Metric::Manhattan | Metric::Hamming, _) => {
            [sums.squared + 2.0 * k * sums.signed_centroid, -2.0 * k, 2.0 * error]
        }
        (Metric::Dot, Role::Items) => [0.0, -k, error],
        (Metric::Dot, Role::Leaves { radius }) => [0.0, -k, 2.0 * f64::from(radius) / p.sqrt()],
    };
    let factors = factors.map(|factor| factor as f32);
    let too_short = metric == Metric::Dot && is_too_short(sums.squared, sums.magnitudes);
    if factors.iter().all(|factor| factor.is_finite()) && !too_short {
        factors
    } else {
        // The residual is too long or too short for float32: the lane always passes, and its distance is computed.
        [f32::MIN, 0.0, 0.0]
    }
}

/// Whether the squares of a residual have lost their digits, though its product with its code, and perhaps with a query, has
/// not. Where distances are made of squares they are as good as zero.
pub(super) fn is_too_short(squared: f64, product: f64) -> bool {
    product > 0.0 && squared < f64::from(f32::MIN_POSITIVE) / f64::from(f32::EPSILON)
}

/// The fixed fields of a run.
#[derive(Clone, Copy, Debug)]
pub(super) struct RunHeader {
    pub(super) step: f32,
    pub(super) squared_norm: f32,
    pub(super) entries: u32,
    pub(super) blocks: u32,
    pub(super) radius: f32,
    pub(super) number: u32,
    /// With short factors: the position of the first entry, and what the factors stand for.
    pub(super) first: u32,
    pub(super) scale: FactorScale,
    /// Of half bytes: the share of its error by which an item is nearer than its code, of items near each other; 0 where it
    /// was not measured.
    pub(super) error_share: f32,
}

impl RunHeader {
    /// Writes the fields and the checksum into a run that is complete but for them.
    pub(super) fn write(&self, run: &mut [u8]) {
        let fields = [
            self.step.to_le_bytes(),
            self.squared_norm.to_le_bytes(),
            self.entries.to_le_bytes(),
            self.blocks.to_le_bytes(),
            self.radius.to_le_bytes(),
            self.number.to_le_bytes(),
            self.first.to_le_bytes(),
            self.scale.least.to_le_bytes(),
            self.scale.add.to_le_bytes(),
            self.scale.mul.to_le_bytes(),
            self.scale.err.to_le_bytes(),
            self.error_share.to_le_bytes(),
        ];
        run[..48].copy_from_slice(fields.as_flattened());
        let sum = checksum(&[&run[..CHECKSUM_AT], &run[RUN_HEADER_BYTES..]]);
        run[CHECKSUM_AT..RUN_HEADER_BYTES].copy_from_slice(&sum.to_le_bytes());
    }

    fn read(bytes: &[u8]) -> Result<RunHeader, Malformed> {
        let mut reader = Reader::new(bytes);
        Ok(RunHeader {
            step: reader.f32()?,
            squared_norm: reader.f32()?,
            entries: reader.u32()?,
            blocks: reader.u32()?,
            radius: reader.f32()?,
            number: reader.u32()?,
            first: reader.u32()?,
            scale: FactorScale { least: reader.f32()?, add: reader.f32()?, mul: reader.f32()?, err: reader.f32()? },
            error_share: reader.f32()?,
        })
    }
}

/// A run, borrowed from a segment's map or from the delta.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run<'a> {
    header: RunHeader,
    bytes: &'a [u8],
    centroid: &'a [i8],
    blocks: &'a [u8],
    kind: CodeKind,
}

impl<'a> Run<'a> {
    /// Reads the bytes of a run: its length must be what its entries need. The checksum is not looked at.
    pub(crate) fn parse(bytes: &'a [u8], kind: CodeKind, padded: usize) -> Result<Run<'a>, Malformed> {
        let header = RunHeader::read(bytes)?;
        let expected = kind.run_bytes(padded, header.entries as usize);
        if expected != Some(bytes.len()) || header.blocks as usize != (header.entries as usize).div_ceil(LANES) {
            return Err(Malformed {
                expected: format!("the {} bytes of its run", bytes.len()),
                found: format!("{} entries in {} blocks", header.entries, header.blocks),
            });
        }
        let mut reader = Reader::new(bytes);
        reader.take(RUN_HEADER_BYTES)?;
        let centroid = bytemuck::cast_slice(reader.take(padded)?);
        let blocks = reader.take(reader.remaining())?;
        if bytemuck::try_cast_slice::<u8, f32>(blocks).is_err() {
            return Err(Malformed { expected: "a run at a multiple of 4".into(), found: "another address".into() });
        }
        Ok(Run { header, bytes, centroid, blocks, kind })
    }

    /// Whether the run is what was written.
    pub(crate) fn is_intact(&self) -> bool {
        let (Some(head), Some(stored), Some(body)) = (
            self.bytes.get(..CHECKSUM_AT),
            self.bytes.get(CHECKSUM_AT..RUN_HEADER_BYTES),
            self.bytes.get(RUN_HEADER_BYTES..),
        ) else {
            return false;
        };
        checksum(&[head, body]).to_le_bytes() == stored
    }

    /// The centroid, in units of [`step`](Run::step).
    pub(crate) fn centroid(&self) -> &'a [i8] {
        self.centroid
    }

    pub(crate) fn step(&self) -> f32 {
        self.header.step
    }

    /// The squared norm of the centroid.
    pub(crate) fn squared_norm(&self) -> f32 {
        self.header.squared_norm
    }

    pub(crate) fn entries(&self) -> u32 {
        self.header.entries
    }

    /// Of a group under dot: how far items of its leaves may spread from its centroid, in the measure of the leaves' errors. As
    /// far as in the widest leaf, and from centroid to centroid.
    pub(crate) fn spread(&self) -> f32 {
        let of_block = |block: Block<'_>| {
            let [add, _, err] = block.factors();
            // What is too long for float32 has the least `add` there is, others none.
            std::iter::zip(err, add).map(|(err, add)| err - add).fold(0.0, f32::max)
        };
        let widest = self.blocks().map(of_block).fold(0.0, f32::max);
        widest + 2.0 * self.header.radius / (self.centroid.len() as f32).sqrt()
    }

    /// The largest norm of a residual.
    #[cfg(test)]
    pub(crate) fn radius(&self) -> f32 {
        self.header.radius
    }

    /// The share of its error by which an item may be nearer than its half bytes, but for few: 1 where it was not measured.
    pub(super) fn error_share(&self) -> f32 {
        let share = self.header.error_share;
        if share > 0.0 && share < 1.0 { share } else { 1.0 }
    }

    /// The run's number in its section.
    pub(crate) fn number(&self) -> u32 {
        self.header.number
    }

    pub(crate) fn blocks(&self) -> impl Iterator<Item = Block<'a>> + use<'a> {
        let (header, bytes, kind) = (self.header, self.blocks, self.kind);
        let code_bits = kind.bits(self.centroid.len());
        let codes = codes_bytes(code_bits);
        let all_codes = header.blocks as usize * codes;
        (0..header.blocks as usize).filter_map(move |at| {
            if !kind.is_short() {
                let length = block_bytes(code_bits);
                return Block::new(bytes.get(at * length..(at + 1) * length)?, code_bits);
            }
            let factors = bytes.get(all_codes + at * SHORT_FACTORS_BYTES..)?.get(..SHORT_FACTORS_BYTES)?;
            let first = header.first.saturating_add((at * LANES) as u32);
            Block::short(bytes.get(at * codes..(at + 1) * codes)?, factors, header.scale, first)
        })
    }

    /// The lanes of a block that have an entry. An empty lane can pass a scan whose threshold is infinite.
    pub(crate) fn lanes(&self, block: usize) -> u32 {
        let used = (self.header.entries as usize).saturating_sub(block.saturating_mul(LANES)).min(LANES);
        (1u32 << used) - 1
    }

    /// The payloads of the entries, in the order of lanes.
    pub(crate) fn payloads(&self) -> impl Iterator<Item = u32> + use<'a> {
        let entries = self.header.entries as usize;
        self.blocks().flat_map(|block| block.payloads()).take(entries)
    }
}
