//! Searches without codes: every vector of the delta, of the segments, or of ranges that only the rows answer for.

use std::ops::ControlFlow;

use super::compile::runs;
use super::{Place, Search};
use crate::code::QueryCode;
use crate::error::Result;
use crate::types::SequenceRange;
use crate::vector::Components;

impl Search<'_> {
    pub(super) fn read_delta(&mut self, query: &QueryCode) -> Result<()> {
        let view = self.view;
        for (place, item) in view.delta.items().enumerate() {
            if !self.is_dead(item.sequence) {
                self.measure_delta(query, place as u32, 0)?;
            }
        }
        Ok(())
    }

    pub(super) fn read_segments(&mut self, query: &QueryCode) -> Result<()> {
        for number in 0..self.segments.len() {
            let items = self.segments[number].items();
            self.scanned += items as u64;
            for position in 0..items {
                self.look_at(query, number as u32, position as u32, self.found_at())?;
            }
        }
        Ok(())
    }

    /// Reads the rows of unbuilt and damaged parts, all or the selected ones: for each range their sequence numbers.
    /// Costs about a microsecond a row, and no memory that grows with them.
    pub(super) fn read_rows(&mut self, query: &QueryCode, selected: Option<&[Vec<u64>]>) -> Result<()> {
        for (number, range) in self.ranges.iter().enumerate() {
            match selected {
                None => self.read_range(query, *range, None)?,
                Some(selected) => {
                    let sequences = selected.get(number).map_or(&[][..], Vec::as_slice);
                    for near in runs(sequences) {
                        self.read_range(query, near.range, Some(near.sequences))?;
                    }
                }
            }
        }
        Ok(())
    }

    fn read_range(&mut self, query: &QueryCode, range: SequenceRange, selected: Option<&[u64]>) -> Result<()> {
        let view = self.view;
        let Some(frame) = view.frame.as_deref() else { return Ok(()) };
        let mut vector = Vec::new();
        view.rows.scan(range, &mut |row| {
            let left_out = selected.is_some_and(|selected| selected.binary_search(&row.sequence).is_err());
            if left_out || self.is_dead(row.sequence) {
                return Ok(ControlFlow::Continue(()));
            }
            view.read_vector(&row, &mut vector)?;
            self.examined.measured += 1;
            let inverse_norm = frame.inverse_norm(&vector);
            let distance = query.distance(self.kernels, Components::Floats(&vector), inverse_norm);
            if distance > self.top.threshold() {
                return Ok(ControlFlow::Continue(()));
            }
            let place = self.rows.borrow().len() as u32;
            self.rows.borrow_mut().push((row.id.to_vec(), row.sequence));
            if !self.offer(distance, Place::Row(place), 0)? {
                self.rows.borrow_mut().pop();
            }
            Ok(ControlFlow::Continue(()))
        })
    }
}
