//! The kernels: plain arithmetic over slices, no allocation, no I/O, no knowledge of items or files.
//!
//! [`kernels`] picks the fastest set the processor has, once. The environment variable `UNDERSTORY_KERNEL` forces one
//! by name (`scalar`, `portable`, `ssse3`, `avx2`, `avx512`, `avx512vnni`) for tests and benchmarks; a set that the
//! processor lacks is never used, whatever the variable says.
//!
//! What sets agree on: [`Kernels::dot_i8`], [`Kernels::dots_i8`], [`Kernels::dots_codes`], [`Kernels::hamming`],
//! [`Kernels::scan_bytes`], the integer sums of [`Kernels::scan`] and everything in `lanewise` (the Hadamard transform, the
//! table of a query, rounding to bytes and quantising) are equal bit for bit. Sums of floats differ by rounding, because they
//! are added in another order: by at most the length times half an epsilon, relative to the sum of magnitudes.

mod byte_scan;
mod coded;
mod dispatch;
mod lanewise;
mod portable;
mod scalar;
mod scan;
#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(test)]
mod tests;

use byte_scan::BYTES;
pub(crate) use byte_scan::set_bytes;
pub(crate) use coded::{Coded, Halved};
#[cfg(test)]
pub(crate) use dispatch::available;
pub(crate) use dispatch::kernels;
pub(crate) use lanewise::LEVELS;
pub(crate) use scan::{
    Block, CHUNK_DIMENSIONS, FactorScale, LANES, SHORT_FACTORS_BYTES, ScanTable, block_bytes, codes_bytes, pad,
    set_bits, set_code,
};

type FillLevels = fn(&[f32], &[[f32; LEVELS]], &mut [u8]) -> lanewise::Quantised;

