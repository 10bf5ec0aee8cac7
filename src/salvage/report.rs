//! What a salvage found.

use crate::types::Metric;

/// What a salvage found, in items unless it says otherwise. See [`salvage`](crate::salvage()).
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct SalvageReport {
    /// Written into the new store.
    pub items: u64,
    /// Of these, as the row database has them: nothing is wrong with them.
    pub from_rows: u64,
    /// Found among the bytes of the row file, checksum and all, where the row database no longer finds them.
    pub from_pages: u64,
    /// Found in segments alone, which hold id and vector.
    pub from_segments: u64,
    /// Of these, those from segments of [rounded vectors](crate::SegmentVectors): what was given is lost.
    pub rounded: u64,
    /// Of the items written, those whose metadata is lost: all that come from segments alone, and those whose metadata
    /// cannot be read.
    pub without_metadata: u64,
    /// Of the items written, those that may have been deleted or replaced since, because what would tell is damaged.
    pub uncertain: u64,
    /// Of the items written, those whose newest version is lost, so that an older one stands for it.
    pub older: u64,
    /// Of which the store still knows the id, and nothing else is left.
    pub lost: u64,
    /// Vectors in segments whose id is lost. They are not written.
    pub nameless: u64,
    /// Not written because the metric or the dimension refuses them.
    pub refused: u64,
    /// The metric of the new store.
    pub metric: Metric,
    /// Whether that is known to be the metric of the damaged store. If not, it is euclidean distance.
    pub metric_is_known: bool,
    /// What is wrong with the damaged store.
    pub problems: Vec<String>,
}
