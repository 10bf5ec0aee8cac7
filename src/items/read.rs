//! Reading: a snapshot's rows, and the readers that a snapshot and a write transaction share.

use std::ops::{Bound, ControlFlow};
use std::path::Path;
use std::sync::Arc;

use redb::{ReadOnlyTable, ReadTransaction, ReadableTable};

use super::block::Block;
use super::dead::{CHUNK, DeadSet};
use super::effort::{EFFORT, EFFORTS, Effort, SPENT};
use super::faults::{Guarded, contained};
use super::meta::{self, Counters, FLUSHED, FORMAT, FormatRow, MEAN, SEGMENT, SEQUENCE, STORE, StoreRow};
use super::row::{Row, RowRef, decode_id};
use super::tables::{Bytes, DEAD, Entries, FRESH, Guard, Handle, IDS, META, PACKED, SEGMENTS, StoredKey, Table};
use crate::bytes::Malformed;
use crate::error::{Error, Result};
use crate::types::{Id, SequenceRange};

type Open<K> = Handle<K, ReadOnlyTable<K, Bytes>>;

/// One consistent view of a row file.
pub(crate) struct ReadRows {
    pub(super) meta: Open<Bytes>,
    pub(super) ids: Open<Bytes>,
    pub(super) fresh: Open<u64>,
    pub(super) packed: Open<u64>,
    pub(super) segments: Open<u64>,
    pub(super) dead: Open<u64>,
    /// Keeps the file open; the last field, so that it goes last.
    _redb: Guarded<Arc<super::Engine>>,
}

