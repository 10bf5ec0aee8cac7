//! A section of columns that a script damages, read and asked in every way.

use super::{Column, Directory, ENTRY_BYTES, FOOTER_BYTES, Field, Gathered, write};
use crate::bitmap::Bitmap;
use crate::bytes::checksum;
use crate::filter::{Filter, Node, Test};
use crate::hostile::edit;
use crate::metadata::{Metadata, Timestamp, Value, codec};

/// More than the bits of one word, so that the last word of a bitmap is not full.
const ITEMS: usize = 100;

const TESTS: [&str; 9] = [
    "f in (3, 'b', true, x'01')",
    "f = 3",
    "f < 7",
    "f >= 0.5",
    "f between 'a' and 'bz'",
    "f > ts'1970-01-01T00:00:00Z'",
    "f <= x'ff'",
    "f starts with 'b'",
    "f contains 'b'",
];

/// An intact section.
pub(crate) struct Target {
    bytes: Vec<u8>,
    paths: Vec<String>,
    tests: Vec<Test>,
    /// What each test finds in each field.
    answers: Vec<Vec<Vec<u32>>>,
}

impl Target {
    pub(crate) fn new() -> Target {
        let mut gathered = Gathered::default();
        let mut paths: Vec<String> = Vec::new();
        for item in (0..ITEMS).map(metadata) {
            gathered.push(&codec::encode(&item).unwrap_or_default());
            paths.extend(item.paths().into_iter().map(|(path, _)| path));
        }
        paths.sort();
        paths.dedup();
        paths.push("missing".into());
        let rows: Vec<u32> = (0..ITEMS as u32).rev().collect();
        let mut bytes = Vec::new();
        let written = write(&gathered, &rows, &mut |part| {
            bytes.extend_from_slice(part);
            Ok(())
        });
        assert!(written.is_ok(), "a vector takes all bytes");
        let tests = TESTS.iter().filter_map(|text| match Filter::parse(text).map(|filter| filter.node) {
            Ok(Node::Field { test, .. }) => Some(test),
            _ => None,
        });
        let mut target = Target { bytes, paths, tests: tests.collect(), answers: Vec::new() };
        assert_eq!(target.tests.len(), TESTS.len());
        target.answers = target.ask(&target.bytes.clone(), true).expect("the section is intact");
        target
    }

    /// Damages the section and uses it. The first byte of the script says whether checksums are put right again: if
    /// not, the damage is noticed or does not matter. Whether the directory could be read.
    pub(crate) fn run(&self, script: &[u8]) -> bool {
        let (reseals, edits) = script.split_first().map_or((true, script), |(first, edits)| (first % 4 != 0, edits));
        let mut bytes = self.bytes.clone();
        edit(&mut bytes, edits, &self.places());
        if reseals {
            reseal(&mut bytes);
        }
        match self.ask(&bytes, reseals) {
            Some(answers) => {
                assert!(reseals || answers == self.answers, "expected damage to be noticed");
                true
            }
            None => false,
        }
    }

    /// The directory and the head of each column.
    fn places(&self) -> Vec<usize> {
        let len = self.bytes.len();
        let Ok(directory) = Directory::read(&self.bytes) else { return Vec::new() };
        let mut start = 0;
        let mut places = Vec::new();
        for (_, bytes) in directory.indexed() {
            places.extend(start..start + bytes.min(160));
            start += bytes;
        }
        places.extend(start..len);
        places
    }

    /// What each test finds in each field; nothing of a field that cannot be read. `None` if no field can.
    fn ask(&self, bytes: &[u8], reseals: bool) -> Option<Vec<Vec<Vec<u32>>>> {
        // Sections lie at multiples of 64 in a file.
        let mut words = vec![0u64; bytes.len().div_ceil(8)];
        let aligned: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
        aligned[..bytes.len()].copy_from_slice(bytes);
        let section = &aligned[..bytes.len()];
        let directory = Directory::read(section).ok()?;
        let fields = self.paths.iter().map(|path| match directory.field(section, ITEMS, path) {
            Ok(Field::Column(column)) => self.ask_column(&column, reseals),
            Ok(Field::Nowhere | Field::Unindexed) => Some(vec![Vec::new(); self.tests.len()]),
            Err(_) => None,
        });
        // Where checksums tell the truth, one field that is damaged is enough for the rows to be asked.
        fields.map(|found| if reseals { Some(found.unwrap_or_default()) } else { found }).collect()
    }

