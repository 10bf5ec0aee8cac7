//! Reads a segment: opens and checks it, hands out runs, records and ids.
//!
//! Nothing read from the file is trusted: offsets are checked before use, also where checksums hold. A leaf's run and
//! a record are verified when they are first touched, and one bit remembers.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::bytes::{Malformed, Reader, checksum};
use crate::code::{CodeKind, Heads, Quantiser, Run};
use crate::distance::pad;
use crate::error::{Error, Result};
use crate::fs::{self, Map};
use crate::segment::columns::Directory;
use crate::segment::element::Element;
use crate::segment::format::{Header, Kind, RECORD_TAIL_BYTES, Section, TABLE_ENTRY_BYTES, TableEntry};
use crate::types::SequenceRange;
use crate::vector::Components;

/// What the manifest says of a segment.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    pub(crate) uuid: [u8; 16],
    pub(crate) id: u64,
    pub(crate) nonce: u64,
    pub(crate) range: SequenceRange,
    pub(crate) length: u64,
    /// The checksum in the trailer.
    pub(crate) checksum: u32,
}

/// An item as a segment holds it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Record<'a> {
    /// The components, as the caller gave them or rounded.
    pub(crate) vector: Components<'a>,
    /// 1 / |v| for cosine, else 0.
    pub(crate) inverse_norm: f32,
    pub(crate) sequence: u64,
}

/// An open segment.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(super) path: PathBuf,
    pub(super) map: Map,
    pub(super) header: Header,
    pub(super) padded: usize,
    quantiser: Option<Quantiser>,
    pub(super) sections: Sections,
    /// The first position of each leaf and the end of the last, where there is one tree; else empty.
    pub(super) leaf_starts: Vec<u32>,
    /// What ranks the groups.
    pub(super) heads: Heads,
    intact_leaves: Bits,
    intact_records: Bits,
    pub(super) order_is_intact: OnceLock<bool>,
    /// The directory of the columns, read when the first filter asks.
    pub(super) columns: OnceLock<Directory>,
}

/// Where the sections are; every range lies in the file.
#[derive(Debug)]
pub(super) struct Sections {
    /// All of them, also of kinds unknown, ascending and apart.
    pub(super) all: Vec<Section>,
    /// The section table.
    pub(super) table: Range<usize>,
    pub(super) ranges: [Range<usize>; Kind::COUNT],
}

impl Segment {
    /// The number that the segment was given.
    #[cfg(test)]
    pub(crate) fn id(&self) -> u64 {
        self.header.id
    }

    /// The sequence numbers that the segment covers.
    pub(crate) fn range(&self) -> SequenceRange {
        self.header.range
    }

    pub(crate) fn items(&self) -> usize {
        self.header.items as usize
    }

    pub(crate) fn trees(&self) -> usize {
        self.header.trees as usize
    }

    pub(crate) fn leaves(&self) -> usize {
        self.header.leaves as usize
    }

    pub(crate) fn groups(&self) -> usize {
        self.header.groups as usize
    }

    /// Whether vectors in records are rounded.
    pub(crate) fn is_rounded(&self) -> bool {
        self.header.element.is_rounded()
    }

