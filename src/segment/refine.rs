//! Refinement: Lloyd passes that move each item to the leaf whose centroid is nearest, and the groups of leaves.
//!
//! Every sum is taken in the order of items, so that the number of threads changes nothing.

use rayon::prelude::*;

use crate::distance::{Kernels, kernels};
use crate::segment::forest::{Partition, grow};
use crate::segment::progress::{Phase, Progress};
use crate::segment::split::{Points, derive_seed};

/// Groups whose leaves an item is compared with.
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

/// A point less an origin, rounded to bytes. Comparing bytes costs a quarter of the memory traffic of comparing
/// floats, and what rounding adds to a distance is far below what two neighbouring leaves differ by.
struct Rounded {
    codes: Vec<i8>,
    step: f32,
}

impl Rounded {
    fn new(padded: usize) -> Rounded {
        Rounded { codes: vec![0; padded], step: 0.0 }
    }

    fn set(&mut self, point: &[f32], origin: &[f32]) {
        self.step = round_to_bytes(point, origin, &mut self.codes);
    }
}

/// Writes `(point - origin) / step` and returns the step.
fn round_to_bytes(point: &[f32], origin: &[f32], codes: &mut [i8]) -> f32 {
    let mut largest = [0f32; 16];
    for (point, origin) in point.chunks_exact(16).zip(origin.chunks_exact(16)) {
        for lane in 0..16 {
            largest[lane] = largest[lane].max((point[lane] - origin[lane]).abs());
        }
    }
    let largest = largest.into_iter().fold(0.0, f32::max);
    let per_step = 127.0 / largest;
    if !(per_step.is_finite() && per_step > 0.0) {
        codes.fill(0);
        return 0.0;
    }
    for ((code, point), origin) in codes.iter_mut().zip(point).zip(origin) {
        // Adding 1.5 * 2^23 rounds to a whole number, which the low bits then hold.
        *code = ((point - origin) * per_step + 12_582_912.0).to_bits() as i8;
    }
    largest / 127.0
}

/// Centroids rounded to bytes, less an origin that the points compared with them share.
struct Centroids {
    kernels: &'static Kernels,
    codes: Vec<i8>,
    padded: usize,
    steps: Vec<f32>,
    squared_norms: Vec<f32>,
}

impl Centroids {
    fn new(means: &Points, origin: &[f32]) -> Centroids {
        let (kernels, padded) = (kernels(), means.padded());
        let mut codes = vec![0; means.len() * padded];
        let round = |(mean, codes): (usize, &mut [i8])| round_to_bytes(means.get(mean as u32), origin, codes);
        let steps: Vec<f32> = codes.par_chunks_mut(padded).enumerate().map(round).collect();
        let squared_norm = |(codes, step): (&[i8], &f32)| kernels.dot_i8(codes, codes) as f32 * step * step;
        let squared_norms = codes.chunks_exact(padded).zip(&steps).map(squared_norm).collect();
        Centroids { kernels, codes, padded, steps, squared_norms }
    }

    fn len(&self) -> usize {
        self.steps.len()
    }

    /// The squared distance less the point's own squared norm.
    fn score(&self, centroid: u32, point: &Rounded) -> f32 {
        let centroid = centroid as usize;
        let codes = &self.codes[centroid * self.padded..][..self.padded];
        let product = self.kernels.dot_i8(codes, &point.codes) as f32 * point.step * self.steps[centroid];
        self.squared_norms[centroid] - 2.0 * product
    }

    /// The nearest of some centroids; `current` unless another is strictly nearer.
    fn nearest(&self, point: &Rounded, current: u32, others: impl Iterator<Item = u32>) -> u32 {
        let mut best = (current, self.score(current, point));
        for other in others {
            let score = self.score(other, point);
            if score < best.1 {
                best = (other, score);
            }
        }
        best.0
    }

    /// The few nearest of all centroids, nearest first.
    fn nearest_few(&self, point: &Rounded) -> impl Iterator<Item = u32> + use<> {
        let mut few = [(0u32, f32::INFINITY); NEAR_GROUPS];
        for centroid in 0..self.len() as u32 {
            let score = self.score(centroid, point);
            if score < few[NEAR_GROUPS - 1].1 {
                let place = few.partition_point(|&(_, other)| other <= score);
                few[place..].rotate_right(1);
                few[place] = (centroid, score);
            }
        }
        few.into_iter().filter(|&(_, score)| score < f32::INFINITY).map(|(centroid, _)| centroid)
    }
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
    let leaf_means = means(points, &leaves);
    let size = NEAR_GROUP_SIZE * (leaf_means.len() as f64).sqrt();
    let groups = group(&leaf_means, size, seed);
    let origin = origin(&leaf_means);
    let centroids = Centroids::new(&leaf_means, &origin);
    let group_centroids = Centroids::new(&means(&leaf_means, &groups), &origin);
    drop(leaf_means);
    let moved = leaves.parts().collect::<Vec<_>>().into_par_iter().enumerate().map(|(leaf, items)| {
        if progress.is_stopped() {
            return vec![leaf as u32; items.len()];
        }
        let mut point = Rounded::new(points.padded());
        let assign = |&item: &u32| {
            point.set(points.get(item), &origin);
            let near = group_centroids.nearest_few(&point).flat_map(|group| groups.part(group as usize)).copied();
            centroids.nearest(&point, leaf as u32, near)
        };
        let assigned = items.iter().map(assign).collect::<Vec<u32>>();
        progress.advance(phase, items.len());
        assigned
    });
    let assigned = moved.flatten().collect::<Vec<u32>>();
    let leaves = regroup(&leaves, &assigned);
    split_overfull(points, leaves, bound, seed)
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
        let every = 0..groups.len() as u32;
        let assign = |(group, members): (usize, &[u32])| {
            let mut point = Rounded::new(points.padded());
            let nearest = |&member: &u32| {
                point.set(points.get(member), &origin);
                centroids.nearest(&point, group as u32, every.clone())
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
