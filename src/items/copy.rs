//! Copying the live rows into a new file, which is how a store gives disk back.

use std::mem::take;
use std::ops::ControlFlow;
use std::path::Path;

use redb::ReadableTable;

use super::Database;
use super::block::BlockBuilder;
use super::dead::DeadSet;
use super::read::ReadRows;
use super::row::RowRef;
use super::tables::{Bytes, DEAD, FRESH, Handle, IDS, META, PACKED, SEGMENTS, StoredKey, Table};
use super::write::{WriteRows, write_dead};
use crate::error::Result;
use crate::options::Durability;
use crate::types::SequenceRange;

/// Bytes of blocks in one transaction of a copy.
const BATCH_BYTES: usize = 16 << 20;
/// Ids in one transaction of a copy.
const BATCH_IDS: usize = 1 << 17;

const EVERYTHING: SequenceRange = SequenceRange { start: 0, end: u64::MAX };

impl Database {
    /// Copies what `rows` sees into a new file, which appears when it is whole and durable. Rows are packed and dead
    /// rows left out; the bits of those `keep_dead` names stay set. Every checksum is checked on the way.
    pub(crate) fn copy_to(
        rows: &ReadRows,
        path: &Path,
        cache_bytes: usize,
        keep_dead: &dyn Fn(u64) -> bool,
    ) -> Result<()> {
        Database::create_with(path, cache_bytes, |target| {
            let dead = rows.dead()?;
            copy_rows(rows, &dead, target)?;
            copy_ids(rows, target)?;
            // The file has no name yet: only this last commit must be durable.
            let last = target.begin_write(Durability::Immediate)?;
            copy_table(&rows.meta, &last, META)?;
            copy_table(&rows.segments, &last, SEGMENTS)?;
            let kept: DeadSet = dead.iter_in(EVERYTHING).filter(|&sequence| keep_dead(sequence)).collect();
            write_dead(&mut last.table(DEAD)?, &kept)?;
            last.commit()
        })
    }
}

fn copy_rows(rows: &ReadRows, dead: &DeadSet, target: &Database) -> Result<()> {
    let mut blocks = Blocks { target, builder: BlockBuilder::default(), full: Vec::new(), bytes: 0 };
    rows.scan(EVERYTHING, &mut |row| {
        if !dead.contains(row.sequence) {
            blocks.push(&row)?;
        }
        Ok(ControlFlow::Continue(()))
    })?;
    blocks.finish()
}

/// Blocks on their way into the new file.
struct Blocks<'d> {
    target: &'d Database,
    builder: BlockBuilder,
    full: Vec<(u64, Vec<u8>)>,
    bytes: usize,
}

impl Blocks<'_> {
    fn push(&mut self, row: &RowRef<'_>) -> Result<()> {
        if !self.builder.fits(1, row.stored.len(), row.stored.len())
            && let Some(block) = self.builder.finish()
        {
            self.bytes += block.1.len();
            self.full.push(block);
            if self.bytes >= BATCH_BYTES {
                self.write()?;
            }
        }
        self.builder.push(row.sequence, row.stored);
        Ok(())
    }

    fn write(&mut self) -> Result<()> {
        let batch = self.target.begin_write(Durability::Buffered)?;
        let mut packed = batch.table(PACKED)?;
        for (key, block) in take(&mut self.full) {
            packed.put(&key, &block)?;
        }
        drop(packed);
        self.bytes = 0;
        batch.commit()
    }

    /// Writes the full blocks, and the rows of the last one, which is not full, as fresh rows.
    fn finish(mut self) -> Result<()> {
        self.write()?;
        let batch = self.target.begin_write(Durability::Buffered)?;
        let mut fresh = batch.table(FRESH)?;
        self.builder.rows().try_for_each(|(sequence, row)| fresh.put(&sequence, row))?;
        drop(fresh);
        batch.commit()
    }
}

fn copy_ids(rows: &ReadRows, target: &Database) -> Result<()> {
    let mut entries = rows.ids.iter()?;
    let mut left = true;
    while left {
        let batch = target.begin_write(Durability::Buffered)?;
        let mut ids = batch.table(IDS)?;
        for _ in 0..BATCH_IDS {
            let Some((key, value)) = entries.next()? else {
                left = false;
                break;
            };
            rows.ids.unseal(&key.value(), value.value())?;
            ids.put(&key.value(), value.value())?;
        }
        drop(ids);
        batch.commit()?;
    }
    Ok(())
}

fn copy_table<K: StoredKey>(
    source: &Handle<K, impl ReadableTable<K, Bytes>>,
    target: &WriteRows,
    table: Table<K>,
) -> Result<()> {
    let mut target = target.table(table)?;
    let mut entries = source.iter()?;
    while let Some((key, value)) = entries.next()? {
        source.unseal(&key.value(), value.value())?;
        target.put(&key.value(), value.value())?;
    }
    Ok(())
}
