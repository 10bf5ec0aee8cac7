//! The search of a selection: of its items alone, by codes where many are near each other, one by one where they are
//! few.
//!
//! Leaves are ranked as they are without a filter and those without a selected item are passed over untouched. How far
//! the ranks must be followed is learned on the way: see [`Walk`].

use std::collections::VecDeque;
use std::ops::Range;

use super::directory::Directory;
use super::leaves::Passing;
use super::{Place, Plan, Reach, Scratch, Search, Selection, guarded, item_matches};
use crate::bitmap::Bitmap;
use crate::code::{NO_ENTRY, QueryCode};
use crate::distance::{Block, LANES, prefetch};
use crate::error::Result;
use crate::filter::Node;
use crate::vector::Components;

/// Leaves fetched ahead of the one being scanned.
const PREFETCH_LEAVES: usize = 2;

/// Records fetched ahead of the one being measured.
const PREFETCH_RECORDS: usize = 4;

/// Selected items of a leaf that are measured at once: its codes would cost as much.
const FEW: u32 = 2;

/// What costs are counted in is the exact distance of an item; this is what scanning a leaf costs at most,
const SCANNED_LEAF: f64 = 3.0;
/// and what ranking one costs.
const RANKED_LEAF: f64 = 0.1;

/// Selected items whose ranks tell how densely the query's neighbourhood is selected.
const SAMPLE: usize = 32;

/// Changes of an answer that would have come, did the ranks not matter.
const CHANGES: u64 = 10;

/// Where following the ranks would take more than one in so many of the leaves after a neighbourhood that was dropped,
/// it is as well not to begin.
const TOO_FAR: u64 = 4;

/// A neighbourhood with so many times fewer selected items than there are everywhere was dropped by the filter.
const DROPPED: f64 = 2.0;

/// How far the ranked leaves are followed.
///
/// An effort of `b` items finds the ten nearest of all items, and finding `m` times as many takes about the root of `m`
/// times the effort. Where one in `m` of the items near the query is selected, the search is one for `m` times as many
/// items, of which the filter drops most. So the items passed until the first few selected ones were seen tell `m`,
/// whether the filter is random or keeps what is near the query. Where it drops that, ranks tell little of the rest, and
/// the effort grows with `m` itself beyond what it would be for a random filter.
#[derive(Default)]
struct Walk {
    rank: usize,
    /// Items of the leaves ranked before.
    passed: u64,
    /// The effort spent by passing them.
    spent: u64,
    /// The effort to spend; unknown until enough selected ones were seen.
    limit: Option<u64>,
    /// Items to be passed whatever they cost.
    least: u64,
    /// Items after which it is known at the latest, for then the neighbourhood was dropped.
    decided_by: u64,
}

impl Walk {
    /// The answer changed. Where ranks are no guide any more, and near and far come mixed, it changes about `CHANGES`
    /// times while the items passed grow by `CHANGES / k`: the walk ends when it has not changed for so long.
    fn extend(&mut self, passed: u64, k: usize) {
        let more = passed.saturating_mul(CHANGES) / k.max(1) as u64;
        self.least = self.least.max(passed.saturating_add(more));
    }

    fn is_undecided_too_long(&self) -> bool {
        self.limit.is_none() && self.passed >= self.decided_by
    }

    fn is_over(&self) -> bool {
        self.passed >= self.least && self.limit.is_some_and(|limit| self.spent >= limit)
    }
}

/// A leaf with selected items.
struct SelectedLeaf {
    segment: u32,
    leaf: u32,
    /// Its positions, where they are consecutive.
    positions: Option<Range<u32>>,
    /// Selected items, where it is known before the leaf is read.
    matches: u32,
    /// Items of leaves ranked so far, its own included.
    passed: u64,
}

