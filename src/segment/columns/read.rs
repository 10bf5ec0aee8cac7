//! Reads columns. Nothing in them is trusted: every offset and every position is checked, also where checksums hold.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use super::dictionary::Dictionary;
use super::{COMPLETE, ENTRY_BYTES, FOOTER_BYTES, HEADER_BYTES, INDEXED, LEFT_OUT, MAX_FIELDS, SINGLE};
use crate::bitmap::Bitmap;
use crate::bytes::{Malformed, Reader, checksum};
use crate::filter::Test;
use crate::metadata::Value;

/// What a segment knows of a field.
pub(crate) enum Field<'a> {
    /// No item has it.
    Nowhere,
    /// It has no column: the rows must be asked.
    Unindexed,
    Column(Column<'a>),
}

/// Where each field's column is.
#[derive(Debug)]
pub(in crate::segment) struct Directory {
    entries: BTreeMap<String, Entry>,
    complete: bool,
}

#[derive(Debug)]
struct Entry {
    range: Range<usize>,
    checksum: u32,
    indexed: bool,
    intact: AtomicBool,
}

impl Directory {
    /// Reads the directory at the end of a section.
    pub(in crate::segment) fn read(section: &[u8]) -> Result<Directory, Malformed> {
        let malformed = |expected: &str, found: String| Malformed { expected: expected.into(), found };
        let footer_at = section.len().checked_sub(FOOTER_BYTES);
        let Some((rest, footer)) = footer_at.and_then(|at| section.split_at_checked(at)) else {
            return Err(malformed("the footer of a directory", format!("{} bytes", section.len())));
        };
        let mut reader = Reader::new(footer);
        let (fields, path_bytes, flags, stored) = (reader.u32()?, reader.u32()?, reader.u32()?, reader.u32()?);
        let entry_bytes = fields as usize * ENTRY_BYTES;
        let columns = rest.len().checked_sub(entry_bytes).and_then(|left| left.checked_sub(path_bytes as usize));
        let Some(columns) = columns.filter(|_| fields as usize <= MAX_FIELDS) else {
            return Err(malformed("a directory of the section", format!("{fields} fields, {path_bytes} bytes")));
        };
        let body = rest.get(columns..).unwrap_or(&[]);
        let found = checksum(&[body, footer.get(..FOOTER_BYTES - 4).unwrap_or(&[])]);
        if found != stored {
            return Err(malformed(&format!("checksum {stored:08x}"), format!("{found:08x}")));
        }
        let (entries, paths) = body.split_at_checked(entry_bytes).unwrap_or_default();
        let mut directory = Directory { entries: BTreeMap::new(), complete: flags & COMPLETE != 0 };
        let (mut free, mut path_start) = (0, 0);
        for entry in entries.chunks_exact(ENTRY_BYTES) {
            let mut reader = Reader::new(entry);
            let (offset, length) = (reader.u64()?, reader.u64()?);
            let (checksum, path_end, state) = (reader.u32()?, reader.u32()? as usize, reader.u32()?);
            let end = offset.checked_add(length).filter(|&end| end <= columns as u64 && offset == free);
            let path = paths.get(path_start..path_end).map(std::str::from_utf8);
            let (Some(end), Some(Ok(path)), INDEXED | LEFT_OUT) = (end, path, state) else {
                return Err(malformed("an entry of the directory", format!("{entry:02x?}")));
            };
            let range = offset as usize..end as usize;
            let entry = Entry { range, checksum, indexed: state == INDEXED, intact: AtomicBool::new(false) };
            if directory.entries.insert(path.to_owned(), entry).is_some() {
                return Err(malformed("each field once", format!("{path:?} again")));
            }
            (free, path_start) = (end, path_end);
        }
        match free == columns as u64 && path_start == paths.len() {
            true => Ok(directory),
            false => Err(malformed("columns that fill the section", format!("{free} of {columns} bytes"))),
        }
    }

    /// What the section knows of a field; its checksum is looked at the first time.
    pub(in crate::segment) fn field<'a>(
        &self,
        section: &'a [u8],
        items: usize,
        path: &str,
    ) -> Result<Field<'a>, Malformed> {
        let Some(entry) = self.entries.get(path) else {
            return Ok(if self.complete { Field::Nowhere } else { Field::Unindexed });
        };
        if !entry.indexed {
            return Ok(Field::Unindexed);
        }
        let bytes = section.get(entry.range.clone()).unwrap_or(&[]);
        if !entry.intact.load(Ordering::Relaxed) {
            let found = checksum(&[bytes]);
            if found != entry.checksum {
                let expected = format!("checksum {:08x}", entry.checksum);
                return Err(Malformed { expected, found: format!("{found:08x}") });
            }
            entry.intact.store(true, Ordering::Relaxed);
        }
        Column::parse(bytes, items).map(Field::Column)
    }

    /// The fields that have columns, and how many bytes these take.
    pub(in crate::segment) fn indexed(&self) -> impl Iterator<Item = (&str, usize)> {
        self.entries.iter().filter(|(_, entry)| entry.indexed).map(|(path, entry)| (path.as_str(), entry.range.len()))
    }
}