    /// The length of the file.
    pub(crate) fn length(&self) -> usize {
        self.map.len()
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn assemble(
        path: &Path,
        map: Map,
        header: Header,
        quantiser: Option<Quantiser>,
        sections: Sections,
    ) -> Segment {
        Segment {
            path: path.to_owned(),
            leaf_starts: Vec::new(),
            heads: Heads::default(),
            intact_leaves: Bits::new(header.leaves as usize),
            intact_records: Bits::new(header.items as usize),
            order_is_intact: OnceLock::new(),
            columns: OnceLock::new(),
            padded: pad(header.dimension as usize),
            map,
            header,
            quantiser,
            sections,
        }
    }

    /// What the codes of items are.
    pub(crate) fn kind_of_items(&self) -> CodeKind {
        self.header.code
    }

    /// What the items' bytes were made with; `None` where they are coded otherwise.
    pub(crate) fn quantiser(&self) -> Option<&Quantiser> {
        self.quantiser.as_ref()
    }

    /// How the lanes of groups' or leaves' runs are coded.
    pub(super) fn code_kind(&self, runs: Kind) -> CodeKind {
        if runs == Kind::Groups { CodeKind::Signs } else { self.header.code }
    }

    /// The centroids of the groups, in their order.
    pub(crate) fn group_heads(&self) -> &Heads {
        &self.heads
    }

    /// A group's run, whose lanes are leaves. Checked when the segment was opened.
    pub(crate) fn group(&self, group: usize) -> Result<Run<'_>> {
        self.parse_run(Kind::GroupTable, Kind::Groups, group)
    }

