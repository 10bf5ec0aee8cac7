//! What matches a filter, without a vector: how many items, which values a field has, and in which order to show them.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::{Scan, Snapshot, Store};
use crate::error::{Error, Result};
use crate::filter::Filter;
use crate::items::RowRef;
use crate::metadata::order::total_order;
use crate::metadata::{Metadata, Value, codec};
use crate::search;
use crate::snapshot::View;
use crate::types::{Id, SequenceRange};

/// Rows that lie at most so far apart are read in one pass.
const GAP: u64 = 64;

impl Store {
    /// The number of items that match a filter, now. See [`Snapshot::count`].
    ///
    /// # Errors
    ///
    /// [`Error::InvalidFilter`], or [`Error::Corrupt`] if rows are damaged.
    pub fn count(&self, filter: impl Borrow<Filter>) -> Result<u64> {
        self.current()?.count(filter)
    }

    /// The values of a field with the number of items that have them. See [`Snapshot::distinct`].
    ///
    /// # Errors
    ///
    /// As [`Store::count`].
    pub fn distinct(&self, field: &str, filter: Option<&Filter>) -> Result<Vec<(Value, u64)>> {
        self.current()?.distinct(field, filter)
    }

    /// The items that match a filter, as they are now, in an order and page by page. See [`Scan`].
    ///
    /// # Errors
    ///
    /// [`Error::Closed`].
    pub fn scan_where(&self, filter: impl Borrow<Filter>) -> Result<Scan> {
        Ok(self.snapshot()?.scan_where(filter))
    }
}

impl Snapshot {
    /// The number of items that match a filter.
    ///
    /// ```
    /// use understory::field;
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = understory::Store::open(dir.path().join("a.understory"))?;
    /// for (id, lang) in [(1, "en"), (2, "de"), (3, "en")] {
    ///     store.insert_with(id, &[0.5, 0.5], &serde_json::json!({"lang": lang}))?;
    /// }
    /// let snapshot = store.snapshot()?;
    /// assert_eq!(snapshot.count(field("lang").is("en"))?, 2);
    /// assert_eq!(snapshot.distinct("lang", None)?, [("en".into(), 2), ("de".into(), 1)]);
    /// # Ok::<(), understory::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::InvalidFilter`], or [`Error::Corrupt`] if rows are damaged.
    pub fn count(&self, filter: impl Borrow<Filter>) -> Result<u64> {
        let filter = filter.borrow();
        filter.check()?;
        let (count, set_aside) = search::count_matches(self.view(), &filter.node)?;
        if set_aside {
            self.report_damage();
        }
        Ok(count)
    }

    /// The values of a field among the items that match a filter, or all items, with the number of items that have
    /// them: the most frequent first, those of one number in the order of values. A list counts for each of its values
    /// once; null, lists and maps are no values; integers and floats of one value are one.
    ///
    /// Keeps all values in memory. Segments count from their columns; elsewhere, and where a field has no column, this
    /// reads the row of each match.
    ///
    /// # Errors
    ///
    /// As [`Snapshot::count`].
    pub fn distinct(&self, field: &str, filter: Option<&Filter>) -> Result<Vec<(Value, u64)>> {
        let everything = Filter::all([]);
        let filter = filter.unwrap_or(&everything);
        filter.check()?;
        let values = search::values(self.view(), &filter.node, field)?;
        if values.set_aside {
            self.report_damage();
        }
        let mut counts: BTreeMap<Ordered, u64> = BTreeMap::new();
        for (value, count) in values.counted {
            *counts.entry(Ordered(value)).or_default() += count;
        }
        self.visit_metadata(&values.uncounted, &mut |_, metadata| {
            for value in distinct_scalars(&metadata, field) {
                *counts.entry(Ordered(value.clone())).or_default() += 1;
            }
            Ok(())
        })?;
        let mut counts: Vec<(Value, u64)> = counts.into_iter().map(|(value, count)| (value.0, count)).collect();
        // Stable: those of one number stay in the order of values.
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        Ok(counts)
    }

    /// The items that match a filter, in an order and page by page. See [`Scan`].
    pub fn scan_where(&self, filter: impl Borrow<Filter>) -> Scan {
        Scan::new(self.clone(), filter.borrow().clone())
    }

    /// The sequence numbers of the live items that match, ascending.
    pub(super) fn matching(&self, filter: &Filter) -> Result<Vec<u64>> {
        filter.check()?;
        let matches = search::matches(self.view(), &filter.node)?;
        if matches.set_aside {
            self.report_damage();
        }
        Ok(matches.sequences)
    }

    /// The live items that match.
    pub(super) fn matching_ids(&self, filter: &Filter) -> Result<Vec<(Id, u64)>> {
        let mut found = Vec::new();
        self.visit_rows(&self.matching(filter)?, &mut |row| {
            found.push((id_of(self.view(), row)?, row.sequence));
            Ok(())
        })?;
        Ok(found)
    }

    /// Visits the rows of live items, given by ascending sequence numbers.
    pub(super) fn visit_rows(
        &self,
        sequences: &[u64],
        visit: &mut dyn FnMut(&RowRef<'_>) -> Result<()>,
    ) -> Result<()> {
        let view = self.view();
        for near in sequences.chunk_by(|one, next| next - one <= GAP) {
            let mut wanted = near.iter().copied().peekable();
            let range = SequenceRange { start: near[0], end: near[near.len() - 1] + 1 };
            view.rows.scan(range, &mut |row| {
                if wanted.next_if_eq(&row.sequence).is_some() {
                    visit(&row)?;
                }
                Ok(ControlFlow::Continue(()))
            })?;
            if let Some(missing) = wanted.next() {
                let place = format!("row {missing}");
                return Err(Error::corrupt(view.rows.path(), place, "the row of a live item", "no row"));
            }
        }
        Ok(())
    }

    /// Visits ids and metadata of live items, given by ascending sequence numbers.
    pub(super) fn visit_metadata(
        &self,
        sequences: &[u64],
        visit: &mut dyn FnMut(&RowRef<'_>, Metadata) -> Result<()>,
    ) -> Result<()> {
        self.visit_rows(sequences, &mut |row| visit(row, metadata_of(self.view(), row)?))
    }
}

/// The values of a field that filters can name, each once.
pub(super) fn distinct_scalars<'m>(metadata: &'m Metadata, field: &str) -> Vec<&'m Value> {
    let mut values: Vec<&Value> =
        metadata.at(field).map_or(&[][..], Value::scalars).iter().filter(|value| **value != Value::Null).collect();
    values.sort_by(|left, right| total_order(left, right));
    values.dedup_by(|left, right| total_order(left, right).is_eq());
    values
}

pub(super) fn id_of(view: &View, row: &RowRef<'_>) -> Result<Id> {
    Id::decode(row.id).ok_or_else(|| {
        Error::corrupt(view.rows.path(), format!("row {}", row.sequence), "an id", format!("{:?}", row.id))
    })
}

fn metadata_of(view: &View, row: &RowRef<'_>) -> Result<Metadata> {
    codec::decode(row.metadata).map_err(|fault| {
        Error::corrupt(view.rows.path(), format!("row {}", row.sequence), fault.expected, fault.found)
    })
}

/// A scalar as a key.
pub(super) struct Ordered(pub(super) Value);

impl PartialEq for Ordered {
    fn eq(&self, other: &Ordered) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Ordered {}

impl PartialOrd for Ordered {
    fn partial_cmp(&self, other: &Ordered) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ordered {
    fn cmp(&self, other: &Ordered) -> Ordering {
        total_order(&self.0, &other.0)
    }
}
