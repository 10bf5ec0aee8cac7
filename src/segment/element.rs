//! How records hold components: as they were given, or rounded to save bytes. The forms are section 2 of
//! `docs/format.md`.

use half::f16;

use crate::bits::{self, packed_bytes};
use crate::bytes::{Reader, put_floats};
use crate::options::SegmentVectors;
use crate::types::Metric;
use crate::vector::Components;

/// The element type of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Element {
    Float32 = 1,
    Bits = 2,
    Float16 = 3,
    Bytes = 4,
}

/// The largest number of steps of a byte.
const STEPS: f32 = 255.0;

impl Element {
    /// What a build uses; bits are as short as they can be.
    pub(crate) fn of(metric: Metric, vectors: SegmentVectors) -> Element {
        match (metric, vectors) {
            (Metric::Hamming, _) => Element::Bits,
            (_, SegmentVectors::Float32) => Element::Float32,
            (_, SegmentVectors::Float16) => Element::Float16,
            (_, SegmentVectors::Int8) => Element::Bytes,
        }
    }

    /// The element type that a byte on disk stands for, if it is one for the metric.
    pub(super) fn from_tag(tag: u8, metric: Metric) -> Option<Element> {
        let elements: &[Element] = match metric {
            Metric::Hamming => &[Element::Bits],
            _ => &[Element::Float32, Element::Float16, Element::Bytes],
        };
        elements.iter().copied().find(|&element| element as u8 == tag)
    }

    /// Whether records differ from the rows.
    pub(super) fn is_rounded(self) -> bool {
        matches!(self, Element::Float16 | Element::Bytes)
    }

    /// Bytes of the components of a record.
    pub(super) fn bytes(self, dimension: usize) -> usize {
        match self {
            Element::Float32 => 4 * dimension,
            Element::Bits => packed_bytes(dimension),
            Element::Float16 => 4 + (2 * dimension).next_multiple_of(4),
            Element::Bytes => 8 + dimension.next_multiple_of(4),
        }
    }

    /// Appends the components of a vector.
    pub(super) fn put(self, vector: &[f32], out: &mut Vec<u8>) {
        let end = out.len() + self.bytes(vector.len());
        match self {
            Element::Float32 => put_floats(out, vector),
            Element::Bits => bits::pack(vector, out),
            Element::Float16 => {
                let scale = power_of_two(vector.iter().fold(0.0, |largest, value| value.abs().max(largest)));
                put_floats(out, &[scale]);
                // In float64, since the scale of the smallest numbers has no inverse in float32.
                let rounded = |&value: &f32| f16::from_f64(f64::from(value) / f64::from(scale)).to_le_bytes();
                out.extend(vector.iter().flat_map(rounded));
            }
            Element::Bytes => {
                let (least, most) =
                    vector.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(least, most), &value| {
                        (least.min(value), most.max(value))
                    });
                let step = most / STEPS - least / STEPS;
                put_floats(out, &[least, step]);
                let steps = |value: f32| if step > 0.0 { (value - least) / step } else { 0.0 };
                out.extend(vector.iter().map(|&value| steps(value).round().clamp(0.0, STEPS) as u8));
            }
        }
        out.resize(end, 0);
    }

    /// Reads the components of a record, of the length that [`bytes`](Self::bytes) says; `None` for another length or an
    /// odd address.
    pub(super) fn read(self, bytes: &[u8], dimension: usize) -> Option<Components<'_>> {
        if bytes.len() != self.bytes(dimension) {
            return None;
        }
        Some(match self {
            Element::Float32 => Components::Floats(bytemuck::try_cast_slice(bytes).ok()?),
            Element::Bits => Components::Bits(bytes),
            Element::Float16 => {
                let (scale, halves) = bytes.split_at_checked(4)?;
                let halves: &[u16] = bytemuck::try_cast_slice(halves.get(..2 * dimension)?).ok()?;
                Components::Halves { scale: Reader::new(scale).f32().ok()?, halves }
            }
            Element::Bytes => {
                let mut reader = Reader::new(bytes);
                let (least, step) = (reader.f32().ok()?, reader.f32().ok()?);
                Components::Bytes { least, step, bytes: reader.take(dimension).ok()? }
            }
        })
    }
}

