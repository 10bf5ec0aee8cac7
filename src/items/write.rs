//! Writing: one transaction, which is committed whole or leaves no trace.
//!
//! redb's tables borrow their transaction and open once at a time, so each call opens what it needs.

use std::path::Path;
use std::sync::Arc;

use super::block::BlockBuilder;
use super::dead::{CHUNK, DeadSet};
use super::effort::{Effort, SPENT};
use super::faults::{Guarded, commit_failed, contained};
use super::meta::{self, Counters, FORMAT, FormatRow, MEAN, STORE, StoreRow};
use super::read;
use super::row::{self, Element, NewRow, Row};
use super::tables::{Bytes, DEAD, FRESH, Handle, IDS, META, PACKED, SEGMENTS, StoredKey, Table};
use crate::error::{Error, Result};
use crate::types::{Id, Metric, SequenceRange};

pub(super) type Open<'t, K> = Handle<K, redb::Table<'t, K, Bytes>>;

/// A write transaction. Dropped without a commit, it changed nothing.
pub(crate) struct WriteRows {
    path: Arc<Path>,
    transaction: Guarded<redb::WriteTransaction>,
    element: Element,
}

impl WriteRows {
    pub(super) fn new(path: &Arc<Path>, transaction: redb::WriteTransaction) -> WriteRows {
        WriteRows { path: Arc::clone(path), transaction: Guarded::new(transaction), element: Element::default() }
    }

