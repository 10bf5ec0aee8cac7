//! The full check of a segment: every byte, and that the parts agree with each other.

use crate::bytes::Reader;
use crate::error::Result;
use crate::segment::columns::Field;
use crate::segment::format::{HEADER_BYTES, Kind, TRAILER_BYTES};
use crate::segment::reader::Segment;
use crate::types::Id;

impl Segment {
    /// Checks everything that opening did not: all sections, runs, records and ids, the bytes between sections, and
    /// that each position is in one leaf of every tree and has the sequence number that the order gives it.
    pub(crate) fn verify(&self) -> Result<()> {
        self.verify_padding()?;
        Kind::ALL.into_iter().try_for_each(|kind| self.check_section(kind))?;
        (0..self.groups()).try_for_each(|group| {
            self.check_run(Kind::Groups, group, &self.group(group)?, u64::from(self.header.leaves))
        })?;
        self.verify_leaves()?;
        self.verify_items()?;
        self.verify_order()?;
        self.verify_columns()
    }

    /// Whatever no section, table or trailer covers is zero.
    fn verify_padding(&self) -> Result<()> {
        let mut free = HEADER_BYTES;
        let trailer = self.map.len().saturating_sub(TRAILER_BYTES);
        let table = self.sections.table.clone();
        let sections = self.sections.all.iter().map(|section| {
            let start = usize::try_from(section.offset).unwrap_or(usize::MAX);
            (start, start.saturating_add(usize::try_from(section.length).unwrap_or(usize::MAX)))
        });
        for (start, end) in sections.chain([(table.start, table.end), (trailer, trailer)]) {
            let padding = self.map.get(free..start).unwrap_or(&[]);
            if let Some(at) = padding.iter().position(|&byte| byte != 0) {
                let place = format!("padding at offset {}", free + at);
                return Err(self.corrupt(place, "0", format!("{}", padding.get(at).unwrap_or(&0))));
            }
            free = end;
        }
        Ok(())
    }

    fn verify_leaves(&self) -> Result<()> {
        let mut seen = vec![0u32; self.items()];
        for leaf in 0..self.leaves() {
            let run = self.leaf(leaf)?;
            self.check_run(Kind::Leaves, leaf, &run, self.header.items)?;
            for position in run.payloads() {
                if let Some(count) = seen.get_mut(position as usize) {
                    *count = count.saturating_add(1);
                }
            }
        }
        match seen.iter().position(|&count| count != self.header.trees) {
            Some(position) => Err(self.corrupt(
                self.at(Kind::Leaves, 0),
                format!("position {position} in {} leaves", self.header.trees),
                format!("in {}", seen.get(position).unwrap_or(&0)),
            )),
            None => Ok(()),
        }
    }

    /// Every record and every id; ids follow each other without gaps.
    fn verify_items(&self) -> Result<()> {
        for position in 0..self.items() as u32 {
            self.record(position)?;
            let stored_id = self.stored_id(position)?;
            if Id::decode(stored_id).is_none() {
                let place = format!("{}, position {position}", self.at(Kind::Ids, 0));
                return Err(self.corrupt(place, "an id", format!("{stored_id:02x?}")));
            }
        }
        let offsets = self.section(Kind::IdOffsets);
        let first = Reader::new(offsets).u64();
        let last = Reader::new(offsets.get(offsets.len().saturating_sub(8)..).unwrap_or(&[])).u64();
        let expected = (Ok(0), Ok(self.section(Kind::Ids).len() as u64));
        if (first.clone(), last.clone()) == expected {
            return Ok(());
        }
        let found = format!("{first:?} to {last:?}");
        Err(self.corrupt(self.at(Kind::IdOffsets, 0), format!("0 to {}", self.section(Kind::Ids).len()), found))
    }

    /// Every column, and the directory.
    fn verify_columns(&self) -> Result<()> {
        if self.section(Kind::Columns).is_empty() {
            return Ok(());
        }
        self.check_section(Kind::Columns)?;
        for (path, _) in self.indexed_fields()? {
            if let Field::Column(column) = self.field(&path)? {
                column.verify().map_err(|fault| self.in_field(&path, fault))?;
            }
        }
        Ok(())
    }

    /// Sequence numbers ascend within the range, and each is that of the record at its position.
    fn verify_order(&self) -> Result<()> {
        let mut previous = None;
        for place in 0..self.items() {
            let (sequence, position) = self.ordered(place)?;
            let at = || format!("{}, place {place}", self.at(Kind::SequenceOrder, 8 * place));
            if previous.is_some_and(|previous| previous >= sequence) || !self.header.range.contains(sequence) {
                let range = self.header.range;
                let expected = format!("above {previous:?} within {} to {}", range.start, range.end);
                return Err(self.corrupt(at(), expected, format!("{sequence}")));
            }
            let found = self.record(position)?.sequence;
            if found != sequence {
                return Err(self.corrupt(at(), format!("sequence number {sequence}"), format!("{found}")));
            }
            previous = Some(sequence);
        }
        Ok(())
    }
}
