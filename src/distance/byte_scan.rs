//! The layout of blocks of codes of a byte a dimension, and what their scans share.
//!
//! A piece has 8 dimensions of every lane: byte `8 * lane + at` of its 128 is dimension `at` of the lane. So one sum of
//! absolute differences of 8 bytes, which x86-64 has as an instruction, is a lane's, and sums need no reduction.

use super::Bound;
use super::scan::{Block, LANES};

/// Dimensions of a piece.
pub(super) const BYTES: usize = 8;
/// Bytes of a piece.
pub(super) const PIECE_BYTES: usize = BYTES * LANES;

/// Sets the code of a lane; the code's length is the padded dimension.
pub(crate) fn set_bytes(codes: &mut [u8], lane: usize, code: &[u8]) {
    assert!(lane < LANES && codes.len() == code.len() * LANES, "a lane of a block of this dimension");
    for (piece, code) in codes.as_chunks_mut::<PIECE_BYTES>().0.iter_mut().zip(code.as_chunks::<BYTES>().0) {
        piece[lane * BYTES..(lane + 1) * BYTES].copy_from_slice(code);
    }
}

/// The pieces of a block's codes, each with that of the query's.
#[inline(always)]
pub(super) fn pieces<'a>(
    block: &Block<'a>,
    query: &'a [u8],
) -> impl ExactSizeIterator<Item = (&'a [u8; PIECE_BYTES], &'a [u8; BYTES])> {
    block.codes().as_chunks::<PIECE_BYTES>().0.iter().zip(query.as_chunks::<BYTES>().0)
}

/// Bounds from sums, lane by lane, and the mask of those that pass. Each set compiles it for its own instructions; the
/// operations and their order are the same.
#[inline(always)]
pub(super) fn bounds(block: &Block<'_>, sums: &[i32; LANES], bound: Bound, lower: &mut [f32; LANES]) -> u32 {
    let [add, mul, err] = block.factors();
    *lower = std::array::from_fn(|lane| {
        let product = mul[lane] * sums[lane] as f32;
        (bound.base + add[lane]) + product - bound.slack * err[lane]
    });
    let above = lower.map(|lower| u32::from(lower > bound.threshold));
    let above = (0..LANES).fold(0, |mask, lane| mask | above[lane] << lane);
    !above & 0xffff
}
