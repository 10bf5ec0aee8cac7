//! What the row database keeps for itself, compared with its checksums before anything is written: which pages are free,
//! and which will be.
//!
//! redb trusts these tables. Where they are damaged it can panic in the middle of a commit and once more while it unwinds,
//! which ends the process, or give pages to others that are in use. They are small beside the rows, so an opening can
//! afford to compare them whole; rows and their tables have our own checksums, which are compared as they are read.
//!
//! Every page is told by a number: its place in units of its own size, its region, and its size as a power of two. A page
//! is pointed at together with its checksum, XXH3-128 up to the end of its last key or value. The header has two slots
//! with roots, and a bit says which of them counts.

use std::ops::Range;
use std::path::Path;

use redb::StorageBackend;
use xxhash_rust::xxh3::xxh3_128;

use crate::bytes::{Malformed, Reader};
use crate::error::{Error, Result};

const PAGE: u32 = 4096;
const HEADER_BYTES: usize = 320;
const MAGIC: &[u8] = b"redb\x1a\x0a\xa9\x0d\x0a";
const VERSION: u8 = 3;
const LEAF: u8 = 1;
const BRANCH: u8 = 2;

/// Bits of the byte after the magic number.
const SECOND_SLOT: u8 = 1;
const NOT_CLOSED: u8 = 2;
const TWO_PHASES: u8 = 4;

/// Compares the tables of the file's last commit. A header that does not tell which one that is, or not surely, is left
/// for the row database to refuse or to repair.
///
/// # Errors
///
/// [`Error::Corrupt`] with the place of the page that is not what was written, or the error of reading the file.
pub(super) fn check(path: &Path, file: &impl StorageBackend) -> Result<()> {
    pages(path, file).map(drop)
}

/// The bytes of the file that were compared.
fn pages(path: &Path, file: &impl StorageBackend) -> Result<Vec<Range<u64>>> {
    let mut header = [0; HEADER_BYTES];
    let mut compared = Vec::new();
    let Some((layout, root)) = file.read(0, &mut header).ok().and_then(|()| read_header(&header).ok()?) else {
        return Ok(compared);
    };
    let len = file.len().map_err(|source| Error::io("inspect", path, source))?;
    let mut rest = vec![root];
    while let Some(node) = rest.pop() {
        let place = layout.place(node.page);
        let corrupt = |found: String| {
            let expected = "a page of the row database's own tables, with its checksum";
            Error::corrupt(path, format!("page at byte {}", place.start), expected, found)
        };
        // Checksums can be made to meet in a circle, if not by chance.
        if place.end > len || compared.len() as u64 > len / u64::from(PAGE) {
            return Err(corrupt(format!("a place beyond {len} bytes, or more pages than these hold")));
        }
        let mut page = vec![0; usize::try_from(place.end - place.start).map_err(|_| corrupt("no page".to_owned()))?];
        file.read(place.start, &mut page).map_err(|source| Error::io("read", path, source))?;
        let end = node.compare(&page).map_err(|fault| corrupt(fault.found))?;
        compared.push(place.start..place.start + end as u64);
        node.push_children(&page, &mut rest).map_err(|fault| corrupt(fault.found))?;
    }
    Ok(compared)
}

/// Where pages lie.
struct Layout {
    region_header: u64,
    region: u64,
}

impl Layout {
    fn place(&self, page: u64) -> Range<u64> {
        let order = page >> 59;
        let (index, region) = (page & (0xf_ffff >> order), page >> 20 & 0xf_ffff);
        let bytes = u64::from(PAGE) << order;
        let region = region.saturating_mul(self.region).saturating_add(self.region_header);
        let start = region.saturating_add(u64::from(PAGE) + index * bytes);
        start..start.saturating_add(bytes)
    }
}

/// A page, as what points at it says; widths are those of keys and values whose length never changes.
#[derive(Clone, Copy)]
struct Node {
    page: u64,
    sum: u128,
    key_width: Option<usize>,
    value_width: Option<usize>,
    /// Whether its values are definitions of tables.
    is_master: bool,
}

