//! Damaged segments: an error or the same answers, never a panic.

use super::*;
use crate::code::QueryCode;
use crate::options::SegmentVectors;
use crate::segment::format::{
    HEADER_BYTES, Kind, SECTION_BYTES, Section, TABLE_ENTRY_BYTES, TRAILER_BYTES, TableEntry, Trailer,
};

fn small() -> Built {
    small_of(Metric::Cosine)
}

fn small_of(metric: Metric) -> Built {
    small_kind((metric, SegmentVectors::Float32))
}

fn small_kind((metric, vectors): (Metric, SegmentVectors)) -> Built {
    let options = SegmentOptions { vectors, ..SegmentOptions::default() };
    Built::with(metric, 3, clustered(40, 3, 3, 1), SegmentSpec { options, ..spec(1) })
}

/// One of each kind of code and of each element type.
const KINDS: [(Metric, SegmentVectors); 5] = [
    (Metric::Cosine, SegmentVectors::Float32),
    (Metric::Manhattan, SegmentVectors::Float32),
    (Metric::Hamming, SegmentVectors::Float32),
    (Metric::Euclidean, SegmentVectors::Float16),
    (Metric::Dot, SegmentVectors::Int8),
];

fn vector_bytes(built: &Built) -> usize {
    built.open().unwrap().record_bytes(0).len() - 16
}

/// Puts other bytes where a segment was and reads what can be read.
struct Damaged<'a> {
    built: &'a Built,
    path: PathBuf,
}

