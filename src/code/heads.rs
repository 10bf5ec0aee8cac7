//! The centroids of all groups of a segment, copied together: a query is compared with all of them in one call of a kernel,
//! and reads nothing else of the groups that it does not look into.

use super::run::Run;
use crate::types::Metric;

/// The centroids of runs, in the order of the runs.
#[derive(Debug, Default)]
pub(crate) struct Heads {
    codes: Vec<i8>,
    steps: Vec<f32>,
    squared_norms: Vec<f32>,
    spreads: Vec<f32>,
}

impl Heads {
    /// Makes room for the heads of `count` more runs, of so many components each.
    pub(crate) fn reserve(&mut self, count: usize, padded: usize) {
        self.codes.reserve_exact(count.saturating_mul(padded));
        self.steps.reserve_exact(count);
        self.squared_norms.reserve_exact(count);
        self.spreads.reserve_exact(count);
    }

    /// Adds the head of a run of leaves.
    pub(crate) fn push(&mut self, run: &Run<'_>, metric: Metric) {
        self.codes.extend_from_slice(run.centroid());
        self.steps.push(run.step());
        self.squared_norms.push(run.squared_norm());
        self.spreads.push(if metric == Metric::Dot { run.spread() } else { 0.0 });
    }

    pub(crate) fn len(&self) -> usize {
        self.steps.len()
    }

    /// The components of the centroids, one after the other, in units of their steps.
    pub(super) fn codes(&self) -> &[i8] {
        &self.codes
    }

    /// Step and squared norm of each.
    pub(super) fn scales(&self) -> impl Iterator<Item = (f32, f32)> {
        self.steps.iter().copied().zip(self.squared_norms.iter().copied())
    }

    /// How far items spread from each, where that counts: see [`Run::spread`].
    pub(super) fn spreads(&self) -> &[f32] {
        &self.spreads
    }
}
