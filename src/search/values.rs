//! Which values a field has among the items that match a filter: from the columns where there are some.

use super::guarded;
use super::selection::{Selection, item_matches, over_sources};
use crate::error::Result;
use crate::filter::Node;
use crate::metadata::Value;
use crate::segment::Field;
use crate::snapshot::View;

/// The values of a field.
pub(crate) struct Values {
    /// Values and the number of items that have them; a value may come several times.
    pub(crate) counted: Vec<(Value, u64)>,
    /// The sequence numbers, ascending, of matches that only their rows tell the values of.
    pub(crate) uncounted: Vec<u64>,
    pub(crate) set_aside: bool,
}

/// The values of a field among the live items that match a filter.
pub(crate) fn values(view: &View, filter: &Node, path: &str) -> Result<Values> {
    let ((counted, mut uncounted), set_aside) = over_sources(view, |segments, ranges| {
        let selection = Selection::compile(view, filter, segments, ranges)?;
        let (mut counted, mut uncounted) = (Vec::new(), selection.rows.concat());
        for (segment, positions) in segments.iter().zip(&selection.segments) {
            match guarded(segment, |segment| segment.field(path))? {
                Field::Nowhere => {}
                Field::Column(column) => {
                    let counts = |_| column.counts(positions).map_err(|fault| segment.in_field(path, fault));
                    counted.extend(guarded(segment, counts)?);
                }
                Field::Unindexed => uncounted.extend(guarded(segment, |segment| segment.sequences_at(positions))?),
            }
        }
        Ok((counted, uncounted))
    })?;
    for item in view.delta.items().filter(|item| !view.dead.contains(item.sequence)) {
        if item_matches(view, filter, item)? {
            uncounted.push(item.sequence);
        }
    }
    uncounted.sort_unstable();
    Ok(Values { counted, uncounted, set_aside })
}
