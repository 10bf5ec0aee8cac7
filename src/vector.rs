//! What a caller may pass as a vector, and which vectors are refused.

use std::borrow::Cow;

use half::f16;

use crate::bits::{self, Bits};
use crate::error::{Error, Result, VectorFault};
use crate::types::{MAX_DIMENSION, Metric};

mod sealed {
    pub trait Sealed {}
    impl Sealed for [f32] {}
    impl<const N: usize> Sealed for [f32; N] {}
    impl Sealed for Vec<f32> {}
    impl Sealed for crate::bits::Bits<'_> {}
    impl<T: Sealed + ?Sized> Sealed for &T {}
}

/// Anything that can be passed as a vector: slices, arrays and `Vec`s of `f32`, [`Bits`], and references to them.
///
/// The trait is sealed, so that further element types can be added.
///
/// ```
/// fn dimension(vector: impl understory::Vector) -> usize {
///     vector.components().len()
/// }
/// assert_eq!(dimension([1.0, 2.0]), 2);
/// assert_eq!(dimension(&vec![1.0, 2.0, 3.0]), 3);
/// ```
pub trait Vector: sealed::Sealed {
    /// The components as float32, without a copy where they are stored so.
    fn components(&self) -> Cow<'_, [f32]>;
}

impl Vector for [f32] {
    fn components(&self) -> Cow<'_, [f32]> {
        Cow::Borrowed(self)
    }
}

impl<const N: usize> Vector for [f32; N] {
    fn components(&self) -> Cow<'_, [f32]> {
        Cow::Borrowed(self)
    }
}

impl Vector for Vec<f32> {
    fn components(&self) -> Cow<'_, [f32]> {
        Cow::Borrowed(self)
    }
}

impl Vector for Bits<'_> {
    fn components(&self) -> Cow<'_, [f32]> {
        Cow::Owned(self.iter().map(|bit| f32::from(u8::from(bit))).collect())
    }
}

impl<T: Vector + ?Sized> Vector for &T {
    fn components(&self) -> Cow<'_, [f32]> {
        (**self).components()
    }
}

/// The components of a stored vector, as they are stored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Components<'a> {
    Floats(&'a [f32]),
    /// Packed as [`Bits`] are, zeros after the last.
    Bits(&'a [u8]),
    /// Float16, times a scale.
    Halves {
        scale: f32,
        halves: &'a [u16],
    },
    /// Steps above the least component.
    Bytes {
        least: f32,
        step: f32,
        bytes: &'a [u8],
    },
}

impl<'a> Components<'a> {
    /// The components as float32; those of bits are the first `dimension`.
    pub(crate) fn to_floats(self, dimension: usize) -> Cow<'a, [f32]> {
        match self {
            Components::Floats(floats) => Cow::Borrowed(floats),
            Components::Bits(packed) => Cow::Owned(bits::unpack(packed, dimension).collect()),
            Components::Halves { scale, halves } => {
                Cow::Owned(halves.iter().map(|&half| f16::from_bits(half).to_f32() * scale).collect())
            }
            Components::Bytes { least, step, bytes } => {
                Cow::Owned(bytes.iter().map(|&byte| least + step * f32::from(byte)).collect())
            }
        }
    }
}

/// Refuses a vector that the metric cannot measure. `dimension` is the store's, where it is known.
pub(crate) fn validate(vector: &[f32], dimension: Option<usize>, metric: Metric) -> Result<()> {
    let found = vector.len();
    if let Some(expected) = dimension
        && expected != found
    {
        return Err(Error::DimensionMismatch { expected, found });
    }
    fault(vector, metric).map_or(Ok(()), |fault| Err(Error::InvalidVector(fault)))
}

fn fault(vector: &[f32], metric: Metric) -> Option<VectorFault> {
    if vector.is_empty() {
        return Some(VectorFault::Empty);
    }
    if vector.len() > MAX_DIMENSION {
        return Some(VectorFault::TooLong { dimension: vector.len() });
    }
    if let Some((component, &value)) = vector.iter().enumerate().find(|(_, value)| !value.is_finite()) {
        return Some(VectorFault::NotFinite { component, value });
    }
    if metric == Metric::Hamming {
        let odd = vector.iter().enumerate().find(|&(_, &value)| value != 0.0 && value != 1.0);
        return odd.map(|(component, &value)| VectorFault::NotABit { component, value });
    }
    let squared = squared_norm(vector);
    // A quarter, so that the squared distance of two accepted vectors is finite as well.
    if squared > f64::from(f32::MAX) / 4.0 {
        return Some(VectorFault::NormOverflow { norm: squared.sqrt() });
    }
    // Below the smallest normal float32 a squared norm has lost its digits, and so has the direction.
    if metric == Metric::Cosine && squared < f64::from(f32::MIN_POSITIVE) {
        return Some(VectorFault::Zero);
    }
    None
}

/// The squared norm in float64, where no float32 vector overflows.
pub(crate) fn squared_norm(vector: &[f32]) -> f64 {
    vector.iter().map(|&component| f64::from(component) * f64::from(component)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_without_a_measure_are_refused_with_the_reason() {
        let euclidean = |vector: &[f32]| fault(vector, Metric::Euclidean);
        assert_eq!(euclidean(&[]), Some(VectorFault::Empty));
        assert_eq!(euclidean(&vec![0.0; 16_385]), Some(VectorFault::TooLong { dimension: 16_385 }));
        assert!(matches!(euclidean(&[0.0, f32::NAN]), Some(VectorFault::NotFinite { component: 1, .. })));
        assert!(matches!(euclidean(&[f32::NEG_INFINITY]), Some(VectorFault::NotFinite { component: 0, .. })));
        assert!(matches!(euclidean(&[1e19, 1e19]), Some(VectorFault::NormOverflow { .. })));
        assert_eq!(euclidean(&[0.0, 0.0]), None);
        assert_eq!(fault(&[0.0, 0.0], Metric::Cosine), Some(VectorFault::Zero));
        assert_eq!(fault(&[1e-30], Metric::Cosine), Some(VectorFault::Zero));
        assert_eq!(fault(&[1e-18], Metric::Cosine), None);
        assert_eq!(fault(&[0.0, 1.0], Metric::Hamming), None);
        assert_eq!(fault(&[1.0, 0.5], Metric::Hamming), Some(VectorFault::NotABit { component: 1, value: 0.5 }));
    }
}
