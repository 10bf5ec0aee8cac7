//! A scan under construction: items that match a filter, in an order, page by page.

use std::cmp::Ordering;

use super::select::{distinct_scalars, id_of};
use super::{Item, Snapshot};
use crate::error::Result;
use crate::filter::Filter;
use crate::metadata::order::total_order;
use crate::metadata::{Metadata, Value};
use crate::types::Id;

/// Entries kept beyond the limit before the last ones are let go.
const SPARE: usize = 1024;

/// Ids read at a time.
const PAGE: usize = 1024;

/// Where more than one item in so many matches, all ids are walked in their order instead of the matches' rows.
const MANY_ONE_IN: u64 = 4;

/// The items that match a filter: set order and page, then [`run`](Scan::run) it.
///
/// Ordered by id unless told: numbers before texts. Ordered by a field, items without a value of it come last in either
/// direction, those of one value in the order of their ids, and a list counts as the least of its values. Values of
/// several kinds stand one kind after the other: booleans, numbers, texts, bytes, timestamps.
///
/// ```
/// use understory::{Filter, field};
/// # let dir = tempfile::tempdir().unwrap();
/// # let store = understory::Store::open(dir.path().join("a.understory"))?;
/// for year in 2000..2010 {
///     store.insert_with(year, &[0.5, 0.5], &serde_json::json!({"year": year}))?;
/// }
/// let recent = store.scan_where(field("year").gt(2003))?.order_by("year").descending().limit(4);
/// let first = recent.run()?;
/// let second = recent.after(&first[3]).run()?;
/// assert_eq!((&first[0].id, &second[0].id, second.len()), (&2009.into(), &2005.into(), 2));
/// # Ok::<(), understory::Error>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct Scan {
    snapshot: Snapshot,
    filter: Filter,
    field: Option<String>,
    descending: bool,
    after: Option<(Id, Metadata)>,
    limit: usize,
}

/// An item's place in the order.
struct Entry {
    /// Its value of the field, if the order is by one and it has one.
    value: Option<Value>,
    id: Id,
    sequence: u64,
}

impl Scan {
    pub(super) fn new(snapshot: Snapshot, filter: Filter) -> Scan {
        Scan { snapshot, filter, field: None, descending: false, after: None, limit: usize::MAX }
    }

    /// Orders by a field's value, in place of ids.
    pub fn order_by(mut self, field: impl Into<String>) -> Scan {
        self.field = Some(field.into());
        self
    }

    /// Orders from the largest to the least.
    pub fn descending(mut self) -> Scan {
        self.descending = true;
        self
    }

    /// Goes on behind an item of an earlier page of the same order, whether or not the item is still there.
    pub fn after(mut self, item: &Item) -> Scan {
        self.after = Some((item.id.clone(), item.metadata.clone()));
        self
    }

    /// At most so many items. Default: all.
    pub fn limit(mut self, items: usize) -> Scan {
        self.limit = items;
        self
    }

    /// The items. Reads a row for each; ordered by a field, also the row of each match.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidFilter`](crate::Error::InvalidFilter), or [`Error::Corrupt`](crate::Error::Corrupt) if rows are
    /// damaged.
    pub fn run(&self) -> Result<Vec<Item>> {
        self.entries()?.into_iter().map(|entry| self.snapshot.item(entry.sequence)).collect()
    }

    /// The ids of the items. Ordered by id, this reads no row where many items match.
    ///
    /// # Errors
    ///
    /// As [`run`](Scan::run).
    pub fn ids(&self) -> Result<Vec<Id>> {
        Ok(self.entries()?.into_iter().map(|entry| entry.id).collect())
    }

    fn entries(&self) -> Result<Vec<Entry>> {
        let sequences = self.snapshot.matching(&self.filter)?;
        let after = self.after.as_ref().map(|(id, metadata)| self.entry(id.clone(), Some(metadata), 0));
        let mut kept = Kept { scan: self, after, entries: Vec::new() };
        match &self.field {
            Some(_) => self.snapshot.visit_metadata(&sequences, &mut |row, metadata| {
                let id = id_of(self.snapshot.view(), row)?;
                kept.push(self.entry(id, Some(&metadata), row.sequence));
                Ok(())
            })?,
            None if sequences.len() as u64 > self.snapshot.len() / MANY_ONE_IN => {
                self.walk_ids(&sequences, &mut kept)?
            }
            None => self.snapshot.visit_rows(&sequences, &mut |row| {
                kept.push(self.entry(id_of(self.snapshot.view(), row)?, None, row.sequence));
                Ok(())
            })?,
        }
        kept.settle();
        Ok(kept.entries)
    }

    /// Offers the matches in the order of ids, as long as that can change anything.
    fn walk_ids(&self, sequences: &[u64], kept: &mut Kept<'_>) -> Result<()> {
        let mut last = self.after.as_ref().filter(|_| !self.descending).map(|(id, _)| id.clone());
        loop {
            let page = self.snapshot.view().rows.ids(last.as_ref(), PAGE)?;
            let ended = page.len() < PAGE;
            last = page.last().map(|(id, _)| id.clone());
            for (id, sequence) in page {
                if sequences.binary_search(&sequence).is_ok() {
                    kept.push(self.entry(id, None, sequence));
                }
            }
            if ended || (!self.descending && kept.entries.len() >= self.limit) {
                return Ok(());
            }
        }
    }

    fn entry(&self, id: Id, metadata: Option<&Metadata>, sequence: u64) -> Entry {
        let field = self.field.as_deref().zip(metadata);
        let value = field.and_then(|(field, metadata)| distinct_scalars(metadata, field).first().copied().cloned());
        Entry { value, id, sequence }
    }

    fn order(&self, left: &Entry, right: &Entry) -> Ordering {
        let turned = |order: Ordering| if self.descending { order.reverse() } else { order };
        match (&left.value, &right.value) {
            (Some(one), Some(other)) => turned(total_order(one, other)).then_with(|| left.id.cmp(&right.id)),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) if self.field.is_none() => turned(left.id.cmp(&right.id)),
            (None, None) => left.id.cmp(&right.id),
        }
    }
}

/// The first entries so far, up to the limit and some more.
struct Kept<'a> {
    scan: &'a Scan,
    after: Option<Entry>,
    entries: Vec<Entry>,
}

impl Kept<'_> {
    fn push(&mut self, entry: Entry) {
        if self.after.as_ref().is_some_and(|after| self.scan.order(&entry, after).is_le()) {
            return;
        }
        self.entries.push(entry);
        if self.entries.len() >= self.scan.limit.saturating_mul(2).saturating_add(SPARE) {
            self.settle();
        }
    }

    fn settle(&mut self) {
        self.entries.sort_by(|left, right| self.scan.order(left, right));
        self.entries.truncate(self.scan.limit);
    }
}
