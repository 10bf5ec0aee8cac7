//! The full check of a column.

use std::cmp::Ordering;

use super::read::Column;
use crate::bitmap::Bitmap;
use crate::bytes::Malformed;
use crate::filter::Test;
use crate::metadata::Value;
use crate::metadata::order::total_order;

impl Column<'_> {
    /// Checks that values ascend, that each has a bitmap or a list of ascending positions, and that counts agree.
    pub(in crate::segment) fn verify(&self) -> Result<(), Malformed> {
        let fault = |expected: &str, found: String| Err(Malformed { expected: expected.into(), found });
        let mut previous: Option<Value> = None;
        for value in self.values() {
            let value = value?;
            if previous.as_ref().is_some_and(|previous| total_order(previous, &value) != Ordering::Less) {
                return fault("values that ascend", format!("{value:?} after {previous:?}"));
            }
            previous = Some(value);
        }
        let listed_to_the_end =
            self.starts.first() == Some(&0) && self.starts.last() == Some(&(self.lists.len() as u32));
        if !listed_to_the_end || !self.dense.is_sorted_by(|a, b| a < b) {
            return fault("lists that follow each other", format!("{:?}", self.starts.last()));
        }
        let present = self.present();
        if present.count() != u64::from(self.counted) || present.words() != self.present {
            return fault(&format!("{} items that have the field", self.counted), present.count().to_string());
        }
        let (mut once, mut several) = (Bitmap::new(self.items), false);
        for number in 0..self.values {
            let mut positions = Bitmap::new(self.items);
            let list = self.list(&(number..number + 1))?;
            let is_dense = self.dense.binary_search(&(number as u32)).is_ok();
            if list.is_empty() != is_dense || !list.is_sorted_by(|a, b| a < b) {
                return fault("a bitmap or a list of ascending positions", format!("{list:?} of value {number}"));
            }
            self.insert(number..number + 1, &mut positions)?;
            let count = positions.count();
            let mut common = once.clone();
            common.intersect(&positions);
            several |= common.count() > 0;
            once.unite(&positions);
            positions.subtract(&present);
            if count == 0 || positions.count() > 0 {
                return fault("items that have the field", format!("{count} items of value {number}"));
            }
        }
        // What has the field and no value is a map or an empty list.
        let single = !several && once == present;
        if single != self.single {
            return fault(&format!("items of one value each: {}", self.single), single.to_string());
        }
        Ok(())
    }

    /// Whether an item has a value; for NaN, which no test finds, whether it has the field.
    pub(crate) fn holds(&self, position: u32, value: &Value) -> Result<bool, Malformed> {
        if matches!(value, Value::Float(number) if number.is_nan()) {
            return Ok(self.present().contains(position as usize));
        }
        let runs = self.dictionary.find(&Test::In(vec![value.clone()]))?;
        for run in runs.into_iter().filter(|run| !run.is_empty()) {
            let in_list = self.list(&run)?.binary_search(&position).is_ok();
            if in_list || self.in_bitmap(run.start, position) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn in_bitmap(&self, value: usize, position: u32) -> bool {
        let number = self.dense.binary_search(&(value as u32)).ok();
        let word =
            number.and_then(|number| self.bitmaps.get(number * self.items.div_ceil(64) + position as usize / 64));
        word.is_some_and(|word| word >> (position % 64) & 1 == 1)
    }

    /// How many values some positions have together.
    pub(crate) fn values_at(&self, positions: &Bitmap) -> u64 {
        let listed = self.lists.iter().filter(|&&position| positions.contains(position as usize)).count() as u64;
        let words = self.items.div_ceil(64).max(1);
        let of_bitmap = |bitmap: &[u64]| -> u64 {
            bitmap.iter().zip(positions.words()).map(|(a, b)| u64::from((a & b).count_ones())).sum()
        };
        listed + self.bitmaps.chunks_exact(words).map(of_bitmap).sum::<u64>()
    }
}