/// The column of a field.
pub(crate) struct Column<'a> {
    pub(super) items: usize,
    /// Distinct values.
    pub(super) values: usize,
    /// Items that have the field, as the header says.
    pub(super) counted: u32,
    /// Each item that has the field has one value.
    pub(super) single: bool,
    pub(super) present: &'a [u64],
    pub(super) bitmaps: &'a [u64],
    /// The values that have bitmaps, ascending.
    pub(super) dense: &'a [u32],
    /// Where each value's list begins, and the end of the last.
    pub(super) starts: &'a [u32],
    pub(super) lists: &'a [u32],
    pub(super) dictionary: Dictionary<'a>,
}

impl<'a> Column<'a> {
    fn parse(bytes: &'a [u8], items: usize) -> Result<Column<'a>, Malformed> {
        let mut reader = Reader::new(bytes);
        let (values, lists, dense) = (reader.u32()? as usize, reader.u32()? as usize, reader.u32()? as usize);
        let (counted, kind, flags) = (reader.u32()?, reader.u8()?, reader.u8()?);
        reader.take(6)?;
        let dictionary_bytes = usize::try_from(reader.u64()?).unwrap_or(usize::MAX);
        debug_assert_eq!(bytes.len() - reader.remaining(), HEADER_BYTES);
        let words = items.div_ceil(64);
        let present = words_of(&mut reader, words)?;
        let bitmaps = words_of(&mut reader, words.saturating_mul(dense))?;
        let dense = numbers_of(&mut reader, dense)?;
        let starts = numbers_of(&mut reader, values.saturating_add(1))?;
        let lists = numbers_of(&mut reader, lists)?;
        let dictionary = Dictionary::new(kind, values, reader.take(dictionary_bytes)?)?;
        if reader.remaining() >= 8 {
            return Err(Malformed {
                expected: "the end".into(),
                found: format!("{} more bytes", reader.remaining()),
            });
        }
        let single = flags & SINGLE != 0;
        Ok(Column { items, values, counted, single, present, bitmaps, dense, starts, lists, dictionary })
    }

    /// The positions that have the field.
    pub(crate) fn present(&self) -> Bitmap {
        Bitmap::from_words(self.present, self.items)
    }

    /// The positions of which one value satisfies a test.
    pub(crate) fn select(&self, test: &Test) -> Result<Bitmap, Malformed> {
        let mut runs = self.dictionary.find(test)?;
        runs.retain(|run| !run.is_empty());
        runs.sort_unstable_by_key(|run| run.start);
        let mut listed = 0;
        for run in &runs {
            listed += self.list(run)?.len();
        }
        // Of most values, taking the others away is less work.
        if self.single && listed > self.lists.len() / 2 {
            let mut selected = self.present();
            let (mut rest, mut start) = (Bitmap::new(self.items), 0);
            for run in runs {
                self.insert(start..run.start, &mut rest)?;
                start = start.max(run.end);
            }
            self.insert(start..self.values, &mut rest)?;
            selected.subtract(&rest);
            return Ok(selected);
        }
        let mut selected = Bitmap::new(self.items);
        runs.into_iter().try_for_each(|run| self.insert(run, &mut selected))?;
        Ok(selected)
    }

    /// The lists of a run of values, which follow each other.
    pub(super) fn list(&self, run: &Range<usize>) -> Result<&'a [u32], Malformed> {
        let bounds = self.starts.get(run.start).zip(self.starts.get(run.end));
        bounds.and_then(|(&start, &end)| self.lists.get(start as usize..end as usize)).ok_or_else(|| Malformed {
            expected: format!("the bounds of a list within {} entries", self.lists.len()),
            found: format!("{bounds:?}"),
        })
    }

    /// Adds the positions of a run of values.
    pub(super) fn insert(&self, run: Range<usize>, selected: &mut Bitmap) -> Result<(), Malformed> {
        if run.is_empty() {
            return Ok(());
        }
        for &position in self.list(&run)? {
            if !selected.insert(position as usize) {
                let expected = format!("positions below {}", self.items);
                return Err(Malformed { expected, found: position.to_string() });
            }
        }
        let words = self.items.div_ceil(64);
        let first = self.dense.partition_point(|&value| (value as usize) < run.start);
        let dense = self.dense.iter().enumerate().skip(first);
        for (number, _) in dense.take_while(|&(_, &value)| (value as usize) < run.end) {
            selected.insert_words(self.bitmaps.get(number * words..(number + 1) * words).unwrap_or(&[]));
        }
        Ok(())
    }

    /// The distinct values, ascending; numbers as the simplest of their type.
    pub(super) fn values(&self) -> impl Iterator<Item = Result<Value, Malformed>> {
        (0..self.values).map(|number| self.dictionary.value(number))
    }
}

fn words_of<'a>(reader: &mut Reader<'a>, count: usize) -> Result<&'a [u64], Malformed> {
    aligned(reader.take(count.saturating_mul(8))?)
}

fn numbers_of<'a>(reader: &mut Reader<'a>, count: usize) -> Result<&'a [u32], Malformed> {
    aligned(reader.take(count.saturating_mul(4))?)
}

fn aligned<T: bytemuck::AnyBitPattern>(bytes: &[u8]) -> Result<&[T], Malformed> {
    bytemuck::try_cast_slice(bytes).map_err(|fault| Malformed {
        expected: format!("a multiple of {} at one", size_of::<T>()),
        found: fault.to_string(),
    })
}