impl Search<'_> {
    pub(super) fn search_selection(
        &mut self,
        scratch: &mut Scratch,
        filter: &Node,
        mut selection: Selection,
    ) -> Result<()> {
        let selected: u64 = selection.segments.iter().map(Bitmap::count).sum();
        let items: u64 = self.segments.iter().map(|segment| segment.items() as u64).sum();
        let exact = self.request.reach == Reach::Exact;
        let everywhere = items as f64 / selected.max(1) as f64;
        let all_are_wanted = selected <= self.request.k as u64;
        if exact || all_are_wanted || self.measuring_is_cheaper(selected, self.limit(everywhere, everywhere), false) {
            self.examined.plan = Plan::MatchesMeasured;
            self.measure_selected(&scratch.query, &selection.segments)?;
        } else {
            self.examined.plan = Plan::LeavesScanned;
            self.scan_selected_leaves(scratch, &mut selection.segments, selected, everywhere)?;
        }
        self.search_selected_delta(&scratch.query, filter, exact)?;
        self.read_rows(&scratch.query, Some(&selection.rows))
    }

    /// The effort to spend where one in `here` of those near the query is selected, and one in `everywhere` of all.
    fn limit(&self, here: f64, everywhere: f64) -> u64 {
        let dropped = (here / everywhere).max(1.0);
        match self.budget() {
            u64::MAX => u64::MAX,
            budget => (budget as f64 * here.clamp(1.0, everywhere.max(1.0)).sqrt() * dropped) as u64,
        }
    }

    /// Whether the exact distances of `selected` items cost less than following the ranks for so much more effort, every item
    /// counting once: where few are selected, the k-th of them is about as far as the leaves.
    /// Where the filter dropped what is near, the rest is about equally far, and codes rule out little of it.
    fn measuring_is_cheaper(&self, selected: u64, effort: u64, dropped: bool) -> bool {
        let (mut items, mut leaves) = (0, 0);
        for segment in self.segments {
            items += segment.items() * segment.trees();
            leaves += segment.leaves();
        }
        let share = (effort as f64 / items.max(1) as f64).min(1.0);
        let per_leaf = selected as f64 / leaves.max(1) as f64;
        let ranked = share * leaves as f64;
        let leaf_cost = if dropped { f64::INFINITY } else { SCANNED_LEAF };
        let scanned = ranked * per_leaf.min(leaf_cost);
        selected as f64 <= scanned + ranked * RANKED_LEAF
    }

    /// Measures every selected item of the segments.
    fn measure_selected(&mut self, query: &QueryCode, segments: &[Bitmap]) -> Result<()> {
        for (number, positions) in (0..).zip(segments) {
            let live = self.segments[number as usize];
            let mut ahead = positions.iter();
            ahead.by_ref().take(PREFETCH_RECORDS).for_each(|position| prefetch(live.record_bytes(position)));
            for position in positions.iter() {
                if let Some(position) = ahead.next() {
                    prefetch(live.record_bytes(position));
                }
                self.look_at(query, number, position, 0)?;
            }
        }
        Ok(())
    }

    /// Scans the leaves that have selected items, best first. What was scanned is taken out of the selection.
    fn scan_selected_leaves(
        &mut self,
        scratch: &mut Scratch,
        segments: &mut [Bitmap],
        selected: u64,
        everywhere: f64,
    ) -> Result<()> {
        let Scratch { query, directory, passing, pending } = scratch;
        let sample = self.request.k.max(SAMPLE) as u64;
        directory.rank(self.kernels, query, self.segments, self.budget())?;
        // A search that met damage left what it had collected, of segments that had other numbers.
        passing.clear();
        pending.clear();
        let decided_by = (sample as f64 * DROPPED * everywhere) as u64 + 1;
        let mut walk = Walk { decided_by, least: self.least_items(), ..Walk::default() };
        let mut next = VecDeque::with_capacity(PREFETCH_LEAVES + 1);
        loop {
            if next.is_empty() && walk.is_over() {
                self.measure(query, pending)?;
                if self.top.is_full() {
                    return Ok(());
                }
                // Leaf by leaf, until there are k or no more.
                next.extend(self.next_selected_leaf(query, directory, segments, &mut walk)?);
            }
            while next.len() <= PREFETCH_LEAVES && !walk.is_over() {
                match self.next_selected_leaf(query, directory, segments, &mut walk)? {
                    Some(leaf) => next.push_back(leaf),
                    None => break,
                }
            }
            let leaf = next.pop_front();
            if let Some(leaf) = &leaf {
                self.scan_selected_leaf(query, leaf, &mut segments[leaf.segment as usize], passing)?;
                let threshold = self.top.threshold();
                self.measure_pending(query, passing, pending)?;
                if self.top.is_full() && self.top.threshold() < threshold {
                    walk.extend(leaf.passed, self.request.k);
                }
            }
            let passed = leaf.as_ref().map_or(walk.passed, |leaf| leaf.passed);
            if walk.limit.is_none() && (self.scanned >= sample || passed >= walk.decided_by) {
                let here = passed as f64 / self.scanned.max(1) as f64;
                let limit = self.limit(here, everywhere);
                walk.limit = Some(limit);
                let left = selected.saturating_sub(self.scanned);
                let dropped = here > DROPPED * everywhere;
                let expected = if dropped { limit.saturating_mul(TOO_FAR) } else { limit };
                if self.measuring_is_cheaper(left, expected.saturating_sub(walk.spent), dropped) {
                    self.examined.plan = Plan::MatchesMeasured;
                    self.measure(query, pending)?;
                    return self.measure_selected(query, segments);
                }
            } else if leaf.is_none() {
                break;
            }
        }
        self.measure(query, pending)
    }

    /// The next leaf that has selected items, fetched.
    fn next_selected_leaf(
        &self,
        query: &QueryCode,
        directory: &mut Directory,
        segments: &[Bitmap],
        walk: &mut Walk,
    ) -> Result<Option<SelectedLeaf>> {
        while !walk.is_undecided_too_long()
            && let Some(ranked) = directory.get(self.kernels, query, self.segments, (walk.rank, walk.passed))?
        {
            walk.rank += 1;
            walk.spent = walk.spent.max(self.spent_on(query, walk.passed, ranked.estimate));
            let (live, selected) = (self.segments[ranked.segment as usize], &segments[ranked.segment as usize]);
            let (segment, leaf) = (ranked.segment, ranked.leaf);
            let positions = live.leaf_positions(leaf as usize);
            let matches = match &positions {
                Some(positions) => {
                    walk.passed += positions.len() as u64;
                    selected.count_in(positions.start as usize, positions.end as usize)
                }
                None => {
                    walk.passed += u64::from(live.leaf_items(leaf as usize));
                    u32::MAX
                }
            };
            match &positions {
                _ if matches == 0 => continue,
                Some(positions) if matches <= FEW => {
                    selected_in(selected, positions).for_each(|position| prefetch(live.record_bytes(position)));
                }
                _ => prefetch(live.leaf_bytes(leaf as usize)),
            }
            return Ok(Some(SelectedLeaf { segment, leaf, positions, matches, passed: walk.passed }));
        }
        Ok(None)
    }

    /// Collects the selected items of a leaf that pass, and takes all of them out of the selection. Where there are several
    /// trees they stay in it, and what was looked at is known otherwise.
    fn scan_selected_leaf(
        &mut self,
        query: &QueryCode,
        leaf: &SelectedLeaf,
        selected: &mut Bitmap,
        passing: &mut Vec<Passing>,
    ) -> Result<()> {
        let (segment, found_at) = (leaf.segment, self.found_at());
        let mut pass = |lower, position| passing.push(Passing { lower, segment, position, found_at });
        if let Some(positions) = leaf.positions.as_ref().filter(|_| leaf.matches <= FEW) {
            selected_in(selected, positions).for_each(|position| pass(f32::NEG_INFINITY, position));
            self.scanned += u64::from(leaf.matches);
            selected.remove_range(positions.start as usize, positions.end as usize);
            return Ok(());
        }
        let run = guarded(self.segments[segment as usize], |segment| segment.leaf(leaf.leaf as usize))?;
        let mut bound = query.item_bound(self.kernels, segment, &run);
        bound.threshold = query.measure(self.top.threshold());
        for (at, block) in run.blocks().enumerate() {
            let lanes = run.lanes(at) & selected_lanes(selected, leaf.positions.as_ref(), at, &block);
            if lanes != 0 {
                self.scan_block(query, segment, &block, bound, lanes, &mut pass);
                self.scanned += u64::from(lanes.count_ones());
            }
        }
        if let Some(positions) = &leaf.positions {
            selected.remove_range(positions.start as usize, positions.end as usize);
        }
        Ok(())
    }

    /// Searches the delta. The filter is asked only about items that are near enough.
    fn search_selected_delta(&mut self, query: &QueryCode, filter: &Node, exact: bool) -> Result<()> {
        let view = self.view;
        let Some(frame) = view.frame.as_deref() else { return Ok(()) };
        if !query.scans_delta() {
            for (place, item) in (0..).zip(view.delta.items()) {
                if !self.is_dead(item.sequence) && item_matches(view, filter, item)? {
                    self.measure_delta(query, place, 0)?;
                }
            }
            return Ok(());
        }
        let mut bound = query.delta_bound();
        let mut lower = [0.0; LANES];
        for block in view.delta.blocks(frame.padded()) {
            bound.threshold = query.measure(self.top.threshold());
            let near = query.scan_items(self.kernels, 0, &block, bound, &mut lower);
            let mut mask = if exact { LANE_MASK } else { near };
            while mask != 0 {
                let place = block.payload(mask.trailing_zeros() as usize);
                mask &= mask - 1;
                if place == NO_ENTRY {
                    continue;
                }
                let item = view.delta.item(place);
                if !self.is_dead(item.sequence) && item_matches(view, filter, item)? {
                    self.measure_delta(query, place, 0)?;
                }
            }
        }
        Ok(())
    }

    /// Measures an item of the delta and offers it.
    pub(super) fn measure_delta(&mut self, query: &QueryCode, place: u32, found_at: u32) -> Result<()> {
        let item = self.view.delta.item(place);
        let distance = query.distance(self.kernels, Components::Floats(&item.vector), item.inverse_norm);
        self.examined.measured += 1;
        self.offer(distance, Place::Delta(place), found_at).map(drop)
    }
}

const LANE_MASK: u32 = (1 << LANES) - 1;

/// The selected ones of consecutive positions.
fn selected_in<'s>(selected: &'s Bitmap, positions: &Range<u32>) -> impl Iterator<Item = u32> + use<'s> {
    positions.clone().filter(move |&position| selected.contains(position as usize))
}

/// The lanes of a leaf's block whose items are selected.
fn selected_lanes(selected: &Bitmap, positions: Option<&Range<u32>>, at: usize, block: &Block<'_>) -> u32 {
    match positions {
        Some(positions) => selected.bits_from(positions.start as usize + at * LANES) as u32 & LANE_MASK,
        None => {
            let lanes = (0..LANES).filter(|&lane| selected.contains(block.payload(lane) as usize));
            lanes.map(|lane| 1 << lane).sum()
        }
    }
}
