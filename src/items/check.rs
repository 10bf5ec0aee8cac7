//! The full check of a row file: every checksum, and that the tables agree.

use super::block::Block;
use super::dead::DeadSet;
use super::meta::Counters;
use super::read::{ReadRows, in_block};
use super::row::{RowRef, decode_id};
use crate::bytes::Malformed;
use crate::error::Result;
use crate::types::SequenceRange;

/// What a full check counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RowCheck {
    /// Live items.
    pub(crate) items: u64,
    pub(crate) fresh: u64,
    pub(crate) blocks: u64,
    /// Rows in blocks, dead ones included.
    pub(crate) packed: u64,
    /// Dead rows that blocks hold.
    pub(crate) dead: u64,
    /// Manifest rows.
    pub(crate) segments: u64,
}

impl ReadRows {
    /// Reads everything. An error names the table and the key.
    pub(crate) fn verify(&self) -> Result<RowCheck> {
        let counters = self.check_meta()?;
        let dead = self.dead()?;
        self.check_dead(&dead, counters)?;
        let check = Check { rows: self, dead: &dead, counters, dimension: self.store()?.dimension };
        let mut counts = RowCheck { segments: self.segments()?.len() as u64, ..RowCheck::default() };
        check.fresh(&mut counts)?;
        check.blocks(&mut counts)?;
        check.ids(&counts)?;
        Ok(counts)
    }

    fn check_meta(&self) -> Result<Counters> {
        let mut entries = self.meta.iter()?;
        while let Some((key, value)) = entries.next()? {
            self.meta.unseal(&key.value(), value.value())?;
        }
        self.format()?;
        self.mean()?;
        self.effort()?;
        let counters = self.counters()?;
        if counters.flushed > counters.next_sequence {
            let expected = format!("at most {}, the next sequence number", counters.next_sequence);
            let found = counters.flushed.to_string();
            return Err(self.meta.fault(&super::meta::FLUSHED, Malformed { expected, found }));
        }
        Ok(counters)
    }

    fn check_dead(&self, dead: &DeadSet, counters: Counters) -> Result<()> {
        let never_given = SequenceRange { start: counters.next_sequence, end: u64::MAX };
        match dead.iter_in(never_given).next() {
            Some(sequence) => {
                let found = format!("{sequence}, which was never given");
                let fault = Malformed { expected: "dead sequence numbers".into(), found };
                Err(self.dead.fault(&(sequence / super::dead::CHUNK), fault))
            }
            None => Ok(()),
        }
    }
}

struct Check<'r> {
    rows: &'r ReadRows,
    dead: &'r DeadSet,
    counters: Counters,
    dimension: Option<usize>,
}

impl Check<'_> {
    fn fresh(&self, counts: &mut RowCheck) -> Result<()> {
        let table = &self.rows.fresh;
        let mut entries = table.iter()?;
        while let Some((key, value)) = entries.next()? {
            let sequence = key.value();
            let row = RowRef::decode(sequence, value.value()).map_err(|fault| table.fault(&sequence, fault))?;
            let checked = match self.dead.contains(sequence) {
                true => Ok(fault("a live row", "one whose sequence number is dead")),
                false => self.live_row(&row),
            }?;
            checked.map_err(|fault| table.fault(&sequence, fault))?;
            counts.fresh += 1;
            counts.items += 1;
        }
        Ok(())
    }

    fn blocks(&self, counts: &mut RowCheck) -> Result<()> {
        let table = &self.rows.packed;
        let mut entries = table.iter()?;
        let mut end = 0;
        while let Some((key, value)) = entries.next()? {
            let key = key.value();
            let block = Block::decode(key, value.value()).map_err(|fault| table.fault(&key, fault))?;
            if key < end {
                return Err(table.fault(
                    &key,
                    Malformed {
                        expected: format!("a key of at least {end}, where the block before ends"),
                        found: key.to_string(),
                    },
                ));
            }
            for row in block.rows() {
                let (sequence, bytes) = row.map_err(|fault| table.fault(&key, fault))?;
                self.packed_row(sequence, bytes, counts)?.map_err(|fault| in_block(table, key, sequence, fault))?;
                end = sequence.saturating_add(1);
            }
            if let Some((fresh, _)) = self.rows.fresh.range(key..end)?.next()? {
                let found = format!("row {} of the table fresh", fresh.value());
                return Err(table.fault(&key, Malformed { expected: "only its own rows in its range".into(), found }));
            }
            counts.blocks += 1;
        }
        Ok(())
    }

    fn packed_row(&self, sequence: u64, bytes: &[u8], counts: &mut RowCheck) -> Result<Result<(), Malformed>> {
        let row = match RowRef::decode(sequence, bytes) {
            Ok(row) => row,
            Err(fault) => return Ok(Err(fault)),
        };
        counts.packed += 1;
        if self.dead.contains(sequence) {
            counts.dead += 1;
            return Ok(Ok(()));
        }
        counts.items += 1;
        self.live_row(&row)
    }

    /// Checks a row that is not dead: it is the one that its id names.
    fn live_row(&self, row: &RowRef<'_>) -> Result<Result<(), Malformed>> {
        let id = match decode_id(row.id) {
            Ok(id) => id,
            Err(fault) => return Ok(Err(fault)),
        };
        if row.sequence >= self.counters.next_sequence {
            let expected = format!("a sequence number below {}", self.counters.next_sequence);
            return Ok(Err(Malformed { expected, found: row.sequence.to_string() }));
        }
        if self.dimension.is_some_and(|dimension| dimension != row.dimension()) {
            let expected = format!("dimension {}", self.dimension.unwrap_or(0));
            return Ok(Err(Malformed { expected, found: row.dimension().to_string() }));
        }
        Ok(match self.rows.sequence_of(&id)? {
            Some(sequence) if sequence == row.sequence => Ok(()),
            found => Err(Malformed {
                expected: format!("a dead row, or one that the table ids names for {id:?}"),
                found: found.map_or("no such id".into(), |sequence| format!("the id at {sequence}")),
            }),
        })
    }

    /// Every live row is named by its id and by no other; so as many ids as live rows are all of them.
    fn ids(&self, counts: &RowCheck) -> Result<()> {
        let table = &self.rows.ids;
        let mut entries = table.iter()?;
        let mut found = 0;
        while let Some((key, value)) = entries.next()? {
            let id = key.value();
            decode_id(id).map_err(|fault| table.fault(&id, fault))?;
            super::read::decode_sequence(table, &id, value.value())?;
            found += 1;
        }
        if found == counts.items { Ok(()) } else { self.find_unnamed() }
    }

    /// Names the first id whose row is missing or dead.
    fn find_unnamed(&self) -> Result<()> {
        let table = &self.rows.ids;
        let mut entries = table.iter()?;
        while let Some((key, value)) = entries.next()? {
            let id = key.value();
            let sequence = super::read::decode_sequence(table, &id, value.value())?;
            let found = match self.rows.row(sequence)? {
                _ if self.dead.contains(sequence) => "it is dead",
                None => "no such row",
                Some(_) => continue,
            };
            let expected = format!("a live row at {sequence}");
            return Err(table.fault(&id, Malformed { expected, found: found.into() }));
        }
        Ok(())
    }
}

fn fault(expected: &str, found: &str) -> Result<(), Malformed> {
    Err(Malformed { expected: expected.into(), found: found.into() })
}
