//! A vector that is kept as a byte a component, and what sums over it share.

/// A vector whose components are `low + step * code`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Coded<'a> {
    pub(crate) low: f32,
    pub(crate) step: f32,
    pub(crate) codes: &'a [u8],
}

impl Coded<'_> {
    /// The differences of a vector's components from these.
    pub(super) fn differences(&self, vector: &[f32]) -> impl Iterator<Item = f32> {
        vector.iter().zip(self.codes).map(|(component, &code)| self.step * f32::from(code) + (self.low - component))
    }
}
