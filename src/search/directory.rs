//! The ranking of leaves: groups first, then the leaves of the best groups, of all segments in one list.

use std::sync::Arc;

use super::guarded;
use crate::code::QueryCode;
use crate::distance::{Kernels, LANES, prefetch};
use crate::error::Result;
use crate::snapshot::LiveSegment;

/// The groups whose leaves are listed hold this many times the items scanned, at least.
const GROUP_REACH: u64 = 12;

/// For how much of its effort a search lists leaves at first. Most need less than all of it.
const FIRST_SHARE: u64 = 2;

/// Leaves sorted at a time beyond what the effort asks for.
const SPARE_LEAVES: usize = 8;

/// A leaf of one of the segments.
#[derive(Clone, Copy, Debug)]
pub(super) struct RankedLeaf {
    pub(super) segment: u32,
    pub(super) leaf: u32,
    /// The estimate it is ranked by, in the measure of [`QueryCode::leaf_bound`].
    pub(super) estimate: f32,
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
    /// Inner products of the query with the centroids of a segment's groups.
    products: Vec<i32>,
    /// For each segment the number of leaves of those before it.
    bases: Vec<u32>,
    /// A key a leaf: its estimated nearness, in bits that ascend with it, and its number among the leaves of all segments.
    keys: Vec<u64>,
    sorted: usize,
    /// Items of an average leaf, one at least.
    leaf_items: u64,
    /// Groups whose leaves are not in the list yet.
    next_group: usize,
}

impl Directory {
    /// Ranks the groups of all segments, and the leaves of as many as scanning a share of `items` asks for.
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
            let scores = query.rank_groups(kernels, segment.group_heads(), &mut self.products);
            let ranked = |(group, score)| RankedGroup { score, segment: number as u32, group };
            self.groups.extend((0..).zip(scores).map(ranked));
        }
        let items = if items < all_items { items / FIRST_SHARE } else { u64::MAX };
        if items.saturating_mul(GROUP_REACH) < all_items {
            self.groups.sort_unstable_by(|a, b| a.score.total_cmp(&b.score));
        }
        self.leaf_items = (all_items / all_leaves.max(1) as u64).max(1);
        self.reach(kernels, query, segments, items)?;
        self.sort(usize::try_from(items / self.leaf_items).unwrap_or(usize::MAX).saturating_add(SPARE_LEAVES));
        Ok(())
    }

    /// The leaf at a rank, after so many items were scanned; `None` when all are ranked before.
    ///
    /// Lists the leaves of further groups when the scan has come far enough. They are ranked among those that are not
    /// scanned yet.
    pub(super) fn get(
        &mut self,
        kernels: &Kernels,
        query: &QueryCode,
        segments: &[&Arc<LiveSegment>],
        (rank, scanned): (usize, u64),
    ) -> Result<Option<RankedLeaf>> {
        let is_at_end = rank >= self.keys.len();
        let listed = self.keys.len() as u64 * self.leaf_items;
        if self.next_group < self.groups.len() && (is_at_end || scanned.saturating_mul(GROUP_REACH) > listed) {
            self.sorted = self.sorted.min(rank);
            self.reach(kernels, query, segments, if is_at_end { u64::MAX } else { scanned.saturating_mul(2) })?;
        }
        if rank >= self.sorted && rank < self.keys.len() {
            self.sort(self.sorted.max(SPARE_LEAVES) * 2);
        }
        Ok(self.peek(rank))
    }

    /// The leaf at a rank if it is sorted already, for prefetching.
    pub(super) fn peek(&self, rank: usize) -> Option<RankedLeaf> {
        let key = *self.keys.get(..self.sorted)?.get(rank)?;
        let number = key as u32;
        let segment = self.bases.partition_point(|&base| base <= number).checked_sub(1)?;
        let estimate = from_ascending_bits((key >> 32) as u32);
        Some(RankedLeaf { segment: segment as u32, leaf: number - self.bases[segment], estimate })
    }

    /// Estimates the leaves of further groups, until the list has as many as scanning `items` asks for.
    fn reach(
        &mut self,
        kernels: &Kernels,
        query: &QueryCode,
        segments: &[&Arc<LiveSegment>],
        items: u64,
    ) -> Result<()> {
        let wanted = items.saturating_mul(GROUP_REACH) / self.leaf_items;
        let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
        let mut scores = [0.0; LANES];
        while let Some(group) = self.groups.get(self.next_group).filter(|_| self.keys.len() < wanted) {
            self.next_group += 1;
            let (score, segment, number) = (group.score, group.segment, group.group as usize);
            if let Some(ahead) = self.groups.get(self.next_group) {
                prefetch(segments[ahead.segment as usize].group_bytes(ahead.group as usize));
            }
            let run = guarded(segments[segment as usize], |segment| segment.group(number))?;
            let bound = query.leaf_bound(score);
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

fn from_ascending_bits(bits: u32) -> f32 {
    f32::from_bits(if bits >> 31 == 0 { !bits } else { bits ^ 1 << 31 })
}
