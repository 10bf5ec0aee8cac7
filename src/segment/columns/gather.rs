//! The values of all fields, collected row by row. Each distinct value is kept once.

use std::collections::{BTreeMap, HashMap};

use super::MAX_FIELDS;
use super::dictionary::Key;
use crate::metadata::{Metadata, Value, codec};

/// Bytes of distinct texts that a field may have whatever its items,
const FREE_BYTES: usize = 64 << 10;
/// and for each item that has it.
const BYTES_AN_ITEM: usize = 128;
/// Values that a field may have whatever its items,
const FREE_ENTRIES: usize = 64 << 10;
/// and for each item that has it.
const ENTRIES_AN_ITEM: usize = 32;

/// The fields of the rows that were pushed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gathered {
    rows: usize,
    fields: BTreeMap<String, Values>,
    /// There are more fields than may have columns.
    truncated: bool,
    /// Metadata was found that cannot be decoded.
    refused: bool,
    row: Vec<u32>,
}

/// The values of one field.
#[derive(Clone, Debug, Default)]
pub(super) struct Values {
    /// Distinct values that are numbers, and what they are called in `entries`.
    pub(super) fixed: HashMap<(u8, u64), u32>,
    /// Distinct values that are texts or bytes, each after its tag.
    pub(super) long: HashMap<Box<[u8]>, u32>,
    long_bytes: usize,
    /// Rows that have the field, ascending: it is there and not null, though it may be a map or an empty list.
    pub(super) present: Vec<u32>,
    /// Row and value, ascending.
    pub(super) entries: Vec<(u32, u32)>,
    /// Items that have not just one value.
    pub(super) not_single: u32,
    pub(super) left_out: bool,
}

impl Gathered {
    /// Adds the stored metadata of the next row.
    pub(crate) fn push(&mut self, stored: &[u8]) {
        let row = self.rows as u32;
        self.rows += 1;
        if stored.is_empty() || self.refused {
            return;
        }
        match codec::decode(stored) {
            Ok(metadata) => self.push_metadata(row, &metadata),
            // The rows say what is wrong when they are asked.
            Err(_) => self.refused = true,
        }
    }

    fn push_metadata(&mut self, row: u32, metadata: &Metadata) {
        for (path, value) in metadata.paths() {
            if *value == Value::Null {
                continue;
            }
            if !self.fields.contains_key(&path) && self.fields.len() == MAX_FIELDS {
                self.truncated = true;
                continue;
            }
            self.fields.entry(path).or_default().push(row, value.scalars(), &mut self.row);
        }
    }

    /// Whether the fields of so many rows, that is of all, are known.
    pub(in crate::segment) fn are_known(&self, rows: usize) -> bool {
        self.rows == rows && !self.refused
    }

    pub(super) fn fields(&self) -> &BTreeMap<String, Values> {
        &self.fields
    }

    /// Whether there are no other fields.
    pub(super) fn is_complete(&self) -> bool {
        !self.truncated
    }
}

impl Values {
    fn push(&mut self, row: u32, scalars: &[Value], numbers: &mut Vec<u32>) {
        if self.left_out {
            return;
        }
        self.present.push(row);
        numbers.clear();
        for scalar in scalars {
            numbers.extend(Key::of(scalar).map(|key| self.number(key)));
        }
        numbers.sort_unstable();
        numbers.dedup();
        self.not_single += u32::from(numbers.len() != 1);
        self.entries.extend(numbers.iter().map(|&number| (row, number)));
        let items = self.present.len();
        if self.long_bytes > FREE_BYTES + BYTES_AN_ITEM * items
            || self.entries.len() > FREE_ENTRIES + ENTRIES_AN_ITEM * items
        {
            *self = Values { left_out: true, ..Values::default() };
        }
    }

    /// What a value is called, from now on if it is new.
    fn number(&mut self, key: Key<'_>) -> u32 {
        let next = self.distinct() as u32;
        match key {
            Key::Fixed(tag, bits) => *self.fixed.entry((tag, bits)).or_insert(next),
            Key::Long(tag, bytes) => {
                let tagged = [&[tag], bytes].concat();
                match self.long.get(tagged.as_slice()) {
                    Some(&number) => number,
                    None => {
                        self.long_bytes += tagged.len();
                        self.long.insert(tagged.into(), next);
                        next
                    }
                }
            }
        }
    }

    pub(super) fn distinct(&self) -> usize {
        self.fixed.len() + self.long.len()
    }
}
