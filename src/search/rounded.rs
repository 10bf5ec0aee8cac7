//! Segments whose vectors are rounded: what must be exact is read from the rows.

use std::sync::Arc;

use super::Found;
use crate::code::QueryCode;
use crate::distance::kernels;
use crate::error::{Error, Result};
use crate::snapshot::{LiveSegment, View};
use crate::types::SequenceRange;
use crate::vector::Components;

/// The parts of a view for an exact search: rounded segments count as ranges that only the rows answer for.
pub(super) fn exact_sources<'s>(
    segments: &[&'s Arc<LiveSegment>],
    ranges: &[SequenceRange],
) -> (Vec<&'s Arc<LiveSegment>>, Vec<SequenceRange>) {
    let (rounded, exact): (Vec<_>, Vec<_>) = segments.iter().copied().partition(|segment| segment.is_rounded());
    (exact, ranges.iter().copied().chain(rounded.iter().map(|segment| segment.range())).collect())
}

/// Whether a search finds rounded distances.
pub(crate) fn has_rounded(view: &View) -> bool {
    view.sources().0.iter().any(|segment| segment.is_rounded())
}

/// Takes the distances of what was found again, from the rows, and brings it in their order. Costs a row each.
pub(crate) fn measure_again(view: &View, vector: &[f32], found: &mut [Found]) -> Result<()> {
    let Some(frame) = view.frame.as_deref() else { return Ok(()) };
    let mut query = QueryCode::default();
    query.prepare(frame, vector, 0.0);
    for found in &mut *found {
        let corrupt = |expected: String, what: String| {
            Error::corrupt(view.rows.path(), format!("row {}", found.sequence), expected, what)
        };
        let row = view.rows.row(found.sequence)?;
        let row = row.ok_or_else(|| corrupt("the row of a live item".into(), "no row".into()))?;
        if row.vector.len() != vector.len() {
            let of = |dimension: usize| format!("dimension {dimension}");
            return Err(corrupt(of(vector.len()), of(row.vector.len())));
        }
        let inverse_norm = frame.inverse_norm(&row.vector);
        found.distance = query.distance(kernels(), Components::Floats(&row.vector), inverse_norm);
    }
    found.sort_by(|a, b| a.distance.total_cmp(&b.distance).then_with(|| a.id.cmp(&b.id)));
    Ok(())
}
