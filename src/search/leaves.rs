//! The scan of coded items: the best leaves of the segments, and the delta.

use super::directory::RankedLeaf;
use super::spent::spent;
use super::{Place, Scratch, Search, guarded};
use crate::code::{NO_ENTRY, QueryCode};
use crate::distance::{Block, Bound, LANES, prefetch};
use crate::error::Result;

/// Leaves fetched ahead of the one being scanned, and those before them of which it is looked up where they are.
const PREFETCH_LEAVES: usize = 2;
const PREFETCH_PLACES: usize = 6;

/// Records fetched ahead of the one being measured.
const PREFETCH_RECORDS: usize = 3;

/// Items that are scanned before the first is measured, beside four for each neighbour wanted. While nothing is measured
/// nothing is ruled out; but the nearest of several leaves rule out more of them than those of the first.
const OPENING_ITEMS: usize = 128;

/// An item that a scan could not rule out.
#[derive(Clone, Copy)]
pub(super) struct Passing {
    pub(super) lower: f32,
    pub(super) segment: u32,
    pub(super) position: u32,
    pub(super) found_at: u32,
}

impl Search<'_> {
    /// Scans the delta whole.
    pub(super) fn scan_delta(&mut self, query: &QueryCode) -> Result<()> {
        if !query.scans_delta() {
            return self.read_delta(query);
        }
        let view = self.view;
        let Some(frame) = view.frame.as_deref() else { return Ok(()) };
        let mut bound = query.delta_bound();
        let mut lower = [0.0; LANES];
        for block in view.delta.blocks(frame.padded()) {
            bound.threshold = query.measure(self.top.threshold());
            let mut mask = query.scan_items(self.kernels, 0, &block, bound, &mut lower);
            while mask != 0 {
                let lane = mask.trailing_zeros() as usize;
                mask &= mask - 1;
                let place = block.payload(lane);
                if place == NO_ENTRY {
                    continue;
                }
                let item = view.delta.item(place);
                if !self.is_dead(item.sequence) {
                    self.measure_delta(query, place, self.found_at())?;
                }
            }
        }
        Ok(())
    }

    /// Scans leaves, best first, until the reach is there and k candidates, or there are no more leaves.
    ///
    /// What passes the scans of the first leaves is measured together; what passes that of a later one is measured after
    /// the scan of the next, when its records have been fetched.
    pub(super) fn scan_leaves(&mut self, scratch: &mut Scratch) -> Result<()> {
        let (budget, least_items) = (self.budget(), self.least_items());
        let Scratch { query, directory, passing, pending } = scratch;
        directory.rank(self.kernels, query, self.segments, budget.max(least_items))?;
        passing.clear();
        pending.clear();
        let mut opening = OPENING_ITEMS.saturating_add(self.request.k.saturating_mul(4));
        let mut rank = 0;
        while let Some(leaf) = directory.get(self.kernels, query, self.segments, (rank, self.scanned))? {
            self.spent = self.spent.max(self.spent_on(query, self.scanned, leaf.estimate));
            if self.spent >= budget && self.scanned >= least_items {
                self.measure_all(query, passing, pending)?;
                if self.top.is_full() {
                    return Ok(());
                }
            }
            if let Some(ahead) = directory.peek(rank + PREFETCH_PLACES) {
                prefetch(self.segments[ahead.segment as usize].leaf_place_bytes(ahead.leaf as usize));
            }
            if let Some(ahead) = directory.peek(rank + PREFETCH_LEAVES) {
                prefetch(self.segments[ahead.segment as usize].leaf_bytes(ahead.leaf as usize));
            }
            self.scan_leaf(query, leaf, passing)?;
            if passing.len() >= opening {
                opening = 0;
                self.measure_pending(query, passing, pending)?;
            }
            rank += 1;
        }
        self.measure_all(query, passing, pending)
    }

    /// The effort spent on items before the scan of a leaf.
    pub(super) fn spent_on(&self, query: &QueryCode, items: u64, leaf: f32) -> u64 {
        query.squared_distance(self.top.threshold()).map_or(items, |kth| spent(items, leaf, kth))
    }

    /// Collects the lanes of a leaf that pass.
    fn scan_leaf(&mut self, query: &QueryCode, leaf: RankedLeaf, passing: &mut Vec<Passing>) -> Result<()> {
        let RankedLeaf { segment, leaf, .. } = leaf;
        let run = guarded(self.segments[segment as usize], |segment| segment.leaf(leaf as usize))?;
        self.scanned += u64::from(run.entries());
        let found_at = self.found_at();
        let mut bound = query.item_bound(self.kernels, segment, &run);
        bound.threshold = query.measure(self.top.threshold());
        for (at, block) in run.blocks().enumerate() {
            self.scan_block(query, segment, &block, bound, run.lanes(at), |lower, position| {
                passing.push(Passing { lower, segment, position, found_at });
            });
        }
        Ok(())
    }

    /// Hands out lower bound and position of those lanes of a block that pass.
    #[inline(always)]
    pub(super) fn scan_block(
        &self,
        query: &QueryCode,
        segment: u32,
        block: &Block<'_>,
        bound: Bound,
        lanes: u32,
        mut pass: impl FnMut(f32, u32),
    ) {
        let mut lower = [0.0; LANES];
        let mut mask = query.scan_items(self.kernels, segment, block, bound, &mut lower) & lanes;
        while mask != 0 {
            let lane = mask.trailing_zeros() as usize;
            mask &= mask - 1;
            // What is not a number must not be skipped.
            let lower = if lower[lane].is_nan() { f32::NEG_INFINITY } else { lower[lane] };
            pass(lower, block.payload(lane));
        }
    }

    /// Measures what the leaf before let pass and fetches what this one did, which is pending then.
    pub(super) fn measure_pending(
        &mut self,
        query: &QueryCode,
        passing: &mut Vec<Passing>,
        pending: &mut Vec<Passing>,
    ) -> Result<()> {
        self.measure(query, pending)?;
        std::mem::swap(passing, pending);
        let head = self.head(pending.len());
        if head < pending.len() {
            pending.select_nth_unstable_by(head, |a, b| a.lower.total_cmp(&b.lower));
        }
        self.sort(query, &mut pending[..head]);
        Ok(())
    }

    /// Measures what is pending and what passed since.
    fn measure_all(
        &mut self,
        query: &QueryCode,
        passing: &mut Vec<Passing>,
        pending: &mut Vec<Passing>,
    ) -> Result<()> {
        self.measure_pending(query, passing, pending)?;
        self.measure(query, pending)
    }

    /// How many of those pending are sorted and measured first: where they are many, the best of them rule out most of the
    /// rest, which need not be sorted then.
    fn head(&self, pending: usize) -> usize {
        let head = self.request.k.saturating_mul(2);
        if pending / 2 > head { head } else { pending }
    }

    /// Brings items in the order of their bounds and fetches the records that are measured first.
    fn sort(&self, query: &QueryCode, items: &mut [Passing]) {
        items.sort_unstable_by(|a, b| a.lower.total_cmp(&b.lower));
        let threshold = query.measure(self.top.threshold());
        for passing in items.iter().take(PREFETCH_RECORDS).take_while(|passing| passing.lower <= threshold) {
            prefetch(self.segments[passing.segment as usize].record_bytes(passing.position));
        }
    }

    /// Measures what is pending, the best of it first, until the bounds alone tell that the rest is too far.
    pub(super) fn measure(&mut self, query: &QueryCode, pending: &mut Vec<Passing>) -> Result<()> {
        let head = self.head(pending.len());
        self.measure_sorted(query, &pending[..head])?;
        if head < pending.len() {
            let threshold = query.measure(self.top.threshold());
            pending.drain(..head);
            pending.retain(|passing| passing.lower <= threshold);
            self.sort(query, pending);
            self.measure_sorted(query, pending)?;
        }
        pending.clear();
        Ok(())
    }

    fn measure_sorted(&mut self, query: &QueryCode, sorted: &[Passing]) -> Result<()> {
        for (at, &Passing { lower, segment, position, found_at }) in sorted.iter().enumerate() {
            let threshold = query.measure(self.top.threshold());
            if lower > threshold {
                break;
            }
            if let Some(ahead) = sorted.get(at + PREFETCH_RECORDS).filter(|ahead| ahead.lower <= threshold) {
                prefetch(self.segments[ahead.segment as usize].record_bytes(ahead.position));
            }
            self.look_at(query, segment, position, found_at)?;
        }
        Ok(())
    }

    /// Measures an item exactly and offers it.
    pub(super) fn look_at(&mut self, query: &QueryCode, segment: u32, position: u32, found_at: u32) -> Result<()> {
        let live = self.segments[segment as usize];
        if live.trees() > 1 && !self.seen.insert((segment, position)) {
            return Ok(());
        }
        let record = guarded(live, |segment| segment.record(position))?;
        if !self.is_dead(record.sequence) {
            self.examined.measured += 1;
            let distance = query.distance(self.kernels, record.vector, record.inverse_norm);
            self.offer(distance, Place::Segment(segment, position), found_at)?;
        }
        Ok(())
    }
}
