//! The kinds of code, and how large runs of each are.

use crate::distance::{LANES, SHORT_FACTORS_BYTES, block_bytes, codes_bytes};
use crate::types::Metric;

/// Vectors of no more components are coded in half bytes, where a segment has one tree. Signs take a quarter of the bytes: at
/// 128 components they are as fast at recall .95, faster at .99, and built for two thirds of the time.
const MOST_COMPONENTS: usize = 64;

/// Bytes of a run before its centroid.
pub(super) const RUN_HEADER_BYTES: usize = 64;

/// Runs are as long as a multiple of this, so that each begins with a cache line.
const RUN_ALIGNMENT: usize = 64;

/// What a code is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum CodeKind {
    /// The signs of a residual in the rotated space.
    #[default]
    Signs,
    /// The same, with short factors and without payloads, for what is numbered in a row.
    ShortSigns,
    /// A byte a component, as a [`Quantiser`](super::Quantiser) rounds it.
    Bytes,
    /// The components themselves, which are bits.
    Bits,
    /// Half a byte a component, as [`Levels`](super::Levels) round it, with short factors and without payloads.
    HalfBytes,
    /// Half a byte a component of a residual in the narrow space of so many, with short factors and without payloads.
    Narrow(u8),
}

impl CodeKind {
    /// How the items of a segment of so many trees are coded: those of one tree are numbered as its leaves have them.
    pub(crate) fn of_segment(metric: Metric, dimension: usize, trees: usize) -> CodeKind {
        match CodeKind::of_items(metric) {
            CodeKind::Signs if trees == 1 && dimension <= MOST_COMPONENTS => CodeKind::narrow(dimension),
            CodeKind::Signs if trees == 1 => CodeKind::ShortSigns,
            CodeKind::Bytes if trees == 1 => CodeKind::HalfBytes,
            kind => kind,
        }
    }

    /// The kind of a segment's items that a byte on disk stands for, if it is one for the metric and so many trees.
    pub(crate) fn from_tag(tag: u8, metric: Metric, dimension: usize, trees: usize) -> Option<CodeKind> {
        let usual = CodeKind::of_items(metric);
        // What one tree had before, or has where vectors are longer.
        let numbered = CodeKind::of_segment(metric, usize::MAX, trees);
        let kinds = [usual, numbered, CodeKind::of_segment(metric, dimension, trees)];
        kinds.into_iter().find(|kind| kind.tag() == tag)
    }

    fn narrow(dimension: usize) -> CodeKind {
        CodeKind::Narrow(narrow_components(dimension) as u8)
    }

    /// How the items of a store are coded, in the delta.
    pub(crate) fn of_items(metric: Metric) -> CodeKind {
        match metric {
            Metric::Cosine | Metric::Euclidean | Metric::Dot => CodeKind::Signs,
            Metric::Manhattan => CodeKind::Bytes,
            Metric::Hamming => CodeKind::Bits,
        }
    }

    /// The byte that stands for the kind on disk.
    pub(crate) fn tag(self) -> u8 {
        match self {
            CodeKind::Signs => 1,
            CodeKind::Bytes => 2,
            CodeKind::Bits => 3,
            CodeKind::ShortSigns => 4,
            CodeKind::HalfBytes => 5,
            CodeKind::Narrow(_) => 6,
        }
    }

    /// Whether factors are short, and payloads the numbers after the first.
    pub(super) fn is_short(self) -> bool {
        matches!(self, CodeKind::ShortSigns | CodeKind::HalfBytes | CodeKind::Narrow(_))
    }

    /// Bits of a code of vectors of a padded dimension.
    pub(crate) fn bits(self, padded: usize) -> usize {
        match self {
            CodeKind::Signs | CodeKind::ShortSigns | CodeKind::Bits => padded,
            CodeKind::HalfBytes => 4 * padded,
            CodeKind::Narrow(components) => 4 * usize::from(components),
            CodeKind::Bytes => 8 * padded,
        }
    }

    /// The bytes of a run of `entries` entries; `None` if no file could hold it.
    pub(crate) fn run_bytes(self, padded: usize, entries: usize) -> Option<usize> {
        let code_bits = self.bits(padded);
        let block =
            if self.is_short() { codes_bytes(code_bits) + SHORT_FACTORS_BYTES } else { block_bytes(code_bits) };
        let blocks = entries.div_ceil(LANES).checked_mul(block)?;
        // Without short factors this is a multiple already.
        blocks.checked_add(RUN_HEADER_BYTES)?.checked_add(padded)?.checked_next_multiple_of(RUN_ALIGNMENT)
    }
}

/// The components of the narrow space of a dimension: as few as fill chunks of a scan.
pub(super) fn narrow_components(dimension: usize) -> usize {
    dimension.next_multiple_of(8)
}
