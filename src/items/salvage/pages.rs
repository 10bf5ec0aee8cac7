//! What the bytes of a row file tell without the row database: rows, wherever they are, and the store's own row.
//!
//! Every page of the database begins at a multiple of 4 KiB. A leaf is the byte 1, a byte, the number of its entries
//! (u16); for each entry where its key ends (u32, left out where keys are numbers) and where its value ends (u32), both
//! relative to the page; the keys; the values. Where a leaf's head or a block's is damaged, rows are found by their own
//! form, and their sequence numbers from their checksums. Pages that the database no longer uses are read too: what is
//! found there may be old.

use std::collections::BTreeMap;
use std::ops::Range;

use super::super::block::{Block, is_plausible};
use super::super::meta::{STORE, StoreRow};
use super::super::row::{self, RowRef, decode_id};
use super::sequence;
use crate::bytes::{Reader, checksum};

const PAGE: usize = 4096;
const LEAF: u8 = 1;

/// Sequence numbers found from a checksum alone are believed up to so far above all that are known.
const MARGIN: u64 = 1 << 12;

/// Rows with a good checksum by sequence number: where they are in the file. Two of one number hold different bytes: a
/// commit that was never finished left one of them.
pub(super) type Places = BTreeMap<u64, Vec<Range<usize>>>;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) rows: Places,
    pub(super) store: Option<StoreRow>,
}

/// Reads all pages of a row file as leaves.
pub(super) fn scan(file: &[u8]) -> Found {
    let mut found = Found::default();
    for start in (0..file.len()).step_by(PAGE) {
        let page = file.get(start..).unwrap_or(&[]);
        if page.first() != Some(&LEAF) {
            continue;
        }
        for (key, value) in numbered_entries(page) {
            let range = start + value.start..start + value.end;
            add_value(file, key, range, &mut found.rows);
        }
        // The dimension is told by the newest, and the rest never changes.
        let store = store_row(page);
        if found.store.is_none() || store.as_ref().is_some_and(|store| store.dimension.is_some()) {
            found.store = store.or(found.store);
        }
    }
    found
}

/// Adds the row, or the rows of the block, that a leaf has under a key.
fn add_value(file: &[u8], key: u64, range: Range<usize>, rows: &mut Places) {
    let Some(value) = file.get(range.clone()) else { return };
    if row::measure(value) == Some(value.len()) {
        add_row(file, key, range, rows);
    } else if is_plausible(key, value)
        && let Ok(block) = Block::decode(key, value)
    {
        let mut start = range.end - block.rows().filter_map(|row| Some(row.ok()?.1.len())).sum::<usize>();
        for (sequence, bytes) in block.rows().filter_map(Result::ok) {
            add_row(file, sequence, start..start + bytes.len(), rows);
            start += bytes.len();
        }
    }
}

fn add_row(file: &[u8], sequence: u64, range: Range<usize>, rows: &mut Places) {
    let Some(bytes) = file.get(range.clone()) else { return };
    let is_good = RowRef::decode(sequence, bytes).is_ok_and(|row| decode_id(row.id).is_ok());
    if is_good {
        let places = rows.entry(sequence).or_default();
        if places.iter().all(|other| file.get(other.clone()) != Some(bytes)) {
            places.push(range);
        }
    }
}

/// Keys and values of a leaf of which the keys are numbers; nothing of a page that is none.
fn numbered_entries(page: &[u8]) -> Vec<(u64, Range<usize>)> {
    let count = page.get(2..4).map_or(0, |bytes| usize::from(u16::from_le_bytes([bytes[0], bytes[1]])));
    let (Some(ends), Some(keys)) = (page.get(4..4 + 4 * count), page.get(4 + 4 * count..4 + 12 * count)) else {
        return Vec::new();
    };
    let mut start = 4 + 12 * count;
    let mut entries = Vec::new();
    for (end, key) in ends.chunks_exact(4).zip(keys.chunks_exact(8)) {
        let (Ok(end), Ok(key)) = (Reader::new(end).u32(), Reader::new(key).u64()) else { continue };
        let end = end as usize;
        if end >= start && end <= page.len() {
            entries.push((key, start..end));
            start = end;
        }
    }
    entries
}

/// The store's row, if the page is a leaf that has it.
fn store_row(page: &[u8]) -> Option<StoreRow> {
    let mut reader = Reader::new(page);
    reader.take(2).ok()?;
    let count = usize::from(reader.u16().ok()?);
    let mut key_ends = Reader::new(reader.take(4 * count).ok()?);
    let mut value_ends = Reader::new(reader.take(4 * count).ok()?);
    let mut key_start = 4 + 8 * count;
    let mut keys = Vec::new();
    for _ in 0..count {
        let end = key_ends.u32().ok()? as usize;
        keys.push(page.get(key_start..end)?);
        key_start = end;
    }
    let mut start = key_start;
    for key in keys {
        let end = value_ends.u32().ok()? as usize;
        let value = page.get(start..end)?;
        start = end;
        if let (STORE, Some((value, found))) = (key, value.split_last_chunk::<4>())
            && u32::from_le_bytes(*found) == checksum(&[b"meta", &[0], key, value])
        {
            return StoreRow::decode(value).ok();
        }
    }
    None
}

/// Finds rows by their form wherever none is known yet. `names` tells the sequence number of a live id, if that is
/// known.
pub(super) fn scan_between(file: &[u8], dimension: usize, names: &dyn Fn(&[u8]) -> Option<u64>, rows: &mut Places) {
    let highest = rows.keys().next_back().copied();
    let limit = highest.map_or(u64::from(u32::MAX), |highest| highest.saturating_add(MARGIN));
    let mut known: Vec<Range<usize>> = rows.values().flatten().cloned().collect();
    known.sort_by_key(|range| range.start);
    let mut known = known.into_iter().peekable();
    let mut at = 0;
    while at < file.len() {
        while known.next_if(|range| range.end <= at).is_some() {}
        match known.peek() {
            Some(range) if range.start <= at => {
                at = range.end;
                continue;
            }
            _ => {}
        }
        let rest = file.get(at..).unwrap_or(&[]);
        let bytes = row::measure(rest).filter(|_| row::dimension(rest) == Some(dimension));
        let row = bytes.and_then(|len| Some((len, sequence_of(rest.get(..len)?, limit, names)?)));
        match row {
            Some((len, sequence)) => {
                add_row(file, sequence, at..at + len, rows);
                at += len;
            }
            None => at += 1,
        }
    }
}

/// The sequence number of a row whose key is lost.
fn sequence_of(row: &[u8], limit: u64, names: &dyn Fn(&[u8]) -> Option<u64>) -> Option<u64> {
    let (covered, found) = row.split_last_chunk::<4>()?;
    let sequence = sequence::covered_by(u32::from_le_bytes(*found), b"row\0", covered);
    let id = RowRef::decode(sequence, row).ok().filter(|row| decode_id(row.id).is_ok())?.id;
    // Any bytes have some number: it must be one that was given, and that of the id where the id is known.
    let is_believed = match names(id) {
        Some(named) if named == sequence => true,
        _ => sequence > 0 && sequence <= limit,
    };
    is_believed.then_some(sequence)
}
