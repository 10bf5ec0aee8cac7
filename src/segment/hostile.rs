//! Segments for those who damage them, in tests and fuzz targets: checksums put right again, so that bytes get past
//! the door, and the places where damage is worth most.

use std::ops::Range;

#[cfg(fuzzing)]
pub(crate) use super::columns::hostile::Target as Columns;

use crate::bytes::{Reader, checksum};
use crate::segment::format::{
    HEADER_BYTES, Kind, RECORD_TAIL_BYTES, SECTION_BYTES, Section, TABLE_ENTRY_BYTES, TRAILER_BYTES, TableEntry,
};

/// Where the checksum of a run is, and a run's least length.
const RUN_CHECKSUM: Range<usize> = 60..64;

/// Recomputes every checksum that can still be found, and returns the trailer's.
pub(crate) fn reseal(bytes: &mut [u8], vector_bytes: usize) -> u32 {
    if bytes.len() < HEADER_BYTES + TRAILER_BYTES {
        return 0;
    }
    put_sum(bytes, 0..HEADER_BYTES - 4, HEADER_BYTES - 4);
    let trailer = bytes.len() - TRAILER_BYTES;
    if let Some((table, sections)) = sections(bytes) {
        reseal_runs(bytes, &sections, Kind::GroupTable, Kind::Groups);
        reseal_runs(bytes, &sections, Kind::LeafTable, Kind::Leaves);
        reseal_records(bytes, &sections, vector_bytes);
        reseal_ids(bytes, &sections);
        for (line, section) in sections.iter().enumerate() {
            if let Some(content) = content(section, bytes.len()) {
                put_sum(bytes, content, table.start + line * SECTION_BYTES + 24);
            }
        }
        put_sum(bytes, table, trailer + 12);
    }
    put_sum(bytes, trailer..trailer + TRAILER_BYTES - 8, trailer + TRAILER_BYTES - 8)
}

/// Everything but the vectors' components, the codes and the ids.
pub(crate) fn places(bytes: &[u8]) -> Vec<usize> {
    let Some((table, sections)) = sections(bytes) else { return Vec::new() };
    let mut places: Vec<usize> = (0..HEADER_BYTES).chain(table.start..bytes.len()).collect();
    for section in &sections {
        let Some(content) = content(section, bytes.len()) else { continue };
        let bulk = [Kind::Groups, Kind::Leaves, Kind::Records, Kind::Ids].map(|kind| kind as u32);
        let most = if bulk.contains(&section.kind) { 128 } else { 1024 };
        places.extend(content.take(most));
    }
    places
}

/// Writes the checksum of some bytes to a place, and returns it.
fn put_sum(bytes: &mut [u8], covered: Range<usize>, at: usize) -> u32 {
    let sum = checksum(&[&bytes[covered]]);
    bytes[at..at + 4].copy_from_slice(&sum.to_le_bytes());
    sum
}

/// The section table and its lines, if the trailer still leads there.
fn sections(bytes: &[u8]) -> Option<(Range<usize>, Vec<Section>)> {
    let trailer = bytes.len().checked_sub(TRAILER_BYTES)?;
    let mut reader = Reader::new(&bytes[trailer..]);
    let start = usize::try_from(reader.u64().ok()?).ok()?;
    let end = start.checked_add((reader.u32().ok()? as usize).checked_mul(SECTION_BYTES)?)?;
    let table = bytes[..trailer].get(start..end)?;
    let lines: Result<Vec<_>, _> = table.chunks_exact(SECTION_BYTES).map(Section::decode).collect();
    Some((start..end, lines.ok()?))
}

/// Where a section's bytes are, if they lie in the file.
fn content(section: &Section, len: usize) -> Option<Range<usize>> {
    let start = usize::try_from(section.offset).ok()?;
    let end = start.checked_add(usize::try_from(section.length).ok()?)?;
    (end <= len).then_some(start..end)
}

fn find(sections: &[Section], kind: Kind, len: usize) -> Option<Range<usize>> {
    content(sections.iter().find(|section| section.kind == kind as u32)?, len)
}

fn reseal_runs(bytes: &mut [u8], sections: &[Section], table: Kind, runs: Kind) {
    let len = bytes.len();
    let (Some(table), Some(runs)) = (find(sections, table, len), find(sections, runs, len)) else { return };
    for line in bytes[table].to_vec().chunks_exact(TABLE_ENTRY_BYTES) {
        let Ok(entry) = TableEntry::decode(line) else { continue };
        let start = runs.start.saturating_add(usize::try_from(entry.offset).unwrap_or(usize::MAX));
        let Some(run) = bytes.get_mut(start..start.saturating_add(entry.length as usize)) else { continue };
        if run.len() >= RUN_CHECKSUM.end {
            let sum = checksum(&[&run[..RUN_CHECKSUM.start], &run[RUN_CHECKSUM.end..]]);
            run[RUN_CHECKSUM].copy_from_slice(&sum.to_le_bytes());
        }
    }
}

fn reseal_records(bytes: &mut [u8], sections: &[Section], vector_bytes: usize) {
    let Some(records) = find(sections, Kind::Records, bytes.len()) else { return };
    let covered = vector_bytes + RECORD_TAIL_BYTES - 4;
    for (position, record) in (0u64..).zip(bytes[records].chunks_exact_mut(covered + 4)) {
        let (record, sum) = record.split_at_mut(covered);
        sum.copy_from_slice(&checksum(&[&position.to_le_bytes(), record]).to_le_bytes());
    }
}

fn reseal_ids(bytes: &mut [u8], sections: &[Section]) {
    let len = bytes.len();
    let (Some(offsets), Some(ids)) = (find(sections, Kind::IdOffsets, len), find(sections, Kind::Ids, len)) else {
        return;
    };
    let mut reader = Reader::new(&bytes[offsets]);
    let mut ends = Vec::new();
    while let Ok(offset) = reader.u64() {
        ends.push(usize::try_from(offset).unwrap_or(usize::MAX));
    }
    for (position, pair) in (0u64..).zip(ends.windows(2)) {
        let Some(id) = bytes[ids.clone()].get_mut(pair[0]..pair[1]) else { continue };
        if let Some((stored_id, sum)) = id.split_last_chunk_mut::<4>() {
            *sum = checksum(&[&position.to_le_bytes(), stored_id]).to_le_bytes();
        }
    }
}
