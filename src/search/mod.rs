//! One query over everything a view holds: segments, delta, and ranges that only the rows answer for.
//!
//! The leaves of all segments are ranked in one list, so the effort goes to the best leaves wherever they are. Codes
//! decide which items are looked at exactly; only exact distances decide the answer.

mod agreement;
mod batch;
mod calibrate;
mod compile;
mod directory;
mod exact;
mod leaves;
mod rounded;
mod selected;
mod selection;
mod spent;
mod top;
mod values;

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::Arc;

pub(crate) use agreement::verify_columns;
pub(crate) use batch::order;
pub(crate) use calibrate::{calibrate, reach_for};
use directory::Directory;
use leaves::Passing;
use rounded::exact_sources;
pub(crate) use rounded::{has_rounded, measure_again};
use selection::{Selection, item_matches, over_sources};
pub(crate) use selection::{count_matches, matches, unknown_fields};
pub(crate) use top::Place;
use top::{Candidate, Ids, Top};
pub(crate) use values::values;

use crate::code::{LOSES_NONE, QueryCode};
use crate::distance::{Kernels, kernels, prefetch};
use crate::error::{Error, Result};
use crate::filter::Node;
use crate::snapshot::{LiveSegment, View};
use crate::types::{Id, SequenceRange};

/// How much of the segments a query scans. The delta and unbuilt ranges are always searched whole.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Reach {
    /// Leaves until so much effort is [`spent`] and so many items are scanned, and more only while there are fewer than k
    /// candidates.
    Effort { effort: u64, items: u64 },
    /// Every leaf, by its codes.
    EveryLeaf,
    /// Every vector; no codes.
    Exact,
}

/// How many times its standard error the estimate of an item may be off before a search loses it. More costs exact
/// distances: 1.9 loses one neighbour in a thousand or two. Where every leaf is scanned, 5 takes a third more of them than 3,
/// which are few beside the codes; with 3 a few items were lost whose distance was the largest asked for, with 5 none.
const ERROR_BOUND: f32 = 1.9;
const ERROR_BOUND_OF_EVERY_LEAF: f32 = LOSES_NONE;

/// What a query asks for. The vector is valid for the view's frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    pub(crate) vector: &'a [f32],
    pub(crate) k: usize,
    pub(crate) reach: Reach,
    pub(crate) max_distance: f32,
    /// Only what matches is found; `None` for everything.
    pub(crate) filter: Option<&'a Node>,
    /// Of equal distances those found first count, and not those of the smallest ids.
    pub(crate) first_found: bool,
}

/// An item that a search found.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) id: Id,
    pub(crate) sequence: u64,
    pub(crate) distance: f32,
    /// The effort spent when it was found in a segment.
    pub(crate) found_at: Option<u32>,
}

/// The answer of a search.
pub(crate) struct Answer {
    pub(crate) found: Vec<Found>,
    /// A segment was found damaged and set aside; the answer is complete nevertheless.
    pub(crate) set_aside: bool,
    pub(crate) examined: Examined,
}

/// How the segments were searched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Leaves by their codes, best first.
    #[default]
    LeavesScanned,
    /// The exact distance of each item that could be an answer.
    MatchesMeasured,
}

/// What a search looked at.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Examined {
    /// Items of segments whose codes were compared, selected ones where there is a filter.
    pub(crate) scanned: u64,
    /// Exact distances.
    pub(crate) measured: u64,
    pub(crate) plan: Plan,
}

