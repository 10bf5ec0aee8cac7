//! Opens a segment: everything that is checked once, before any query.

use std::ops::Range;
use std::path::Path;

use crate::bytes::{Malformed, checksum};
use crate::code::{Frame, Heads, Quantiser};
use crate::error::{Error, Result};
use crate::fs::Map;
use crate::segment::SEGMENT_VERSION;
use crate::segment::format::{
    ALIGNMENT, HEADER_BYTES, Header, Kind, RECORD_TAIL_BYTES, SECTION_BYTES, Section, TABLE_ENTRY_BYTES,
    TRAILER_BYTES, TableEntry, Trailer, expect, malformed, quantiser_section,
};
use crate::segment::reader::{Expected, Sections, Segment};

impl Segment {
    /// Maps a segment and checks header, trailer, section table, both tables and the groups.
    pub(crate) fn open(path: &Path, expected: &Expected, frame: &Frame) -> Result<Segment> {
        let map = Map::open(path)?;
        let lift = |place: &str| {
            let place = place.to_owned();
            move |fault: Malformed| Error::corrupt(path, place, fault.expected, fault.found)
        };
        expect("length", &expected.length, &(map.len() as u64)).map_err(lift("file"))?;
        if let Some(version) = Header::version(&map).filter(|&version| version > SEGMENT_VERSION) {
            let found = format!("format version {version}");
            return Err(Error::UnsupportedFormat { path: path.to_owned(), found, supported: SEGMENT_VERSION });
        }
        let header = Header::decode(&map).map_err(lift("header"))?;
        check_header(&header, expected, frame).map_err(lift("header"))?;
        let trailer_at = map.len().saturating_sub(TRAILER_BYTES);
        let trailer = check_trailer(map.get(trailer_at..).unwrap_or(&[]), expected)
            .map_err(lift(&format!("trailer at offset {trailer_at}")))?;
        let table = &format!("section table at offset {}", trailer.table_offset);
        let (all, table_range) = read_sections(&map, &trailer).map_err(lift(table))?;
        let ranges = locate(&all, &header).map_err(lift(table))?;
        let quantiser = read_quantiser(&map, &all, &header).map_err(lift("section quantiser"))?;
        map.expect_random_reads();
        let mut segment =
            Segment::assemble(path, map, header, quantiser, Sections { all, table: table_range, ranges });
        segment.check_tables()?;
        segment.leaf_starts = segment.count_leaves();
        segment.heads = segment.read_groups()?;
        Ok(segment)
    }

    /// Both tables: intact, and runs that follow each other and fill their section.
    fn check_tables(&self) -> Result<()> {
        let leaf_items = self.header.items.checked_mul(u64::from(self.header.trees));
        for (table, runs, total) in [
            (Kind::GroupTable, Kind::Groups, Some(u64::from(self.header.leaves))),
            (Kind::LeafTable, Kind::Leaves, leaf_items),
        ] {
            self.check_section(table)?;
            let mut end = 0u64;
            let mut counted = 0u64;
            for (number, bytes) in self.section(table).chunks_exact(TABLE_ENTRY_BYTES).enumerate() {
                let place = || format!("{}, entry {number}", self.at(table, number * TABLE_ENTRY_BYTES));
                let entry = TableEntry::decode(bytes).map_err(|fault| self.lift(place(), fault))?;
                let needed = self.code_kind(runs).run_bytes(self.padded, entry.count as usize);
                if entry.count == 0 || entry.offset != end || needed != Some(entry.length as usize) {
                    let expected = format!("a run of one entry or more at {end}");
                    let found = format!("{} entries in {} bytes at {}", entry.count, entry.length, entry.offset);
                    return Err(self.corrupt(place(), expected, found));
                }
                end = end.saturating_add(u64::from(entry.length));
                counted = counted.saturating_add(u64::from(entry.count));
            }
            let expected = (Some(self.section(runs).len() as u64), total);
            expect("bytes and entries of all runs", &expected, &(Some(end), Some(counted)))
                .map_err(|fault| self.lift(self.at(table, 0), fault))?;
        }
        Ok(())
    }

    /// The first position of each leaf and the end of the last, if the leaves of one tree follow each other.
    fn count_leaves(&self) -> Vec<u32> {
        if self.trees() != 1 {
            return Vec::new();
        }
        let counts = (0..self.leaves()).map(|leaf| self.leaf_items(leaf));
        let ends = counts.scan(0u32, |end, count| {
            *end = end.saturating_add(count);
            Some(*end)
        });
        std::iter::once(0).chain(ends).collect()
    }

    /// The heads of the groups, after a check of every group's run, and that the groups hold each leaf once, in their order.
    fn read_groups(&self) -> Result<Heads> {
        let mut heads = Heads::default();
        heads.reserve(self.groups(), self.padded);
        let mut next = 0u32;
        for group in 0..self.groups() {
            let run = self.group(group)?;
            self.check_run(Kind::Groups, group, &run, u64::from(self.header.leaves))?;
            for leaf in run.payloads() {
                expect("leaf", &next, &leaf)
                    .map_err(|fault| self.lift(format!("{}, run {group}", self.at(Kind::Groups, 0)), fault))?;
                next = next.saturating_add(1);
            }
            heads.push(&run, self.header.metric);
        }
        Ok(heads)
    }

    /// The checksum of one section.
    pub(super) fn check_section(&self, kind: Kind) -> Result<()> {
        let section = self.sections.all.iter().find(|section| section.kind == kind as u32);
        let stored = section.map(|section| section.checksum);
        expect("checksum", &stored, &Some(checksum(&[self.section(kind)])))
            .map_err(|fault| self.lift(self.at(kind, 0), fault))
    }
}

