//! Points and centroids rounded to bytes, and which centroids are nearest to a point.
//!
//! Comparing bytes costs a quarter of the memory traffic of comparing floats, and what rounding adds to a distance is
//! far below what two neighbouring leaves differ by. Centroids that are compared together lie together, so that one
//! call of a kernel compares them all.

use std::ops::Range;

use rayon::prelude::*;

use crate::distance::{Kernels, kernels};
use crate::segment::split::Points;

/// A point less an origin, in steps of its own.
pub(super) struct Point {
    codes: Vec<i8>,
    step: f32,
}

impl Point {
    pub(super) fn new(padded: usize) -> Point {
        Point { codes: vec![0; padded], step: 0.0 }
    }

    pub(super) fn round(&mut self, point: &[f32], origin: &[f32]) {
        self.step = kernels().round_to_bytes(point, origin, &mut self.codes);
    }
}

/// Where scores are kept from one comparison to the next, so that none allocates.
#[derive(Default)]
pub(super) struct Scores {
    products: Vec<i32>,
    scores: Vec<f32>,
}

/// Centroids less the origin of the points compared with them.
pub(super) struct Centroids {
    kernels: &'static Kernels,
    codes: Vec<i8>,
    padded: usize,
    steps: Vec<f32>,
    squared_norms: Vec<f32>,
}

impl Centroids {
    pub(super) fn new(means: &Points, origin: &[f32]) -> Centroids {
        Centroids::in_order(means, &(0..means.len() as u32).collect::<Vec<_>>(), origin)
    }

    /// The centroids that `order` names, in that order.
    pub(super) fn in_order(means: &Points, order: &[u32], origin: &[f32]) -> Centroids {
        let (kernels, padded) = (kernels(), means.padded());
        let mut codes = vec![0; order.len() * padded];
        let round = |(codes, &mean): (&mut [i8], &u32)| kernels.round_to_bytes(means.get(mean), origin, codes);
        let steps: Vec<f32> = codes.par_chunks_mut(padded).zip(order).map(round).collect();
        let squared_norm = |(codes, step): (&[i8], &f32)| kernels.dot_i8(codes, codes) as f32 * step * step;
        let squared_norms = codes.chunks_exact(padded).zip(&steps).map(squared_norm).collect();
        Centroids { kernels, codes, padded, steps, squared_norms }
    }

    /// Copies of some of the centroids.
    pub(super) fn select(&self, which: &[usize]) -> Centroids {
        Centroids {
            kernels: self.kernels,
            codes: which.iter().flat_map(|&at| self.codes(at..at + 1)).copied().collect(),
            padded: self.padded,
            steps: which.iter().map(|&at| self.steps[at]).collect(),
            squared_norms: which.iter().map(|&at| self.squared_norms[at]).collect(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.steps.len()
    }

    /// A centroid as a point.
    pub(super) fn point(&self, centroid: usize) -> Point {
        Point { codes: self.codes(centroid..centroid + 1).to_vec(), step: self.steps[centroid] }
    }

    fn codes(&self, range: Range<usize>) -> &[i8] {
        &self.codes[range.start * self.padded..range.end * self.padded]
    }

    /// The squared distance less the point's own squared norm.
    pub(super) fn score(&self, centroid: usize, point: &Point) -> f32 {
        let product = self.kernels.dot_i8(self.codes(centroid..centroid + 1), &point.codes);
        score(self.squared_norms[centroid], product, self.steps[centroid] * (-2.0 * point.step))
    }

    fn score_range<'a>(&self, point: &Point, range: Range<usize>, scores: &'a mut Scores) -> &'a [f32] {
        let Scores { products, scores } = scores;
        products.resize(range.len(), 0);
        self.kernels.dots_i8(&point.codes, self.codes(range.clone()), products);
        let factor = -2.0 * point.step;
        let terms = self.squared_norms[range.clone()].iter().zip(&*products).zip(&self.steps[range]);
        scores.clear();
        scores.extend(terms.map(|((norm, product), step)| score(*norm, *product, step * factor)));
        scores
    }

    /// The nearest of a range of centroids and its score; the range must not be empty.
    pub(super) fn nearest(&self, point: &Point, range: Range<usize>, scores: &mut Scores) -> (usize, f32) {
        let first = range.start;
        let scores = self.score_range(point, range, scores);
        let least = least(scores);
        let place = scores.iter().position(|&score| score <= least).unwrap_or(0);
        (first + place, least)
    }

    /// The `FEW` nearest of all centroids, nearest first.
    pub(super) fn nearest_few<const FEW: usize>(
        &self,
        point: &Point,
        scores: &mut Scores,
    ) -> impl Iterator<Item = usize> + use<FEW> {
        let mut few = [(0usize, f32::INFINITY); FEW];
        for (centroid, &score) in self.score_range(point, 0..self.len(), scores).iter().enumerate() {
            if score < few[FEW - 1].1 {
                let place = few.partition_point(|&(_, other)| other <= score);
                few[place..].rotate_right(1);
                few[place] = (centroid, score);
            }
        }
        few.into_iter().filter(|&(_, score)| score < f32::INFINITY).map(|(centroid, _)| centroid)
    }
}

fn score(squared_norm: f32, product: i32, factor: f32) -> f32 {
    squared_norm + product as f32 * factor
}

/// The least of some values that is a number, or infinity.
fn least(values: &[f32]) -> f32 {
    let (pieces, rest) = values.as_chunks::<8>();
    let mut lanes = [f32::INFINITY; 8];
    for piece in pieces {
        for lane in 0..8 {
            lanes[lane] = if piece[lane] < lanes[lane] { piece[lane] } else { lanes[lane] };
        }
    }
    rest.iter().chain(&lanes).copied().fold(f32::INFINITY, f32::min)
}
