//! A query made ready to be compared with runs: rotated once, its look-up table and its bytes made once, used for every
//! group, every leaf and the delta.

use super::frame::Frame;
use super::run::Run;
use crate::distance::{Bound, Kernels, ScanTable, kernels};
use crate::types::Metric;

/// Standard errors of the inner product of a quantised query with a centroid that bounds allow for.
const QUANTISATION_BOUND: f32 = 4.0;

/// Relative rounding of float32 sums that bounds allow for.
const FLOAT_ROUNDING: f32 = 1.0 / (1 << 20) as f32;

/// A prepared query. Reused from query to query for its allocations.
#[derive(Default)]
pub(crate) struct QueryCode {
    metric: Metric,
    error_bound: f32,
    /// The caller's components, for exact distances.
    vector: Vec<f32>,
    inverse_norm: f32,
    placed: Vec<f32>,
    squared_norm: f32,
    table: ScanTable,
    bytes: Vec<i8>,
    step: f32,
}

impl QueryCode {
    /// Makes this the code of `vector`, which must be valid for the frame. An estimate may be off by `error_bound` times
    /// its standard error before an item is lost to the search.
    pub(crate) fn prepare(&mut self, frame: &Frame, vector: &[f32], error_bound: f32) {
        self.error_bound = error_bound;
        self.metric = frame.metric();
        self.vector.clear();
        self.vector.extend_from_slice(vector);
        self.inverse_norm = frame.inverse_norm(vector);
        self.placed.resize(frame.padded(), 0.0);
        frame.place(vector, self.inverse_norm, &mut self.placed);
        self.squared_norm = kernels().dot(&self.placed, &self.placed);
        self.table.fill(&self.placed);
        self.table.cover_rounding();
        let largest = self.placed.iter().fold(0.0f32, |largest, component| largest.max(component.abs()));
        self.step = (largest / 127.0).max(f32::MIN_POSITIVE);
        let scale = 1.0 / self.step;
        self.bytes.clear();
        // Adding 1.5 * 2^23 rounds to a whole number, which the low bits then hold.
        self.bytes.extend(self.placed.iter().map(|component| (component * scale + 12_582_912.0).to_bits() as i8));
    }

    pub(crate) fn table(&self) -> &ScanTable {
        &self.table
    }

    /// What the codes of a run are compared with. The lanes' results are lower bounds of the distance, in the measure
    /// of [`Self::measure`].
    pub(crate) fn bound(&self, kernels: &Kernels, run: &Run<'_>) -> Bound {
        let product = kernels.dot_i8(&self.bytes, run.centroid()) as f32 * self.step * run.step();
        let squared = run.squared_norm();
        // A component's rounding is uniform within half a step: its deviation is the step / sqrt(12).
        let rounding = QUANTISATION_BOUND * self.step * (squared / 12.0).sqrt();
        match self.metric {
            Metric::Dot => Bound {
                base: -product - rounding - FLOAT_ROUNDING * (self.squared_norm * squared).sqrt(),
                slack: self.error_bound * self.squared_norm.sqrt(),
                threshold: f32::INFINITY,
            },
            Metric::Cosine | Metric::Euclidean => {
                let base = self.squared_norm + squared - 2.0 * product;
                Bound {
                    base: base - 2.0 * rounding - FLOAT_ROUNDING * (self.squared_norm + squared),
                    slack: self.error_bound * base.max(0.0).sqrt(),
                    threshold: f32::INFINITY,
                }
            }
        }
    }

    /// The bound of codes whose centroid is the origin of the rotated space, as the delta's are.
    pub(crate) fn bound_at_origin(&self) -> Bound {
        let norm = self.squared_norm.sqrt();
        let base = if self.metric == Metric::Dot { 0.0 } else { self.squared_norm };
        Bound {
            base: base - FLOAT_ROUNDING * self.squared_norm,
            slack: self.error_bound * norm,
            threshold: f32::INFINITY,
        }
    }

    /// A distance in the measure that bounds are compared in: squared euclidean distance in the rotated space, or the
    /// negated product.
    pub(crate) fn measure(&self, distance: f32) -> f32 {
        match self.metric {
            Metric::Dot => distance,
            Metric::Euclidean => distance * distance,
            Metric::Cosine => 2.0 * distance,
        }
    }

    /// The exact distance of an item from its own components.
    pub(crate) fn distance(&self, kernels: &Kernels, vector: &[f32], inverse_norm: f32) -> f32 {
        match self.metric {
            Metric::Dot => -kernels.dot(&self.vector, vector),
            Metric::Euclidean => kernels.squared_euclidean(&self.vector, vector).sqrt(),
            Metric::Cosine => {
                let cosine = kernels.dot(&self.vector, vector) * (self.inverse_norm * inverse_norm);
                (1.0 - cosine).clamp(0.0, 2.0)
            }
        }
    }
}
