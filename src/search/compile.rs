//! Compiles a filter to a bitmap of a segment's positions: by the segment's columns, and by the rows where a field has
//! none.
//!
//! A filter is true, false or unknown for an item. For each node only one bitmap is made, of the items for which it is
//! what the nodes above ask for.

use std::collections::{BTreeSet, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;

use super::guarded;
use super::selection::row_matches;
use crate::bitmap::Bitmap;
use crate::error::Result;
use crate::filter::{Node, Test};
use crate::segment::Field;
use crate::snapshot::{LiveSegment, View};
use crate::types::{Id, SequenceRange};

/// Rows that lie at most so far apart are read in one pass.
const GAP: u64 = 64;

/// Where fewer than one item in so many is asked for, its sequence number is read from its record.
const FEW_ONE_IN: u64 = 32;

/// A filter, and what is the same for all segments.
pub(super) struct Compiler<'a> {
    view: &'a View,
    filter: &'a Node,
    /// The live sequence numbers of each set of ids, ascending.
    named: HashMap<*const BTreeSet<Id>, Vec<u64>>,
}

/// Positions for which a node is what was asked for.
struct Compiled {
    positions: Bitmap,
    /// Otherwise the rows must be asked which of them are.
    exact: bool,
}

impl<'a> Compiler<'a> {
    pub(super) fn new(view: &'a View, filter: &'a Node) -> Result<Compiler<'a>> {
        let mut compiler = Compiler { view, filter, named: HashMap::new() };
        compiler.resolve(filter)?;
        Ok(compiler)
    }

    /// Looks up the ids of all sets.
    fn resolve(&mut self, node: &Node) -> Result<()> {
        match node {
            Node::And(nodes) | Node::Or(nodes) => nodes.iter().try_for_each(|node| self.resolve(node)),
            Node::Not(node) => self.resolve(node),
            Node::Field { .. } => Ok(()),
            Node::Ids(ids) => {
                let mut sequences = Vec::new();
                for id in ids {
                    sequences.extend(self.view.rows.sequence_of(id)?);
                }
                sequences.sort_unstable();
                self.named.insert(ids, sequences);
                Ok(())
            }
        }
    }

    /// The positions of a segment's live items that match.
    pub(super) fn positions(&self, segment: &LiveSegment) -> Result<Bitmap> {
        let (compiled, exact) = match segment.selected().get(|filter| filter == self.filter) {
            Some(positions) => (positions, true),
            None => {
                let Compiled { positions, exact } = guarded(segment, |_| self.truth(segment, self.filter, true))?;
                let positions = Arc::new(positions);
                // Which items have an id is another matter in another view.
                if exact && self.named.is_empty() {
                    segment.selected().put(self.filter.clone(), positions.clone());
                }
                (positions, exact)
            }
        };
        let mut positions = Bitmap::clone(&compiled);
        positions.subtract(&*guarded(segment, |segment| segment.dead_positions(&self.view.dead))?);
        if exact { Ok(positions) } else { self.ask_rows(segment, &positions) }
    }

    /// The positions for which a node is true, or those for which it is false.
    fn truth(&self, segment: &LiveSegment, node: &Node, wanted: bool) -> Result<Compiled> {
        match node {
            Node::And(nodes) => self.join(segment, nodes, wanted, wanted),
            Node::Or(nodes) => self.join(segment, nodes, wanted, !wanted),
            Node::Not(node) => self.truth(segment, node, !wanted),
            Node::Ids(ids) => {
                let named = self.named.get(&std::ptr::from_ref(ids)).map_or(&[][..], Vec::as_slice);
                let range = segment.range();
                let inside = named.iter().copied().filter(|&sequence| range.contains(sequence));
                let positions = segment.positions_of(inside)?;
                Ok(Compiled { positions: if wanted { positions } else { complement(&positions) }, exact: true })
            }
            Node::Field { path, test } => field(segment, path, test, wanted),
        }
    }

    /// The positions for which all of the nodes are what is wanted, or any of them.
    fn join(&self, segment: &LiveSegment, nodes: &[Node], wanted: bool, all: bool) -> Result<Compiled> {
        let items = segment.items();
        let positions = if all { Bitmap::full(items) } else { Bitmap::new(items) };
        let mut joined = Compiled { positions, exact: true };
        for node in nodes {
            let next = self.truth(segment, node, wanted)?;
            joined.exact &= next.exact;
            if all {
                joined.positions.intersect(&next.positions);
            } else {
                joined.positions.unite(&next.positions);
            }
        }
        Ok(joined)
    }

    /// Those of some positions whose rows match.
    fn ask_rows(&self, segment: &LiveSegment, candidates: &Bitmap) -> Result<Bitmap> {
        let sequences = guarded(segment, |segment| {
            if candidates.count() * FEW_ONE_IN > segment.items() as u64 {
                return segment.sequences_at(candidates);
            }
            let sequence = |position| segment.record(position).map(|record| record.sequence);
            let mut sequences = candidates.iter().map(sequence).collect::<Result<Vec<u64>>>()?;
            sequences.sort_unstable();
            Ok(sequences)
        })?;
        let rows = &self.view.rows;
        let mut matching = Vec::new();
        for near in runs(&sequences) {
            rows.scan(near.range, &mut |row| {
                if near.sequences.binary_search(&row.sequence).is_ok() && row_matches(rows.path(), self.filter, &row)?
                {
                    matching.push(row.sequence);
                }
                Ok(ControlFlow::Continue(()))
            })?;
        }
        guarded(segment, |segment| segment.positions_of(matching.into_iter()))
    }
}

/// The positions for which a test is true, or those for which it is false; of those that may be, where the segment
/// cannot tell.
fn field(segment: &LiveSegment, path: &str, test: &Test, wanted: bool) -> Result<Compiled> {
    let items = segment.items();
    let exactly = |positions| Ok(Compiled { positions, exact: true });
    let is_null = *test == Test::IsNull;
    match segment.field(path)? {
        Field::Unindexed => Ok(Compiled { positions: Bitmap::full(items), exact: false }),
        Field::Nowhere if is_null && wanted => exactly(Bitmap::full(items)),
        Field::Nowhere => exactly(Bitmap::new(items)),
        Field::Column(column) if is_null => {
            let present = column.present();
            exactly(if wanted { complement(&present) } else { present })
        }
        Field::Column(column) => {
            let satisfied = column.select(test).map_err(|fault| segment.in_field(path, fault))?;
            if wanted {
                return exactly(satisfied);
            }
            let mut unsatisfied = column.present();
            unsatisfied.subtract(&satisfied);
            exactly(unsatisfied)
        }
    }
}

fn complement(positions: &Bitmap) -> Bitmap {
    let mut rest = Bitmap::full(positions.len());
    rest.subtract(positions);
    rest
}

/// Sequence numbers near each other, and the range from the first to the last.
pub(super) struct Run<'s> {
    pub(super) sequences: &'s [u64],
    pub(super) range: SequenceRange,
}

/// Cuts ascending sequence numbers where they lie far apart.
pub(super) fn runs(sequences: &[u64]) -> impl Iterator<Item = Run<'_>> {
    sequences.chunk_by(|a, b| b - a <= GAP).filter_map(|sequences| {
        let (&first, &last) = sequences.first().zip(sequences.last())?;
        Some(Run { sequences, range: SequenceRange { start: first, end: last + 1 } })
    })
}
