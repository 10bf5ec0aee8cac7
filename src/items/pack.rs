//! Packing: fresh rows become blocks, and blocks that hold much that is dead or fit together are written anew.
//!
//! A block must not reach over a fresh row or another block, or blocks would overlap when the fresh row is packed.

use std::mem::take;

use redb::ReadableTable;

use super::block::{Block, BlockBuilder};
use super::dead::DeadSet;
use super::read::{ReadRows, blocks_over, dead_in};
use super::tables::{Bytes, DEAD, FRESH, Handle, PACKED};
use super::write::{Open, WriteRows};
use crate::error::Result;
use crate::types::SequenceRange;

/// What a block holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockSummary {
    /// First sequence number.
    pub(crate) first: u64,
    /// Last sequence number.
    pub(crate) last: u64,
    pub(crate) rows: usize,
    /// Rows that are not dead.
    pub(crate) live: usize,
    /// Bytes as stored.
    pub(crate) bytes: usize,
    /// Bytes of the rows that are not dead.
    pub(crate) live_bytes: usize,
}

impl ReadRows {
    /// What each block that begins in the range holds.
    pub(crate) fn block_summaries(&self, range: SequenceRange) -> Result<Vec<BlockSummary>> {
        let dead = self.dead()?;
        let mut blocks = self.packed.range(range.start..range.end.max(range.start))?;
        let mut found = Vec::new();
        while let Some((key, value)) = blocks.next()? {
            found.push(LiveBlock::read(&self.packed, key.value(), value.value(), &dead)?.summary);
        }
        Ok(found)
    }
}

impl WriteRows {
    /// Moves the oldest fresh rows before `end` into full blocks, about `limit_bytes` of them and at least one block.
    /// The rows that follow the last full block move only if `partial`, or if a block that follows shows that no more
    /// will come. Returns how many rows moved.
    pub(crate) fn pack(&mut self, end: u64, limit_bytes: usize, partial: bool) -> Result<usize> {
        let mut fresh = self.table(FRESH)?;
        let packed = self.table(PACKED)?;
        let mut run = Run { packed, builder: BlockBuilder::default(), wall: None, moved: Vec::new(), bytes: 0 };
        let mut rows = fresh.range(..end)?;
        let mut stopped = false;
        while let Some((key, value)) = rows.next()? {
            let (sequence, row) = (key.value(), value.value());
            let walled = run.wall.is_some_and(|wall| wall < sequence);
            if walled || !run.builder.fits(1, row.len(), row.len()) {
                // The next block is taken to be as long as this one.
                let written = run.write_block()?;
                stopped = run.bytes + written > limit_bytes;
            }
            if stopped {
                break;
            }
            run.push(sequence, row)?;
        }
        drop(rows);
        if !stopped && (partial || run.wall.is_some_and(|wall| wall <= end)) {
            run.write_block()?;
        }
        let moved = run.moved;
        moved.iter().try_for_each(|sequence| fresh.remove(sequence).map(drop))?;
        Ok(moved.len())
    }

    /// Writes anew the blocks in which at most `max_live_fraction` of the bytes live, and neighbours that fit into
    /// fewer blocks, from the sequence number `from` on, reading about `limit_bytes`. Hands the sequence numbers of
    /// the dead rows that go to `dropped`. Returns where to go on, `None` at the end.
    pub(crate) fn rewrite_blocks(
        &mut self,
        from: u64,
        limit_bytes: usize,
        max_live_fraction: f64,
        dropped: &mut dyn FnMut(u64),
    ) -> Result<Option<u64>> {
        let (groups, next) = self.groups(from, limit_bytes, max_live_fraction)?;
        let mut packed = self.table(PACKED)?;
        for group in groups {
            for key in group.inputs {
                packed.remove(&key)?;
            }
            for (key, block) in group.outputs {
                packed.put(&key, &block)?;
            }
            group.dropped.into_iter().for_each(&mut *dropped);
        }
        Ok(next)
    }

    /// The groups of neighbouring blocks that are worth writing anew, and where to look next.
    fn groups(&self, from: u64, limit_bytes: usize, max_live_fraction: f64) -> Result<(Vec<Group>, Option<u64>)> {
        let (fresh, packed, dead) = (self.table(FRESH)?, self.table(PACKED)?, self.table(DEAD)?);
        let mut groups = Vec::new();
        let mut group = Group::default();
        let mut read = 0;
        let mut next = None;
        let mut blocks = blocks_over(&packed, SequenceRange { start: from, end: u64::MAX })?;
        while let Some((key, value)) = blocks.next()? {
            let key = key.value();
            if read >= limit_bytes {
                next = Some(key);
                break;
            }
            let block = LiveBlock::read_with(&packed, key, value.value(), &dead)?;
            let summary = block.summary;
            read += summary.bytes;
            let row_bytes = summary.bytes.max(1) as f64;
            let wasteful = summary.live < summary.rows && summary.live_bytes as f64 <= max_live_fraction * row_bytes;
            let reachable = match group.last {
                Some(last) => fresh.range(last..key)?.next()?.is_none(),
                None => true,
            };
            if !reachable || !(group.takes(&block) || wasteful && group.wasteful) {
                groups.extend(take(&mut group).close());
            }
            group.push(&block, wasteful);
        }
        groups.extend(group.close());
        Ok((groups, next))
    }
}

