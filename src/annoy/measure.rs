//! Distances and margins, as Annoy defines them.
//!
//! A *raw* distance orders candidates: squared for euclidean, `2 - 2 cos` for angular, the negated product for dot.
//! What callers see is made of it by [`Measure::shown`].

use super::layout::{Layout, Node};
use super::{Format, Metric};
use crate::distance::{Kernels, kernels};

/// The kernels of one index.
#[derive(Clone, Copy)]
pub(super) struct Measure {
    metric: Metric,
    /// Whether a plane of a dot index adds the square of its own factor to a margin, as releases do.
    adds_factor: bool,
    kernels: &'static Kernels,
}

/// A vector that others are measured from.
pub(super) struct Probe<'a> {
    words: &'a [u32],
    squared_norm: f32,
}

impl<'a> Probe<'a> {
    pub(super) fn words(&self) -> &'a [u32] {
        self.words
    }
}

impl Measure {
    pub(super) fn new(layout: &Layout) -> Measure {
        let adds_factor = layout.format != Format::Unreleased;
        Measure { metric: layout.metric, adds_factor, kernels: kernels() }
    }

    pub(super) fn kernels(&self) -> &'static Kernels {
        self.kernels
    }

    pub(super) fn probe<'a>(&self, words: &'a [u32]) -> Probe<'a> {
        let squared_norm = match self.metric {
            Metric::Angular => self.squared_norm(words),
            _ => 0.0,
        };
        Probe { words, squared_norm }
    }

    pub(super) fn squared_norm(&self, words: &[u32]) -> f32 {
        let components: &[f32] = bytemuck::cast_slice(words);
        self.kernels.dot(components, components)
    }

    /// The squared norm that an angular item is measured with. Files older than Annoy 1.11 keep none.
    pub(super) fn item_norm(&self, item: Node<'_>) -> f32 {
        let stored = item.squared_norm();
        if stored == 0.0 { self.squared_norm(item.vector()) } else { stored }
    }

    /// The raw distance of an item.
    pub(super) fn raw(&self, probe: &Probe<'_>, item: Node<'_>) -> f32 {
        match self.metric {
            Metric::Angular => {
                let norm = self.item_norm(item);
                let product = self.kernels.dot(bytemuck::cast_slice(probe.words), item.components());
                angular(product, probe.squared_norm * norm)
            }
            Metric::Euclidean => self.kernels.squared_euclidean(bytemuck::cast_slice(probe.words), item.components()),
            Metric::Manhattan => self.kernels.manhattan(bytemuck::cast_slice(probe.words), item.components()),
            Metric::Dot => -self.kernels.dot(bytemuck::cast_slice(probe.words), item.components()),
            Metric::Hamming => differing_bits(probe.words, item.vector()) as f32,
        }
    }

    /// The distance that callers see.
    pub(super) fn shown(&self, raw: f32) -> f32 {
        match self.metric {
            Metric::Angular | Metric::Euclidean => raw.max(0.0).sqrt(),
            Metric::Manhattan | Metric::Hamming => raw,
            Metric::Dot => -raw,
        }
    }

    /// On which side of a plane a vector lies, and how far from it. Not for hamming.
    pub(super) fn margin(&self, plane: Node<'_>, vector: &[u32]) -> f32 {
        self.kernels.dot(plane.components(), bytemuck::cast_slice(vector)) + self.addend(plane)
    }

    /// What a margin is more than the product with the plane.
    pub(super) fn addend(&self, plane: Node<'_>) -> f32 {
        match self.metric {
            Metric::Euclidean | Metric::Manhattan => plane.offset(),
            Metric::Dot if self.adds_factor => plane.dot_factor() * plane.dot_factor(),
            _ => 0.0,
        }
    }
}

/// `2 - 2 cos`; a vector without a direction is at right angles to every other.
pub(super) fn angular(product: f32, squared_norms: f32) -> f32 {
    if squared_norms > 0.0 { 2.0 - 2.0 * product / squared_norms.sqrt() } else { 2.0 }
}

/// Whether a vector has the bit that a split looks at.
pub(super) fn has_bit(words: &[u32], bit: usize) -> bool {
    let (word, shift) = Layout::split_bit(bit);
    words[word] >> shift & 1 == 1
}

fn differing_bits(a: &[u32], b: &[u32]) -> u32 {
    let (a, b) = (a.as_chunks::<2>().0, b.as_chunks::<2>().0);
    let wide = |[low, high]: [u32; 2]| u64::from(low) | u64::from(high) << 32;
    a.iter().zip(b).map(|(a, b)| (wide(*a) ^ wide(*b)).count_ones()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_that_differ_are_counted_in_both_halves() {
        assert_eq!(differing_bits(&[0, 1, 7, 0], &[1, 0, 0, 1 << 31]), 6);
    }
}