/// The k nearest items of a view, nearest first, ties by id; fewer only if fewer are live or near enough.
pub(crate) fn search(view: &View, request: &Request<'_>) -> Result<Answer> {
    let ((found, examined), set_aside) = over_sources(view, |segments, ranges| {
        if request.reach == Reach::Exact {
            let (segments, ranges) = exact_sources(segments, ranges);
            return Search::new(view, &segments, &ranges, request).run();
        }
        Search::new(view, segments, ranges, request).run()
    })?;
    Ok(Answer { found, set_aside, examined })
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// What a thread keeps from query to query for its allocations.
#[derive(Default)]
struct Scratch {
    query: QueryCode,
    directory: Directory,
    /// What the scan of the current leaf let pass, and that of the one before.
    passing: Vec<Passing>,
    pending: Vec<Passing>,
}

/// A query under way.
struct Search<'a> {
    view: &'a View,
    segments: &'a [&'a Arc<LiveSegment>],
    ranges: &'a [SequenceRange],
    request: &'a Request<'a>,
    kernels: &'static Kernels,
    top: Top,
    /// Items that were read from the rows and are or were among the k nearest: stored id, sequence number.
    rows: RefCell<Vec<(Vec<u8>, u64)>>,
    /// Items of segments scanned so far.
    scanned: u64,
    /// The effort spent so far.
    spent: u64,
    examined: Examined,
    /// Positions looked at, where items are in several trees.
    seen: HashSet<(u32, u32)>,
}

impl<'a> Search<'a> {
    fn new(
        view: &'a View,
        segments: &'a [&'a Arc<LiveSegment>],
        ranges: &'a [SequenceRange],
        request: &'a Request<'a>,
    ) -> Search<'a> {
        Search {
            view,
            segments,
            ranges,
            request,
            kernels: kernels(),
            top: Top::new(request.k, request.max_distance),
            rows: RefCell::default(),
            scanned: 0,
            spent: 0,
            examined: Examined::default(),
            seen: HashSet::new(),
        }
    }

    fn run(mut self) -> Result<(Vec<Found>, Examined)> {
        let Some(frame) = self.view.frame.as_deref().filter(|_| self.request.k > 0) else {
            return Ok((Vec::new(), self.examined));
        };
        let selection = match self.request.filter {
            Some(filter) => Some(Selection::compile(self.view, filter, self.segments, self.ranges)?),
            None => None,
        };
        let mut scratch = SCRATCH.take();
        let error_bound = if self.budget() == u64::MAX { ERROR_BOUND_OF_EVERY_LEAF } else { ERROR_BOUND };
        scratch.query.prepare(frame, self.request.vector, error_bound);
        self.segments.iter().for_each(|segment| scratch.query.add_segment(frame, segment.kind_of_items()));
        self.segments.iter().filter_map(|segment| segment.quantiser()).for_each(|quantiser| {
            scratch.query.add_quantiser(quantiser);
        });
        let outcome = match (self.request.filter, selection) {
            (Some(filter), Some(selection)) => self.search_selection(&mut scratch, filter, selection),
            _ => self.visit(&mut scratch),
        };
        SCRATCH.set(scratch);
        outcome?;
        let examined = Examined { scanned: self.scanned, ..self.examined };
        Ok((self.finish()?, examined))
    }

    fn visit(&mut self, scratch: &mut Scratch) -> Result<()> {
        if self.request.reach == Reach::Exact {
            self.examined.plan = Plan::MatchesMeasured;
            self.read_delta(&scratch.query)?;
            self.read_segments(&scratch.query)?;
        } else {
            // The delta comes second: what the best leaves have shown is near lets its codes rule out most of it.
            self.scan_leaves(scratch)?;
            self.scan_delta(&scratch.query)?;
        }
        self.read_rows(&scratch.query, None)
    }

    /// The effort to spend; `u64::MAX` to scan all leaves.
    fn budget(&self) -> u64 {
        let all: u64 = self.segments.iter().map(|segment| segment.items() as u64).sum();
        match self.request.reach {
            Reach::Effort { effort, items } if items < all && !spent::takes_all(effort, all) => effort,
            Reach::Effort { .. } | Reach::EveryLeaf | Reach::Exact => u64::MAX,
        }
    }

    /// Items to scan whatever effort they cost.
    fn least_items(&self) -> u64 {
        if let Reach::Effort { items, .. } = self.request.reach { items } else { 0 }
    }

    fn finish(self) -> Result<Vec<Found>> {
        let first_found = self.request.first_found;
        let ids = Names { view: self.view, first_found, segments: self.segments, rows: &self.rows };
        let sorted = self.top.into_sorted(&ids)?;
        ids.fetch(&sorted);
        let found = |candidate: Candidate| {
            let stored = ids.stored_id(candidate.place)?;
            Ok(Found {
                id: ids.decode(candidate.place, &stored)?,
                sequence: ids.sequence(candidate.place)?,
                distance: candidate.distance,
                found_at: matches!(candidate.place, Place::Segment(..)).then_some(candidate.found_at),
            })
        };
        sorted.into_iter().map(found).collect()
    }

    fn is_dead(&self, sequence: u64) -> bool {
        self.view.dead.contains(sequence)
    }

    /// The effort spent so far, as candidates remember it.
    fn found_at(&self) -> u32 {
        u32::try_from(self.spent).unwrap_or(u32::MAX)
    }

    fn offer(&mut self, distance: f32, place: Place, found_at: u32) -> Result<bool> {
        let first_found = self.request.first_found;
        let ids = Names { view: self.view, first_found, segments: self.segments, rows: &self.rows };
        self.top.offer(Candidate { distance, place, found_at }, &ids)
    }
}

