//! The rows a segment is built from, without an allocation an item.

use crate::error::Result;
use crate::segment::columns::Gathered;
use crate::segment::floats::Floats;
use crate::segment::refused;
use crate::types::SequenceRange;

/// Stored ids, one after the other.
#[derive(Clone, Debug, Default)]
pub(crate) struct StoredIds {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl StoredIds {
    pub(crate) fn push(&mut self, stored_id: &[u8]) {
        self.bytes.extend_from_slice(stored_id);
        self.ends.push(self.bytes.len());
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The id of a row; panics if there is none.
    pub(crate) fn get(&self, row: usize) -> &[u8] {
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.bytes[start..self.ends[row]]
    }
}

/// The live rows of a range of sequence numbers, ascending.
#[derive(Debug, Default)]
pub(crate) struct SegmentRows {
    /// The components as the caller gave them, one vector after the other.
    pub(crate) vectors: Floats,
    /// The sequence numbers, ascending.
    pub(crate) sequences: Vec<u64>,
    /// The stored ids.
    pub(crate) ids: StoredIds,
    /// The values of the metadata's fields; where not every row's were pushed, the segment gets no columns.
    pub(crate) fields: Gathered,
}

impl SegmentRows {
    pub(crate) fn len(&self) -> usize {
        self.sequences.len()
    }

    pub(super) fn vector(&self, row: usize, dimension: usize) -> &[f32] {
        &self.vectors[row * dimension..(row + 1) * dimension]
    }

    /// Whether the rows can become a segment.
    pub(super) fn check(&self, dimension: usize, range: SequenceRange) -> Result<()> {
        let count = self.len();
        if count == 0 || count as u64 >= u64::from(u32::MAX) {
            return Err(refused(format!("a segment holds 1 to {} items, not {count}", u32::MAX - 1)));
        }
        if self.vectors.len() != count * dimension || self.ids.len() != count {
            return Err(refused(format!(
                "{count} sequence numbers came with {} components of dimension {dimension} and {} ids",
                self.vectors.len(),
                self.ids.len()
            )));
        }
        let ascending = self.sequences.is_sorted_by(|a, b| a < b);
        if !ascending || !self.sequences.iter().all(|&sequence| range.contains(sequence)) {
            return Err(refused(format!("sequence numbers do not ascend within {} to {}", range.start, range.end)));
        }
        Ok(())
    }
}