    /// A leaf's run, whose lanes are items by position.
    pub(crate) fn leaf(&self, leaf: usize) -> Result<Run<'_>> {
        let run = self.parse_run(Kind::LeafTable, Kind::Leaves, leaf)?;
        if !self.intact_leaves.get(leaf) {
            self.check_run(Kind::Leaves, leaf, &run, self.header.items)?;
            self.intact_leaves.set(leaf);
        }
        Ok(run)
    }

    /// The bytes of a leaf's run, unchecked, to prefetch them; empty if there is no such leaf.
    pub(crate) fn leaf_bytes(&self, leaf: usize) -> &[u8] {
        self.run_bytes(Kind::LeafTable, Kind::Leaves, leaf).map_or(&[], |(bytes, _)| bytes)
    }

    /// The bytes that say where a leaf's run is, to prefetch them; empty if there is no such leaf.
    pub(crate) fn leaf_place_bytes(&self, leaf: usize) -> &[u8] {
        let start = leaf.saturating_mul(TABLE_ENTRY_BYTES);
        self.section(Kind::LeafTable).get(start..start.saturating_add(TABLE_ENTRY_BYTES)).unwrap_or(&[])
    }

    /// The bytes of a group's run, to prefetch them; empty if there is no such group.
    pub(crate) fn group_bytes(&self, group: usize) -> &[u8] {
        self.run_bytes(Kind::GroupTable, Kind::Groups, group).map_or(&[], |(bytes, _)| bytes)
    }

    /// The positions in a leaf, which are consecutive where there is one tree; `None` where there are more.
    pub(crate) fn leaf_positions(&self, leaf: usize) -> Option<Range<u32>> {
        Some(*self.leaf_starts.get(leaf)?..*self.leaf_starts.get(leaf + 1)?)
    }

    /// The number of items in a leaf; 0 if there is no such leaf.
    pub(crate) fn leaf_items(&self, leaf: usize) -> u32 {
        self.entry(Kind::LeafTable, leaf).map_or(0, |entry| entry.count)
    }

    /// The item at a position.
    pub(crate) fn record(&self, position: u32) -> Result<Record<'_>> {
        let bytes = self.record_bytes(position);
        let record = parse_record(bytes, self.header.element, self.header.dimension as usize)
            .ok_or_else(|| self.out_of_bounds(Kind::Records, "position", u64::from(position), self.header.items))?;
        if !self.intact_records.get(position as usize) {
            let found = checksum(&[&u64::from(position).to_le_bytes(), record.covered]);
            if found != record.checksum && !fs::skips_records(&self.path) {
                let place = format!("{}, position {position}", self.at(Kind::Records, self.record_start(position)));
                return Err(self.corrupt(place, checksum_text(record.checksum), checksum_text(found)));
            }
            self.intact_records.set(position as usize);
        }
        Ok(record.record)
    }

    /// The bytes of a record, unchecked, to prefetch them; empty if there is no such position.
    pub(crate) fn record_bytes(&self, position: u32) -> &[u8] {
        let start = self.record_start(position);
        let end = start.saturating_add(self.record_len());
        self.section(Kind::Records).get(start..end).unwrap_or(&[])
    }

    fn record_len(&self) -> usize {
        self.header.element.bytes(self.header.dimension as usize) + RECORD_TAIL_BYTES
    }

    fn record_start(&self, position: u32) -> usize {
        (position as usize).saturating_mul(self.record_len())
    }

    /// The bytes that say where the id of a position is, unchecked, to prefetch them.
    pub(crate) fn id_offset_bytes(&self, position: u32) -> &[u8] {
        let start = 8 * position as usize;
        self.section(Kind::IdOffsets).get(start..start + 16).unwrap_or(&[])
    }

    /// The bytes of the id of a position, unchecked, to prefetch them.
    pub(crate) fn id_bytes(&self, position: u32) -> &[u8] {
        let mut offsets = Reader::new(self.id_offset_bytes(position));
        let mut offset = || usize::try_from(offsets.u64().unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
        let (start, end) = (offset(), offset());
        self.section(Kind::Ids).get(start..end).unwrap_or(&[])
    }

    /// The stored id of the item at a position, verified each time.
    pub(crate) fn stored_id(&self, position: u32) -> Result<&[u8]> {
        if u64::from(position) >= self.header.items {
            return Err(self.out_of_bounds(Kind::Ids, "position", u64::from(position), self.header.items));
        }
        let place = || format!("{}, position {position}", self.at(Kind::IdOffsets, 8 * position as usize));
        let mut offsets = Reader::new(self.section(Kind::IdOffsets).get(8 * position as usize..).unwrap_or(&[]));
        let mut offset = || offsets.u64().map(|offset| usize::try_from(offset).unwrap_or(usize::MAX));
        let (start, end) =
            offset().and_then(|start| Ok((start, offset()?))).map_err(|fault| self.lift(place(), fault))?;
        let id = self.section(Kind::Ids).get(start..end).and_then(|bytes| bytes.split_last_chunk::<4>());
        let Some((stored_id, stored)) = id else {
            let expected = format!("the bounds of an id within {} bytes", self.section(Kind::Ids).len());
            return Err(self.corrupt(place(), expected, format!("{start} to {end}")));
        };
        let found = checksum(&[&u64::from(position).to_le_bytes(), stored_id]);
        if found != u32::from_le_bytes(*stored) {
            let place = format!("{}, position {position}", self.at(Kind::Ids, start));
            return Err(self.corrupt(place, checksum_text(u32::from_le_bytes(*stored)), checksum_text(found)));
        }
        Ok(stored_id)
    }

    pub(super) fn section(&self, kind: Kind) -> &[u8] {
        self.sections.ranges.get(kind as usize - 1).and_then(|range| self.map.get(range.clone())).unwrap_or(&[])
    }

    pub(super) fn entry(&self, table: Kind, number: usize) -> Option<TableEntry> {
        let start = number.checked_mul(TABLE_ENTRY_BYTES)?;
        let bytes = self.section(table).get(start..start.checked_add(TABLE_ENTRY_BYTES)?)?;
        TableEntry::decode(bytes).ok()
    }

    fn run_bytes(&self, table: Kind, runs: Kind, number: usize) -> Option<(&[u8], TableEntry)> {
        let entry = self.entry(table, number)?;
        let start = usize::try_from(entry.offset).ok()?;
        let bytes = self.section(runs).get(start..start.checked_add(entry.length as usize)?)?;
        Some((bytes, entry))
    }

    fn parse_run(&self, table: Kind, runs: Kind, number: usize) -> Result<Run<'_>> {
        let Some((bytes, _)) = self.run_bytes(table, runs, number) else {
            let count = self.section(table).len() / TABLE_ENTRY_BYTES;
            return Err(self.out_of_bounds(runs, "run", number as u64, count as u64));
        };
        Run::parse(bytes, self.code_kind(runs), self.padded)
            .map_err(|fault| self.lift(self.run_place(table, runs, number), fault))
    }

    /// Everything about one run that its bytes tell: checksum, number, entries, payloads below `bound`.
    pub(super) fn check_run(&self, runs: Kind, number: usize, run: &Run<'_>, bound: u64) -> Result<()> {
        let table = if runs == Kind::Groups { Kind::GroupTable } else { Kind::LeafTable };
        let entries = self.entry(table, number).map_or(0, |entry| entry.count);
        let fault =
            |expected: String, found: String| Err(self.corrupt(self.run_place(table, runs, number), expected, found));
        if !run.is_intact() && !fs::skips_runs(&self.path) {
            return fault("what its checksum covers".into(), "other bytes".into());
        }
        if run.number() as usize != number || run.entries() != entries {
            return fault(
                format!("run {number} of {entries} entries"),
                format!("run {} of {}", run.number(), run.entries()),
            );
        }
        if let Some(payload) = run.payloads().find(|&payload| u64::from(payload) >= bound) {
            return fault(format!("entries below {bound}"), format!("{payload}"));
        }
        match self.leaf_positions(number).filter(|_| runs == Kind::Leaves) {
            Some(positions) if !run.payloads().eq(positions.clone()) => {
                fault(format!("the positions {positions:?}"), format!("{:?}", run.payloads().collect::<Vec<_>>()))
            }
            _ => Ok(()),
        }
    }

    fn run_place(&self, table: Kind, runs: Kind, number: usize) -> String {
        let offset = self.entry(table, number).map_or(0, |entry| usize::try_from(entry.offset).unwrap_or(usize::MAX));
        format!("{}, run {number}", self.at(runs, offset))
    }

    /// Names a place of a section for an error.
    pub(super) fn at(&self, kind: Kind, offset: usize) -> String {
        let start = self.sections.ranges.get(kind as usize - 1).map_or(0, |range| range.start);
        format!("section {} at offset {}", kind.name(), start.saturating_add(offset))
    }

    fn out_of_bounds(&self, kind: Kind, what: &str, found: u64, bound: u64) -> Error {
        self.corrupt(self.at(kind, 0), format!("a {what} below {bound}"), format!("{found}"))
    }

    pub(super) fn corrupt(
        &self,
        place: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Error {
        Error::corrupt(&self.path, place, expected, found)
    }

    pub(super) fn lift(&self, place: String, fault: Malformed) -> Error {
        self.corrupt(place, fault.expected, fault.found)
    }
}

