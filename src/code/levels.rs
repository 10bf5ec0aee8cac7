//! Codes of half a byte a component: the nearest of 16 levels, which each dimension has of its own.
//!
//! A query's distances from all levels of a dimension are 16 entries of a look-up table, so that a scan costs half of
//! what bytes cost, which must be read and subtracted. A vector's error is the sum of the absolute differences from its
//! levels. By the triangle inequality a vector is no nearer than its levels, less its error: a bound that always holds, and
//! of which a run says what share near items need (`error_share` in `short.rs`).

use crate::bytes::{Malformed, Reader, floats, put_floats};
use crate::distance::{LEVELS, ScanTable};

use super::quantiser::sorted_columns;

/// Passes that move levels to the medians of what is nearest to them.
const PASSES: usize = 16;

/// The levels of each dimension, ascending.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Levels {
    levels: Vec<[f32; LEVELS]>,
}

impl Levels {
    /// Levels that lose little of a sample of some vectors of a dimension, of which there must be one.
    pub(crate) fn fit(vectors: &[f32], dimension: usize) -> Levels {
        Levels { levels: sorted_columns(vectors, dimension).iter().map(|column| fit_column(column)).collect() }
    }

    /// Writes a vector's code, two components a byte, the first in the lower half, and zeros after the last; returns its
    /// error.
    pub(crate) fn code(&self, vector: &[f32], code: &mut [u8]) -> f64 {
        assert_eq!(vector.len(), self.levels.len(), "a vector of the levels' dimension");
        code.fill(0);
        let mut error = 0.0;
        for (at, (&component, levels)) in vector.iter().zip(&self.levels).enumerate() {
            let nearest = nearest(levels, component);
            code[at / 2] |= (nearest as u8) << (4 * (at % 2));
            error += (f64::from(component) - f64::from(levels[nearest])).abs();
        }
        error
    }

    /// What a code stands for.
    pub(super) fn decoded(&self, code: &[u8]) -> Vec<f32> {
        let number = |at: usize| usize::from(code[at / 2] >> (4 * (at % 2)) & 15);
        self.levels.iter().enumerate().map(|(at, levels)| levels[number(at)]).collect()
    }

    /// Fills a query's table, for codes of a padded dimension.
    pub(super) fn fill_table(&self, query: &[f32], padded: usize, table: &mut ScanTable) {
        table.fill_levels(query, &self.levels, padded);
    }

    /// The stored form.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(4 * LEVELS * self.levels.len());
        put_floats(&mut out, self.levels.as_flattened());
        out
    }

    /// Reads the stored form, of a dimension that was checked.
    pub(crate) fn decode(bytes: &[u8], dimension: usize) -> Result<Levels, Malformed> {
        let mut reader = Reader::new(bytes);
        let values: Vec<f32> = floats(reader.take(4 * LEVELS * dimension)?).collect();
        reader.finish()?;
        let levels = values.as_chunks::<LEVELS>().0.to_vec();
        let ascend = |levels: &[f32; LEVELS]| levels.is_sorted() && levels.iter().all(|level| level.is_finite());
        if let Some(dimension) = levels.iter().position(|levels| !ascend(levels)) {
            let found = format!("{:?} in dimension {dimension}", levels[dimension]);
            return Err(Malformed { expected: "finite levels that ascend".into(), found });
        }
        Ok(Levels { levels })
    }
}

/// The number of the nearest level.
fn nearest(levels: &[f32; LEVELS], component: f32) -> usize {
    let above = levels.partition_point(|&level| level < component).min(LEVELS - 1);
    let below = above.saturating_sub(1);
    if (component - levels[below]).abs() <= (levels[above] - component).abs() { below } else { above }
}

/// Levels of a column that ascends and is not empty: from two guesses, the better.
fn fit_column(column: &[f32]) -> [f32; LEVELS] {
    let (low, high) = (column[0], column[column.len() - 1]);
    let mut distinct = column.to_vec();
    distinct.dedup();
    let middle = |at: usize| (2 * at + 1) as f32 / (2 * LEVELS) as f32;
    let evenly = std::array::from_fn(|at| low + (high - low) * middle(at));
    let by_rank = std::array::from_fn(|at| distinct[(2 * at + 1) * distinct.len() / (2 * LEVELS)]);
    let [evenly, by_rank] = [evenly, by_rank].map(|levels| moved_to_medians(column, levels));
    if loss(column, &evenly) < loss(column, &by_rank) { evenly } else { by_rank }
}

/// Levels each moved to the median of what is nearest to it, which never loses more, several times.
fn moved_to_medians(column: &[f32], mut levels: [f32; LEVELS]) -> [f32; LEVELS] {
    for _ in 0..PASSES {
        let mut start = 0;
        for at in 0..LEVELS {
            let end = match levels.get(at + 1) {
                Some(next) => {
                    // Between the two, however small they are, so that levels go on to ascend.
                    let border = levels[at] + 0.5 * (next - levels[at]);
                    start + column[start..].partition_point(|&component| component < border)
                }
                None => column.len(),
            };
            if start < end {
                levels[at] = column[(start + end) / 2];
            }
            start = end;
        }
    }
    levels
}

/// What the levels lose of a column.
fn loss(column: &[f32], levels: &[f32; LEVELS]) -> f64 {
    let lost = |&component: &f32| f64::from((component - levels[nearest(levels, component)]).abs());
    column.iter().map(lost).sum()
}
