//! Writes that depend on what is stored: metadata changed without the vector, and removal of what matches a filter.

use std::borrow::Borrow;

use serde::Serialize;

use super::batch::Operation;
use super::{Batch, Store};
use crate::error::Result;
use crate::filter::Filter;
use crate::types::Id;

/// Items that a removal removes with one commit.
const REMOVED_AT_ONCE: usize = 1 << 16;

impl Store {
    /// Puts other metadata in place of an item's; the vector stays. Costs a read of the item and an insert.
    ///
    /// The new metadata is any serde value that is a map, as for [`Store::insert_with`].
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = understory::Store::open(dir.path().join("a.understory"))?;
    /// store.insert("a", &[0.5, 0.5])?;
    /// store.update_metadata("a", &serde_json::json!({"year": 2026, "draft": true}))?;
    /// store.patch_metadata("a", &serde_json::json!({"draft": null, "author": {"name": "Hesse"}}))?;
    /// let metadata = store.get("a")?.unwrap().metadata;
    /// assert_eq!(metadata.at("author.name"), Some(&"Hesse".into()));
    /// assert_eq!((metadata.get("year"), metadata.get("draft")), (Some(&2026.into()), None));
    /// # Ok::<(), understory::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`](crate::Error::NotFound) if no item has the id, else as [`Store::insert_with`].
    pub fn update_metadata(&self, id: impl Into<Id>, metadata: &impl Serialize) -> Result<()> {
        let mut batch = Batch::new();
        batch.update_metadata(id, metadata)?;
        self.write(batch)
    }

    /// Changes some of an item's metadata, by the rules of JSON merge patches (RFC 7396): null removes a key, a map is
    /// merged into the map of its key, anything else takes the place of what was there. Keys are keys, not paths.
    ///
    /// # Errors
    ///
    /// As [`Store::update_metadata`].
    pub fn patch_metadata(&self, id: impl Into<Id>, patch: &impl Serialize) -> Result<()> {
        let mut batch = Batch::new();
        batch.patch_metadata(id, patch)?;
        self.write(batch)
    }

    /// Removes the items that match a filter when this is called. How many it removed.
    ///
    /// Up to 65,536 items go with one commit, all or none of them; of more, so many at a time. An item that is replaced
    /// while this runs stays.
    ///
    /// ```
    /// use understory::field;
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = understory::Store::open(dir.path().join("a.understory"))?;
    /// # store.insert_with("a", &[0.5, 0.5], &serde_json::json!({"year": 1999}))?;
    /// assert_eq!(store.remove_where(field("year").lt(2000))?, 1);
    /// assert!(store.is_empty()?);
    /// # Ok::<(), understory::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::InvalidFilter`](crate::Error::InvalidFilter), else as [`Store::insert`]; commits before the one that
    /// failed stay.
    pub fn remove_where(&self, filter: impl Borrow<Filter>) -> Result<u64> {
        self.inner.check_writable()?;
        let matching = self.current()?.matching_ids(filter.borrow())?;
        let mut removed = 0;
        for some in matching.chunks(REMOVED_AT_ONCE) {
            let remove =
                |(id, sequence): &(Id, u64)| Operation::RemoveUnchanged { id: id.clone(), sequence: *sequence };
            removed += self.submit(some.iter().map(remove).collect())?;
        }
        Ok(removed)
    }
}