/// A record and its checksum, not yet compared.
struct StoredRecord<'a> {
    record: Record<'a>,
    covered: &'a [u8],
    checksum: u32,
}

fn parse_record(bytes: &[u8], element: Element, dimension: usize) -> Option<StoredRecord<'_>> {
    let (covered, stored) = bytes.split_last_chunk::<4>()?;
    let (vector, tail) = covered.split_at_checked(element.bytes(dimension))?;
    let mut tail = Reader::new(tail);
    let record = Record {
        vector: element.read(vector, dimension)?,
        inverse_norm: tail.f32().ok()?,
        sequence: tail.u64().ok()?,
    };
    Some(StoredRecord { record, covered, checksum: u32::from_le_bytes(*stored) })
}

pub(super) fn checksum_text(sum: u32) -> String {
    format!("checksum {sum:08x}")
}

/// Bits that any thread may set.
#[derive(Debug)]
struct Bits {
    words: Vec<AtomicU64>,
}

impl Bits {
    fn new(len: usize) -> Bits {
        Bits { words: (0..len.div_ceil(64)).map(|_| AtomicU64::new(0)).collect() }
    }

    fn get(&self, bit: usize) -> bool {
        self.words.get(bit / 64).is_some_and(|word| word.load(Ordering::Relaxed) >> (bit % 64) & 1 == 1)
    }

    fn set(&self, bit: usize) {
        if let Some(word) = self.words.get(bit / 64) {
            word.fetch_or(1 << (bit % 64), Ordering::Relaxed);
        }
    }
}