impl ReadRows {
    pub(super) fn new(path: &Arc<Path>, transaction: &ReadTransaction, redb: &Arc<super::Engine>) -> Result<Self> {
        Ok(ReadRows {
            meta: open(path, transaction, META)?,
            ids: open(path, transaction, IDS)?,
            fresh: open(path, transaction, FRESH)?,
            packed: open(path, transaction, PACKED)?,
            segments: open(path, transaction, SEGMENTS)?,
            dead: open(path, transaction, DEAD)?,
            _redb: Guarded::new(Arc::clone(redb)),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        self.meta.path()
    }

    pub(super) fn format(&self) -> Result<FormatRow> {
        required(&self.meta, FORMAT, FormatRow::decode)
    }

    pub(crate) fn store(&self) -> Result<StoreRow> {
        store(&self.meta)
    }

    pub(crate) fn counters(&self) -> Result<Counters> {
        counters(&self.meta)
    }

    /// The store's mean; `None` before the first flush, and for metrics that need none.
    pub(crate) fn mean(&self) -> Result<Option<Vec<f32>>> {
        self.meta.get_sealed(&MEAN, meta::decode_mean)
    }

    /// How far searches must scan; `None` before it was measured.
    pub(crate) fn effort(&self) -> Result<Option<Effort>> {
        if let Some(effort) = self.meta.get_sealed(&SPENT, Effort::decode)? {
            return Ok(Some(effort));
        }
        match self.meta.get_sealed(&EFFORTS, Effort::decode_scanned)? {
            Some(effort) => Ok(Some(effort)),
            None => self.meta.get_sealed(&EFFORT, Effort::decode_for_ten),
        }
    }

    /// Live items.
    pub(crate) fn len(&self) -> Result<u64> {
        self.ids.len()
    }

    /// The sequence number of a live item.
    pub(crate) fn sequence_of(&self, id: &Id) -> Result<Option<u64>> {
        sequence_of(&self.ids, &id.to_bytes())
    }

    /// The row of a sequence number, live or still held by a block.
    pub(crate) fn row(&self, sequence: u64) -> Result<Option<Row>> {
        row(&self.fresh, &self.packed, sequence)
    }

    /// Rows of the range in ascending order, dead ones included as long as a block holds them, until `visit` breaks.
    pub(crate) fn scan(
        &self,
        range: SequenceRange,
        visit: &mut dyn FnMut(RowRef<'_>) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let mut fresh = Fresh::new(&self.fresh, range)?;
        let mut blocks = blocks_over(&self.packed, range)?;
        while let Some((key, value)) = blocks.next()? {
            let key = key.value();
            let fault = |fault| self.packed.fault(&key, fault);
            for row in Block::decode(key, value.value()).map_err(fault)?.rows() {
                let (sequence, bytes) = row.map_err(fault)?;
                if !range.contains(sequence) {
                    continue;
                }
                if fresh.visit_before(sequence, visit)?.is_break() {
                    return Ok(());
                }
                let row =
                    RowRef::decode(sequence, bytes).map_err(|fault| in_block(&self.packed, key, sequence, fault))?;
                if visit(row)?.is_break() {
                    return Ok(());
                }
            }
        }
        fresh.visit_before(range.end, visit).map(drop)
    }

    /// Up to `limit` live items after the given id, in the order of ids, with their sequence numbers.
    pub(crate) fn ids(&self, after: Option<&Id>, limit: usize) -> Result<Vec<(Id, u64)>> {
        let after = after.map(Id::to_bytes);
        let lower = after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let mut entries = self.ids.range((lower, Bound::Unbounded))?;
        let mut found = Vec::new();
        while found.len() < limit
            && let Some((key, value)) = entries.next()?
        {
            let key = key.value();
            let id = decode_id(key).map_err(|fault| self.ids.fault(&key, fault))?;
            found.push((id, decode_sequence(&self.ids, &key, value.value())?));
        }
        Ok(found)
    }

    pub(crate) fn dead(&self) -> Result<DeadSet> {
        dead_in(&self.dead, SequenceRange { start: 0, end: u64::MAX })
    }

    /// The manifest's rows by segment id.
    pub(crate) fn segments(&self) -> Result<Vec<(u64, Vec<u8>)>> {
        segments(&self.segments)
    }
}

impl std::fmt::Debug for ReadRows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReadRows").field("path", &self.path()).finish_non_exhaustive()
    }
}

fn open<K: StoredKey>(path: &Arc<Path>, transaction: &ReadTransaction, table: Table<K>) -> Result<Open<K>> {
    let open = contained(path, "open a table", || transaction.open_table(table.definition()))?;
    Ok(Handle::new(table, path, open))
}

/// The value of a key of `meta` that every store has.
fn required<V>(
    meta: &Handle<Bytes, impl ReadableTable<Bytes, Bytes>>,
    key: &[u8],
    decode: impl FnOnce(&[u8]) -> Result<V, Malformed>,
) -> Result<V> {
    meta.get_sealed(&key, decode)?
        .ok_or_else(|| meta.fault(&key, Malformed { expected: "a value".into(), found: "none".into() }))
}

pub(super) fn store(meta: &Handle<Bytes, impl ReadableTable<Bytes, Bytes>>) -> Result<StoreRow> {
    required(meta, STORE, StoreRow::decode)
}

pub(super) fn counters(meta: &Handle<Bytes, impl ReadableTable<Bytes, Bytes>>) -> Result<Counters> {
    Ok(Counters {
        next_sequence: required(meta, SEQUENCE, meta::decode_u64)?,
        next_segment: required(meta, SEGMENT, meta::decode_u64)?,
        flushed: required(meta, FLUSHED, meta::decode_u64)?,
    })
}

pub(super) fn sequence_of(ids: &Handle<Bytes, impl ReadableTable<Bytes, Bytes>>, id: &[u8]) -> Result<Option<u64>> {
    ids.get_sealed(&id, meta::decode_u64)
}

/// Reads the value of an id.
pub(super) fn decode_sequence<T>(ids: &Handle<Bytes, T>, id: &&[u8], stored: &[u8]) -> Result<u64> {
    meta::decode_u64(ids.unseal(id, stored)?).map_err(|fault| ids.fault(id, fault))
}

pub(super) fn segments(table: &Handle<u64, impl ReadableTable<u64, Bytes>>) -> Result<Vec<(u64, Vec<u8>)>> {
    let mut entries = table.iter()?;
    let mut found = Vec::new();
    while let Some((key, value)) = entries.next()? {
        let key = key.value();
        found.push((key, table.unseal(&key, value.value())?.to_vec()));
    }
    Ok(found)
}

/// The dead sequence numbers of all chunks that the range touches.
pub(super) fn dead_in(table: &Handle<u64, impl ReadableTable<u64, Bytes>>, range: SequenceRange) -> Result<DeadSet> {
    let mut dead = DeadSet::default();
    let mut entries = table.range(range.start / CHUNK..=range.end / CHUNK)?;
    while let Some((key, value)) = entries.next()? {
        let key = key.value();
        let bits = table.unseal(&key, value.value())?;
        dead.push_stored(key, bits).map_err(|fault| table.fault(&key, fault))?;
    }
    Ok(dead)
}

pub(super) fn row(
    fresh: &Handle<u64, impl ReadableTable<u64, Bytes>>,
    packed: &Handle<u64, impl ReadableTable<u64, Bytes>>,
    sequence: u64,
) -> Result<Option<Row>> {
    match fresh_row(fresh, sequence)? {
        Some(row) => Ok(Some(row)),
        None => packed_row(packed, sequence),
    }
}

pub(super) fn fresh_row(fresh: &Handle<u64, impl ReadableTable<u64, Bytes>>, sequence: u64) -> Result<Option<Row>> {
    let Some(value) = fresh.get(&sequence)? else { return Ok(None) };
    let row = RowRef::decode(sequence, value.value()).and_then(RowRef::to_row);
    row.map(Some).map_err(|fault| fresh.fault(&sequence, fault))
}

pub(super) fn packed_row(packed: &Handle<u64, impl ReadableTable<u64, Bytes>>, sequence: u64) -> Result<Option<Row>> {
    let Some((key, value)) = packed.range(..=sequence)?.next_back()? else { return Ok(None) };
    let key = key.value();
    let block = Block::decode(key, value.value()).map_err(|fault| packed.fault(&key, fault))?;
    match block.find(sequence).map_err(|fault| packed.fault(&key, fault))? {
        None => Ok(None),
        Some(bytes) => {
            let row = RowRef::decode(sequence, bytes).and_then(RowRef::to_row);
            row.map(Some).map_err(|fault| in_block(packed, key, sequence, fault))
        }
    }
}

/// A damaged row of a block.
pub(super) fn in_block<T>(packed: &Handle<u64, T>, key: u64, sequence: u64, fault: Malformed) -> Error {
    let place = format!("{}, row {sequence}", packed.place(&key));
    super::faults::malformed(packed.path(), place, fault)
}

/// The blocks that may hold rows of the range.
pub(super) fn blocks_over<T: ReadableTable<u64, Bytes>>(
    packed: &Handle<u64, T>,
    range: SequenceRange,
) -> Result<Entries<'_, u64>> {
    if range.start >= range.end {
        return packed.range(0..0);
    }
    // The last block that begins at or before the range may reach into it.
    let first = packed.range(..=range.start)?.next_back()?.map_or(range.start, |(key, _)| key.value());
    packed.range(first..range.end)
}