/// Runs an access to a segment's bytes; if they are damaged, the segment is set aside.
fn guarded<'s, T>(segment: &'s LiveSegment, access: impl FnOnce(&'s LiveSegment) -> Result<T>) -> Result<T> {
    let outcome = access(segment);
    if outcome.as_ref().is_err_and(Error::is_corruption) {
        segment.set_aside();
    }
    outcome
}

/// Looks up the ids and sequence numbers of candidates.
struct Names<'a> {
    view: &'a View,
    first_found: bool,
    segments: &'a [&'a Arc<LiveSegment>],
    rows: &'a RefCell<Vec<(Vec<u8>, u64)>>,
}

impl Ids for Names<'_> {
    fn first_found(&self) -> bool {
        self.first_found
    }

    fn stored_id(&self, place: Place) -> Result<Vec<u8>> {
        match place {
            Place::Segment(segment, position) => {
                guarded(self.segments[segment as usize], |segment| segment.stored_id(position).map(<[u8]>::to_vec))
            }
            Place::Delta(place) => Ok(self.view.delta.item(place).id.to_bytes()),
            Place::Row(row) => Ok(self.rows.borrow()[row as usize].0.clone()),
        }
    }
}

impl Names<'_> {
    /// Fetches the ids of segments, all at once.
    fn fetch(&self, candidates: &[Candidate]) {
        let places = || {
            candidates.iter().filter_map(|candidate| match candidate.place {
                Place::Segment(segment, position) => Some((&self.segments[segment as usize], position)),
                Place::Delta(_) | Place::Row(_) => None,
            })
        };
        places().for_each(|(segment, position)| prefetch(segment.id_offset_bytes(position)));
        places().for_each(|(segment, position)| prefetch(segment.id_bytes(position)));
    }

    fn sequence(&self, place: Place) -> Result<u64> {
        match place {
            Place::Segment(segment, position) => guarded(self.segments[segment as usize], |segment| {
                segment.record(position).map(|record| record.sequence)
            }),
            Place::Delta(place) => Ok(self.view.delta.item(place).sequence),
            Place::Row(row) => Ok(self.rows.borrow()[row as usize].1),
        }
    }

    fn decode(&self, place: Place, stored: &[u8]) -> Result<Id> {
        Id::decode(stored).ok_or_else(|| match place {
            Place::Segment(segment, position) => {
                let segment = self.segments[segment as usize];
                segment.set_aside();
                Error::corrupt(segment.path(), format!("id of position {position}"), "an id", format!("{stored:?}"))
            }
            Place::Delta(_) | Place::Row(_) => {
                Error::corrupt(std::path::Path::new("the rows"), "an id", "a tag and an id", format!("{stored:?}"))
            }
        })
    }
}
