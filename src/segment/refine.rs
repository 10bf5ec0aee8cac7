//! Refinement: Lloyd passes that move each item to the leaf whose centroid is nearest, and the groups of leaves.
//!
//! Every sum is taken in the order of items, so that the number of threads changes nothing.

use rayon::prelude::*;

use crate::segment::centroids::{Centroids, Point, Scores};
use crate::segment::forest::{Partition, grow};
use crate::segment::progress::{Phase, Progress};
use crate::segment::split::{Points, derive_seed};

/// Groups near a leaf, which its items are compared with.
const AROUND_LEAF: usize = 16;
/// Groups, of those, whose leaves an item is compared with.
const NEAR_GROUPS: usize = 4;
/// The fewest points worth a group of their own: what one block holds.
const LEAST_GROUP: usize = 16;
/// Leaves a group of a refinement is made for, in roots of all leaves: smaller than in a directory, so that the
/// groups and the leaves an item is compared with are about as many.
const NEAR_GROUP_SIZE: f64 = 0.5;
/// Passes over the groups of a directory.
const GROUP_PASSES: usize = 3;

/// The means of the parts of a partition.
fn means(points: &Points, partition: &Partition) -> Points {
    let padded = points.padded();
    let mut values = vec![0.0; partition.len() * padded];
    values
        .par_chunks_mut(padded)
        .enumerate()
        .for_each(|(part, mean)| mean.copy_from_slice(&points.mean(partition.part(part))));
    Points::new(values, padded)
}

/// The mean of all points.
fn origin(points: &Points) -> Vec<f32> {
    points.mean(&(0..points.len() as u32).collect::<Vec<_>>())
}

/// One Lloyd pass over leaves: each item moves to the nearest centroid among the leaves of its nearest groups.
/// Leaves that become empty are dropped, leaves of more than `bound` items are split.
pub(super) fn refine(
    points: &Points,
    leaves: Partition,
    bound: usize,
    seed: u64,
    (progress, phase): (&Progress<'_>, Phase),
) -> Partition {
    let comparison = Comparison::new(points, &leaves, seed);
    let moved = leaves.parts().collect::<Vec<_>>().into_par_iter().enumerate().map(|(leaf, items)| {
        if progress.is_stopped() {
            return vec![leaf as u32; items.len()];
        }
        let assigned = comparison.assign(leaf, items);
        progress.advance(phase, items.len());
        assigned
    });
    let assigned = moved.flatten().collect::<Vec<u32>>();
    drop(comparison);
    let leaves = regroup(&leaves, &assigned);
    split_overfull(points, leaves, bound, seed)
}

/// What the items of a pass are compared with: the centroids of leaves, in the order of groups of near ones.
struct Comparison<'a> {
    points: &'a Points,
    origin: Vec<f32>,
    groups: Partition,
    group_centroids: Centroids,
    centroids: Centroids,
    /// The place of each leaf in the order of groups.
    place_of: Vec<u32>,
}

impl<'a> Comparison<'a> {
    fn new(points: &'a Points, leaves: &Partition, seed: u64) -> Comparison<'a> {
        let leaf_means = means(points, leaves);
        let groups = group(&leaf_means, NEAR_GROUP_SIZE * (leaf_means.len() as f64).sqrt(), seed);
        let origin = origin(&leaf_means);
        let group_centroids = Centroids::new(&means(&leaf_means, &groups), &origin);
        let centroids = Centroids::in_order(&leaf_means, &groups.order, &origin);
        let mut place_of = vec![0; leaves.len()];
        groups.order.iter().zip(0..).for_each(|(&leaf, place)| place_of[leaf as usize] = place);
        Comparison { points, origin, groups, group_centroids, centroids, place_of }
    }

    /// The leaf that each of a leaf's items moves to. Items look for their nearest groups among those near the leaf.
    fn assign(&self, leaf: usize, items: &[u32]) -> Vec<u32> {
        let own = self.place_of[leaf] as usize;
        let mut scores = Scores::default();
        let around = self.group_centroids.nearest_few::<AROUND_LEAF>(&self.centroids.point(own), &mut scores);
        let around: Vec<usize> = around.collect();
        let around_centroids = self.group_centroids.select(&around);
        let mut point = Point::new(self.points.padded());
        let assign = |&item: &u32| {
            point.round(self.points.get(item), &self.origin);
            let mut best = (own, self.centroids.score(own, &point));
            for near in around_centroids.nearest_few::<NEAR_GROUPS>(&point, &mut scores) {
                let leaves = self.groups.range(around[near]);
                let (place, score) = self.centroids.nearest(&point, leaves, &mut scores);
                if score < best.1 {
                    best = (place, score);
                }
            }
            self.groups.order[best.0]
        };
        items.iter().map(assign).collect()
    }
}

/// The groups of a directory: about as many as each has leaves.
pub(super) fn directory(leaf_means: &Points, seed: u64) -> Partition {
    group(leaf_means, (leaf_means.len() as f64).sqrt(), seed)
}

/// Groups of about `size` points, none of more than twice as many, in an order in which neighbours are near.
fn group(points: &Points, size: f64, seed: u64) -> Partition {
    let bound = 2 * (size.ceil() as usize).max(LEAST_GROUP);
    let all = (0..points.len() as u32).collect();
    let mut groups = grow(points, all, bound, derive_seed(seed, 0), None);
    let origin = origin(points);
    for pass in 0..GROUP_PASSES {
        let centroids = Centroids::new(&means(points, &groups), &origin);
        let assign = |(group, members): (usize, &[u32])| {
            let (mut point, mut scores) = (Point::new(points.padded()), Scores::default());
            let nearest = |&member: &u32| {
                point.round(points.get(member), &origin);
                let own = centroids.score(group, &point);
                let (nearest, score) = centroids.nearest(&point, 0..centroids.len(), &mut scores);
                if score < own { nearest as u32 } else { group as u32 }
            };
            members.iter().map(nearest).collect::<Vec<u32>>()
        };
        let parts = groups.parts().enumerate().collect::<Vec<_>>();
        let assigned = parts.into_par_iter().map(assign).flatten().collect::<Vec<u32>>();
        let regrouped = regroup(&groups, &assigned);
        groups = split_overfull(points, regrouped, bound, derive_seed(seed, 1 + pass as u64));
    }
    groups
}

/// The partition in which the item at each place of the order is in the part assigned to that place. Parts without
/// items are dropped; in each part items ascend.
fn regroup(partition: &Partition, assigned: &[u32]) -> Partition {
    let mut parts = vec![Vec::new(); partition.len()];
    for (&item, &part) in partition.order.iter().zip(assigned) {
        parts[part as usize].push(item);
    }
    let mut regrouped = Partition::default();
    for mut part in parts.into_iter().filter(|part| !part.is_empty()) {
        part.sort_unstable();
        regrouped.push(&part);
    }
    regrouped
}

/// Splits the parts of more than `bound` items, identical ones as well.
fn split_overfull(points: &Points, partition: Partition, bound: usize, seed: u64) -> Partition {
    if partition.parts().all(|part| part.len() <= bound) {
        return partition;
    }
    let mut split = Partition::default();
    for (at, part) in partition.parts().enumerate() {
        if part.len() <= bound {
            split.push(part);
        } else {
            let pieces = grow(points, part.to_vec(), bound, derive_seed(seed, at as u64 + 0x100), None);
            pieces.parts().for_each(|piece| split.push(piece));
        }
    }
    split
}
