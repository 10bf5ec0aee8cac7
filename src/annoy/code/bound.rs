//! What the distances of items are at least, from their codes: of several at a time, so that the arithmetic of one does
//! not wait for that of another.

use super::super::Metric;
use super::super::measure::Probe;
use super::super::rounded::{Rounded, wide_sum};
use super::{Codes, EPSILON, HEADER, LONGER, SANE};
use crate::distance::Coded;

/// Codes that are bounded at once.
pub(in super::super) const BATCH: usize = 16;

/// Codes whose products are summed at once.
const GROUP: usize = 4;

/// What a vector is bounded from.
pub(in super::super) struct CodeProbe<'a> {
    components: &'a [f32],
    /// Where bounds are made of products: under all metrics but manhattan.
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
    /// The inverse of the norm, or the length.
    size: [f32; BATCH],
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
            rounded: (self.metric != Metric::Manhattan).then(|| Rounded::new(components)),
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
        let mut headers = Headers { low: [0.0; BATCH], step: [0.0; BATCH], error: [0.0; BATCH], size: [1.0; BATCH] };
        let (kernels, mut rows) = (self.measure.kernels(), [&[][..]; BATCH]);
        let (mut products, mut sums) = ([0; BATCH], [0.0; BATCH]);
        let (mut done, mut count) = (0, 0);
        for (at, slot) in slots.take(BATCH).enumerate() {
            let (header, codes) = slot.split_at(HEADER);
            let [low, step, error, size]: [f32; HEADER / 4] = bytemuck::pod_read_unaligned(header);
            (headers.low[at], headers.step[at]) = (low, step);
            (headers.error[at], headers.size[at]) = (error, size);
            rows[at] = &codes[..self.dimension];
            match &probe.rounded {
                None => {
                    let coded = Coded { low, step, codes: rows[at] };
                    sums[at] = f64::from(kernels.manhattan_coded(probe.components, &coded));
                }
                Some(rounded) if at + 1 == done + GROUP => {
                    rounded.sums_of_codes(kernels, &rows[done..at + 1], &mut products[done..at + 1]);
                    done = at + 1;
                }
                Some(_) => {}
            }
            count = at + 1;
        }
        if let Some(rounded) = &probe.rounded {
            rounded.sums_of_codes(kernels, &rows[done..count], &mut products[done..count]);
            sums = products.map(f64::from);
        }
        let bounds = match (&probe.rounded, self.metric) {
            (Some(rounded), Metric::Angular) => angular(probe, rounded, &sums, &headers),
            (Some(rounded), Metric::Euclidean) => self.euclidean(probe, rounded, &sums, &headers),
            (Some(rounded), _) => product(probe, rounded, &sums, &headers),
            (None, _) => self.manhattan(probe, &sums, &headers),
        };
        std::array::from_fn(|at| (bounds[at] - bounds[at].abs() * EPSILON) as f32)
    }

    fn manhattan(&self, probe: &CodeProbe<'_>, sums: &Lanes, headers: &Headers) -> Lanes {
        let (below, rounding) = (1.0 - self.rounding, 4.0 * EPSILON * probe.magnitude);
        lanes(|at| (sums[at] * below - f64::from(headers.error[at]) - rounding).max(0.0) * below)
    }

    /// From the squared distance of what the codes stand for from the rounded probe, which is made of float64 products
    /// of whole numbers but for the rounding of the length.
    fn euclidean(&self, probe: &CodeProbe<'_>, rounded: &Rounded, sums: &Lanes, headers: &Headers) -> Lanes {
        let (below, off) = (1.0 - self.rounding, rounded.error + 4.0 * EPSILON * probe.norm);
        lanes(|at| {
            let [error, length] = [headers.error[at], headers.size[at]].map(f64::from);
            let product = rounded.product(headers.low[at], headers.step[at], sums[at]);
            let squares = rounded.squared + length * length;
            let slack = 2.0 * EPSILON * length * length + 64.0 * EPSILON * EPSILON * squares;
            let squared = (squares - 2.0 * product - slack).max(0.0);
            let distance = (squared.sqrt() * below - error - off).max(0.0);
            distance * distance * below
        })
    }
}

fn angular(probe: &CodeProbe<'_>, rounded: &Rounded, sums: &Lanes, headers: &Headers) -> Lanes {
    // What rounding the probe makes of the product with a vector as long as the code's, at most.
    let off = rounded.error * probe.inverse_norm;
    lanes(|at| {
        let [error, inverse_norm] = [headers.error[at], headers.size[at]].map(f64::from);
        let product = rounded.product(headers.low[at], headers.step[at], sums[at]);
        2.0 - 2.0 * (product * probe.inverse_norm * inverse_norm + off * (LONGER + error) + error)
    })
}

fn product(probe: &CodeProbe<'_>, rounded: &Rounded, sums: &Lanes, headers: &Headers) -> Lanes {
    lanes(|at| {
        let [error, inverse_norm] = [headers.error[at], headers.size[at]].map(f64::from);
        let product = rounded.product(headers.low[at], headers.step[at], sums[at]);
        -product - rounded.error * (LONGER / inverse_norm + error) - probe.norm * error
    })
}
