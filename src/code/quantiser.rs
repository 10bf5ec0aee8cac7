//! What turns components into the codes of a segment whose items are coded as they are, not as residuals: manhattan's.

use super::kind::CodeKind;
use super::levels::Levels;
use super::steps::Steps;
use crate::bytes::Malformed;

/// Vectors that a quantiser is fitted to.
const SAMPLE: usize = 1024;

/// What makes the codes of a segment's items.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Quantiser {
    /// Bytes.
    Steps(Steps),
    /// Half bytes.
    Levels(Levels),
}

impl Quantiser {
    /// The quantiser of a kind of code, fitted to some vectors, of which there must be one; `None` for a kind that needs
    /// none.
    pub(crate) fn fit(kind: CodeKind, vectors: &[f32], dimension: usize) -> Option<Quantiser> {
        match kind {
            CodeKind::Bytes => Some(Quantiser::Steps(Steps::fit(vectors, dimension))),
            CodeKind::HalfBytes => Some(Quantiser::Levels(Levels::fit(vectors, dimension))),
            CodeKind::Signs | CodeKind::ShortSigns | CodeKind::Narrow(_) | CodeKind::Bits => None,
        }
    }

    /// The stored form.
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Quantiser::Steps(steps) => steps.encode(),
            Quantiser::Levels(levels) => levels.encode(),
        }
    }

    /// Reads the stored form, of a dimension that was checked; `None` for a kind that needs no quantiser.
    pub(crate) fn decode(kind: CodeKind, bytes: &[u8], dimension: usize) -> Result<Option<Quantiser>, Malformed> {
        match kind {
            CodeKind::Bytes => Steps::decode(bytes, dimension).map(|steps| Some(Quantiser::Steps(steps))),
            CodeKind::HalfBytes => Levels::decode(bytes, dimension).map(|levels| Some(Quantiser::Levels(levels))),
            CodeKind::Signs | CodeKind::ShortSigns | CodeKind::Narrow(_) | CodeKind::Bits => Ok(None),
        }
    }
}

/// Some of the vectors, spread evenly.
pub(super) fn sample(vectors: &[f32], dimension: usize) -> Vec<&[f32]> {
    let stride = (vectors.len() / dimension).div_ceil(SAMPLE).max(1);
    vectors.chunks_exact(dimension).step_by(stride).collect()
}

/// For each dimension the components of a sample, ascending.
pub(super) fn sorted_columns(vectors: &[f32], dimension: usize) -> Vec<Vec<f32>> {
    let sample = sample(vectors, dimension);
    let mut columns: Vec<Vec<f32>> = (0..dimension).map(|_| Vec::with_capacity(sample.len())).collect();
    for vector in sample {
        columns.iter_mut().zip(vector).for_each(|(column, &component)| column.push(component));
    }
    columns.iter_mut().for_each(|column| column.sort_unstable_by(f32::total_cmp));
    columns
}
