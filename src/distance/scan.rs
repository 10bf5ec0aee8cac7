//! The layout that table look-up scans share: blocks of one-bit codes, and the table a query scans them with.
//!
//! A code has one bit a dimension; four dimensions are a group, whose bits select one of 16 table entries. A block
//! holds the codes of [`LANES`] vectors interleaved, so that one byte shuffle looks up a group of every lane. A chunk
//! of 64 bytes holds 32 dimensions, 8 groups: byte `16 * p + lane` has group `2p` of the lane in its low half and
//! group `2p + 1` in its high half. The table has 128 bytes a chunk: 16 entries for each even group, then for each odd.

use wide::u8x64;

use super::{Kernels, LEVELS, kernels};

/// Vectors in a block.
pub(crate) const LANES: usize = 16;
/// Dimensions in a chunk of codes.
pub(crate) const CHUNK_DIMENSIONS: usize = 32;
/// Bytes of a chunk of codes.
pub(crate) const CHUNK_BYTES: usize = 64;
/// Chunks whose sums fit 16 bits: 256 groups of entries of at most 255 make 65,280.
pub(super) const WIDEN_CHUNKS: usize = 32;

/// The dimension of codes for vectors of `dimension`: the next multiple of 64.
pub(crate) fn pad(dimension: usize) -> usize {
    dimension.next_multiple_of(64)
}

/// Bytes of the codes of a block, of `code_bits` bits: the padded dimension, or 4 or 8 times that for half a byte or a byte a
/// dimension.
pub(crate) fn codes_bytes(code_bits: usize) -> usize {
    code_bits / CHUNK_DIMENSIONS * CHUNK_BYTES
}

/// Bytes of a block of codes: codes, then `add`, `mul`, `err` (float32) and the lanes' payloads (u32), [`LANES`] each.
pub(crate) fn block_bytes(code_bits: usize) -> usize {
    codes_bytes(code_bits) + 4 * 4 * LANES
}

/// Bytes of the short factors of a block: `add`, `mul` and `err` (u16), [`LANES`] each.
pub(crate) const SHORT_FACTORS_BYTES: usize = 3 * 2 * LANES;

/// A block of codes, borrowed from a segment's map or from the delta.
pub(crate) struct Block<'a> {
    codes: &'a [u8],
    factors: Factors<'a>,
}

/// What stands beside the codes.
enum Factors<'a> {
    Long { factors: &'a [f32; 3 * LANES], payloads: &'a [u32; LANES] },
    Short { factors: &'a [u16; 3 * LANES], scale: FactorScale, first: u32 },
}

/// What short factors stand for: `add` is `least` and so many steps, `mul` is negative.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct FactorScale {
    pub(crate) least: f32,
    pub(crate) add: f32,
    pub(crate) mul: f32,
    pub(crate) err: f32,
}

impl<'a> Block<'a> {
    /// Reads the bytes of a block; `None` if their length or alignment (4) is wrong.
    pub(crate) fn new(bytes: &'a [u8], code_bits: usize) -> Option<Block<'a>> {
        let (codes, rest) = bytes.split_at_checked(codes_bytes(code_bits))?;
        let (factors, payloads) = rest.split_at_checked(3 * 4 * LANES)?;
        let factors = Factors::Long {
            factors: bytemuck::try_cast_slice(factors).ok()?.try_into().ok()?,
            payloads: bytemuck::try_cast_slice(payloads).ok()?.try_into().ok()?,
        };
        Some(Block { codes, factors })
    }

    /// Joins codes and short factors, of lanes that stand for `first` and the numbers after it; `None` if their length
    /// or alignment (2) is wrong.
    pub(crate) fn short(codes: &'a [u8], factors: &'a [u8], scale: FactorScale, first: u32) -> Option<Block<'a>> {
        let factors = bytemuck::try_cast_slice(factors).ok()?.try_into().ok()?;
        Some(Block { codes, factors: Factors::Short { factors, scale, first } })
    }

    /// Whether factors are short.
    #[inline(always)]
    pub(crate) fn has_short_factors(&self) -> bool {
        matches!(self.factors, Factors::Short { .. })
    }

