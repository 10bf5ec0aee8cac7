//! The frame of a store: how a vector is centred or normalised, padded and rotated before it is coded.
//!
//! The rotation keeps norms and inner products, so that everything measured between placed vectors is what would be
//! measured between the vectors themselves, up to rounding.

use std::ops::Range;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, SeedableRng};

use super::kind::narrow_components;
use crate::bytes::{checksum, put_floats};
use crate::distance::{kernels, pad};
use crate::types::Metric;
use crate::vector::squared_norm;

const ROUNDS: usize = 4;

/// The space all codes of a store live in.
#[derive(Debug)]
pub(crate) struct Frame {
    metric: Metric,
    dimension: usize,
    padded: usize,
    checksum: u32,
    /// 1 or -1 for each component, one round after the other.
    signs: Vec<f32>,
    mean: Option<Vec<f32>>,
}

impl Frame {
    /// The frame of a store; `mean` has `dimension` components and is left out for metrics that are not centred.
    pub(crate) fn new(metric: Metric, dimension: usize, rotation_seed: u64, mean: Option<Vec<f32>>) -> Frame {
        let mean = mean.filter(|_| metric.is_centred());
        assert!(dimension > 0, "a frame has a dimension");
        assert!(mean.as_ref().is_none_or(|mean| mean.len() == dimension), "a mean of the frame's dimension");
        let padded = pad(dimension);
        Frame {
            metric,
            dimension,
            padded,
            checksum: frame_checksum(metric, dimension, rotation_seed, mean.as_deref()),
            signs: signs(padded, rotation_seed),
            mean,
        }
    }

    pub(crate) fn metric(&self) -> Metric {
        self.metric
    }

    pub(crate) fn dimension(&self) -> usize {
        self.dimension
    }

    /// The dimension of the rotated space.
    pub(crate) fn padded(&self) -> usize {
        self.padded
    }

    /// What a segment's header names the frame by.
    pub(crate) fn checksum(&self) -> u32 {
        self.checksum
    }

    pub(crate) fn mean(&self) -> Option<&[f32]> {
        self.mean.as_deref()
    }

    /// 1 / |v| for cosine, else 0.
    pub(crate) fn inverse_norm(&self, vector: &[f32]) -> f32 {
        match self.metric {
            Metric::Cosine => (1.0 / squared_norm(vector).sqrt()) as f32,
            _ => 0.0,
        }
    }

    /// Places a vector in the rotated space. `inverse_norm` is what [`inverse_norm`](Frame::inverse_norm) gave for
    /// it; `out` has the padded dimension.
    pub(crate) fn place(&self, vector: &[f32], inverse_norm: f32, out: &mut [f32]) {
        assert_eq!(vector.len(), self.dimension, "a vector of the frame's dimension");
        assert_eq!(out.len(), self.padded, "room for the padded dimension");
        self.centre(vector, inverse_norm, out);
        rotate(&self.signs, out);
    }

    /// The components of the narrow space, which is padded no more than its codes need.
    pub(crate) fn narrow(&self) -> usize {
        narrow_components(self.dimension)
    }

    /// Places a vector in the narrow space, as [`place`](Frame::place) does in the rotated one.
    pub(crate) fn place_narrow(&self, vector: &[f32], inverse_norm: f32, out: &mut [f32]) {
        assert_eq!(out.len(), self.narrow(), "room for the narrow space");
        self.centre(vector, inverse_norm, out);
        rotate(&self.signs[..ROUNDS * out.len()], out);
    }

    /// Where a point of the rotated space is in the narrow one, or its nearest there is; returns the square of its distance
    /// from that.
    pub(crate) fn narrow_of(&self, placed: &[f32], out: &mut [f32]) -> f64 {
        assert_eq!(placed.len(), self.padded, "a point of the rotated space");
        assert_eq!(out.len(), self.narrow(), "room for the narrow space");
        let mut point = placed.to_vec();
        for (round, signs) in self.signs.chunks_exact(self.padded).enumerate().rev() {
            kernels().hadamard(&mut point[window(round, self.padded)]);
            kernels().multiply(&mut point, signs);
        }
        let (components, outside) = point.split_at(self.dimension);
        out[..self.dimension].copy_from_slice(components);
        out[self.dimension..].fill(0.0);
        rotate(&self.signs[..ROUNDS * out.len()], out);
        squared_norm(outside)
    }

    /// The vector less its mean, or divided by its norm, and zeros.
    fn centre(&self, vector: &[f32], inverse_norm: f32, out: &mut [f32]) {
        let (components, padding) = out.split_at_mut(self.dimension);
        components.copy_from_slice(vector);
        padding.fill(0.0);
        match (self.metric, &self.mean) {
            (Metric::Cosine, _) => components.iter_mut().for_each(|component| *component *= inverse_norm),
            (Metric::Hamming, _) => components.iter_mut().for_each(|component| *component -= 0.5),
            (_, Some(mean)) => components.iter_mut().zip(mean).for_each(|(component, mean)| *component -= mean),
            (_, None) => {}
        }
    }
}

fn rotate(signs: &[f32], out: &mut [f32]) {
    for (round, signs) in signs.chunks_exact(out.len()).enumerate() {
        kernels().multiply(out, signs);
        let window = window(round, out.len());
        kernels().hadamard(&mut out[window]);
    }
}

/// What a round transforms.
fn window(round: usize, length: usize) -> Range<usize> {
    let window = 1 << length.ilog2();
    let start = if round.is_multiple_of(2) { 0 } else { length - window };
    start..start + window
}

/// The signs of all rounds: 64 from each output of the generator, the lowest bit first.
fn signs(padded: usize, seed: u64) -> Vec<f32> {
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut signs = Vec::with_capacity(ROUNDS * padded);
    for _ in 0..ROUNDS * padded / 64 {
        let bits = generator.next_u64();
        signs.extend((0..64).map(|bit| if bits >> bit & 1 == 1 { 1.0 } else { -1.0 }));
    }
    signs
}

fn frame_checksum(metric: Metric, dimension: usize, seed: u64, mean: Option<&[f32]>) -> u32 {
    let mut bytes = vec![metric.tag()];
    bytes.extend_from_slice(&(dimension as u32).to_le_bytes());
    bytes.extend_from_slice(&seed.to_le_bytes());
    match mean {
        Some(mean) => put_floats(&mut bytes, mean),
        None => bytes.resize(bytes.len() + 4 * dimension, 0),
    }
    checksum(&[&bytes])
}
