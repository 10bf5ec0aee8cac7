//! A vector rounded to whole steps, so that its products with codes are sums of integers: several times as fast.

use crate::distance::{Halved, Kernels};

/// The vector is `step * components`, but for an error.
pub(super) struct Rounded {
    words: Vec<i16>,
    /// The high halves of all words, then the low ones.
    halves: Vec<i8>,
    step: f64,
    /// Of the rounded components, in steps.
    sum: f64,
    /// The squared length of `step * components`.
    pub(super) squared: f64,
    /// How far from the vector it is at most.
    pub(super) error: f64,
}

impl Rounded {
    /// Rounds finite components, which are so many and so large that their squares and sums do not overflow.
    pub(super) fn new(vector: &[f32]) -> Rounded {
        /// Added to a float32 of 16 bits, it leaves the nearest integer in the lowest 16 (1.5 * 2^23).
        const ROUND: f32 = 12_582_912.0;
        /// What the magnitudes of the components may sum up to, for products with bytes to fit 32 bits; less what
        /// rounding adds.
        const MOST: f64 = (1u64 << 31) as f64 / 256.0;
        let magnitude = wide_sum(vector, |component| f64::from(component.abs()));
        let largest = largest(vector);
        // Half a step for each of 65,536 components is less than what is left between 255 and 256.
        let room = MOST - vector.len() as f64 / 2.0;
        let step = (f64::from(largest) / 32_000.0).max(magnitude / room) as f32;
        let steps = 1.0 / step;
        let components = vector.iter().map(|component| (component * steps + ROUND).to_bits() as i16);
        let words: Vec<i16> = components.collect();
        let high = words.iter().map(|&word| Halved::halves(word)[0]);
        let halves: Vec<i8> = high.chain(words.iter().map(|&word| Halved::halves(word)[1])).collect();
        let sum: i64 = words.iter().map(|&word| i64::from(word)).sum();
        let squared: i64 = words.iter().map(|&word| i64::from(i32::from(word) * i32::from(word))).sum();
        let squared = squared as f64 * f64::from(step) * f64::from(step);
        // Half a step a component, and the roundings of the step, its inverse and the product.
        let error = 0.51 * f64::from(step) * (vector.len() as f64).sqrt();
        Rounded { words, halves, step: f64::from(step), sum: sum as f64, squared, error }
    }

    /// The sums of the products of the words with the codes of each of several vectors, exactly.
    pub(super) fn sums_of_codes(&self, kernels: &Kernels, rows: &[&[u8]], sums: &mut [i32]) {
        let (high, low) = self.halves.split_at(self.words.len());
        kernels.dots_codes(&Halved { words: &self.words, high, low }, rows, sums);
    }

    /// The same for one vector.
    pub(super) fn sum_of_codes(&self, kernels: &Kernels, codes: &[u8]) -> i32 {
        let mut sums = [0];
        self.sums_of_codes(kernels, &[codes], &mut sums);
        sums[0]
    }

    /// The product with the vector that codes stand for, of the least component, the step and the sum of the codes, to
    /// within a few roundings of float64.
    #[inline(always)]
    pub(super) fn product(&self, low: f32, step: f32, sum: f64) -> f64 {
        self.step * (f64::from(low) * self.sum + f64::from(step) * sum)
    }
}

/// The largest magnitude of finite components, in lanes so that no comparison waits for the one before.
fn largest(components: &[f32]) -> f32 {
    const LANES: usize = 16;
    let (pieces, rest) = components.as_chunks::<LANES>();
    let mut lanes = [0.0f32; LANES];
    let larger = |most: f32, component: f32| if component.abs() > most { component.abs() } else { most };
    for piece in pieces {
        lanes = std::array::from_fn(|at| larger(lanes[at], piece[at]));
    }
    lanes.iter().chain(rest).fold(0.0, |most, &component| larger(most, component))
}

/// The sum of a term of each component, in lanes so that no addition waits for the one before.
pub(super) fn wide_sum(components: &[f32], term: impl Fn(f32) -> f64) -> f64 {
    const LANES: usize = 8;
    let (pieces, rest) = components.as_chunks::<LANES>();
    let mut lanes = [0.0; LANES];
    for piece in pieces {
        for (lane, &component) in lanes.iter_mut().zip(piece) {
            *lane += term(component);
        }
    }
    lanes.into_iter().sum::<f64>() + rest.iter().map(|&component| term(component)).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distance::kernels;

    #[test]
    fn products_with_the_highest_codes_are_within_the_error_at_every_dimension() {
        for dimension in [1, 33, 784, 65_536] {
            let kinds: [fn(usize) -> f32; 4] =
                [|_| -1.0, |at| (at * 37 % 101) as f32 - 50.0, |at| f32::from(u8::from(at == 0)), |_| 1e-9];
            for (kind, component) in kinds.into_iter().enumerate() {
                let vector: Vec<f32> = (0..dimension).map(component).collect();
                let rounded = Rounded::new(&vector);
                let (low, step, codes) = (-3.0f32, 0.5f32, vec![255; dimension]);
                let sum = rounded.sum_of_codes(kernels(), &codes);
                let length = f64::from(low + 255.0 * step);
                let exact = length * wide_sum(&vector, f64::from);
                let off = (rounded.product(low, step, f64::from(sum)) - exact).abs();
                let most = rounded.error * length * (dimension as f64).sqrt();
                assert!(off <= most, "{dimension} kind {kind}: {off} off {exact}, {most} at most");
                let norm = wide_sum(&vector, |component| f64::from(component).powi(2)).sqrt();
                let share = rounded.error / norm;
                assert!(share < 0.01, "{dimension} kind {kind}: the error is {share} of the vector");
            }
        }
    }
}