    /// The interleaved codes.
    pub(crate) fn codes(&self) -> &'a [u8] {
        self.codes
    }

    /// For each lane: what is added to the base, infinite for an empty lane where factors are long; the factor of the
    /// code's sum, never positive for codes of signs; and the scale of the estimate's error, never negative.
    #[inline(always)]
    pub(crate) fn factors(&self) -> [[f32; LANES]; 3] {
        match &self.factors {
            Factors::Long { factors, .. } => {
                [0, 1, 2].map(|which| std::array::from_fn(|lane| factors[which * LANES + lane]))
            }
            Factors::Short { factors, scale, .. } => {
                let factor = |which: usize, lane: usize| f32::from(factors[which * LANES + lane]);
                [
                    std::array::from_fn(|lane| scale.least + scale.add * factor(0, lane)),
                    std::array::from_fn(|lane| -scale.mul * factor(1, lane)),
                    std::array::from_fn(|lane| scale.err * factor(2, lane)),
                ]
            }
        }
    }

    /// What a lane stands for: a position, or the number of a run below.
    #[inline(always)]
    pub(crate) fn payload(&self, lane: usize) -> u32 {
        match &self.factors {
            Factors::Long { payloads, .. } => payloads[lane],
            Factors::Short { first, .. } => first.saturating_add(lane as u32),
        }
    }

    /// What each lane stands for.
    pub(crate) fn payloads(&self) -> [u32; LANES] {
        std::array::from_fn(|lane| self.payload(lane))
    }
}

/// Sets the code of a lane from the signs of a residual: a bit is 1 where the component is not negative. The
/// residual's length is the padded dimension.
pub(crate) fn set_code(codes: &mut [u8], lane: usize, residual: &[f32]) {
    assert!(lane < LANES && codes.len() == residual.len() / 8 * LANES, "a lane of a block of this dimension");
    for (at, components) in residual.as_chunks::<8>().0.iter().enumerate() {
        let bits = components.iter().enumerate().map(|(bit, component)| u8::from(*component >= 0.0) << bit);
        codes[at * LANES + lane] = bits.sum();
    }
}

/// Sets the code of a lane to packed bits, which fill the first bytes of the code; the others stay zero.
pub(crate) fn set_bits(codes: &mut [u8], lane: usize, packed: &[u8]) {
    assert!(lane < LANES && packed.len() <= codes.len() / LANES, "a lane of a block of this dimension");
    for (at, &byte) in packed.iter().enumerate() {
        codes[at * LANES + lane] = byte;
    }
}

/// The table of a query: for each group of four dimensions and each of its 16 codes the signed sum of the query's
/// components, quantised to 8 bits with one scale and one offset.
#[derive(Clone, Debug, Default)]
pub(crate) struct ScanTable {
    /// In cache lines, so that no load of a kernel crosses one.
    entries: Vec<u8x64>,
    scale: f32,
    offset: f32,
    rounding: f32,
}

impl ScanTable {
    /// A table of any entries, for tests.
    #[cfg(test)]
    pub(super) fn of_entries(entries: &[u8], scale: f32, offset: f32) -> ScanTable {
        ScanTable {
            entries: entries.as_chunks::<64>().0.iter().copied().map(u8x64::new).collect(),
            scale,
            offset,
            rounding: 0.0,
        }
    }

    /// Fills the table for a rotated query, whose length is the padded dimension.
    pub(crate) fn fill(&mut self, query: &[f32]) {
        self.fill_with(kernels(), query);
    }

    /// Fills the table with one set of kernels; all sets give the same table.
    pub(super) fn fill_with(&mut self, kernels: &Kernels, query: &[f32]) {
        self.entries.resize(query.len() / 16, u8x64::default());
        let quantised = kernels.fill(query, bytemuck::cast_slice_mut(&mut self.entries));
        self.scale = quantised.scale;
        self.offset = quantised.offset;
        self.rounding = self.scale * (query.len() as f32 / 4.0).sqrt();
    }

