//! The ranking of leaves: groups first, then the leaves of the best groups, of all segments in one list.

use std::sync::Arc;

use super::guarded;
use crate::code::QueryCode;
use crate::distance::{Kernels, LANES, prefetch};
use crate::error::Result;
use crate::snapshot::LiveSegment;
use crate::types::Metric;

/// The groups whose leaves are listed hold this many times the items scanned, at least.
const GROUP_REACH: u64 = 12;

/// For one part in so many of its effort a search lists leaves at first. Most end before they have spent more; what is listed
/// later is too late for those that a nearer leaf would have kept going. In few dimensions most end sooner; under
/// manhattan items may count ten times each, for differences are seldom as normally distributed as efforts take them to be.
const FIRST_SHARE: u64 = 2;
const FIRST_SHARE_OF_MANHATTAN: u64 = 5;
const FIRST_SHARE_OF_FEW: u64 = 4;
const FEW_COMPONENTS: usize = 64;

/// Leaves sorted at a time, at least.
const SPARE_LEAVES: usize = 8;

/// Of the leaves for the effort, one in this many is sorted at first.
const FIRST_SORTED: usize = 4;

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
    /// What the bounds of its leaves are made of.
    base: f32,
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
    /// Those before are nearer than those from here on, whether sorted or not.
    near: usize,
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
        (self.sorted, self.near, self.next_group) = (0, 0, 0);
        let (mut all_items, mut all_leaves) = (0, 0);
        for (number, segment) in segments.iter().enumerate() {
            // So many leaves would take more memory than there is.
            self.bases.push(u32::try_from(all_leaves).unwrap_or(u32::MAX));
            all_items += segment.items() as u64;
            all_leaves += segment.leaves();
            let scores = query.rank_groups(kernels, segment.group_heads(), &mut self.products);
            let ranked = |(group, (score, base))| RankedGroup { score, base, segment: number as u32, group };
            self.groups.extend((0..).zip(scores).map(ranked));
        }
        let share = match query.metric() {
            Metric::Manhattan => FIRST_SHARE_OF_MANHATTAN,
            _ if query.components() <= FEW_COMPONENTS => FIRST_SHARE_OF_FEW,
            _ => FIRST_SHARE,
        };
        let items = if items < all_items { items / share } else { u64::MAX };
        if items.saturating_mul(GROUP_REACH) < all_items {
            self.groups.sort_unstable_by(|a, b| a.score.total_cmp(&b.score));
        }
        self.leaf_items = (all_items / all_leaves.max(1) as u64).max(1);
        self.reach(kernels, query, segments, items)?;
        self.approach(usize::try_from(items / self.leaf_items).unwrap_or(usize::MAX).saturating_add(SPARE_LEAVES));
        self.sort(self.near / FIRST_SORTED);
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
        let listed = self.keys.len() as u64 * self.leaf_items;
        let scanned = if rank >= self.keys.len() { scanned.max(listed).max(self.leaf_items) } else { scanned };
        if self.next_group < self.groups.len() && scanned.saturating_mul(GROUP_REACH) > listed {
            (self.sorted, self.near) = (self.sorted.min(rank), self.near.min(rank));
            self.reach(kernels, query, segments, scanned.saturating_mul(2))?;
        }
        if rank >= self.sorted && rank < self.keys.len() {
            self.sort(0);
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
            let (base, segment, number) = (group.base, group.segment, group.group as usize);
            if let Some(ahead) = self.groups.get(self.next_group) {
                prefetch(segments[ahead.segment as usize].group_bytes(ahead.group as usize));
            }
            let run = guarded(segments[segment as usize], |segment| segment.group(number))?;
            let bound = query.leaf_bound(base);
            for (block, first) in run.blocks().zip((0..).step_by(LANES)) {
                kernels.scan(&block, query.table(), bound, &mut scores);
                // Leaves are numbered group by group, which was checked when the segment was opened.
                let number = self.bases[segment as usize].saturating_add(block.payload(0));
                let keys: [u64; LANES] = std::array::from_fn(|lane| {
                    u64::from(ascending_bits(scores[lane])) << 32 | u64::from(number.saturating_add(lane as u32))
                });
                // Whole blocks are copied faster; the lanes without an entry are cut off.
                let listed = self.keys.len() + (run.entries() as usize - first).min(LANES);
                self.keys.extend_from_slice(&keys);
                self.keys.truncate(listed);
            }
        }
        Ok(())
    }

    /// Sorts twice as many of the nearest leaves as there are sorted, `least` at least.
    fn sort(&mut self, least: usize) {
        let wanted = (2 * self.sorted).max(least).max(SPARE_LEAVES);
        if self.near <= self.sorted {
            self.approach(2 * wanted);
        }
        let wanted = wanted.min(self.near);
        bring_forward(&mut self.keys[self.sorted..self.near], wanted - self.sorted);
        self.keys[self.sorted..wanted].sort_unstable();
        self.sorted = wanted;
    }

    /// Brings the nearest `count` leaves to the front, in any order.
    fn approach(&mut self, count: usize) {
        let count = count.min(self.keys.len());
        bring_forward(&mut self.keys[self.sorted..], count.saturating_sub(self.sorted));
        self.near = count.max(self.sorted);
    }
}

/// Brings the least `count` keys to the front, in any order.
fn bring_forward(keys: &mut [u64], count: usize) {
    if count > 0 && count < keys.len() {
        keys.select_nth_unstable(count - 1);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sorted_piece_by_piece_come_in_the_order_of_all() {
        for count in [0, 1, 7, 8, 9, 100, 1000] {
            // Scattered and all different: an odd factor modulo a power of two.
            let keys: Vec<u64> = (0..count).map(|at: u64| at.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
            for near in [0, 1, 50, 2000] {
                let mut directory = Directory { keys: keys.clone(), ..Directory::default() };
                directory.approach(near);
                while directory.sorted < keys.len() {
                    let before = directory.sorted;
                    directory.sort(0);
                    assert!(directory.sorted > before, "{count} keys, {near} near");
                }
                let mut expected = keys.clone();
                expected.sort_unstable();
                assert_eq!(directory.keys, expected, "{count} keys, {near} near");
            }
        }
    }

    #[test]
    fn bits_ascend_as_floats_do() {
        let floats = [f32::NEG_INFINITY, -2.0, -1.0e-30, 0.0, 1.0e-30, 1.5, 3.0e38, f32::INFINITY];
        assert!(floats.is_sorted_by_key(|&float| ascending_bits(float)));
        assert!(floats.iter().all(|&float| from_ascending_bits(ascending_bits(float)) == float));
    }
}
