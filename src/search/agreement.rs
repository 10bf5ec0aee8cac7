//! Whether the columns of a segment say what the rows say.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

use crate::bitmap::Bitmap;
use crate::error::{Error, Result};
use crate::metadata::order::total_order;
use crate::metadata::{Value, codec};
use crate::segment::{Column, Field};
use crate::snapshot::{LiveSegment, View};

/// A column, and what the rows say must be in it.
struct Watched<'s> {
    column: Option<Column<'s>>,
    present: Bitmap,
    values: u64,
}

/// Compares each column of a segment with the rows of its live items.
pub(crate) fn verify_columns(view: &View, segment: &LiveSegment) -> Result<()> {
    let mut fields: BTreeMap<String, Watched<'_>> = BTreeMap::new();
    for (path, _) in segment.indexed_fields()? {
        fields.insert(path.clone(), watch(segment, &path)?);
    }
    let mut live = Bitmap::new(segment.items());
    view.rows.scan(segment.range(), &mut |row| {
        if view.dead.contains(row.sequence) {
            return Ok(ControlFlow::Continue(()));
        }
        let Some(position) = segment.position_of(row.sequence)? else {
            let place = format!("row {}", row.sequence);
            return Err(Error::corrupt(segment.path(), place, "a position", "none"));
        };
        live.insert(position as usize);
        let metadata = codec::decode(row.metadata).map_err(|fault| {
            Error::corrupt(view.rows.path(), format!("row {}", row.sequence), fault.expected, fault.found)
        })?;
        for (path, value) in metadata.paths().into_iter().filter(|(_, value)| **value != Value::Null) {
            if !fields.contains_key(&path) {
                fields.insert(path.clone(), watch(segment, &path)?);
            }
            if let Some(watched) = fields.get_mut(&path) {
                watched.see(position, value).map_err(|found| {
                    let place = format!("column {path:?}, position {position}");
                    Error::corrupt(segment.path(), place, format!("{value:?}"), found)
                })?;
            }
        }
        Ok(ControlFlow::Continue(()))
    })?;
    for (path, watched) in &fields {
        let Some(column) = &watched.column else { continue };
        let mut present = column.present();
        present.intersect(&live);
        let (expected, found) = (watched.values, column.values_at(&live));
        if found != expected || present != watched.present {
            let expected = format!("{expected} values in {} items", watched.present.count());
            let found = format!("{found} in {}", present.count());
            return Err(Error::corrupt(segment.path(), format!("column {path:?}"), expected, found));
        }
    }
    Ok(())
}

fn watch<'s>(segment: &'s LiveSegment, path: &str) -> Result<Watched<'s>> {
    let column = match segment.field(path)? {
        Field::Column(column) => Some(column),
        Field::Unindexed => None,
        Field::Nowhere => {
            return Err(Error::corrupt(
                segment.path(),
                format!("column {path:?}"),
                "a column",
                "none, and no word of it",
            ));
        }
    };
    Ok(Watched { column, present: Bitmap::new(segment.items()), values: 0 })
}

impl Watched<'_> {
    /// Checks that the column has what an item has; what it says instead.
    fn see(&mut self, position: u32, value: &Value) -> Result<(), String> {
        let Some(column) = &self.column else { return Ok(()) };
        self.present.insert(position as usize);
        let mut scalars: Vec<&Value> = value.scalars().iter().filter(|scalar| **scalar != Value::Null).collect();
        scalars.sort_by(|a, b| total_order(a, b));
        scalars.dedup_by(|a, b| total_order(a, b) == Ordering::Equal);
        self.values += scalars.len() as u64;
        for scalar in scalars {
            match column.holds(position, scalar) {
                Ok(true) => {}
                Ok(false) => return Err("another value".into()),
                Err(fault) => return Err(fault.found),
            }
        }
        Ok(())
    }
}