/// One set of kernels. Each function is safe to call because the set exists only where the processor has it.
pub(crate) struct Kernels {
    /// The name that `UNDERSTORY_KERNEL` takes.
    pub(crate) name: &'static str,
    dot: fn(&[f32], &[f32]) -> f32,
    squared_euclidean: fn(&[f32], &[f32]) -> f32,
    manhattan: fn(&[f32], &[f32]) -> f32,
    hamming: fn(&[u8], &[u8]) -> u32,
    dot_i8: fn(&[i8], &[i8]) -> i32,
    dots_i8: fn(&[i8], &[i8], &mut [i32]),
    dots_codes: fn(&Halved<'_>, &[&[u8]], &mut [i32]),
    squared_euclidean_coded: fn(&[f32], &Coded<'_>) -> f32,
    manhattan_coded: fn(&[f32], &Coded<'_>) -> f32,
    scan: fn(&Block<'_>, &ScanTable, Bound, &mut [f32; LANES]) -> u32,
    scan_bytes: fn(&Block<'_>, &[u8], Bound, &mut [f32; LANES]) -> u32,
    fill: fn(&[f32], &mut [u8]) -> lanewise::Quantised,
    quantise: fn(&[f32], &mut [u8]) -> (f32, f32),
    round_to_bytes: fn(&[f32], &[f32], &mut [i8]) -> f32,
    fill_levels: FillLevels,
    hadamard: fn(&mut [f32]),
    multiply: fn(&mut [f32], &[f32]),
    add_assign: fn(&mut [f32], &[f32]),
    approach: fn(&mut [f32], &[f32], f32),
    widen_halves: fn(&[u16], f32, &mut [f32]),
    widen_bytes: fn(&[u8], f32, f32, &mut [f32]),
}

/// What a scan compares with: lane `i` passes unless `base + add[i] + mul[i] * S - slack * err[i] > threshold`, where
/// `S` is the table's sum over the lane's code, or its absolute difference from the query's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound {
    pub(crate) base: f32,
    pub(crate) slack: f32,
    pub(crate) threshold: f32,
}

impl Kernels {
    /// The inner product of two vectors of one length.
    pub(crate) fn dot(&self, a: &[f32], b: &[f32]) -> f32 {
        assert_eq!(a.len(), b.len(), "vectors of one length");
        (self.dot)(a, b)
    }

    /// The squared euclidean distance of two vectors of one length.
    pub(crate) fn squared_euclidean(&self, a: &[f32], b: &[f32]) -> f32 {
        assert_eq!(a.len(), b.len(), "vectors of one length");
        (self.squared_euclidean)(a, b)
    }

    /// The sum of the absolute differences of two vectors of one length.
    pub(crate) fn manhattan(&self, a: &[f32], b: &[f32]) -> f32 {
        assert_eq!(a.len(), b.len(), "vectors of one length");
        (self.manhattan)(a, b)
    }

    /// The number of bits that differ between two packed vectors of one length.
    pub(crate) fn hamming(&self, a: &[u8], b: &[u8]) -> u32 {
        assert_eq!(a.len(), b.len(), "vectors of one length");
        (self.hamming)(a, b)
    }

    /// The exact inner product of two vectors of bytes, of at most 65,536 components (so that 32 bits hold it).
    pub(crate) fn dot_i8(&self, a: &[i8], b: &[i8]) -> i32 {
        assert_eq!(a.len(), b.len(), "vectors of one length");
        assert!(a.len() <= 65_536, "a sum that 32 bits hold");
        (self.dot_i8)(a, b)
    }

    /// The exact inner products of a vector of bytes, as of [`dot_i8`](Self::dot_i8), with rows that lie one after
    /// another.
    pub(crate) fn dots_i8(&self, vector: &[i8], rows: &[i8], products: &mut [i32]) {
        assert_eq!(vector.len() * products.len(), rows.len(), "rows of the vector's length, a product for each");
        assert!((1..=65_536).contains(&vector.len()), "a sum that 32 bits hold");
        (self.dots_i8)(vector, rows, products);
    }

    /// The sums of the products of a vector's words with the codes of each of several: exact if the magnitudes of the
    /// words sum up to less than 2^31 / 255, otherwise modulo 2^32.
    pub(crate) fn dots_codes(&self, vector: &Halved<'_>, rows: &[&[u8]], sums: &mut [i32]) {
        let length = vector.words.len();
        assert!(vector.high.len() == length && vector.low.len() == length, "two halves of each word");
        assert!(rows.iter().all(|row| row.len() == length), "vectors of one length");
        assert_eq!(rows.len(), sums.len(), "a sum for each");
        (self.dots_codes)(vector, rows, sums);
    }

    /// The squared euclidean distance of a vector from one that is kept as codes. Like the sum below it is off by at
    /// most the length and eight, times half an epsilon, relative to the sum of its terms' magnitudes; a difference of
    /// theirs is off by two epsilons of the magnitudes it is made of.
    pub(crate) fn squared_euclidean_coded(&self, vector: &[f32], coded: &Coded<'_>) -> f32 {
        assert_eq!(vector.len(), coded.codes.len(), "vectors of one length");
        (self.squared_euclidean_coded)(vector, coded)
    }

    /// The sum of the absolute differences of a vector from one that is kept as codes.
    pub(crate) fn manhattan_coded(&self, vector: &[f32], coded: &Coded<'_>) -> f32 {
        assert_eq!(vector.len(), coded.codes.len(), "vectors of one length");
        (self.manhattan_coded)(vector, coded)
    }

    /// Scans a block of [`LANES`] codes: writes each lane's lower bound and returns the mask of the lanes that pass.
    /// A lane passes unless its bound is known to be above the threshold, so NaN passes, and so does an empty lane as
    /// long as the threshold is infinite.
    ///
    /// Bounds differ between sets by rounding: by less than 4 epsilons of the sum of the magnitudes of their terms.
    pub(crate) fn scan(&self, block: &Block<'_>, table: &ScanTable, bound: Bound, lower: &mut [f32; LANES]) -> u32 {
        assert_eq!(block.codes().len() * 2, table.entries().len(), "a block and a table of one dimension");
        (self.scan)(block, table, bound, lower)
    }

    /// Scans a block of [`LANES`] codes of a byte a dimension, as [`scan`](Self::scan) does those of a bit: the sum is
    /// that of the absolute differences from the query's code. All sets give the same bounds.
    pub(crate) fn scan_bytes(&self, block: &Block<'_>, query: &[u8], bound: Bound, lower: &mut [f32; LANES]) -> u32 {
        assert_eq!(block.codes().len(), query.len() * LANES, "a block and a query of one dimension");
        assert!(query.len().is_multiple_of(BYTES), "whole pieces");
        (self.scan_bytes)(block, query, bound, lower)
    }

    /// Writes which of 256 even steps from the lowest value to the highest is nearest to each; returns the lowest value
    /// and the step, which are of no use where values or their span are not finite.
    pub(crate) fn quantise(&self, values: &[f32], codes: &mut [u8]) -> (f32, f32) {
        assert_eq!(values.len(), codes.len(), "a code for each value");
        (self.quantise)(values, codes)
    }

    /// Writes each value less its origin in steps of a 127th of the largest magnitude, rounded, and returns the step.
    /// Where that is nothing, or not finite, codes and step are 0.
    pub(crate) fn round_to_bytes(&self, values: &[f32], origin: &[f32], codes: &mut [i8]) -> f32 {
        assert_eq!(values.len(), origin.len(), "vectors of one length");
        assert_eq!(values.len(), codes.len(), "a code for each value");
        (self.round_to_bytes)(values, origin, codes)
    }

    /// Applies the Hadamard transform in place, divided by the root of the length, so that it keeps norms and is its
    /// own inverse. The length is a power of two.
    pub(crate) fn hadamard(&self, values: &mut [f32]) {
        assert!(values.len().is_power_of_two(), "a length that is a power of two");
        (self.hadamard)(values);
    }

    /// Multiplies each value by its factor, such as a sign.
    pub(crate) fn multiply(&self, values: &mut [f32], factors: &[f32]) {
        assert_eq!(values.len(), factors.len(), "vectors of one length");
        (self.multiply)(values, factors);
    }

    /// Adds a vector to a sum of vectors.
    pub(crate) fn add_assign(&self, sum: &mut [f32], vector: &[f32]) {
        assert_eq!(sum.len(), vector.len(), "vectors of one length");
        (self.add_assign)(sum, vector);
    }

    /// Moves each component of a mean by a share of what the vector's is away.
    pub(crate) fn approach(&self, mean: &mut [f32], vector: &[f32], share: f32) {
        assert_eq!(mean.len(), vector.len(), "vectors of one length");
        (self.approach)(mean, vector, share);
    }

    /// Float16 (by their bits) times a scale, as float32.
    pub(crate) fn widen_halves(&self, halves: &[u16], scale: f32, out: &mut [f32]) {
        assert_eq!(halves.len(), out.len(), "vectors of one length");
        (self.widen_halves)(halves, scale, out);
    }

    /// Steps above a least value, as float32.
    pub(crate) fn widen_bytes(&self, bytes: &[u8], least: f32, step: f32, out: &mut [f32]) {
        assert_eq!(bytes.len(), out.len(), "vectors of one length");
        (self.widen_bytes)(bytes, least, step, out);
    }

    /// Quantises a rotated query into the entries of its table: 4 bytes a component.
    fn fill(&self, query: &[f32], entries: &mut [u8]) -> lanewise::Quantised {
        assert_eq!(query.len() % CHUNK_DIMENSIONS, 0, "whole chunks");
        assert_eq!(query.len() * 4, entries.len(), "16 entries for each group of four components");
        (self.fill)(query, entries)
    }

    /// Quantises a query's distances from the levels of each component into the entries of a table: 16 bytes a component.
    fn fill_levels(&self, query: &[f32], levels: &[[f32; LEVELS]], entries: &mut [u8]) -> lanewise::Quantised {
        assert_eq!(query.len(), levels.len(), "levels of each component");
        assert!(query.len() * LEVELS <= entries.len(), "16 entries for each component");
        (self.fill_levels)(query, levels, entries)
    }
}

/// Asks for the cache lines of a slice that is read soon, at most the first 8 KiB: beyond that the hardware's own
/// prefetching has caught up, and more requests than it can hold in flight only wait.
pub(crate) fn prefetch(bytes: &[u8]) {
    const MOST: usize = 8192;
    let bytes = &bytes[..bytes.len().min(MOST)];
    #[cfg(target_arch = "x86_64")]
    x86_64::prefetch(bytes);
    #[cfg(not(target_arch = "x86_64"))]
    let _ = bytes;
}
