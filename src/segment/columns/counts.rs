//! How many items have each value of a column.

use super::Column;
use crate::bitmap::Bitmap;
use crate::bytes::Malformed;
use crate::metadata::Value;

impl Column<'_> {
    /// The values that items at some positions have, ascending, and how many of them have each. NaN is a value here.
    pub(crate) fn counts(&self, among: &Bitmap) -> Result<Vec<(Value, u64)>, Malformed> {
        let words = self.items.div_ceil(64);
        let mut bitmaps = self.dense.iter().zip(self.bitmaps.chunks_exact(words.max(1))).peekable();
        let mut counts = Vec::new();
        for (number, value) in self.values().enumerate() {
            let listed = self.list(&(number..number + 1))?.iter();
            let mut count = listed.filter(|&&position| among.contains(position as usize)).count() as u64;
            if let Some((_, bitmap)) = bitmaps.next_if(|&(&dense, _)| dense as usize == number) {
                let both = bitmap.iter().zip(among.words()).map(|(one, other)| (one & other).count_ones());
                count += both.map(u64::from).sum::<u64>();
            }
            if count > 0 {
                counts.push((value?, count));
            }
        }
        Ok(counts)
    }
}