    fn ask_column(&self, column: &Column<'_>, reseals: bool) -> Option<Vec<Vec<u32>>> {
        let checked = column.verify();
        let (everything, present) = (Bitmap::full(ITEMS), column.present());
        let counts = column.counts(&everything);
        let _ = column.values_at(&present);
        for position in [0, 63, 64, 99, 100, u32::MAX] {
            let _ = (column.holds(position, &Value::Integer(3)), column.holds(position, &Value::Float(f64::NAN)));
        }
        let mut answers = Vec::new();
        for test in &self.tests {
            let Ok(found) = column.select(test) else {
                assert!(checked.is_err(), "{test:?} fails in a column that is sound");
                return None;
            };
            let found: Vec<u32> = found.iter().collect();
            assert!(found.iter().all(|&position| (position as usize) < ITEMS), "{test:?} finds {found:?}");
            if checked.is_ok() {
                self.compare(column, test, &found);
            }
            answers.push(found);
        }
        assert!(reseals || (checked.is_ok() && counts.is_ok()), "expected checksums to tell of damage");
        Some(answers)
    }

    /// Compares an answer with what the test says of each value by itself, in a column that is sound.
    fn compare(&self, column: &Column<'_>, test: &Test, found: &[u32]) {
        let mut expected = Bitmap::new(ITEMS);
        for (number, value) in column.values().map_while(Result::ok).enumerate() {
            if test.holds(&value) {
                assert!(column.insert(number..number + 1, &mut expected).is_ok(), "value {number} of a sound column");
            }
        }
        assert!(expected.iter().eq(found.iter().copied()), "{test:?}: expected {expected:?}, found {found:?}");
    }
}

/// Fields of every kind of dictionary, of one value and of several, of few items and of most.
fn metadata(item: usize) -> Metadata {
    let number = item as i64;
    let mut metadata =
        Metadata::from_iter([("number", Value::Integer(number % 40)), ("few", Value::Bool(item.is_multiple_of(2)))]);
    metadata.insert("text", ["a", "b", "bc", "\u{e4}"][item % 4].repeat(item % 7));
    if item.is_multiple_of(3) {
        metadata.insert("float", if item == 33 { f64::NAN } else { item as f64 / 4.0 });
        metadata.insert("at", Timestamp::from_micros(number - 50));
        metadata.insert("raw", Value::Bytes(vec![item as u8; item % 5]));
    }
    if item.is_multiple_of(5) {
        metadata
            .insert("mixed", Value::List(vec![Value::Integer(number), Value::Text("b".into()), Value::Bool(true)]));
        metadata.insert("map", Metadata::from_iter([("inner", number)]));
    }
    metadata
}

/// The checksums of the columns that the directory still leads to, and the directory's own.
fn reseal(bytes: &mut [u8]) {
    let Some((rest, footer)) = bytes.len().checked_sub(FOOTER_BYTES).and_then(|at| bytes.split_at_mut_checked(at))
    else {
        return;
    };
    let number =
        |at: usize| u32::from_le_bytes([footer[at], footer[at + 1], footer[at + 2], footer[at + 3]]) as usize;
    let (entry_bytes, path_bytes) = (number(0).saturating_mul(ENTRY_BYTES), number(4));
    let Some(columns) = rest.len().checked_sub(entry_bytes.saturating_add(path_bytes)) else { return };
    let (columns, directory) = rest.split_at_mut(columns);
    for entry in directory[..entry_bytes].chunks_exact_mut(ENTRY_BYTES) {
        let word =
            |at: usize| entry.get(at..at + 8).and_then(|word| word.try_into().ok()).map_or(0, u64::from_le_bytes);
        let start = usize::try_from(word(0)).unwrap_or(usize::MAX);
        let end = start.saturating_add(usize::try_from(word(8)).unwrap_or(usize::MAX));
        let sum = checksum(&[columns.get(start..end).unwrap_or(&[])]);
        entry[16..20].copy_from_slice(&sum.to_le_bytes());
    }
    let sum = checksum(&[directory, &footer[..FOOTER_BYTES - 4]]);
    footer[FOOTER_BYTES - 4..].copy_from_slice(&sum.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_columns_are_noticed_or_give_positions_that_there_are() {
        let target = Target::new();
        assert!(target.run(&[]) && target.run(&[0]), "expected undamaged columns to be read");
        let read = crate::hostile::scripts(8, 4000).filter(|script| target.run(script)).count();
        assert!((500..4000).contains(&read), "{read} of 4000 were read");
        assert!(target.answers.iter().flatten().filter(|found| !found.is_empty()).count() > 10);
    }
}