/// Fresh rows on their way into blocks.
struct Run<'t> {
    packed: Open<'t, u64>,
    builder: BlockBuilder,
    /// The key of the first block behind the rows in the builder.
    wall: Option<u64>,
    moved: Vec<u64>,
    /// Bytes of the blocks written.
    bytes: usize,
}

impl Run<'_> {
    fn push(&mut self, sequence: u64, row: &[u8]) -> Result<()> {
        if self.builder.len() == 0 {
            self.wall = self.packed.range(sequence..)?.next()?.map(|(key, _)| key.value());
        }
        self.builder.push(sequence, row);
        Ok(())
    }

    /// Writes what was pushed as a block; returns its length.
    fn write_block(&mut self) -> Result<usize> {
        self.moved.extend(self.builder.rows().map(|(sequence, _)| sequence));
        let Some((key, block)) = self.builder.finish() else { return Ok(0) };
        self.bytes += block.len();
        self.packed.put(&key, &block)?;
        Ok(block.len())
    }
}

/// A block and which of its rows live.
struct LiveBlock<'a> {
    summary: BlockSummary,
    live: Vec<(u64, &'a [u8])>,
    dead: Vec<u64>,
    longest: usize,
}

impl<'a> LiveBlock<'a> {
    fn read<T>(packed: &Handle<u64, T>, key: u64, stored: &'a [u8], dead: &DeadSet) -> Result<LiveBlock<'a>> {
        let fault = |fault| packed.fault(&key, fault);
        let block = Block::decode(key, stored).map_err(fault)?;
        let mut found = LiveBlock {
            summary: BlockSummary {
                first: key,
                last: block.last().map_err(fault)?,
                rows: block.len(),
                live: 0,
                bytes: block.bytes(),
                live_bytes: 0,
            },
            live: Vec::new(),
            dead: Vec::new(),
            longest: 0,
        };
        for row in block.rows() {
            let (sequence, bytes) = row.map_err(fault)?;
            if dead.contains(sequence) {
                found.dead.push(sequence);
            } else {
                found.live.push((sequence, bytes));
                found.summary.live_bytes += bytes.len();
                found.longest = found.longest.max(bytes.len());
            }
        }
        found.summary.live = found.live.len();
        Ok(found)
    }

    /// The same with the part of the table `dead` that the block needs.
    fn read_with<T>(
        packed: &Handle<u64, T>,
        key: u64,
        stored: &'a [u8],
        dead: &Handle<u64, impl ReadableTable<u64, Bytes>>,
    ) -> Result<LiveBlock<'a>> {
        let block = Block::decode(key, stored).map_err(|fault| packed.fault(&key, fault))?;
        let last = block.last().map_err(|fault| packed.fault(&key, fault))?;
        LiveBlock::read(packed, key, stored, &dead_in(dead, SequenceRange { start: key, end: last })?)
    }
}

/// Neighbouring blocks, and what they become.
#[derive(Default)]
struct Group {
    inputs: Vec<u64>,
    outputs: Vec<(u64, Vec<u8>)>,
    tail: BlockBuilder,
    dropped: Vec<u64>,
    /// Last sequence number of the inputs.
    last: Option<u64>,
    wasteful: bool,
}

impl Group {
    /// Whether the block's live rows fit behind those of the group without a further block.
    fn takes(&self, block: &LiveBlock<'_>) -> bool {
        self.tail.fits(block.live.len(), block.summary.live_bytes, block.longest)
    }

    fn push(&mut self, block: &LiveBlock<'_>, wasteful: bool) {
        for (sequence, row) in &block.live {
            if !self.tail.fits(1, row.len(), row.len()) {
                self.outputs.extend(self.tail.finish());
            }
            self.tail.push(*sequence, row);
        }
        self.inputs.push(block.summary.first);
        self.dropped.extend_from_slice(&block.dead);
        self.last = Some(block.summary.last);
        self.wasteful |= wasteful;
    }

    /// The group, if writing it anew drops what it should or saves a block.
    fn close(mut self) -> Option<Group> {
        self.outputs.extend(self.tail.finish());
        (self.wasteful || self.outputs.len() < self.inputs.len()).then_some(self)
    }
}