fn check_header(header: &Header, expected: &Expected, frame: &Frame) -> Result<(), Malformed> {
    expect("store", &expected.uuid, &header.uuid)?;
    expect("segment and nonce", &(expected.id, expected.nonce), &(header.id, header.nonce))?;
    expect("sequence numbers", &expected.range, &header.range)?;
    expect("dimension", &frame.dimension(), &(header.dimension as usize))?;
    expect("metric", &frame.metric(), &header.metric)?;
    expect("frame", &frame.checksum(), &header.frame_checksum)?;
    let counts = [u64::from(header.trees), header.items, u64::from(header.leaves), u64::from(header.groups)];
    if counts.contains(&0) || header.items >= u64::from(u32::MAX) {
        return Err(malformed(
            format!("trees, leaves, groups and 1 to {} items", u32::MAX - 1),
            format!("{} trees, {} leaves, {} groups, {} items", counts[0], counts[2], counts[3], counts[1]),
        ));
    }
    Ok(())
}

fn check_trailer(bytes: &[u8], expected: &Expected) -> Result<Trailer, Malformed> {
    let (trailer, sum) = Trailer::decode(bytes)?;
    expect("the manifest's checksum", &expected.checksum, &sum)?;
    expect("length", &expected.length, &trailer.length)?;
    expect("store and nonce", &(expected.uuid, expected.nonce), &(trailer.uuid, trailer.nonce))?;
    Ok(trailer)
}

/// The section table: intact, and sections that lie apart, in order, between header and table.
fn read_sections(map: &[u8], trailer: &Trailer) -> Result<(Vec<Section>, Range<usize>), Malformed> {
    let start = usize::try_from(trailer.table_offset).unwrap_or(usize::MAX);
    let end = (trailer.sections as usize).checked_mul(SECTION_BYTES).and_then(|len| len.checked_add(start));
    let limit = map.len().saturating_sub(TRAILER_BYTES);
    let table = end.filter(|&end| end <= limit && start % ALIGNMENT == 0).and_then(|end| map.get(start..end));
    let table = table.ok_or_else(|| {
        let found = format!("{} sections at {start}", trailer.sections);
        malformed(format!("a table at a multiple of {ALIGNMENT} that ends by {limit}"), found)
    })?;
    expect("checksum", &trailer.table_checksum, &checksum(&[table]))?;
    let sections = table.chunks_exact(SECTION_BYTES).map(Section::decode).collect::<Result<Vec<_>, _>>()?;
    let mut free = HEADER_BYTES as u64;
    for section in &sections {
        let end = section.offset.checked_add(section.length).filter(|&end| end <= trailer.table_offset);
        match end {
            Some(end) if section.offset >= free && section.offset % ALIGNMENT as u64 == 0 => free = end,
            _ => {
                let found = format!("kind {} of {} bytes at {}", section.kind, section.length, section.offset);
                return Err(malformed(format!("a section from {free} to {}", trailer.table_offset), found));
            }
        }
    }
    Ok((sections, start..start + table.len()))
}

/// The quantiser of a segment whose code needs one; checked whole, for it is read whole.
fn read_quantiser(map: &[u8], all: &[Section], header: &Header) -> Result<Option<Quantiser>, Malformed> {
    let Some(kind) = quantiser_section(header.code) else { return Ok(None) };
    let mut found = all.iter().filter(|section| section.kind == kind);
    let (Some(section), None) = (found.next(), found.next()) else {
        return Err(malformed("one section quantiser", "none or several"));
    };
    let start = usize::try_from(section.offset).unwrap_or(usize::MAX);
    let length = usize::try_from(section.length).unwrap_or(usize::MAX);
    let bytes = map.get(start..start.saturating_add(length)).unwrap_or(&[]);
    expect("checksum", &section.checksum, &checksum(&[bytes]))?;
    Quantiser::decode(header.code, bytes, header.dimension as usize)
}

/// Where each kind is, of the length that the header's counts ask for.
fn locate(all: &[Section], header: &Header) -> Result<[Range<usize>; Kind::COUNT], Malformed> {
    let mut ranges = [const { 0..0 }; Kind::COUNT];
    for (kind, range) in Kind::ALL.into_iter().chain([Kind::Columns]).zip(&mut ranges) {
        let mut found = all.iter().filter(|section| section.kind == kind as u32);
        let section = match (found.next(), found.next()) {
            (Some(section), None) => section,
            // Segments of earlier builds have no columns.
            (None, None) if kind == Kind::Columns => continue,
            _ => return Err(malformed(format!("one section {}", kind.name()), "none or several")),
        };
        let needed = match kind {
            Kind::GroupTable => Some(u64::from(header.groups) * TABLE_ENTRY_BYTES as u64),
            Kind::LeafTable => Some(u64::from(header.leaves) * TABLE_ENTRY_BYTES as u64),
            Kind::Records => {
                let vector = header.element.bytes(header.dimension as usize);
                header.items.checked_mul((vector + RECORD_TAIL_BYTES) as u64)
            }
            Kind::IdOffsets => header.items.checked_add(1).and_then(|offsets| offsets.checked_mul(8)),
            Kind::SequenceOrder => header.items.checked_mul(12),
            Kind::Groups | Kind::Leaves | Kind::Ids | Kind::Columns => Some(section.length),
        };
        expect(&format!("length of {}", kind.name()), &needed, &Some(section.length))?;
        let offset = usize::try_from(section.offset).unwrap_or(usize::MAX);
        *range = offset..offset.saturating_add(usize::try_from(section.length).unwrap_or(usize::MAX));
    }
    Ok(ranges)
}
