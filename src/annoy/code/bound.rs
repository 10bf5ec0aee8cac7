//! What the distances of items are at least, from their codes: of several at a time, so that the arithmetic of one does
//! not wait for that of another.

use super::super::Metric;
use super::super::measure::Probe;
use super::super::rounded::{Rounded, wide_sum};
use super::{Codes, EPSILON, HEADER, LONGER, SANE};
use crate::distance::Coded;

/// Codes that are bounded at once.
pub(in super::super) const BATCH: usize = 8;

/// What a vector is bounded from.
pub(in super::super) struct CodeProbe<'a> {
    components: &'a [f32],
    /// Where bounds are of products.
    rounded: Option<Rounded>,
    /// The sum of the components' magnitudes.
    magnitude: f64,
    norm: f64,
    inverse_norm: f64,
}

/// The headers of codes, a field at a time.
struct Headers {
    low: [f32; BATCH],
    step: [f32; BATCH],
    error: [f32; BATCH],
    inverse_norm: [f32; BATCH],
}

/// A number for each code of a batch.
type Lanes = [f64; BATCH];

fn lanes(of: impl Fn(usize) -> f64) -> Lanes {
    std::array::from_fn(of)
}

impl Codes {
    /// `None` if the vector is so long or so short that bounds would be wrong.
    pub(in super::super) fn probe<'a>(&self, probe: &Probe<'a>) -> Option<CodeProbe<'a>> {
        let components: &[f32] = bytemuck::cast_slice(probe.words());
        let squared = self.measure.squared_norm(probe.words());
        let norm = f64::from(squared).sqrt();
        SANE.contains(&squared).then(|| CodeProbe {
            components,
            rounded: matches!(self.metric, Metric::Angular | Metric::Dot).then(|| Rounded::new(components)),
            magnitude: match self.metric {
                Metric::Manhattan => wide_sum(components, |component| f64::from(component.abs())),
                _ => 0.0,
            },
            norm: norm * (1.0 + self.rounding),
            inverse_norm: 1.0 / norm,
        })
    }

    /// What the raw distances of the items of some codes, at most [`BATCH`], are at least. Those of missing ones mean nothing.
    pub(in super::super) fn bounds<'s>(
        &self,
        probe: &CodeProbe<'_>,
        slots: impl Iterator<Item = &'s [u8]>,
    ) -> [f32; BATCH] {
        let mut headers =
            Headers { low: [0.0; BATCH], step: [0.0; BATCH], error: [0.0; BATCH], inverse_norm: [1.0; BATCH] };
        let mut sums = [0.0; BATCH];
        let kernels = self.measure.kernels();
        for (at, slot) in slots.take(BATCH).enumerate() {
            let (header, codes) = slot.split_at(HEADER);
            let [low, step, error, inverse_norm]: [f32; HEADER / 4] = bytemuck::pod_read_unaligned(header);
            (headers.low[at], headers.step[at]) = (low, step);
            (headers.error[at], headers.inverse_norm[at]) = (error, inverse_norm);
            let coded = Coded { low, step, codes: &codes[..self.dimension] };
            sums[at] = match (&probe.rounded, self.metric) {
                (Some(rounded), _) => f64::from(rounded.sum_of_codes(kernels, coded.codes)),
                (None, Metric::Manhattan) => f64::from(kernels.manhattan_coded(probe.components, &coded)),
                _ => f64::from(kernels.squared_euclidean_coded(probe.components, &coded)),
            };
        }
        let bounds = match (&probe.rounded, self.metric) {
            (Some(rounded), Metric::Angular) => angular(probe, rounded, &sums, &headers),
            (Some(rounded), _) => product(probe, rounded, &sums, &headers),
            (None, Metric::Manhattan) => self.manhattan(probe, &sums, &headers),
            _ => self.euclidean(probe, &sums, &headers),
        };
        std::array::from_fn(|at| (bounds[at] - bounds[at].abs() * EPSILON) as f32)
    }

    fn manhattan(&self, probe: &CodeProbe<'_>, sums: &Lanes, headers: &Headers) -> Lanes {
        let (below, rounding) = (1.0 - self.rounding, 4.0 * EPSILON * probe.magnitude);
        lanes(|at| (sums[at] * below - f64::from(headers.error[at]) - rounding).max(0.0) * below)
    }

    fn euclidean(&self, probe: &CodeProbe<'_>, sums: &Lanes, headers: &Headers) -> Lanes {
        let (below, rounding) = (1.0 - self.rounding, 4.0 * EPSILON * probe.norm);
        lanes(|at| {
            let distance = (sums[at].sqrt() * below - f64::from(headers.error[at]) - rounding).max(0.0);
            distance * distance * below
        })
    }
}

fn angular(probe: &CodeProbe<'_>, rounded: &Rounded, sums: &Lanes, headers: &Headers) -> Lanes {
    // What rounding the probe makes of the product with a vector as long as the code's, at most.
    let off = rounded.error * probe.inverse_norm;
    lanes(|at| {
        let [error, inverse_norm] = [headers.error[at], headers.inverse_norm[at]].map(f64::from);
        let product = rounded.product(headers.low[at], headers.step[at], sums[at]);
        2.0 - 2.0 * (product * probe.inverse_norm * inverse_norm + off * (LONGER + error) + error)
    })
}

fn product(probe: &CodeProbe<'_>, rounded: &Rounded, sums: &Lanes, headers: &Headers) -> Lanes {
    lanes(|at| {
        let [error, inverse_norm] = [headers.error[at], headers.inverse_norm[at]].map(f64::from);
        let product = rounded.product(headers.low[at], headers.step[at], sums[at]);
        -product - rounded.error * (LONGER / inverse_norm + error) - probe.norm * error
    })
}