    /// Fills the table for packed bits, a byte for 8 dimensions, so that a sum is the number of bits in which a lane's
    /// code differs: exact, for an entry is at most 4.
    pub(crate) fn fill_bits(&mut self, packed: &[u8], padded: usize) {
        assert!(packed.len() <= padded / 8 && padded.is_multiple_of(64), "bits of this dimension");
        self.entries.clear();
        self.entries.resize(padded / 16, u8x64::default());
        (self.scale, self.offset, self.rounding) = (1.0, 0.0, 0.0);
        let entries: &mut [u8] = bytemuck::cast_slice_mut(&mut self.entries);
        let groups =
            (0..padded / 4).map(|group| packed.get(group / 2).map_or(0, |byte| byte >> (4 * (group % 2)) & 15));
        for (group, bits) in groups.enumerate() {
            let (chunk, at) = (group / 8, group % 8);
            let start = chunk * 2 * CHUNK_BYTES + at % 2 * CHUNK_BYTES + at / 2 * 16;
            for (code, entry) in (0u8..).zip(&mut entries[start..start + 16]) {
                *entry = (code ^ bits).count_ones() as u8;
            }
        }
    }

    /// Fills the table for codes that number 16 levels of each component: sums are the negated distance of the query from
    /// what a code stands for, by absolute differences, or less than it is negated.
    pub(crate) fn fill_levels(&mut self, query: &[f32], levels: &[[f32; LEVELS]], padded: usize) {
        self.fill_levels_with(kernels(), query, levels, padded);
    }

    /// Fills it with one set of kernels; all sets give the same table.
    pub(super) fn fill_levels_with(
        &mut self,
        kernels: &Kernels,
        query: &[f32],
        levels: &[[f32; LEVELS]],
        padded: usize,
    ) {
        assert!(query.len() <= padded && padded.is_multiple_of(64), "components of this dimension");
        self.entries.clear();
        self.entries.resize(padded / 4, u8x64::default());
        let quantised = kernels.fill_levels(query, levels, bytemuck::cast_slice_mut(&mut self.entries));
        (self.scale, self.offset, self.rounding) = (quantised.scale, quantised.offset, 0.0);
    }

    /// Fills the table for codes of half a byte a component of residuals, which stand for odd numbers from -15 to 15: sums are those of
    /// the components times these, and moved up as [`cover_rounding`](Self::cover_rounding) does, by `scale * sqrt(n)` for `n`
    /// entries that each deviate by `scale / sqrt(12)`.
    pub(crate) fn fill_steps(&mut self, query: &[f32]) {
        assert!(query.len().is_multiple_of(8), "whole chunks");
        self.entries.resize(query.len() / 4, u8x64::default());
        let largest = query.iter().fold(0f32, |largest, component| largest.max(component.abs()));
        let scale = (30.0 * largest / 255.0).max(f32::MIN_POSITIVE);
        let entries: &mut [u8] = bytemuck::cast_slice_mut(&mut self.entries);
        for (at, component) in query.iter().enumerate() {
            let start = at / 8 * 2 * CHUNK_BYTES + at % 2 * CHUNK_BYTES + at % 8 / 2 * 16;
            let (step, middle) = (2.0 * component / scale, 15.0 * component.abs() / scale);
            for (code, entry) in entries[start..start + 16].iter_mut().enumerate() {
                *entry = (step * (code as f32 - 7.5) + middle + 0.5) as u8;
            }
        }
        self.scale = scale;
        self.offset = -15.0 * query.iter().map(|component| component.abs()).sum::<f32>();
        self.rounding = 0.0;
        self.offset += scale * (query.len() as f32).sqrt();
    }

    /// The quantised entries, in the order of the codes.
    pub(crate) fn entries(&self) -> &[u8] {
        bytemuck::cast_slice(&self.entries)
    }

    /// The step of the quantisation, negative where sums are negated.
    pub(crate) fn scale(&self) -> f32 {
        self.scale
    }

    /// What is added to the scaled sum of entries.
    pub(crate) fn offset(&self) -> f32 {
        self.offset
    }

    /// Moves every sum up by more than the quantisation lowers it, so that bounds made from the table stay lower
    /// bounds: the factors of sums are never positive.
    ///
    /// An entry is off by at most half a step, spread evenly for the components of a rotated query: a deviation of
    /// `scale / sqrt(12)`. The sum of the `dimension / 4` groups then deviates by `scale * sqrt(dimension / 48)`, and
    /// this moves it by `sqrt(12)`, about 3.46, such deviations: fewer than one sum in 2,000 stays below the truth,
    /// and by a fraction of a deviation, which the slack of the estimate itself covers.
    pub(crate) fn cover_rounding(&mut self) {
        self.offset += self.rounding;
    }
}
