//! Codes of a byte a component: one step for all dimensions, so that distances between codes are integers, and an
//! offset for each. Segments of several trees have them.
//!
//! A vector's error is the sum of the absolute differences from what its code stands for, rounding and clipping alike.
//! By the triangle inequality two vectors are no nearer than their codes, less both errors: a bound that always holds.

use super::quantiser::{sample, sorted_columns};
use crate::bytes::{Malformed, Reader, floats, put_floats};

/// Shares of the sample that a candidate may clip at either end of a dimension.
const CLIPPED: [f32; 4] = [0.0, 0.004, 0.02, 0.1];
/// The largest code.
const LARGEST: f32 = 255.0;

/// What turns components into bytes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Steps {
    step: f32,
    offsets: Vec<f32>,
}

impl Steps {
    /// The quantiser that loses least of a sample of some vectors of a dimension, of which there must be one.
    pub(crate) fn fit(vectors: &[f32], dimension: usize) -> Steps {
        let (sample, columns) = (sample(vectors, dimension), sorted_columns(vectors, dimension));
        let mut candidates: Vec<Steps> = CLIPPED.iter().map(|&share| Steps::between(&columns, share)).collect();
        candidates.extend(Steps::of_whole_numbers(&columns));
        let mut codes = vec![0; dimension];
        let mut loss = |quantiser: &Steps| {
            sample.iter().map(|&vector| f64::from(quantiser.code(vector, &mut codes))).sum::<f64>()
        };
        let losses: Vec<f64> = candidates.iter().map(&mut loss).collect();
        let best = (0..candidates.len()).min_by(|&a, &b| losses[a].total_cmp(&losses[b])).unwrap_or(0);
        candidates.swap_remove(best)
    }

    /// The quantiser whose step is just large enough for the widest dimension, less a share at either end.
    fn between(columns: &[Vec<f32>], share: f32) -> Steps {
        let ends = |column: &Vec<f32>| {
            let clipped = ((column.len() - 1) as f32 * share) as usize;
            (column[clipped], column[column.len() - 1 - clipped])
        };
        let widest = columns.iter().map(ends).map(|(low, high)| high - low).fold(0.0, f32::max);
        let step = (widest / LARGEST).max(f32::MIN_POSITIVE);
        let offset = |(low, high): (f32, f32)| low - 0.5 * (LARGEST * step - (high - low));
        Steps { step, offsets: columns.iter().map(ends).map(offset).collect() }
    }

    /// The quantiser that loses nothing of whole numbers in a range that bytes hold.
    fn of_whole_numbers(columns: &[Vec<f32>]) -> Option<Steps> {
        let fits = |column: &Vec<f32>| {
            let range = column[column.len() - 1] - column[0];
            range <= LARGEST && column.iter().all(|component| component.fract() == 0.0)
        };
        let middle =
            |column: &Vec<f32>| column[0] - (0.5 * (LARGEST - (column[column.len() - 1] - column[0]))).floor();
        columns.iter().all(fits).then(|| Steps { step: 1.0, offsets: columns.iter().map(middle).collect() })
    }

    /// Writes a vector's code, a byte a component and zeros after the last, and returns its error, rounded up.
    pub(crate) fn code(&self, vector: &[f32], code: &mut [u8]) -> f32 {
        assert_eq!(vector.len(), self.offsets.len(), "a vector of the quantiser's dimension");
        let (code, padding) = code.split_at_mut(vector.len());
        padding.fill(0);
        let (step, per_step) = (f64::from(self.step), 1.0 / self.step);
        let mut error = 0.0;
        for ((code, &component), &offset) in code.iter_mut().zip(vector).zip(&self.offsets) {
            // A conversion saturates, and takes NaN (infinity times zero) to 0.
            *code = ((component - offset) * per_step + 0.5) as u8;
            error += (f64::from(component) - f64::from(offset) - step * f64::from(*code)).abs();
        }
        ((error * (1.0 + f64::from(f32::EPSILON))) as f32).min(f32::MAX)
    }

    /// The distance between two vectors whose codes differ by 1.
    pub(crate) fn step(&self) -> f32 {
        self.step
    }

    /// The stored form.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = self.step.to_le_bytes().to_vec();
        put_floats(&mut out, &self.offsets);
        out
    }

    /// Reads the stored form, of a dimension that was checked.
    pub(crate) fn decode(bytes: &[u8], dimension: usize) -> Result<Steps, Malformed> {
        let mut reader = Reader::new(bytes);
        let step = reader.f32()?;
        let offsets: Vec<f32> = floats(reader.take(4 * dimension)?).collect();
        reader.finish()?;
        if !(step > 0.0 && step.is_finite() && offsets.iter().all(|offset| offset.is_finite())) {
            return Err(Malformed { expected: "a step and finite offsets".into(), found: format!("step {step}") });
        }
        Ok(Steps { step, offsets })
    }
}
