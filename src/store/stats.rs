//! What a store is made of.

use std::time::Duration;

use super::Inner;
use super::query::{DEFAULT_K, DEFAULT_RECALL};
use crate::error::Result;
use crate::fs;
use crate::search::{self, Reach};
use crate::snapshot::LiveSegment;
use crate::types::Metric;

/// What a store is made of. See [`Store::stats`](crate::Store::stats).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Stats {
    /// Live items.
    pub items: u64,
    /// Components of a vector; `None` before the first.
    pub dimension: Option<usize>,
    /// The metric.
    pub metric: Metric,
    /// Segments, in the order of their sequence numbers.
    pub segments: Vec<SegmentStats>,
    /// Items of the delta, those that died in it included.
    pub delta_items: u64,
    /// Items that only the rows answer for: not built yet, or of a damaged segment.
    pub unbuilt_items: u64,
    /// Dead items that segments or blocks still hold.
    pub tombstones: u64,
    /// Bytes of disk that the row file occupies.
    pub rows_bytes: u64,
    /// Bytes of disk that the segments occupy.
    pub segment_bytes: u64,
    /// Bytes of memory of the delta, the dead set and the row cache at its largest; maps are not counted.
    pub memory_bytes: u64,
    /// Age of the oldest [`Snapshot`](crate::Snapshot) that lives.
    pub oldest_snapshot: Option<Duration>,
    /// The effort that a search for ten neighbours spends unless told otherwise: see [`Query::effort`](crate::Query::effort).
    pub default_effort: u64,
    /// Why background maintenance failed when it last ran, if it did. It is tried again, after pauses of up to 30 s.
    pub maintenance_error: Option<String>,
    /// Why writes are refused since a failure, if they are: the next one tries to open the rows again.
    pub writes_stopped: Option<String>,
}

/// What a segment is made of.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SegmentStats {
    /// Items in it, dead ones included.
    pub items: u64,
    /// Those that are dead.
    pub dead: u64,
    /// Its leaves.
    pub leaves: u64,
    /// Groups of leaves.
    pub groups: u64,
    /// Length of its file in bytes.
    pub bytes: u64,
    /// The fields of the metadata that filters find without reading rows, and what each takes of those bytes.
    pub columns: Vec<ColumnStats>,
}

/// The column of a field in a segment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ColumnStats {
    /// The path of the field.
    pub field: String,
    /// Bytes of disk.
    pub bytes: u64,
}

impl Inner {
    pub(super) fn stats(&self) -> Result<Stats> {
        let view = self.shared.view()?;
        let (rows_path, writes_stopped) = {
            let mut writer = self.shared.writer();
            (writer.database()?.path().to_owned(), writer.stopped().map(str::to_owned))
        };
        let mut segments = Vec::new();
        let (mut unbuilt_items, mut segment_bytes) = (0, 0);
        for part in &view.parts {
            match part.intact_segment() {
                Some(segment) => {
                    segment_bytes += fs::allocated_bytes(segment.path())?;
                    segments.push(SegmentStats {
                        items: part.items,
                        dead: part.dead,
                        leaves: segment.leaves() as u64,
                        groups: segment.groups() as u64,
                        bytes: segment.length() as u64,
                        columns: columns(segment),
                    });
                }
                None => unbuilt_items += part.items.saturating_sub(part.dead),
            }
        }
        let default_effort = match search::reach_for(&view, DEFAULT_RECALL, DEFAULT_K) {
            Reach::Effort { effort, .. } => effort,
            Reach::EveryLeaf | Reach::Exact => view.len,
        };
        Ok(Stats {
            items: view.len,
            dimension: view.store.dimension,
            metric: view.store.metric,
            segments,
            delta_items: view.delta.len() as u64,
            unbuilt_items,
            tombstones: view.dead.len(),
            rows_bytes: fs::allocated_bytes(&rows_path)?,
            segment_bytes,
            memory_bytes: (view.delta.bytes() + view.dead.bytes() + self.options.cache_bytes) as u64,
            oldest_snapshot: self.registry.oldest(),
            default_effort,
            maintenance_error: self.maintainer.last_error(),
            writes_stopped,
        })
    }
}

/// The columns of a segment; none where their directory is damaged, which the next filter finds out.
fn columns(segment: &LiveSegment) -> Vec<ColumnStats> {
    let fields = segment.indexed_fields().unwrap_or_default();
    fields.into_iter().map(|(field, bytes)| ColumnStats { field, bytes: bytes as u64 }).collect()
}
