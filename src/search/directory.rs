//! The ranking of leaves: groups first, then the leaves of the best groups, of all segments in one list.

use std::sync::Arc;

use super::guarded;
use crate::code::QueryCode;
use crate::distance::{Kernels, LANES, prefetch};
use crate::error::Result;
use crate::snapshot::LiveSegment;

/// The ranked groups hold this many times the items to be scanned, at least.
const GROUP_REACH: u64 = 12;

/// Leaves sorted at a time beyond what the effort asks for.
const SPARE_LEAVES: usize = 8;

/// A leaf of one of the segments.
#[derive(Clone, Copy, Debug)]
pub(super) struct RankedLeaf {
    pub(super) segment: u32,
    pub(super) leaf: u32,
}

/// A group and its nearness.
#[derive(Clone, Copy, Debug)]
struct RankedGroup {
    score: f32,
    segment: u32,
    group: u32,
}

/// The leaves that a query may scan, best first. Sorted piece by piece, as far as the scan goes.
#[derive(Default)]
pub(super) struct Directory {
    groups: Vec<RankedGroup>,
    /// For each segment the number of leaves of those before it.
    bases: Vec<u32>,
    /// A key a leaf: its estimated nearness, in bits that ascend with it, and its number among the leaves of all segments.
    keys: Vec<u64>,
    sorted: usize,
    /// Groups whose leaves are not in the list yet.
    next_group: usize,
}

impl Directory {
    /// Ranks the groups of all segments, and the leaves of as many as `items` to be scanned ask for.
    pub(super) fn rank(
        &mut self,
        kernels: &Kernels,
        query: &QueryCode,
        segments: &[&Arc<LiveSegment>],
        items: u64,
    ) -> Result<()> {
        self.groups.clear();
        self.bases.clear();
        self.keys.clear();
        (self.sorted, self.next_group) = (0, 0);
        let (mut all_items, mut all_leaves) = (0, 0);
        for (number, segment) in segments.iter().enumerate() {
            // So many leaves would take more memory than there is.
            self.bases.push(u32::try_from(all_leaves).unwrap_or(u32::MAX));
            all_items += segment.items() as u64;
            all_leaves += segment.leaves();
            for group in 0..segment.groups() {
                let score = query.bound(kernels, &guarded(segment, |segment| segment.group(group))?).base;
                self.groups.push(RankedGroup { score, segment: number as u32, group: group as u32 });
            }
        }
        let wanted = items.saturating_mul(GROUP_REACH);
        if wanted < all_items {
            self.groups.sort_unstable_by(|a, b| a.score.total_cmp(&b.score));
        }
        let items_per_leaf = (all_items / all_leaves.max(1) as u64).max(1);
        self.extend(kernels, query, segments, usize::try_from(wanted / items_per_leaf).unwrap_or(usize::MAX))?;
        self.sort(usize::try_from(items / items_per_leaf).unwrap_or(usize::MAX).saturating_add(SPARE_LEAVES));
        Ok(())
    }

    /// The leaf at a rank; `None` when all are ranked before.
    pub(super) fn get(
        &mut self,
        kernels: &Kernels,
        query: &QueryCode,
        segments: &[&Arc<LiveSegment>],
        rank: usize,
    ) -> Result<Option<RankedLeaf>> {
        if rank >= self.keys.len() {
            self.extend(kernels, query, segments, usize::MAX)?;
        }
        if rank >= self.sorted && rank < self.keys.len() {
            self.sort(self.sorted.max(SPARE_LEAVES) * 2);
        }
        Ok(self.peek(rank))
    }

    /// The leaf at a rank if it is sorted already, for prefetching.
    pub(super) fn peek(&self, rank: usize) -> Option<RankedLeaf> {
        let number = *self.keys.get(..self.sorted)?.get(rank)? as u32;
        let segment = self.bases.partition_point(|&base| base <= number).checked_sub(1)?;
        Some(RankedLeaf { segment: segment as u32, leaf: number - self.bases[segment] })
    }

    /// Estimates the leaves of further groups, until the list has `wanted` more.
    fn extend(
        &mut self,
        kernels: &Kernels,
        query: &QueryCode,
        segments: &[&Arc<LiveSegment>],
        wanted: usize,
    ) -> Result<()> {
        let wanted = self.keys.len().saturating_add(wanted);
        let mut scores = [0.0; LANES];
        while let Some(group) = self.groups.get(self.next_group).filter(|_| self.keys.len() < wanted) {
            self.next_group += 1;
            let (segment, number) = (group.segment, group.group as usize);
            if let Some(ahead) = self.groups.get(self.next_group) {
                prefetch(segments[ahead.segment as usize].group_bytes(ahead.group as usize));
            }
            let run = guarded(segments[segment as usize], |segment| segment.group(number))?;
            let bound = query.bound(kernels, &run);
            for (block, first) in run.blocks().zip((0..).step_by(LANES)) {
                kernels.scan(&block, query.table(), bound, &mut scores);
                // Leaves are numbered group by group, which was checked when the segment was opened.
                let number = self.bases[segment as usize].saturating_add(block.payload(0));
                let keys: [u64; LANES] = std::array::from_fn(|lane| {
                    u64::from(ascending_bits(scores[lane])) << 32 | u64::from(number.saturating_add(lane as u32))
                });
                let entries = (run.entries() as usize - first).min(LANES);
                self.keys.extend_from_slice(&keys[..entries]);
            }
        }
        Ok(())
    }

    /// Sorts the best `count` leaves to the front.
    fn sort(&mut self, count: usize) {
        let rest = &mut self.keys[self.sorted..];
        let count = count.saturating_sub(self.sorted).min(rest.len());
        if count > 0 && count < rest.len() {
            rest.select_nth_unstable(count - 1);
        }
        rest[..count].sort_unstable();
        self.sorted += count;
    }
}

/// The bits of a float, changed so that they ascend as floats do.
fn ascending_bits(score: f32) -> u32 {
    let bits = score.to_bits();
    // All bits of a negative one, the sign alone of the others.
    bits ^ ((bits as i32 >> 31) as u32 | 1 << 31)
}
