//! The kernels: plain arithmetic over slices, no allocation, no I/O, no knowledge of items or files.
//!
//! [`kernels`] picks the fastest set the processor has, once. `UNDERSTORY_KERNEL` forces one by name (`scalar`,
//! `portable`, `avx2`, `avx512`) for tests and benchmarks.

mod scalar;
mod scan;

pub(crate) use scan::{Block, CHUNK_BYTES, CHUNK_DIMENSIONS, LANES, ScanTable, block_bytes, pad, set_code};

/// One set of kernels. Each function is safe to call because the set exists only where the processor has it.
pub(crate) struct Kernels {
    /// The name that `UNDERSTORY_KERNEL` takes.
    pub(crate) name: &'static str,
    dot: fn(&[f32], &[f32]) -> f32,
    squared_euclidean: fn(&[f32], &[f32]) -> f32,
    dot_i8: fn(&[i8], &[i8]) -> i32,
    scan: fn(&Block<'_>, &ScanTable, Bound, &mut [f32; LANES]) -> u32,
}

/// What a scan compares with: lane `i` passes unless `base + add[i] + mul[i] * S - slack * err[i] > threshold`, where
/// `S` is the table's sum over the lane's code.
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

    /// The exact inner product of two vectors of bytes.
    pub(crate) fn dot_i8(&self, a: &[i8], b: &[i8]) -> i32 {
        assert_eq!(a.len(), b.len(), "vectors of one length");
        (self.dot_i8)(a, b)
    }

    /// Scans a block of [`LANES`] codes: writes each lane's lower bound and returns the mask of the lanes that pass.
    /// A lane passes unless its bound is known to be above the threshold, so NaN passes.
    pub(crate) fn scan(
        &self,
        block: &Block<'_>,
        table: &ScanTable,
        bound: Bound,
        lower: &mut [f32; LANES],
    ) -> u32 {
        assert_eq!(block.codes().len() * 2, table.entries().len(), "a block and a table of one dimension");
        (self.scan)(block, table, bound, lower)
    }
}

/// The kernels of this processor.
pub(crate) fn kernels() -> &'static Kernels {
    &scalar::KERNELS
}
