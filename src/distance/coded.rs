//! Vectors that are kept as a byte a component, what they are multiplied with, and what sums over them share.

/// A vector whose components are `low + step * code`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Coded<'a> {
    pub(crate) low: f32,
    pub(crate) step: f32,
    pub(crate) codes: &'a [u8],
}

/// A vector of 16-bit words with their halves: each word is 256 times its high byte and its low byte, both signed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Halved<'a> {
    pub(crate) words: &'a [i16],
    pub(crate) high: &'a [i8],
    pub(crate) low: &'a [i8],
}

impl Halved<'_> {
    /// The largest magnitude of a word whose halves are bytes.
    pub(crate) const MOST: i16 = 32_639;

    /// The high and the low byte of a word.
    pub(crate) fn halves(word: i16) -> [i8; 2] {
        debug_assert!((-Self::MOST..=Self::MOST).contains(&word), "halves that are bytes");
        let low = word as i8;
        [((i32::from(word) - i32::from(low)) >> 8) as i8, low]
    }
}

impl Coded<'_> {
    /// The squared length, to within a few roundings of float64 of the magnitudes that it is made of. Of at most 65,536
    /// components.
    pub(crate) fn squared_norm(&self) -> f64 {
        let (mut sum, mut squares) = (0u32, 0u32);
        for &code in self.codes {
            sum += u32::from(code);
            squares += u32::from(code) * u32::from(code);
        }
        let (low, step) = (f64::from(self.low), f64::from(self.step));
        let count = self.codes.len() as f64;
        count * low * low + 2.0 * low * step * f64::from(sum) + step * step * f64::from(squares)
    }

    /// The differences of a vector's components from these.
    pub(super) fn differences(&self, vector: &[f32]) -> impl Iterator<Item = f32> {
        vector.iter().zip(self.codes).map(|(component, &code)| self.step * f32::from(code) + (self.low - component))
    }
}
