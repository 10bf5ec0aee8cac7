//! Batches: several writes that are on disk all together or not at all.

use serde::Serialize;

use super::change::Change;
use crate::error::Result;
use crate::metadata::{Metadata, codec};
use crate::types::Id;
use crate::vector::Vector;

/// A write of one item, as the caller asked for it.
#[derive(Clone, Debug)]
pub(super) enum Operation {
    Insert {
        id: Id,
        vector: Vec<f32>,
        metadata: Vec<u8>,
    },
    Remove {
        id: Id,
    },
    /// Of metadata alone; the vector stays.
    Change {
        id: Id,
        change: Change,
    },
    /// If the id still has this sequence number.
    RemoveUnchanged {
        id: Id,
        sequence: u64,
    },
}

impl Operation {
    pub(super) fn insert(id: Id, vector: impl Vector, metadata: &impl Serialize) -> Result<Operation> {
        let metadata = codec::encode(&Metadata::from_serde(metadata)?)?;
        Ok(Operation::Insert { id, vector: vector.components().into_owned(), metadata })
    }

    pub(super) fn id(&self) -> &Id {
        match self {
            Operation::Insert { id, .. }
            | Operation::Remove { id }
            | Operation::Change { id, .. }
            | Operation::RemoveUnchanged { id, .. } => id,
        }
    }
}

/// Writes that take effect together, in order: of several writes of one id the last one counts.
///
/// ```
/// use understory::{Batch, Store};
/// # let dir = tempfile::tempdir().unwrap();
/// let store = Store::open(dir.path().join("a.understory"))?;
/// let mut batch = Batch::new();
/// batch.insert("one", [1.0, 0.0]).insert("two", [0.0, 1.0]).remove("zero");
/// store.write(batch)?;
/// assert_eq!(store.len()?, 2);
/// # Ok::<(), understory::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Batch {
    pub(super) operations: Vec<Operation>,
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Batch {
        Batch::default()
    }

    /// Inserts an item without metadata, replacing the whole item that has the id.
    pub fn insert(&mut self, id: impl Into<Id>, vector: impl Vector) -> &mut Batch {
        let vector = vector.components().into_owned();
        self.operations.push(Operation::Insert { id: id.into(), vector, metadata: Vec::new() });
        self
    }

    /// Inserts an item with metadata, replacing the whole item that has the id.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidMetadata`](crate::Error::InvalidMetadata) if the metadata is no map of scalars and lists; the
    /// batch is unchanged then.
    pub fn insert_with(
        &mut self,
        id: impl Into<Id>,
        vector: impl Vector,
        metadata: &impl Serialize,
    ) -> Result<&mut Batch> {
        self.operations.push(Operation::insert(id.into(), vector, metadata)?);
        Ok(self)
    }

    /// Puts other metadata in place of an item's. See [`Store::update_metadata`](crate::Store::update_metadata).
    ///
    /// # Errors
    ///
    /// As [`insert_with`](Batch::insert_with). That no item has the id is found when the batch is written.
    pub fn update_metadata(&mut self, id: impl Into<Id>, metadata: &impl Serialize) -> Result<&mut Batch> {
        self.operations.push(Operation::Change { id: id.into(), change: Change::replace(metadata)? });
        Ok(self)
    }

    /// Changes some of an item's metadata. See [`Store::patch_metadata`](crate::Store::patch_metadata).
    ///
    /// # Errors
    ///
    /// As [`insert_with`](Batch::insert_with). That no item has the id is found when the batch is written.
    pub fn patch_metadata(&mut self, id: impl Into<Id>, patch: &impl Serialize) -> Result<&mut Batch> {
        self.operations.push(Operation::Change { id: id.into(), change: Change::patch(patch)? });
        Ok(self)
    }

    /// Removes an item; an id that no item has is no error.
    pub fn remove(&mut self, id: impl Into<Id>) -> &mut Batch {
        self.operations.push(Operation::Remove { id: id.into() });
        self
    }

    /// Writes in the batch.
    pub fn len(&self) -> usize {
        self.operations.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }
}