    pub(super) fn table<K: StoredKey>(&self, table: Table<K>) -> Result<Open<'_, K>> {
        let open = contained(&self.path, "open a table", || self.transaction.open_table(table.definition()))?;
        Ok(Handle::new(table, &self.path, open))
    }

    /// How the components of rows written from now on are stored; float32 unless told.
    pub(crate) fn set_element(&mut self, element: Element) {
        self.element = element;
    }

    /// Makes every table exist, so that readers can open them, and writes the format's row.
    pub(super) fn create_tables(&self) -> Result<()> {
        self.table(META)?.put_sealed(&FORMAT, &FormatRow::CURRENT.encode())?;
        self.table(IDS)?;
        self.table(FRESH)?;
        self.table(PACKED)?;
        self.table(SEGMENTS)?;
        self.table(DEAD)?;
        Ok(())
    }

    pub(crate) fn store(&self) -> Result<StoreRow> {
        read::store(&self.table(META)?)
    }

    /// Names the features that a reader of a new store must know.
    pub(super) fn set_format(&mut self, metric: Metric) -> Result<()> {
        self.table(META)?.put_sealed(&FORMAT, &FormatRow::of(metric).encode())
    }

    pub(super) fn set_store(&mut self, store: &StoreRow) -> Result<()> {
        self.table(META)?.put_sealed(&STORE, &store.encode())
    }

    /// Fixes the dimension, with the first vector.
    pub(crate) fn set_dimension(&mut self, dimension: usize) -> Result<()> {
        let store = StoreRow { dimension: Some(dimension), ..self.store()? };
        self.set_store(&store)
    }

    pub(crate) fn set_counters(&mut self, counters: Counters) -> Result<()> {
        let mut meta = self.table(META)?;
        counters.rows().iter().try_for_each(|(key, number)| meta.put_sealed(key, &number.to_le_bytes()))
    }

    pub(crate) fn set_mean(&mut self, mean: &[f32]) -> Result<()> {
        self.table(META)?.put_sealed(&MEAN, &meta::encode_mean(mean))
    }

    pub(crate) fn set_effort(&mut self, effort: &Effort) -> Result<()> {
        self.table(META)?.put_sealed(&SPENT, &effort.encode())
    }

    /// Writes a manifest row.
    pub(crate) fn put_segment(&mut self, segment: u64, row: &[u8]) -> Result<()> {
        self.table(SEGMENTS)?.put_sealed(&segment, row)
    }

    /// Removes a manifest row; whether it was there.
    pub(crate) fn remove_segment(&mut self, segment: u64) -> Result<bool> {
        self.table(SEGMENTS)?.remove(&segment)
    }

    /// Writes one item under a new sequence number, larger than all before. Returns the sequence number that the id
    /// had before, which is dead now.
    pub(crate) fn put(&mut self, sequence: u64, id: &Id, metadata: &[u8], vector: &[f32]) -> Result<Option<u64>> {
        let mut bytes = Vec::new();
        row::encode(&NewRow { sequence, id, metadata, vector }, self.element, &mut bytes);
        self.table(FRESH)?.put(&sequence, &bytes)?;
        let died = name(&mut self.table(IDS)?, &id.to_bytes(), sequence)?;
        self.bury(died.as_slice())?;
        Ok(died)
    }

    /// Writes many items, of ascending new sequence numbers and distinct ids: as blocks where they fill some, the rest
    /// as fresh rows. Returns the sequence numbers that died, ascending.
    pub(crate) fn put_many(&mut self, rows: &[NewRow<'_>]) -> Result<Vec<u64>> {
        self.write_rows(rows)?;
        let mut named: Vec<(Vec<u8>, u64)> = rows.iter().map(|row| (row.id.to_bytes(), row.sequence)).collect();
        // In the order of the table, which writes each of its pages once.
        named.sort_unstable();
        let mut died = Vec::new();
        let mut ids = self.table(IDS)?;
        for (id, sequence) in named {
            died.extend(name(&mut ids, &id, sequence)?);
        }
        drop(ids);
        died.sort_unstable();
        self.bury(&died)?;
        Ok(died)
    }

    fn write_rows(&mut self, rows: &[NewRow<'_>]) -> Result<()> {
        let mut builder = BlockBuilder::default();
        let mut bytes = Vec::new();
        let mut packed = self.table(PACKED)?;
        for row in rows {
            row::encode(row, self.element, &mut bytes);
            if !builder.fits(1, bytes.len(), bytes.len())
                && let Some((key, block)) = builder.finish()
            {
                packed.put(&key, &block)?;
            }
            builder.push(row.sequence, &bytes);
        }
        let mut fresh = self.table(FRESH)?;
        builder.rows().try_for_each(|(sequence, row)| fresh.put(&sequence, row))
    }

    /// The sequence number of a live item, as this transaction has left it.
    pub(crate) fn sequence_of(&self, id: &Id) -> Result<Option<u64>> {
        read::sequence_of(&self.table(IDS)?, &id.to_bytes())
    }

    /// The row of a sequence number, as this transaction has left it.
    pub(crate) fn row(&self, sequence: u64) -> Result<Option<Row>> {
        read::row(&self.table(FRESH)?, &self.table(PACKED)?, sequence)
    }

    /// A row of this file that is not what was written.
    pub(crate) fn corrupt(&self, place: String, expected: String, found: String) -> Error {
        Error::corrupt(&self.path, place, expected, found)
    }

    /// Removes an item. Returns its sequence number, which is dead now; `None` if there is no such item.
    pub(crate) fn remove(&mut self, id: &Id) -> Result<Option<u64>> {
        let id = id.to_bytes();
        let mut ids = self.table(IDS)?;
        let died = read::sequence_of(&ids, &id)?;
        if died.is_some() {
            ids.remove(&id.as_slice())?;
        }
        drop(ids);
        self.bury(died.as_slice())?;
        Ok(died)
    }

    /// Marks ascending sequence numbers dead and takes their rows out of `fresh`.
    fn bury(&mut self, died: &[u64]) -> Result<()> {
        if died.is_empty() {
            return Ok(());
        }
        let mut fresh = self.table(FRESH)?;
        for sequence in died {
            fresh.remove(sequence)?;
        }
        let mut table = self.table(DEAD)?;
        for chunk in died.chunk_by(|one, other| one / CHUNK == other / CHUNK) {
            let within = SequenceRange { start: chunk[0], end: chunk[0] };
            let mut dead = read::dead_in(&table, within)?;
            for &sequence in chunk {
                dead.insert(sequence);
            }
            write_dead(&mut table, &dead)?;
        }
        Ok(())
    }

    /// Clears the bits of dead sequence numbers in the range but for those that `keep` names: what neither a block nor
    /// a segment holds any more.
    pub(crate) fn retain_dead(&mut self, range: SequenceRange, keep: &dyn Fn(u64) -> bool) -> Result<()> {
        let mut table = self.table(DEAD)?;
        let before = read::dead_in(&table, range)?;
        let mut after = before.clone();
        after.retain(range, keep);
        for (number, bits) in after.changes_from(&before) {
            match bits {
                Some(bits) => table.put_sealed(&number, &bits)?,
                None => {
                    table.remove(&number)?;
                }
            }
        }
        Ok(())
    }

    /// Makes the changes one commit, which every later read sees.
    pub(crate) fn commit(self) -> Result<()> {
        let WriteRows { path, transaction, element: _ } = self;
        let mut failed = None;
        let outcome = contained(&path, "commit", || {
            failed = transaction.into_inner().and_then(|transaction| transaction.commit().err());
            Ok::<(), redb::Error>(())
        });
        match (outcome, failed) {
            (Ok(()), None) => Ok(()),
            (Ok(()), Some(error)) => Err(commit_failed(&path, error)),
            // A panic half way: nobody knows how far it came.
            (Err(error), _) => Err(Error::CommitUnknown { source: Box::new(error) }),
        }
    }
}

impl std::fmt::Debug for WriteRows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WriteRows").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Points an id at a sequence number; returns the one it had before.
fn name(ids: &mut Open<'_, Bytes>, id: &[u8], sequence: u64) -> Result<Option<u64>> {
    let sealed = ids.seal(&id, &sequence.to_le_bytes());
    ids.insert(&id, &sealed, |ids, old| read::decode_sequence(ids, &id, old))
}

pub(super) fn write_dead(table: &mut Open<'_, u64>, dead: &DeadSet) -> Result<()> {
    dead.stored().try_for_each(|(number, bits)| table.put_sealed(&number, &bits))
}
