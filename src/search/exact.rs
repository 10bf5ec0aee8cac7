//! Searches without codes: every vector of the delta, of the segments, or of ranges that only the rows answer for.

use std::ops::ControlFlow;

use super::{Place, Search};
use crate::code::QueryCode;
use crate::error::Result;

impl Search<'_> {
    pub(super) fn read_delta(&mut self, query: &QueryCode) -> Result<()> {
        let view = self.view;
        for (place, item) in view.delta.items().enumerate() {
            if !self.is_dead(item.sequence) {
                let distance = query.distance(self.kernels, &item.vector, item.inverse_norm);
                self.offer(distance, Place::Delta(place as u32), 0)?;
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

    /// Reads the rows of unbuilt and damaged parts. Costs about a microsecond a row, and no memory that grows with them.
    pub(super) fn read_rows(&mut self, query: &QueryCode) -> Result<()> {
        let Some(frame) = self.view.frame.clone() else { return Ok(()) };
        let view = self.view;
        let mut vector = Vec::new();
        for range in self.ranges.clone() {
            view.rows.scan(range, &mut |row| {
                if self.is_dead(row.sequence) {
                    return Ok(ControlFlow::Continue(()));
                }
                view.read_vector(&row, &mut vector)?;
                let distance = query.distance(self.kernels, &vector, frame.inverse_norm(&vector));
                if distance > self.top.threshold() {
                    return Ok(ControlFlow::Continue(()));
                }
                let place = self.rows.borrow().len() as u32;
                self.rows.borrow_mut().push((row.id.to_vec(), row.sequence));
                if !self.offer(distance, Place::Row(place), 0)? {
                    self.rows.borrow_mut().pop();
                }
                Ok(ControlFlow::Continue(()))
            })?;
        }
        Ok(())
    }
}