/// The rows of `fresh` in a range, one ahead of what was visited.
struct Fresh<'t, T> {
    table: &'t Handle<u64, T>,
    entries: Entries<'t, u64>,
    next: Option<(u64, Guard<'t>)>,
}

impl<'t, T: ReadableTable<u64, Bytes>> Fresh<'t, T> {
    fn new(table: &'t Handle<u64, T>, range: SequenceRange) -> Result<Fresh<'t, T>> {
        let entries = table.range(range.start..range.end.max(range.start))?;
        let mut fresh = Fresh { table, entries, next: None };
        fresh.step()?;
        Ok(fresh)
    }

    fn step(&mut self) -> Result<()> {
        self.next = self.entries.next()?.map(|(key, value)| (key.value(), value));
        Ok(())
    }

    /// Visits what comes before a sequence number.
    fn visit_before(
        &mut self,
        end: u64,
        visit: &mut dyn FnMut(RowRef<'_>) -> Result<ControlFlow<()>>,
    ) -> Result<ControlFlow<()>> {
        while let Some((sequence, value)) = &self.next
            && *sequence < end
        {
            let row = RowRef::decode(*sequence, value.value()).map_err(|fault| self.table.fault(sequence, fault))?;
            if visit(row)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
            self.step()?;
        }
        Ok(ControlFlow::Continue(()))
    }
}