/// The layout and the root of the tables that the last commit left; `None` if that is for the row database to say.
fn read_header(bytes: &[u8]) -> Result<Option<(Layout, Node)>, Malformed> {
    let mut reader = Reader::new(bytes);
    let magic = reader.take(MAGIC.len())?;
    let flags = reader.u8()?;
    reader.take(2)?;
    let (page, region_header, region_data) = (reader.u32()?, reader.u32()?, reader.u32()?);
    let is_sure = flags & NOT_CLOSED == 0 || flags & TWO_PHASES != 0;
    if magic != MAGIC || page != PAGE || !is_sure {
        return Ok(None);
    }
    let mut slots = Reader::new(bytes);
    slots.take(if flags & SECOND_SLOT == 0 { 64 } else { 192 })?;
    let (slot, sum) = (slots.take(112)?, u128_of(&mut slots)?);
    if xxh3_128(slot) != sum || slot.first() != Some(&VERSION) || slot.get(2) == Some(&0) {
        return Ok(None);
    }
    let mut reader = Reader::new(slot);
    reader.take(40)?;
    let bytes = |pages: u32| u64::from(pages) * u64::from(PAGE);
    let layout = Layout { region_header: bytes(region_header), region: bytes(region_header) + bytes(region_data) };
    let (page, sum) = (reader.u64()?, u128_of(&mut reader)?);
    Ok(Some((layout, Node { page, sum, key_width: None, value_width: None, is_master: true })))
}

fn u128_of(reader: &mut Reader<'_>) -> Result<u128, Malformed> {
    Ok(u128::from(reader.u64()?) | u128::from(reader.u64()?) << 64)
}

/// A number of a row of them that begins at a place.
fn u32_at(page: &[u8], start: usize, number: usize) -> Result<usize, Malformed> {
    let mut reader = Reader::new(page);
    reader.take(start.saturating_add(4 * number))?;
    Ok(reader.u32()? as usize)
}

impl Node {
    /// Where the page's bytes end, which have its checksum.
    fn compare(&self, page: &[u8]) -> Result<usize, Malformed> {
        let end = self.end(page)?;
        match page.get(..end).map(xxh3_128) {
            Some(sum) if sum == self.sum => Ok(end),
            Some(sum) => Err(malformed(format!("the checksum {sum:032x} and not {:032x}", self.sum))),
            None => Err(malformed(format!("keys and values up to byte {end} of {}", page.len()))),
        }
    }

    /// Where the last key ends, or the last value.
    fn end(&self, page: &[u8]) -> Result<usize, Malformed> {
        let (kind, count) = kind(page)?;
        let (ends, width) = match kind {
            BRANCH => (8 + 24 * (count + 1), self.key_width),
            _ => return Ok(*self.value_bounds(page, count)?.last().unwrap_or(&0)),
        };
        match width {
            Some(width) => Ok(width.saturating_mul(count).saturating_add(ends)),
            None => u32_at(page, ends, count - 1),
        }
    }

    /// Where a leaf's first value begins, and where each ends.
    fn value_bounds(&self, page: &[u8], count: usize) -> Result<Vec<usize>, Malformed> {
        let value_ends = if self.key_width.is_none() { 4 + 4 * count } else { 4 };
        let keys = if self.value_width.is_none() { value_ends + 4 * count } else { value_ends };
        let first = match self.key_width {
            Some(width) => width.saturating_mul(count).saturating_add(keys),
            None => u32_at(page, 4, count - 1)?,
        };
        let end = |number: usize| match self.value_width {
            Some(width) => Ok(width.saturating_mul(number + 1).saturating_add(first)),
            None => u32_at(page, value_ends, number),
        };
        std::iter::once(Ok(first)).chain((0..count).map(end)).collect()
    }