/// The largest power of two that is at most so much; 1 for 0.
fn power_of_two(largest: f32) -> f32 {
    // The exponent alone; every float32 but 0 is a normal float64.
    let power = f64::from_bits(f64::from(largest).to_bits() & 0x7ff << 52) as f32;
    if power > 0.0 { power } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distance::available;

    /// What comes back of a vector, which is the same on every set of kernels as without one.
    fn stored(element: Element, vector: &[f32]) -> Vec<f32> {
        let mut words = vec![0u64; element.bytes(vector.len()).div_ceil(8)];
        let mut record = Vec::new();
        element.put(vector, &mut record);
        assert_eq!(record.len(), element.bytes(vector.len()));
        let bytes = &mut bytemuck::cast_slice_mut(&mut words)[..record.len()];
        bytes.copy_from_slice(&record);
        for len in 0..bytes.len() {
            assert_eq!(element.read(&bytes[..len], vector.len()), None);
        }
        let components = element.read(bytes, vector.len()).unwrap();
        let plain = components.to_floats(vector.len()).into_owned();
        for set in available() {
            let mut out = vec![f32::NAN; vector.len()];
            match components {
                Components::Halves { scale, halves } => set.widen_halves(halves, scale, &mut out),
                Components::Bytes { least, step, bytes } => set.widen_bytes(bytes, least, step, &mut out),
                Components::Floats(floats) => out.copy_from_slice(floats),
                Components::Bits(_) => continue,
            }
            assert_eq!(out, plain, "{}", set.name);
        }
        plain
    }

    #[test]
    fn rounded_components_differ_by_no_more_than_their_form_allows() {
        for dimension in [1, 2, 3, 17, 100, 1025] {
            for size in [1e-44f32, 1e-30, 1e-3, 1.0, 255.0, 1e9, 1e18] {
                let vector: Vec<f32> = (0..dimension)
                    .map(|at| size * ((at * 37 % 101) as f32 / 50.0 - 1.0) * if at % 9 == 0 { 1e-4 } else { 1.0 })
                    .collect();
                let largest = vector.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
                let halves = stored(Element::Float16, &vector);
                let bytes = stored(Element::Bytes, &vector);
                // What float32 itself cannot tell apart is no fault of the form.
                let least = f64::from(f32::from_bits(1));
                for ((&value, &half), &byte) in vector.iter().zip(&halves).zip(&bytes) {
                    let (value, largest) = (f64::from(value), f64::from(largest));
                    let off = (value - f64::from(half)).abs();
                    let allowed = (value.abs() / 2048.0).max(largest / f64::from(1 << 24)) + least;
                    assert!(off <= allowed, "float16, {dimension}, {size}: {value} as {half}");
                    let off = (value - f64::from(byte)).abs();
                    assert!(off <= 2.0 * largest / 255.0 * 0.5001 + 255.0 * least, "byte, {size}: {value} as {byte}");
                }
                assert_eq!(stored(Element::Float32, &vector), vector);
            }
        }
    }

    #[test]
    fn whole_numbers_and_what_is_float16_already_are_kept() {
        let whole: Vec<f32> = (0..=255).map(|value| value as f32).collect();
        assert_eq!(stored(Element::Float16, &whole), whole);
        assert_eq!(stored(Element::Bytes, &whole), whole);
        let halves: Vec<f32> = (0..2000u16).map(|bits| f16::from_bits(0x2000 + bits).to_f32()).collect();
        assert_eq!(stored(Element::Float16, &halves), halves);
        assert_eq!(stored(Element::Bytes, &[0.25; 5]), [0.25; 5]);
        assert_eq!(stored(Element::Float16, &[0.0; 5]), [0.0; 5]);
    }

    #[test]
    fn elements_have_the_tags_of_their_metric() {
        for metric in [Metric::Cosine, Metric::Euclidean, Metric::Dot, Metric::Manhattan, Metric::Hamming] {
            for vectors in [SegmentVectors::Float32, SegmentVectors::Float16, SegmentVectors::Int8] {
                let element = Element::of(metric, vectors);
                assert_eq!(Element::from_tag(element as u8, metric), Some(element));
            }
            assert_eq!(Element::from_tag(0, metric), None);
            assert_eq!(Element::from_tag(2, metric).is_some(), metric == Metric::Hamming);
        }
    }
}