impl<'a> Damaged<'a> {
    fn new(built: &'a Built) -> Damaged<'a> {
        Damaged { built, path: built.dir.path().join("damaged.tmp") }
    }

    fn open(&self, bytes: &[u8], expected: &Expected) -> Result<Segment> {
        // A new file each time: the earlier one may still be mapped.
        crate::fs::remove(&self.path).unwrap();
        std::fs::write(&self.path, bytes).unwrap();
        Segment::open(&self.path, expected, &self.built.frame)
    }
}

#[test]
fn every_flipped_byte_is_found_and_no_answer_is_wrong() {
    KINDS.into_iter().for_each(|kind| every_flip_is_found(&small_kind(kind)));
}

fn every_flip_is_found(built: &Built) {
    let bits = 0..built.bytes().len();
    flips_are_found(built, bits.map(|at| vec![8 * at + at % 8]));
}

#[test]
fn flipped_pairs_of_bits_are_found_and_no_answer_is_wrong() {
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(12);
    for kind in KINDS {
        let built = small_kind(kind);
        let bits = 8 * built.bytes().len();
        // Half of the pairs anywhere, half within 64 bits.
        let pair = |round: usize| {
            let first = generator.random_range(0..bits);
            let near = first.saturating_sub(32)..(first + 32).min(bits);
            let second = generator.random_range(if round.is_multiple_of(2) { 0..bits } else { near });
            // The same bit twice would be none.
            if first == second { vec![first] } else { vec![first, second] }
        };
        flips_are_found(&built, (0..3000).map(pair));
    }
}

fn flips_are_found(built: &Built, flips: impl Iterator<Item = Vec<usize>>) {
    let expected = expected(built.written);
    let bytes = built.bytes();
    let answers = read_everything(&built.open().unwrap()).unwrap();
    let damaged = Damaged::new(built);
    for bits in flips {
        let mut flipped = bytes.clone();
        bits.iter().for_each(|bit| flipped[bit / 8] ^= 1 << (bit % 8));
        let Ok(segment) = damaged.open(&flipped, &expected) else { continue };
        assert!(segment.verify().is_err(), "verify does not find the flip of {bits:?}");
        let segment = damaged.open(&flipped, &expected).unwrap();
        if let Ok(read) = read_everything(&segment) {
            assert!(read == answers, "the flip of {bits:?} changes an answer");
        }
    }
}

#[test]
fn every_truncation_is_refused() {
    KINDS.into_iter().for_each(|kind| truncations_are_refused(&small_kind(kind)));
}

fn truncations_are_refused(built: &Built) {
    let bytes = built.bytes();
    let damaged = Damaged::new(built);
    for len in 0..bytes.len() {
        assert!(damaged.open(&bytes[..len], &expected(built.written)).is_err(), "{len} bytes");
        if len % 7 == 0 {
            let length = Expected { length: len as u64, ..expected(built.written) };
            assert!(damaged.open(&bytes[..len], &length).is_err(), "{len} bytes as expected");
        }
    }
}

/// Recomputes every checksum of a file whose section table can still be found, and returns the trailer's.
fn reseal(bytes: &mut [u8], vector_bytes: usize) -> u32 {
    let header_sum = checksum(&[&bytes[..HEADER_BYTES - 4]]);
    bytes[HEADER_BYTES - 4..HEADER_BYTES].copy_from_slice(&header_sum.to_le_bytes());
    let trailer_at = bytes.len() - TRAILER_BYTES;
    let read_u64 = |bytes: &[u8], at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize;
    let table = read_u64(bytes, trailer_at);
    let count = u32::from_le_bytes(bytes[trailer_at + 8..trailer_at + 12].try_into().unwrap()) as usize;
    let table_end = count.saturating_mul(SECTION_BYTES).saturating_add(table);
    if table_end <= trailer_at {
        let sections: Vec<Section> =
            bytes[table..table_end].chunks(SECTION_BYTES).map(|line| Section::decode(line).unwrap()).collect();
        reseal_runs(bytes, &sections, Kind::GroupTable, Kind::Groups);
        reseal_runs(bytes, &sections, Kind::LeafTable, Kind::Leaves);
        reseal_items(bytes, &sections, vector_bytes);
        reseal_columns(bytes, &sections);
        for (line, section) in sections.iter().enumerate() {
            let end = section.offset.saturating_add(section.length) as usize;
            if let Some(content) = bytes.get(section.offset as usize..end) {
                let sum = checksum(&[content]);
                let at = table + line * SECTION_BYTES + 24;
                bytes[at..at + 4].copy_from_slice(&sum.to_le_bytes());
            }
        }
        let sum = checksum(&[&bytes[table..table_end]]);
        bytes[trailer_at + 12..trailer_at + 16].copy_from_slice(&sum.to_le_bytes());
    }
    let sum = checksum(&[&bytes[trailer_at..trailer_at + TRAILER_BYTES - 8]]);
    bytes[trailer_at + 56..trailer_at + 60].copy_from_slice(&sum.to_le_bytes());
    sum
}

fn range(sections: &[Section], kind: Kind, len: usize) -> Option<std::ops::Range<usize>> {
    let section = sections.iter().find(|section| section.kind == kind as u32)?;
    let end = usize::try_from(section.offset.checked_add(section.length)?).ok()?;
    (end <= len).then_some(section.offset as usize..end)
}

fn reseal_runs(bytes: &mut [u8], sections: &[Section], table: Kind, runs: Kind) {
    let (Some(table), Some(runs)) = (range(sections, table, bytes.len()), range(sections, runs, bytes.len())) else {
        return;
    };
    for line in bytes[table].to_vec().chunks_exact(TABLE_ENTRY_BYTES) {
        let entry = TableEntry::decode(line).unwrap();
        let start = runs.start.saturating_add(entry.offset as usize);
        let Some(run) = bytes.get_mut(start..start.saturating_add(entry.length as usize)) else { continue };
        if run.len() >= 64 {
            let sum = checksum(&[&run[..60], &run[64..]]);
            run[60..64].copy_from_slice(&sum.to_le_bytes());
        }
    }
}

fn reseal_items(bytes: &mut [u8], sections: &[Section], vector_bytes: usize) {
    let len = bytes.len();
    if let Some(records) = range(sections, Kind::Records, len) {
        for (position, record) in (0u64..).zip(bytes[records].chunks_exact_mut(vector_bytes + 16)) {
            let (covered, sum) = record.split_at_mut(vector_bytes + 12);
            sum.copy_from_slice(&checksum(&[&position.to_le_bytes(), covered]).to_le_bytes());
        }
    }
    let (Some(offsets), Some(ids)) = (range(sections, Kind::IdOffsets, len), range(sections, Kind::Ids, len)) else {
        return;
    };
    let offsets: Vec<usize> = bytes[offsets]
        .chunks_exact(8)
        .map(|offset| u64::from_le_bytes(offset.try_into().unwrap()) as usize)
        .collect();
    for (position, pair) in (0u64..).zip(offsets.windows(2)) {
        let Some(id) = bytes[ids.clone()].get_mut(pair[0]..pair[1]) else { continue };
        if id.len() >= 4 {
            let (stored_id, sum) = id.split_at_mut(id.len() - 4);
            sum.copy_from_slice(&checksum(&[&position.to_le_bytes(), stored_id]).to_le_bytes());
        }
    }
}

fn reseal_columns(bytes: &mut [u8], sections: &[Section]) {
    let Some(section) = range(sections, Kind::Columns, bytes.len()) else { return };
    let bytes = &mut bytes[section];
    let number = |bytes: &[u8], at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let Some(footer) = bytes.len().checked_sub(16) else { return };
    let directory_bytes = number(bytes, footer).saturating_mul(32).saturating_add(number(bytes, footer + 4));
    let Some(directory) = footer.checked_sub(directory_bytes) else { return };
    for entry in (directory..).step_by(32).take(number(bytes, footer)) {
        let start = number(bytes, entry);
        if let Some(column) = bytes.get(start..start.saturating_add(number(bytes, entry + 8))) {
            let sum = checksum(&[column]);
            bytes[entry + 16..entry + 20].copy_from_slice(&sum.to_le_bytes());
        }
    }
    let sum = checksum(&[&bytes[directory..footer + 12]]);
    bytes[footer + 12..].copy_from_slice(&sum.to_le_bytes());
}

/// Where resealed damage is worth most: everything but the vectors' components and the codes.
fn interesting(bytes: &[u8]) -> Vec<usize> {
    let trailer = Trailer::decode(&bytes[bytes.len() - TRAILER_BYTES..]).unwrap().0;
    let table = trailer.table_offset as usize;
    let sections: Vec<Section> = bytes[table..table + trailer.sections as usize * SECTION_BYTES]
        .chunks(SECTION_BYTES)
        .map(|line| Section::decode(line).unwrap())
        .collect();
    let mut places: Vec<usize> = (0..HEADER_BYTES).chain(table..bytes.len()).collect();
    for kind in [Kind::GroupTable, Kind::LeafTable, Kind::IdOffsets, Kind::SequenceOrder] {
        places.extend(range(&sections, kind, bytes.len()).unwrap());
    }
    let columns = range(&sections, Kind::Columns, bytes.len()).unwrap();
    places.extend(columns.clone().take(200).chain(columns.clone().skip(columns.len() - 300)));
    for kind in [Kind::Groups, Kind::Leaves] {
        let runs = range(&sections, kind, bytes.len()).unwrap();
        places.extend(runs.clone().take(24));
        places.extend(runs.skip(64 + 64 + 128 + 192).take(64));
    }
    places
}

#[test]
fn damage_under_recomputed_checksums_never_panics() {
    KINDS.into_iter().for_each(|kind| damage_never_panics(&small_kind(kind)));
}

fn damage_never_panics(built: &Built) {
    let bytes = built.bytes();
    let damaged = Damaged::new(built);
    let places = interesting(&bytes);
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(8);
    let (mut opened, mut refused) = (0, 0);
    let mut code = QueryCode::default();
    for round in 0..6000 {
        let mut changed = bytes.clone();
        for _ in 0..1 + round % 3 {
            let at = if round % 4 == 0 {
                generator.random_range(0..changed.len())
            } else {
                places[generator.random_range(0..places.len())]
            };
            let odd = [0, 1, 0x7f, 0x80, 0xff, generator.next_u64() as u8];
            changed[at] = odd[generator.random_range(0..odd.len())];
        }
        let sum = reseal(&mut changed, vector_bytes(built));
        let Ok(segment) = damaged.open(&changed, &Expected { checksum: sum, ..expected(built.written) }) else {
            refused += 1;
            continue;
        };
        opened += 1;
        let _ = (segment.verify(), read_everything(&segment));
        if let Some(quantiser) = segment.quantiser() {
            code.prepare(&built.frame, &[1e9, -0.5, f32::MIN_POSITIVE], 1.9);
            code.add_quantiser(quantiser);
        }
        for leaf in 0..segment.leaves() {
            for payload in segment.leaf(leaf).map(|run| run.payloads().collect::<Vec<_>>()).unwrap_or_default() {
                let _ = (segment.record(payload), segment.stored_id(payload));
            }
        }
    }
    assert!(opened > 500 && refused > 500, "{opened} opened, {refused} refused");
}

#[test]
fn resealing_an_undamaged_file_changes_nothing() {
    for kind in KINDS {
        let built = small_kind(kind);
        let mut bytes = built.bytes();
        assert_eq!(reseal(&mut bytes, vector_bytes(&built)), built.written.checksum);
        assert!(bytes == built.bytes());
    }
}

#[test]
fn numbers_out_of_bounds_are_errors_though_checksums_hold() {
    let built = small();
    let bytes = built.bytes();
    let sections: Vec<Section> = {
        let trailer = Trailer::decode(&bytes[bytes.len() - TRAILER_BYTES..]).unwrap().0;
        bytes[trailer.table_offset as usize..]
            .chunks(SECTION_BYTES)
            .take(9)
            .map(|line| Section::decode(line).unwrap())
            .collect()
    };
    let payloads = 64 + 64 + 128 + 192;
    let damaged = Damaged::new(&built);
    let change = |kind: Kind, at: usize, value: u32| {
        let mut changed = bytes.clone();
        let start = range(&sections, kind, bytes.len()).unwrap().start + at;
        changed[start..start + 4].copy_from_slice(&value.to_le_bytes());
        let sum = reseal(&mut changed, vector_bytes(&built));
        damaged.open(&changed, &Expected { checksum: sum, ..expected(built.written) })
    };
    assert!(change(Kind::Groups, payloads, 1000).unwrap_err().is_corruption());
    assert!(change(Kind::LeafTable, 12, 0).unwrap_err().is_corruption());
    let first = 24;
    let segment = change(Kind::Leaves, first, 40).unwrap();
    assert!(segment.leaf(0).unwrap_err().is_corruption());
    let segment = change(Kind::Leaves, first, 1).unwrap();
    assert!(segment.leaf(0).unwrap_err().is_corruption() && segment.verify().unwrap_err().is_corruption());
    let segment = change(Kind::SequenceOrder, 8 * 40, 40).unwrap();
    assert_eq!(segment.position_of(10).unwrap(), Some(40));
    assert!(segment.record(40).unwrap_err().is_corruption() && segment.verify().unwrap_err().is_corruption());
    let segment = change(Kind::IdOffsets, 8, 0).unwrap();
    assert!(segment.stored_id(0).unwrap_err().is_corruption());
}
