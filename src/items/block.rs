//! Blocks: consecutive rows in one value, sized so that the value fills its pages.
//!
//! redb keeps a value on one page of 4 KiB times a power of two, and needs 16 bytes of it. A block that a builder
//! calls full is less than one row short of that.

use super::tables::mismatch;
use crate::bytes::{Malformed, Reader, checksum};

const PAGE_OVERHEAD: usize = 16;
pub(super) const COUNT_BYTES: usize = 4;
pub(super) const ENTRY_BYTES: usize = 12;
const CHECKSUM_BYTES: usize = 4;
/// Longest row of a small block.
const SMALL_ROW: usize = 4 << 10;
const SMALL_BLOCK: usize = (64 << 10) - PAGE_OVERHEAD;
const LARGE_BLOCK: usize = (256 << 10) - PAGE_OVERHEAD;

/// Bytes that a block may hold whose longest row is this long.
fn capacity(longest_row: usize) -> usize {
    if longest_row <= SMALL_ROW { SMALL_BLOCK } else { LARGE_BLOCK }
}

/// A block to be written.
#[derive(Debug, Default)]
pub(super) struct BlockBuilder {
    /// Sequence number and end of each row.
    entries: Vec<(u64, usize)>,
    rows: Vec<u8>,
    longest: usize,
}

impl BlockBuilder {
    /// Whether so many more rows fit, of so many bytes in all, none longer than `longest`. The first row always does.
    pub(super) fn fits(&self, rows: usize, bytes: usize, longest: usize) -> bool {
        self.entries.is_empty() && rows == 1
            || encoded_bytes(self.entries.len() + rows, self.rows.len() + bytes)
                <= capacity(self.longest.max(longest))
    }

    /// Appends a row; its sequence number is larger than all before.
    pub(super) fn push(&mut self, sequence: u64, row: &[u8]) {
        debug_assert!(self.entries.last().is_none_or(|&(last, _)| last < sequence));
        self.rows.extend_from_slice(row);
        self.entries.push((sequence, self.rows.len()));
        self.longest = self.longest.max(row.len());
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Takes the block's key and bytes and leaves the builder empty; `None` if it has no rows.
    pub(super) fn finish(&mut self) -> Option<(u64, Vec<u8>)> {
        let &(first, _) = self.entries.first()?;
        let mut out = Vec::with_capacity(encoded_bytes(self.entries.len(), self.rows.len()));
        out.extend_from_slice(&(self.entries.len() as u32).to_le_bytes());
        for &(sequence, end) in &self.entries {
            out.extend_from_slice(&sequence.to_le_bytes());
            out.extend_from_slice(&(end as u32).to_le_bytes());
        }
        out.extend_from_slice(&header_checksum(first, &out).to_le_bytes());
        out.extend_from_slice(&self.rows);
        *self = BlockBuilder::default();
        Some((first, out))
    }

    /// The rows, ascending.
    pub(super) fn rows(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let starts = std::iter::once(0).chain(self.entries.iter().map(|&(_, end)| end));
        self.entries.iter().zip(starts).map(|(&(sequence, end), start)| (sequence, &self.rows[start..end]))
    }
}

fn encoded_bytes(rows: usize, bytes: usize) -> usize {
    COUNT_BYTES + ENTRY_BYTES * rows + CHECKSUM_BYTES + bytes
}

pub(super) fn header_checksum(key: u64, covered: &[u8]) -> u32 {
    checksum(&[b"packed", &[0], &key.to_le_bytes(), covered])
}

/// Whether bytes begin as a block of that key does, at little cost.
pub(super) fn is_plausible(key: u64, bytes: &[u8]) -> bool {
    let mut reader = Reader::new(bytes);
    let (Ok(count), Ok(first)) = (reader.u32(), reader.u64()) else { return false };
    count > 0 && first == key && (count as usize).saturating_mul(ENTRY_BYTES) < bytes.len()
}

/// A block on its page, header checked: at least one row, sequence numbers and ends ascending, the first sequence
/// number the key, the last end the end of the bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block<'a> {
    entries: &'a [u8],
    rows: &'a [u8],
}

impl<'a> Block<'a> {
    pub(super) fn decode(key: u64, bytes: &'a [u8]) -> Result<Block<'a>, Malformed> {
        let mut reader = Reader::new(bytes);
        let count = reader.u32()? as usize;
        let entries = reader.take(count.saturating_mul(ENTRY_BYTES))?;
        let found = reader.u32()?;
        let (covered, _) = bytes.split_at(COUNT_BYTES + entries.len());
        let expected = header_checksum(key, covered);
        if expected != found {
            return Err(mismatch(expected, found));
        }
        let (_, rows) = bytes.split_at(covered.len() + CHECKSUM_BYTES);
        let block = Block { entries, rows };
        block.check(key)?;
        Ok(block)
    }

    fn check(self, key: u64) -> Result<(), Malformed> {
        let fault = |expected: &str, found: String| Err(Malformed { expected: expected.into(), found });
        let (mut last, mut last_end) = (None, 0);
        for index in 0..self.len() {
            let (sequence, end) = self.entry(index)?;
            if last.map_or(sequence != key, |last| sequence <= last) {
                return fault("the key, then ascending sequence numbers", format!("{sequence} in row {index}"));
            }
            if end < last_end {
                return fault("ascending ends of rows", format!("{end} in row {index}"));
            }
            (last, last_end) = (Some(sequence), end);
        }
        match last {
            None => fault("a block of rows", "no row".into()),
            Some(_) if last_end != self.rows.len() => {
                fault("rows up to the end of the block", format!("{last_end} of {} bytes", self.rows.len()))
            }
            Some(_) => Ok(()),
        }
    }

    pub(super) fn len(self) -> usize {
        self.entries.len() / ENTRY_BYTES
    }

    /// Bytes as stored.
    pub(super) fn bytes(self) -> usize {
        encoded_bytes(self.len(), self.rows.len())
    }

    fn entry(self, index: usize) -> Result<(u64, usize), Malformed> {
        let mut reader = Reader::new(self.entries);
        reader.take(index.saturating_mul(ENTRY_BYTES))?;
        Ok((reader.u64()?, reader.u32()? as usize))
    }

    /// Sequence number and bytes of a row, which must exist.
    pub(super) fn row(self, index: usize) -> Result<(u64, &'a [u8]), Malformed> {
        let start = match index.checked_sub(1) {
            Some(before) => self.entry(before)?.1,
            None => 0,
        };
        let (sequence, end) = self.entry(index)?;
        match self.rows.get(start..end) {
            Some(bytes) => Ok((sequence, bytes)),
            None => Err(Malformed {
                expected: format!("row {index} within {} bytes", self.rows.len()),
                found: format!("bytes {start} to {end}"),
            }),
        }
    }

    pub(super) fn rows(self) -> impl Iterator<Item = Result<(u64, &'a [u8]), Malformed>> {
        (0..self.len()).map(move |index| self.row(index))
    }

    /// The bytes of a sequence number's row, if the block has one.
    pub(super) fn find(self, sequence: u64) -> Result<Option<&'a [u8]>, Malformed> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            let (found, bytes) = self.row(middle)?;
            match found.cmp(&sequence) {
                std::cmp::Ordering::Equal => return Ok(Some(bytes)),
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        Ok(None)
    }

    pub(super) fn last(self) -> Result<u64, Malformed> {
        Ok(self.entry(self.len().saturating_sub(1))?.0)
    }
}
