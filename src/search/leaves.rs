//! The scan of coded items: the best leaves of the segments, and the delta.

use super::{Place, Scratch, Search, guarded};
use crate::code::{NO_ENTRY, QueryCode};
use crate::distance::{LANES, prefetch};
use crate::error::Result;

/// Leaves fetched ahead of the one being scanned.
const PREFETCH_LEAVES: usize = 2;

impl Search<'_> {
    /// Scans the delta whole.
    pub(super) fn scan_delta(&mut self, query: &QueryCode) -> Result<()> {
        let view = self.view;
        let Some(frame) = view.frame.as_deref() else { return Ok(()) };
        let mut bound = query.bound_at_origin();
        let mut lower = [0.0; LANES];
        for block in view.delta.blocks(frame.padded()) {
            bound.threshold = query.measure(self.top.threshold());
            let mut mask = self.kernels.scan(&block, query.table(), bound, &mut lower);
            while mask != 0 {
                let lane = mask.trailing_zeros() as usize;
                mask &= mask - 1;
                let place = block.payloads()[lane];
                if place == NO_ENTRY {
                    continue;
                }
                let item = view.delta.item(place);
                if !self.is_dead(item.sequence) {
                    let distance = query.distance(self.kernels, &item.vector, item.inverse_norm);
                    self.offer(distance, Place::Delta(place))?;
                }
            }
        }
        Ok(())
    }

    /// Scans leaves, best first, until the effort is spent and there are k candidates, or there are no more leaves.
    pub(super) fn scan_leaves(&mut self, scratch: &mut Scratch) -> Result<()> {
        let budget = self.budget();
        let Scratch { query, directory } = scratch;
        directory.rank(self.kernels, query, &self.segments, budget)?;
        let mut rank = 0;
        while self.scanned < budget || !self.top.is_full() {
            let Some(leaf) = directory.get(self.kernels, query, &self.segments, rank)? else { break };
            if let Some(ahead) = directory.peek(rank + PREFETCH_LEAVES) {
                prefetch(self.segments[ahead.segment as usize].leaf_bytes(ahead.leaf as usize));
            }
            self.scan_leaf(query, leaf.segment, leaf.leaf)?;
            rank += 1;
        }
        Ok(())
    }

    fn scan_leaf(&mut self, query: &QueryCode, segment: u32, leaf: u32) -> Result<()> {
        let live = self.segments[segment as usize];
        let run = guarded(live, |segment| segment.leaf(leaf as usize))?;
        self.scanned += u64::from(run.entries());
        let mut bound = query.bound(self.kernels, &run);
        let mut lower = [0.0; LANES];
        for (at, block) in run.blocks().enumerate() {
            bound.threshold = query.measure(self.top.threshold());
            let mask = self.kernels.scan(&block, query.table(), bound, &mut lower) & run.lanes(at);
            let mut fetched = mask;
            while fetched != 0 {
                prefetch(live.record_bytes(block.payloads()[fetched.trailing_zeros() as usize]));
                fetched &= fetched - 1;
            }
            let mut mask = mask;
            while mask != 0 {
                let lane = mask.trailing_zeros() as usize;
                mask &= mask - 1;
                // An item is skipped only if its bound is known to be above the threshold: NaN skips nothing.
                let skipped = lower[lane] > query.measure(self.top.threshold());
                if !skipped {
                    self.look_at(query, segment, block.payloads()[lane])?;
                }
            }
        }
        Ok(())
    }

    /// Measures an item exactly and offers it.
    pub(super) fn look_at(&mut self, query: &QueryCode, segment: u32, position: u32) -> Result<()> {
        let live = self.segments[segment as usize];
        if live.trees() > 1 && !self.seen.insert((segment, position)) {
            return Ok(());
        }
        let record = guarded(live, |segment| segment.record(position))?;
        if !self.is_dead(record.sequence) {
            let distance = query.distance(self.kernels, record.vector, record.inverse_norm);
            self.offer(distance, Place::Segment(segment, position))?;
        }
        Ok(())
    }
}
