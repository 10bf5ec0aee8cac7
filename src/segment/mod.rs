//! Segments: immutable files, each a forest over the items of a range of sequence numbers.
//!
//! [`build`] turns rows into a durable file; [`Segment`] reads one. Neither knows the row database. A file is never
//! changed once written; bytes that are not what was written give an error that names the place, never a panic.

mod centroids;
mod check;
mod columns;
mod element;
mod fields;
mod floats;
mod forest;
mod format;
#[cfg(any(test, fuzzing))]
pub(crate) mod hostile;
mod layout;
mod open;
mod order;
mod progress;
mod reader;
mod refine;
mod rows;
pub(crate) mod salvage;
mod split;
#[cfg(test)]
mod tests;
mod writer;

use std::path::Path;

pub(crate) use columns::{Column, Field};
pub(crate) use floats::{FloatsWriter, Placement};
pub(crate) use format::SEGMENT_VERSION;
pub(crate) use progress::Report;
pub(crate) use reader::{Expected, Segment};
pub(crate) use rows::SegmentRows;
pub(crate) use writer::Written;

use crate::code::Frame;
use crate::error::{Error, Result};
use crate::options::SegmentOptions;
use crate::types::SequenceRange;

/// What a segment is called and how it is built.
#[derive(Clone, Debug)]
pub(crate) struct SegmentSpec {
    pub(crate) uuid: [u8; 16],
    pub(crate) id: u64,
    pub(crate) nonce: u64,
    pub(crate) range: SequenceRange,
    pub(crate) options: SegmentOptions,
    pub(crate) seed: u64,
}

/// Builds a segment and writes it under `path`, which must not exist: when this returns, its bytes are durable (its
/// name is the caller's to publish). After an error nothing is left there.
///
/// Runs on the current rayon pool. The bytes depend on rows, frame and spec alone, not on the number of threads.
/// `report` is called now and then with the fraction done and returns whether to go on. Besides the rows there is
/// one placed vector (padded, float32) an item, in memory or, where the options bound it, in a temporary file beside
/// `path`; and up to a fifth of that for leaves and codes. The placed vectors are gone before the file is written.
pub(crate) fn build(
    frame: &Frame,
    rows: &SegmentRows,
    spec: &SegmentSpec,
    path: &Path,
    report: Report<'_>,
) -> Result<Written> {
    rows.check(frame.dimension(), spec.range)?;
    let progress = progress::Progress::new(report);
    let placement = Placement::of(rows.len() as u64, frame, spec.options.memory);
    let spilled = path.with_extension("placed.tmp");
    let image = layout::lay_out(frame, rows, spec, placement.spills_placed.then_some(&*spilled), &progress)?;
    writer::write(frame, rows, spec, &image, path, &progress).inspect_err(|_| {
        // The name is temporary: what cannot be removed now is removed when the store is opened.
        let _ = crate::fs::remove(path);
    })
}

fn refused(cause: impl Into<String>) -> Error {
    Error::Maintenance { cause: cause.into() }
}
