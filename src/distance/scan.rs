//! The layout that table look-up scans share: blocks of one-bit codes, and the table a query scans them with.
//!
//! A code has one bit a dimension; four dimensions are a group, whose bits select one of 16 table entries. A block
//! holds the codes of [`LANES`] vectors interleaved, so that one byte shuffle looks up a group of every lane. A chunk
//! of 64 bytes holds 32 dimensions, 8 groups: byte `16 * p + lane` has group `2p` of the lane in its low half and
//! group `2p + 1` in its high half. The table has 128 bytes a chunk: 16 entries for each even group, then for each odd.

/// Vectors in a block.
pub(crate) const LANES: usize = 16;
/// Dimensions in a chunk of codes.
pub(crate) const CHUNK_DIMENSIONS: usize = 32;
/// Bytes of a chunk of codes.
pub(crate) const CHUNK_BYTES: usize = 64;

/// The dimension of codes for vectors of `dimension`: the next multiple of 64.
pub(crate) fn pad(dimension: usize) -> usize {
    dimension.next_multiple_of(64)
}

/// Bytes of a block of codes of `padded` dimensions: codes, then `add`, `mul`, `err` (float32) and the lanes'
/// payloads (u32), [`LANES`] each.
pub(crate) fn block_bytes(padded: usize) -> usize {
    padded / CHUNK_DIMENSIONS * CHUNK_BYTES + 4 * 4 * LANES
}

/// A block of codes, borrowed from a segment's map or from the delta.
pub(crate) struct Block<'a> {
    codes: &'a [u8],
    factors: &'a [f32],
    payloads: &'a [u32],
}

impl<'a> Block<'a> {
    /// Reads the bytes of a block; `None` if their length or alignment (4) is wrong.
    pub(crate) fn new(bytes: &'a [u8], padded: usize) -> Option<Block<'a>> {
        if bytes.len() != block_bytes(padded) {
            return None;
        }
        let (codes, rest) = bytes.split_at(padded / CHUNK_DIMENSIONS * CHUNK_BYTES);
        let (factors, payloads) = rest.split_at(3 * 4 * LANES);
        Some(Block {
            codes,
            factors: bytemuck::try_cast_slice(factors).ok()?,
            payloads: bytemuck::try_cast_slice(payloads).ok()?,
        })
    }

    /// The interleaved codes.
    pub(crate) fn codes(&self) -> &'a [u8] {
        self.codes
    }

    /// What is added to the base, a lane; infinite for an empty lane.
    pub(crate) fn add(&self) -> &'a [f32] {
        &self.factors[..LANES]
    }

    /// The factor of the code's sum, a lane; never positive.
    pub(crate) fn mul(&self) -> &'a [f32] {
        &self.factors[LANES..2 * LANES]
    }

    /// The scale of the estimate's error, a lane; never negative.
    pub(crate) fn err(&self) -> &'a [f32] {
        &self.factors[2 * LANES..]
    }

    /// What each lane stands for: a position, or the number of a run below.
    pub(crate) fn payloads(&self) -> &'a [u32] {
        self.payloads
    }
}

/// Sets the code of a lane from the signs of a residual (a bit is 1 where the component is not negative) in the
/// zeroed codes of a block. The residual's length is the padded dimension.
pub(crate) fn set_code(codes: &mut [u8], lane: usize, residual: &[f32]) {
    for (at, component) in residual.iter().enumerate() {
        if *component >= 0.0 {
            let (chunk, group) = (at / CHUNK_DIMENSIONS, at % CHUNK_DIMENSIONS / 4);
            let bit = 1u8 << (at % 4 + group % 2 * 4);
            codes[chunk * CHUNK_BYTES + group / 2 * LANES + lane] |= bit;
        }
    }
}

/// The table of a query: for each group of four dimensions and each of its 16 codes the signed sum of the query's
/// components, quantised to 8 bits with one scale and one offset.
#[derive(Clone, Debug, Default)]
pub(crate) struct ScanTable {
    entries: Vec<u8>,
    scale: f32,
    offset: f32,
    rounding: f32,
}

impl ScanTable {
    /// Fills the table for a rotated query, whose length is the padded dimension.
    pub(crate) fn fill(&mut self, query: &[f32]) {
        let groups = || query.chunks_exact(4);
        let spread = |group: &[f32]| group.iter().map(|component| component.abs()).sum::<f32>();
        let widest = groups().map(spread).fold(0.0, f32::max);
        self.scale = (2.0 * widest / 255.0).max(f32::MIN_POSITIVE);
        self.offset = -groups().map(spread).sum::<f32>();
        self.rounding = self.scale * (query.len() as f32 / 4.0).sqrt();
        self.entries.clear();
        self.entries.resize(query.len() / CHUNK_DIMENSIONS * 128, 0);
        for (at, group) in groups().enumerate() {
            let (chunk, group_in_chunk) = (at / 8, at % 8);
            let start = chunk * 128 + group_in_chunk % 2 * 64 + group_in_chunk / 2 * 16;
            for (code, entry) in self.entries[start..start + 16].iter_mut().enumerate() {
                let signed = |bit: usize| if code >> bit & 1 == 1 { group[bit] } else { -group[bit] };
                let sum = (0..4).map(signed).sum::<f32>() + spread(group);
                *entry = (sum / self.scale).round().clamp(0.0, 255.0) as u8;
            }
        }
    }

    /// The quantised entries, in the order of the codes.
    pub(crate) fn entries(&self) -> &[u8] {
        &self.entries
    }

    /// The step of the quantisation.
    pub(crate) fn scale(&self) -> f32 {
        self.scale
    }

    /// What is added to the scaled sum of entries.
    pub(crate) fn offset(&self) -> f32 {
        self.offset
    }

    /// Moves every sum up by more than the quantisation can have lowered it (three deviations), so that bounds made
    /// from the table stay lower bounds: the factors of sums are never positive.
    pub(crate) fn cover_rounding(&mut self) {
        self.offset += self.rounding;
    }
}
