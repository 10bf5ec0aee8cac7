//! One consistent view of a store, and the single place where a new one becomes current.
//!
//! A [`View`] pairs a version of the rows with the segments, the delta and the dead set that belong to it. Readers take
//! the current view and keep it; nothing they do waits for a writer. Only [`Shared`] replaces it.

mod delta;
mod live;
mod manifest;
mod names;
mod recent;
mod shared;
pub(crate) mod sweep;

use std::path::PathBuf;
use std::sync::Arc;

pub(crate) use delta::{Delta, DeltaItem};
pub(crate) use live::LiveSegment;
pub(crate) use manifest::{ManifestRow, State};
pub(crate) use names::{generation, next_row_file, row_file, segment_path, segments_dir};
pub(crate) use shared::{Draft, Reload, Shared, Writer};

use crate::code::Frame;
use crate::error::{Error, Result};
use crate::items::{Counters, DeadSet, Effort, ReadRows, RowRef, StoreRow};
use crate::types::SequenceRange;

/// A range of sequence numbers that the manifest names, and what answers for it.
#[derive(Clone)]
pub(crate) struct Part {
    /// The key of the manifest row.
    pub(crate) id: u64,
    pub(crate) range: SequenceRange,
    /// Items when the part was made; some may have died since.
    pub(crate) items: u64,
    /// Those of its items that died since.
    pub(crate) dead: u64,
    pub(crate) source: Source,
}

/// What answers for a part.
#[derive(Clone)]
pub(crate) enum Source {
    /// Its segment.
    Segment(Arc<LiveSegment>),
    /// The rows themselves, read one by one: no segment was built yet, or it was set aside as damaged.
    Rows {
        /// The file that was set aside when the store was opened.
        damaged: Option<PathBuf>,
    },
}

/// One consistent view of a store.
#[derive(Clone)]
pub(crate) struct View {
    /// The rows as of this view.
    pub(crate) rows: Arc<ReadRows>,
    pub(crate) store: StoreRow,
    pub(crate) counters: Counters,
    /// `None` until the dimension is known, that is, while the store never held an item.
    pub(crate) frame: Option<Arc<Frame>>,
    /// In the order of their ranges, which do not overlap.
    pub(crate) parts: Vec<Part>,
    /// The live items that no part's range contains, and dead ones.
    pub(crate) delta: Delta,
    pub(crate) dead: DeadSet,
    /// How far searches must scan, as it was last measured.
    pub(crate) effort: Effort,
    /// Live items.
    pub(crate) len: u64,
    /// How often the rows were opened anew after a failure.
    pub(crate) reloads: u64,
}

impl View {
    /// The components of a row, which must be as many as the store's dimension.
    pub(crate) fn read_vector(&self, row: &RowRef<'_>, out: &mut Vec<f32>) -> Result<()> {
        row.vector_into(out);
        match self.store.dimension {
            Some(dimension) if dimension == out.len() => Ok(()),
            expected => Err(Error::corrupt(
                self.rows.path(),
                format!("row {}", row.sequence),
                format!("dimension {}", expected.unwrap_or(0)),
                format!("dimension {}", out.len()),
            )),
        }
    }

    /// What answers for each part: the segments that can be searched, and the ranges that only the rows answer for.
    /// Decided once for a query, since a segment may be set aside at any time.
    pub(crate) fn sources(&self) -> (Vec<&Arc<LiveSegment>>, Vec<SequenceRange>) {
        let (mut segments, mut ranges) = (Vec::new(), Vec::new());
        for part in &self.parts {
            match part.intact_segment() {
                Some(segment) => segments.push(segment),
                None => ranges.push(part.range),
            }
        }
        (segments, ranges)
    }
}

impl Part {
    /// The segment, unless there is none or it was set aside.
    pub(crate) fn intact_segment(&self) -> Option<&Arc<LiveSegment>> {
        match &self.source {
            Source::Segment(segment) if !segment.is_set_aside() => Some(segment),
            _ => None,
        }
    }

    /// Whether a segment was set aside, now or when the store was opened.
    pub(crate) fn is_damaged(&self) -> bool {
        match &self.source {
            Source::Segment(segment) => segment.is_set_aside(),
            Source::Rows { damaged } => damaged.is_some(),
        }
    }
}