    /// The pages that a page leads to.
    fn push_children(&self, page: &[u8], nodes: &mut Vec<Node>) -> Result<(), Malformed> {
        let (kind, count) = kind(page)?;
        let mut reader = Reader::new(page);
        if kind == BRANCH {
            reader.take(8)?;
            let sums = (0..=count).map(|_| u128_of(&mut reader)).collect::<Result<Vec<_>, _>>()?;
            for sum in sums {
                nodes.push(Node { page: reader.u64()?, sum, ..*self });
            }
        } else if self.is_master {
            for bounds in self.value_bounds(page, count)?.windows(2) {
                let value = page.get(bounds[0]..bounds[1]).unwrap_or(&[]);
                nodes.extend(table_root(value)?);
            }
        }
        Ok(())
    }
}

/// Whether a page is a leaf or a branch, and of how many keys.
fn kind(page: &[u8]) -> Result<(u8, usize), Malformed> {
    let mut reader = Reader::new(page);
    let kind = reader.u8()?;
    reader.u8()?;
    match (kind, usize::from(reader.u16()?)) {
        (LEAF | BRANCH, count) if count > 0 => Ok((kind, count)),
        (kind, count) => Err(malformed(format!("a page of kind {kind} with {count} keys"))),
    }
}

/// The root of a table by its definition, if it has entries.
fn table_root(definition: &[u8]) -> Result<Option<Node>, Malformed> {
    let mut reader = Reader::new(definition);
    reader.take(9)?;
    let has_root = reader.u8()? != 0;
    let (page, sum) = (reader.u64()?, u128_of(&mut reader)?);
    reader.u64()?;
    let mut width = || {
        let (is_fixed, bytes) = (reader.u8()? != 0, reader.u32()? as usize);
        Ok(is_fixed.then_some(bytes))
    };
    let (key_width, value_width) = (width()?, width()?);
    Ok(has_root.then_some(Node { page, sum, key_width, value_width, is_master: false }))
}

fn malformed(found: String) -> Malformed {
    Malformed { expected: String::new(), found }
}

#[cfg(test)]
mod tests {
    use redb::backends::InMemoryBackend;

    use super::super::{Database, StoreRow};
    use super::*;
    use crate::options::Durability;
    use crate::types::{Id, Metric};

    /// A closed row file with pages that are freed and not given to others yet.
    fn closed_file() -> Vec<u8> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store-0000000000.redb");
        let (uuid, dimension) = (*b"0123456789abcdef", Some(3));
        let store = StoreRow { uuid, metric: Metric::Euclidean, dimension, rotation_seed: 7, build_seed: 8 };
        let database = Database::create(&path, &store, 1 << 20).unwrap();
        for sequence in 1..40 {
            let mut rows = database.begin_write(Durability::Immediate).unwrap();
            rows.put(sequence, &Id::from(sequence % 7), &[0; 500], &[1.0, 2.0, 3.0]).unwrap();
            rows.commit().unwrap();
        }
        database.close().unwrap();
        std::fs::read(path).unwrap()
    }

    fn in_memory(bytes: &[u8]) -> InMemoryBackend {
        let file = InMemoryBackend::new();
        file.set_len(bytes.len() as u64).unwrap();
        file.write(0, bytes).unwrap();
        file
    }

    #[test]
    fn changed_bytes_of_the_row_databases_own_tables_are_noticed() {
        let bytes = closed_file();
        let file = in_memory(&bytes);
        let compared = pages(Path::new("rows"), &file).expect("nothing is damaged");
        assert!(compared.len() > 2, "expected the root and its tables, found {compared:?}");
        for range in compared {
            let step = ((range.end - range.start) / 100).max(1);
            for at in range.step_by(step as usize) {
                let byte = bytes[at as usize];
                file.write(at, &[byte ^ 1 << (at % 8)]).unwrap();
                let error = check(Path::new("rows"), &file).expect_err("a changed byte");
                assert!(error.is_corruption() && error.to_string().contains("page at byte"), "byte {at}: {error}");
                file.write(at, &[byte]).unwrap();
            }
        }
        check(Path::new("rows"), &file).expect("all bytes are what they were");
    }

    #[test]
    fn a_file_that_is_cut_off_anywhere_is_no_panic() {
        let bytes = closed_file();
        for len in (0..bytes.len()).step_by(1000) {
            let _ = check(Path::new("rows"), &in_memory(&bytes[..len]));
        }
    }
}
