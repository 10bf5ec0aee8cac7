//! Splitting items in two by a hyperplane between two means of a sample.
//!
//! Pure: the outcome depends on points, items and seed alone. Both sides are never empty.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, SeedableRng};
use rayon::prelude::*;

use crate::distance::kernels;
use crate::segment::floats::Floats;

/// Items a plane is drawn from.
const SAMPLE: usize = 512;
/// Passes of two-means over the sample.
const PASSES: usize = 4;
/// Planes tried before the items are halved at their median.
const ATTEMPTS: usize = 4;
/// The smaller side of an accepted plane has at least one item in so many.
const LEAST_PART: usize = 20;
/// Items whose margins are worth a thread of their own.
const PARALLEL_ITEMS: usize = 1024;

/// Placed vectors, numbered from 0.
#[derive(Debug)]
pub(super) struct Points {
    values: Floats,
    padded: usize,
}

impl Points {
    pub(super) fn new(values: impl Into<Floats>, padded: usize) -> Points {
        let values = values.into();
        assert_eq!(values.len() % padded, 0, "whole points");
        Points { values, padded }
    }

    pub(super) fn get(&self, point: u32) -> &[f32] {
        let start = point as usize * self.padded;
        &self.values[start..start + self.padded]
    }

    pub(super) fn len(&self) -> usize {
        self.values.len() / self.padded
    }

    pub(super) fn padded(&self) -> usize {
        self.padded
    }

    /// The mean of some points, which must not be none.
    pub(super) fn mean(&self, points: &[u32]) -> Vec<f32> {
        let mut mean = vec![0.0; self.padded];
        for &point in points {
            kernels().add_assign(&mut mean, self.get(point));
        }
        scale(&mut mean, 1.0 / points.len() as f32);
        mean
    }
}

/// A seed for part `part` of what `seed` stands for.
pub(super) fn derive_seed(seed: u64, part: u64) -> u64 {
    Xoshiro256PlusPlus::seed_from_u64(seed ^ part.wrapping_add(1).wrapping_mul(0xd6e8_feb8_6659_fd93)).next_u64()
}

/// Orders the items so that those of one side come first, each side in the order it had; returns where the other
/// begins. There must be two items or more.
pub(super) fn split(points: &Points, items: &mut [u32], seed: u64) -> usize {
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut margins = Vec::new();
    for _ in 0..ATTEMPTS {
        let Some(plane) = two_means(points, items, &mut generator) else { continue };
        margins = plane.margins(points, items);
        let left = margins.iter().filter(|&&margin| margin >= 0.0).count();
        if left.min(items.len() - left) * LEAST_PART >= items.len() {
            separate(items, &margins);
            return left;
        }
    }
    margins.resize(items.len(), 0.0);
    halve(items, &margins)
}

struct Plane {
    normal: Vec<f32>,
    bias: f32,
}

impl Plane {
    /// The plane half way between two means.
    fn between(a: &[f32], b: &[f32]) -> Plane {
        let normal: Vec<f32> = a.iter().zip(b).map(|(a, b)| a - b).collect();
        let bias = 0.5 * (kernels().dot(a, a) - kernels().dot(b, b));
        Plane { normal, bias }
    }

    fn margin(&self, point: &[f32]) -> f32 {
        kernels().dot(&self.normal, point) - self.bias
    }

    fn margins(&self, points: &Points, items: &[u32]) -> Vec<f32> {
        if items.len() < 2 * PARALLEL_ITEMS {
            return items.iter().map(|&item| self.margin(points.get(item))).collect();
        }
        items.par_iter().with_min_len(PARALLEL_ITEMS).map(|&item| self.margin(points.get(item))).collect()
    }
}

/// The plane between the two means of a sample; `None` if the items drawn are all alike.
fn two_means(points: &Points, items: &[u32], generator: &mut Xoshiro256PlusPlus) -> Option<Plane> {
    let sample: Vec<u32> = if items.len() <= SAMPLE {
        items.to_vec()
    } else {
        (0..SAMPLE).map(|_| items[below(generator, items.len())]).collect()
    };
    let first = points.get(sample[below(generator, sample.len())]);
    let second = (0..10)
        .map(|_| points.get(sample[below(generator, sample.len())]))
        .find(|second| kernels().squared_euclidean(first, second) > 0.0)?;
    let mut means = [first.to_vec(), second.to_vec()];
    let mut plane = Plane::between(first, second);
    let mut sums = [vec![0.0; points.padded()], vec![0.0; points.padded()]];
    for _ in 0..PASSES {
        let mut counts = [0usize; 2];
        for &item in &sample {
            let point = points.get(item);
            let side = if plane.margin(point) >= 0.0 { 0 } else { 1 };
            counts[side] += 1;
            kernels().add_assign(&mut sums[side], point);
        }
        if counts.contains(&0) {
            break;
        }
        for side in 0..2 {
            scale(&mut sums[side], 1.0 / counts[side] as f32);
            std::mem::swap(&mut means[side], &mut sums[side]);
            sums[side].fill(0.0);
        }
        plane = Plane::between(&means[0], &means[1]);
    }
    Some(plane)
}

/// A number below `bound`, which is far smaller than 2^64, so that its bias does not matter.
fn below(generator: &mut Xoshiro256PlusPlus, bound: usize) -> usize {
    ((u128::from(generator.next_u64()) * bound as u128) >> 64) as usize
}

fn scale(values: &mut [f32], factor: f32) {
    values.iter_mut().for_each(|value| *value *= factor);
}

/// Moves the items of non-negative margin to the front and keeps the order on both sides.
fn separate(items: &mut [u32], margins: &[f32]) {
    let mut behind = Vec::new();
    let mut front = 0;
    for (at, margin) in margins.iter().enumerate() {
        if *margin >= 0.0 {
            items[front] = items[at];
            front += 1;
        } else {
            behind.push(items[at]);
        }
    }
    items[front..].copy_from_slice(&behind);
}

/// Splits at the median margin. Ties are broken by the place, so that identical points are split as well.
fn halve(items: &mut [u32], margins: &[f32]) -> usize {
    let middle = items.len() / 2;
    let mut order: Vec<usize> = (0..items.len()).collect();
    order.select_nth_unstable_by(middle, |&a, &b| margins[b].total_cmp(&margins[a]).then(a.cmp(&b)));
    order[..middle].sort_unstable();
    order[middle..].sort_unstable();
    let ordered: Vec<u32> = order.into_iter().map(|at| items[at]).collect();
    items.copy_from_slice(&ordered);
    middle
}
