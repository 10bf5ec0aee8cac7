//! Which live items match a filter: positions of segments, places of the delta, sequence numbers of unbuilt ranges.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use super::compile::Compiler;
use super::guarded;
use crate::bitmap::Bitmap;
use crate::error::{Error, Result};
use crate::filter::{Node, Test};
use crate::items::RowRef;
use crate::metadata::codec;
use crate::snapshot::{DeltaItem, LiveSegment, View};
use crate::types::{Id, SequenceRange};

/// The matches of a filter among the live items of a view, without those of the delta.
pub(super) struct Selection {
    /// Positions, for each segment of the view's sources.
    pub(super) segments: Vec<Bitmap>,
    /// Sequence numbers, ascending, for each range that only the rows answer for.
    pub(super) rows: Vec<Vec<u64>>,
}

impl Selection {
    /// Compiles a filter for what answers a query.
    pub(super) fn compile(
        view: &View,
        filter: &Node,
        segments: &[&Arc<LiveSegment>],
        ranges: &[SequenceRange],
    ) -> Result<Selection> {
        let compiler = Compiler::new(view, filter)?;
        Ok(Selection {
            segments: segments.iter().map(|segment| compiler.positions(segment)).collect::<Result<_>>()?,
            rows: ranges.iter().map(|&range| in_rows(view, filter, range)).collect::<Result<_>>()?,
        })
    }

    pub(super) fn matches(&self) -> u64 {
        let in_segments: u64 = self.segments.iter().map(Bitmap::count).sum();
        in_segments + self.rows.iter().map(|sequences| sequences.len() as u64).sum::<u64>()
    }
}

/// What a filter selects, and whether a segment was found damaged and set aside on the way.
pub(crate) struct Matches {
    /// The sequence numbers of all live items that match, ascending.
    pub(crate) sequences: Vec<u64>,
    pub(crate) set_aside: bool,
}

/// The live items of a view that match a filter.
pub(crate) fn matches(view: &View, filter: &Node) -> Result<Matches> {
    let (mut sequences, set_aside) = over_sources(view, |segments, ranges| {
        let selection = Selection::compile(view, filter, segments, ranges)?;
        let mut sequences = selection.rows.concat();
        for (segment, positions) in segments.iter().zip(&selection.segments) {
            sequences.extend(guarded(segment, |segment| segment.sequences_at(positions))?);
        }
        Ok(sequences)
    })?;
    for item in view.delta.items().filter(|item| !view.dead.contains(item.sequence)) {
        if item_matches(view, filter, item)? {
            sequences.push(item.sequence);
        }
    }
    sequences.sort_unstable();
    Ok(Matches { sequences, set_aside })
}

/// How many live items of a view match a filter, and whether a segment was set aside on the way.
pub(crate) fn count_matches(view: &View, filter: &Node) -> Result<(u64, bool)> {
    let (count, set_aside) =
        over_sources(view, |segments, ranges| Ok(Selection::compile(view, filter, segments, ranges)?.matches()))?;
    Ok((count + matches_in_delta(view, filter)?, set_aside))
}

/// The fields of a filter in which no live item has a value.
pub(crate) fn unknown_fields(view: &View, filter: &Node) -> Result<Vec<String>> {
    let mut paths = BTreeSet::new();
    collect_paths(filter, &mut paths);
    let mut unknown = Vec::new();
    for path in paths {
        let null = Node::Field { path: path.to_owned(), test: Test::IsNull };
        if count_matches(view, &Node::Not(Box::new(null)))?.0 == 0 {
            unknown.push(path.to_owned());
        }
    }
    Ok(unknown)
}

fn collect_paths<'n>(node: &'n Node, paths: &mut BTreeSet<&'n str>) {
    match node {
        Node::And(nodes) | Node::Or(nodes) => nodes.iter().for_each(|node| collect_paths(node, paths)),
        Node::Not(node) => collect_paths(node, paths),
        Node::Field { path, .. } => drop(paths.insert(path)),
        Node::Ids(_) => {}
    }
}

/// Asks what answers for the parts, and once more where a segment is found damaged.
pub(super) fn over_sources<T>(
    view: &View,
    ask: impl Fn(&[&Arc<LiveSegment>], &[SequenceRange]) -> Result<T>,
) -> Result<(T, bool)> {
    let mut set_aside = false;
    loop {
        let (segments, ranges) = view.sources();
        match ask(&segments, &ranges) {
            Ok(answer) => return Ok((answer, set_aside)),
            // Once more without the segment that was just found damaged: its items are read from the rows.
            Err(error) if error.is_corruption() && view.sources().0.len() < segments.len() => set_aside = true,
            Err(error) => return Err(error),
        }
    }
}

/// Live items of the delta that match.
fn matches_in_delta(view: &View, filter: &Node) -> Result<u64> {
    let mut count = 0;
    for item in view.delta.items().filter(|item| !view.dead.contains(item.sequence)) {
        count += u64::from(item_matches(view, filter, item)?);
    }
    Ok(count)
}

/// Whether an item of the delta matches.
pub(super) fn item_matches(view: &View, filter: &Node, item: &DeltaItem) -> Result<bool> {
    let metadata = item.metadata().map_err(|fault| {
        Error::corrupt(view.rows.path(), format!("row {}", item.sequence), fault.expected, fault.found)
    })?;
    Ok(filter.matches(&item.id, metadata) == Some(true))
}

/// Whether a row matches.
pub(super) fn row_matches(path: &Path, filter: &Node, row: &RowRef<'_>) -> Result<bool> {
    let corrupt = |expected: String, found| Error::corrupt(path, format!("row {}", row.sequence), expected, found);
    let metadata = codec::decode(row.metadata).map_err(|fault| corrupt(fault.expected, fault.found))?;
    let id = Id::decode(row.id).ok_or_else(|| corrupt("an id".into(), format!("{:?}", row.id)))?;
    Ok(filter.matches(&id, &metadata) == Some(true))
}

/// The live rows of a range that match.
fn in_rows(view: &View, filter: &Node, range: SequenceRange) -> Result<Vec<u64>> {
    let mut sequences = Vec::new();
    view.rows.scan(range, &mut |row| {
        if !view.dead.contains(row.sequence) && row_matches(view.rows.path(), filter, &row)? {
            sequences.push(row.sequence);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(sequences)
}
