//! Upkeep that builds no segment: packing rows into blocks, giving the row file's unused space back, and measuring the
//! effort of searches.

use std::collections::BTreeSet;
use std::path::Path;

use super::Maintainer;
use super::policy::{Demand, FLUSH_ITEMS};
use crate::error::Result;
use crate::fs;
use crate::items::Database;
use crate::options::Durability;
use crate::search;
use crate::snapshot::{View, next_row_file};
use crate::types::SequenceRange;

/// Bytes of rows that one packing commit moves, so that no writer waits long.
const PACK_BYTES: usize = 256 << 10;

/// The same where the caller waits for all of it anyway.
const PACK_BYTES_FOREGROUND: usize = 4 << 20;

/// Blocks of which a smaller share lives are rewritten.
const LIVE_SHARE: f64 = 0.5;

/// Upkeep rewrites them where so many times the items, and so many more, are dead. After it there are fewer than the items
/// in blocks, and a third of them in segments.
const MOST_DEAD: u64 = 2;
const LEAST_DEAD: u64 = 4 * FLUSH_ITEMS as u64;

/// The row file is rewritten when it occupies this many times what its live rows need.
const WASTE: f64 = 1.3;

/// Less waste than this is left alone.
const WASTE_BYTES: u64 = 4 << 20;

/// The effort is measured again when one in this many items was written since, or is gone.
const RECALIBRATION_SHARE: u64 = 10;

impl Maintainer {
    /// Moves fresh rows into blocks, the oldest first. `all`: also those that fill no block.
    pub(super) fn pack(&self, all: bool) -> Result<()> {
        let limit = if all { PACK_BYTES_FOREGROUND } else { PACK_BYTES };
        loop {
            let mut writer = self.shared.writer();
            let moved = self.shared.commit(&mut writer, Durability::Immediate, |rows, draft| {
                let end = draft.counters.flushed;
                let moved = rows.pack(end, limit, all)?;
                fs::crash_point("rows packed");
                Ok(moved)
            })?;
            drop(writer);
            if moved == 0 || self.is_stopping() {
                return Ok(());
            }
        }
    }

    /// Gives disk space of dead and replaced rows back: by a new row file if the waste is worth it, else by rewriting
    /// the blocks that are mostly dead.
    pub(super) fn reclaim(&self) -> Result<()> {
        let view = self.shared.view()?;
        let everything = SequenceRange { start: 0, end: u64::MAX };
        let needed: u64 = view.rows.block_summaries(everything)?.iter().map(|block| block.live_bytes as u64).sum();
        let occupied = {
            let writer = self.shared.writer();
            fs::allocated_bytes(writer.database()?.path())?
        };
        if occupied > (needed as f64 * WASTE) as u64 + WASTE_BYTES {
            return self.rewrite_row_file();
        }
        self.rewrite_blocks(PACK_BYTES_FOREGROUND)
    }

    /// Rewrites the blocks that are mostly dead where dead rows are many: what they occupied is used for new rows, so that the
    /// row file of a store whose items are replaced for ever does not grow for ever. Costs a pass over the blocks for as many
    /// dead rows as there are items.
    pub(super) fn make_room(&self) -> Result<()> {
        let view = self.shared.view()?;
        if view.dead.len() < MOST_DEAD * view.len + LEAST_DEAD {
            return Ok(());
        }
        self.rewrite_blocks(PACK_BYTES)
    }

    /// Copies the live rows into a new file and switches to it. Writers wait; readers do not.
    fn rewrite_row_file(&self) -> Result<()> {
        let mut writer = self.shared.writer();
        self.shared.recover(&mut writer)?;
        let view = self.shared.view()?;
        let old = writer.database()?.path().to_owned();
        let new = next_row_file(&old);
        let keep_dead = |sequence| is_searched(&view, sequence);
        Database::copy_to(&view.rows, &new, self.options.cache_bytes, &keep_dead)
            .and_then(|()| Database::open(&new, self.options.cache_bytes))
            .and_then(|database| self.shared.switch_database(&mut writer, database))
            .inspect_err(|_| {
                // The next open takes the newest row file: unless this one is gone for good, what is written to the
                // old one from now on would be lost.
                if let Err(error) = self.withdraw(&new) {
                    writer.stop(format!("a new row file could neither be used nor removed: {error}"));
                }
            })
    }

    /// Removes a row file that was not switched to, durably.
    fn withdraw(&self, rows: &Path) -> Result<()> {
        if fs::is_dir(rows)?.is_none() {
            return Ok(());
        }
        fs::remove(rows)?;
        fs::sync_dir(self.shared.path())
    }

    /// `limit`: bytes of rows that one commit reads.
    fn rewrite_blocks(&self, limit: usize) -> Result<()> {
        let mut from = Some(0);
        while let Some(start) = from.filter(|_| !self.is_stopping()) {
            let mut writer = self.shared.writer();
            from = self.shared.commit(&mut writer, Durability::Immediate, |rows, draft| {
                // The bit of a row that is in no block any more is needed only while a search may meet the item.
                let mut cleared = BTreeSet::new();
                let next = rows.rewrite_blocks(start, limit, LIVE_SHARE, &mut |sequence| {
                    if !is_searched(draft, sequence) {
                        cleared.insert(sequence);
                    }
                })?;
                if let (Some(&first), Some(&last)) = (cleared.first(), cleared.last()) {
                    let range = SequenceRange { start: first, end: last + 1 };
                    let keep = |sequence: u64| !cleared.contains(&sequence);
                    rows.retain_dead(range, &keep)?;
                    draft.dead.retain(range, &keep);
                }
                Ok(next)
            })?;
        }
        Ok(())
    }

    /// Measures the effort of searches if enough has changed since it was last measured.
    pub(super) fn calibrate(&self, demand: Demand) -> Result<()> {
        let view = self.shared.view()?;
        let items: u64 = view.sources().0.iter().map(|segment| segment.items() as u64).sum();
        let written = view.counters.next_sequence - view.effort.sequence.min(view.counters.next_sequence);
        let changed = written.max(items.abs_diff(view.effort.items));
        if changed * RECALIBRATION_SHARE <= view.effort.items {
            return Ok(());
        }
        let effort = self.with_threads(demand, || search::calibrate(&view))?;
        let mut writer = self.shared.writer();
        self.shared.commit(&mut writer, Durability::Immediate, |rows, draft| {
            rows.set_effort(&effort)?;
            draft.effort = effort;
            Ok(())
        })
    }

    /// A commit that makes all buffered ones before it durable.
    pub(super) fn make_durable(&self) -> Result<()> {
        if self.options.durability == Durability::Immediate {
            return Ok(());
        }
        let mut writer = self.shared.writer();
        self.shared.commit(&mut writer, Durability::Immediate, |rows, draft| rows.set_counters(draft.counters))
    }
}

/// Whether a search may meet the item, dead or not: in the delta, which is written beside this job, or in a live segment;
/// one that cannot tell counts as having it.
fn is_searched(view: &View, sequence: u64) -> bool {
    let is_in_delta = sequence >= view.counters.flushed;
    let is_in_segment =
        view.parts.iter().filter(|part| part.range.contains(sequence)).any(|part| {
            part.intact_segment().is_none_or(|segment| segment.contains_sequence(sequence).unwrap_or(true))
        });
    is_in_delta || is_in_segment
}
