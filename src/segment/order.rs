//! From sequence numbers to positions and back.

use crate::bitmap::Bitmap;
use crate::bytes::{Reader, checksum};
use crate::error::Result;
use crate::segment::format::Kind;
use crate::segment::reader::Segment;

impl Segment {
    /// Whether the segment holds the row of a sequence number, live or dead.
    pub(crate) fn contains_sequence(&self, sequence: u64) -> Result<bool> {
        Ok(self.position_of(sequence)?.is_some())
    }

    /// Where the segment holds the row of a sequence number.
    pub(crate) fn position_of(&self, sequence: u64) -> Result<Option<u32>> {
        if !self.header.range.contains(sequence) {
            return Ok(None);
        }
        self.check_order()?;
        let (mut low, mut high) = (0, self.items());
        while low < high {
            let middle = low + (high - low) / 2;
            let (found, position) = self.ordered(middle)?;
            match found.cmp(&sequence) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Ok(Some(position)),
            }
        }
        Ok(None)
    }

    /// The positions of those of some sequence numbers, ascending, that the segment holds.
    pub(crate) fn positions_of(&self, sequences: impl Iterator<Item = u64>) -> Result<Bitmap> {
        let mut positions = Bitmap::new(self.items());
        let mut from = 0;
        for sequence in sequences {
            let place;
            (place, from) = self.seek(sequence, from)?;
            if let Some(position) = place {
                positions.insert(position as usize);
            }
        }
        Ok(positions)
    }

    /// The position of a sequence number whose place in the ascending order is `from` or later, and that place.
    fn seek(&self, sequence: u64, from: usize) -> Result<(Option<u32>, usize)> {
        self.check_order()?;
        // In steps that double, so that neighbours are found at once.
        let (mut low, mut high, mut step) = (from, from, 1);
        while high < self.items() && self.ordered(high)?.0 < sequence {
            low = high + 1;
            high = high.saturating_add(step);
            step *= 2;
        }
        high = high.min(self.items());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.ordered(middle)?.0 < sequence { low = middle + 1 } else { high = middle }
        }
        let found = if low < self.items() { Some(self.ordered(low)?) } else { None };
        Ok((found.and_then(|(found, position)| (found == sequence).then_some(position)), low))
    }

    /// The sequence numbers of some positions, ascending.
    pub(crate) fn sequences_at(&self, positions: &Bitmap) -> Result<Vec<u64>> {
        self.check_order()?;
        let mut sequences = Vec::new();
        for place in 0..self.items() {
            let (sequence, position) = self.ordered(place)?;
            if positions.contains(position as usize) {
                sequences.push(sequence);
            }
        }
        Ok(sequences)
    }

    /// The checksum of the sequence order, the first time it is used.
    fn check_order(&self) -> Result<()> {
        let section = self.sections.all.iter().find(|section| section.kind == Kind::SequenceOrder as u32);
        let stored = section.map(|section| section.checksum);
        let found = || Some(checksum(&[self.section(Kind::SequenceOrder)]));
        if *self.order_is_intact.get_or_init(|| found() == stored) {
            return Ok(());
        }
        Err(self.corrupt(self.at(Kind::SequenceOrder, 0), "what its checksum covers", "other bytes"))
    }

    /// The sequence number at a place of the ascending order, and its position.
    pub(super) fn ordered(&self, place: usize) -> Result<(u64, u32)> {
        let section = self.section(Kind::SequenceOrder);
        let sequence = section.get(place.saturating_mul(8)..).unwrap_or(&[]);
        let positions = self.items().saturating_mul(8);
        let position = section.get(positions.saturating_add(place.saturating_mul(4))..).unwrap_or(&[]);
        let read = || Ok((Reader::new(sequence).u64()?, Reader::new(position).u32()?));
        read().map_err(|fault| self.lift(format!("{}, place {place}", self.at(Kind::SequenceOrder, 0)), fault))
    }
}
