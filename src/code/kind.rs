//! The kinds of code, and how large runs of each are.

use crate::distance::{LANES, block_bytes};
use crate::types::Metric;

/// Bytes of a run before its centroid.
pub(super) const RUN_HEADER_BYTES: usize = 64;

/// What a code is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum CodeKind {
    /// The signs of a residual in the rotated space.
    #[default]
    Signs,
    /// A byte a component, as a [`Quantiser`](super::Quantiser) rounds it.
    Bytes,
    /// The components themselves, which are bits.
    Bits,
}

impl CodeKind {
    /// How the items of a store are coded.
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
        }
    }

    /// Bits of a code of vectors of a padded dimension.
    pub(crate) fn bits(self, padded: usize) -> usize {
        match self {
            CodeKind::Signs | CodeKind::Bits => padded,
            CodeKind::Bytes => 8 * padded,
        }
    }

    /// The bytes of a run of `entries` entries; `None` if no file could hold it.
    pub(crate) fn run_bytes(self, padded: usize, entries: usize) -> Option<usize> {
        let blocks = entries.div_ceil(LANES).checked_mul(block_bytes(self.bits(padded)))?;
        blocks.checked_add(RUN_HEADER_BYTES)?.checked_add(padded)
    }
}
