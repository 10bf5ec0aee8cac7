//! Trees: splitting items again and again until every leaf is small.
//!
//! Each node draws its randomness from a seed derived from its parent's, so that neither the number of threads nor
//! the order in which they run changes a leaf.

use std::ops::Range;

use crate::segment::progress::{Phase, Progress};
use crate::segment::split::{Points, derive_seed, split};

/// Nodes of more items grow their two sides on two threads.
const PARALLEL_ITEMS: usize = 2048;

/// Items in an order, cut into consecutive parts (leaves or groups), none of them empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Partition {
    pub(super) order: Vec<u32>,
    pub(super) ends: Vec<usize>,
}

impl Partition {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The places of a part in the order.
    pub(super) fn range(&self, part: usize) -> Range<usize> {
        let start = if part == 0 { 0 } else { self.ends[part - 1] };
        start..self.ends[part]
    }

    pub(super) fn part(&self, part: usize) -> &[u32] {
        &self.order[self.range(part)]
    }

    pub(super) fn parts(&self) -> impl ExactSizeIterator<Item = &[u32]> {
        (0..self.len()).map(|part| self.part(part))
    }

    pub(super) fn push(&mut self, items: &[u32]) {
        self.order.extend_from_slice(items);
        self.ends.push(self.order.len());
    }
}

/// Where the growth of a tree is reported.
pub(super) type Watch<'a> = Option<(&'a Progress<'a>, Phase)>;

/// Grows a tree over the items; no leaf has more than `bound` of them, unless the build was stopped.
pub(super) fn grow(points: &Points, mut items: Vec<u32>, bound: usize, seed: u64, watch: Watch<'_>) -> Partition {
    let growth = Growth { points, bound: bound.max(1), watch };
    let sizes = growth.grow(&mut items, seed);
    let ends = sizes
        .iter()
        .scan(0, |end, &size| {
            *end += size;
            Some(*end)
        })
        .collect();
    Partition { order: items, ends }
}

struct Growth<'a> {
    points: &'a Points,
    bound: usize,
    watch: Watch<'a>,
}

impl Growth<'_> {
    /// The sizes of the leaves below a node, in the order the items are brought into.
    fn grow(&self, items: &mut [u32], seed: u64) -> Vec<usize> {
        let stopped = self.watch.is_some_and(|(progress, _)| progress.is_stopped());
        if items.len() <= self.bound || stopped {
            return if items.is_empty() { Vec::new() } else { vec![items.len()] };
        }
        let parallel = items.len() > PARALLEL_ITEMS;
        let middle = split(self.points, items, seed);
        let (left, right) = items.split_at_mut(middle);
        let (left_seed, right_seed) = (derive_seed(seed, 0), derive_seed(seed, 1));
        if !parallel {
            let mut sizes = self.grow(left, left_seed);
            sizes.extend(self.grow(right, right_seed));
            return sizes;
        }
        let (mut sizes, more) = rayon::join(|| self.grow(left, left_seed), || self.grow(right, right_seed));
        sizes.extend(more);
        if let Some((progress, phase)) = self.watch {
            progress.advance(phase, PARALLEL_ITEMS);
        }
        sizes
    }
}
