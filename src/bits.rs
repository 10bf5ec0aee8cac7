//! Vectors of bits: how they are packed, and the public way to pass them so.

use crate::error::{Error, Result};

/// A vector of bits, packed: component `n` is bit `n % 8` of byte `n / 8`, the lowest bit first.
///
/// For stores of the metric [`Hamming`](crate::Metric::Hamming), which take it as well as components 0 and 1. What
/// numpy packs with `packbits(bits, bitorder="little")` is packed so.
///
/// ```
/// use understory::{Bits, Metric, Options, Store};
/// # let dir = tempfile::tempdir().unwrap();
/// let store = Store::open_with(dir.path().join("a.understory"), Options::new().metric(Metric::Hamming))?;
/// store.insert(1, Bits::new(&[0b0000_0101, 0b1], 9)?)?;
/// store.insert(2, [1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])?;
/// let hits = store.search(Bits::new(&[0b0000_0100, 0b1], 9)?, 2)?;
/// assert_eq!((hits[0].distance, hits[1].distance), (1.0, 2.0));
/// # Ok::<(), understory::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bits<'a> {
    packed: &'a [u8],
    dimension: usize,
}

impl<'a> Bits<'a> {
    /// The first `dimension` bits of `packed`, which has just as many bytes as they need; what is left of the last byte
    /// is ignored.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] if `packed` has another length.
    pub fn new(packed: &'a [u8], dimension: usize) -> Result<Bits<'a>> {
        if packed.len() != packed_bytes(dimension) {
            let (expected, found) = (packed_bytes(dimension), packed.len());
            let what = format!("expected {expected} bytes for {dimension} bits, found {found}");
            return Err(Error::InvalidArgument(what));
        }
        Ok(Bits { packed, dimension })
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = bool> + use<'a> {
        bits(self.packed, self.dimension)
    }
}

/// Bytes that hold so many bits.
pub(crate) fn packed_bytes(dimension: usize) -> usize {
    dimension.div_ceil(8)
}

/// Appends components 0 and 1 as bits, zeros after the last of its byte.
pub(crate) fn pack(components: &[f32], out: &mut Vec<u8>) {
    out.extend(components.chunks(8).map(|byte| {
        let bits = byte.iter().enumerate().map(|(at, &component)| u8::from(component != 0.0) << at);
        bits.fold(0, |byte, bit| byte | bit)
    }));
}

/// The components 0 and 1 of packed bits.
pub(crate) fn unpack(packed: &[u8], dimension: usize) -> impl Iterator<Item = f32> + '_ {
    bits(packed, dimension).map(|bit| f32::from(u8::from(bit)))
}

/// Whether there are as many bytes as the bits need, and zeros after the last bit.
pub(crate) fn is_packed(packed: &[u8], dimension: usize) -> bool {
    let free = 8 * packed_bytes(dimension) - dimension;
    packed.len() == packed_bytes(dimension) && packed.last().is_none_or(|last| u32::from(*last) >> (8 - free) == 0)
}

fn bits(packed: &[u8], dimension: usize) -> impl Iterator<Item = bool> + '_ {
    packed.iter().flat_map(|byte| (0..8).map(move |bit| byte >> bit & 1 == 1)).take(dimension)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_come_back_and_nothing_follows_them() {
        for dimension in 1..70 {
            let components: Vec<f32> = (0..dimension).map(|at| ((at * 7 + 3) % 5 / 3) as f32).collect();
            let mut packed = Vec::new();
            pack(&components, &mut packed);
            assert!(is_packed(&packed, dimension));
            assert_eq!(unpack(&packed, dimension).collect::<Vec<_>>(), components);
            assert!(Bits::new(&packed, dimension + 8).is_err() && !is_packed(&packed, dimension + 8));
            let last = packed.len() - 1;
            for bit in dimension..8 * packed.len() {
                packed[last] |= 1 << (bit % 8);
                assert!(!is_packed(&packed, dimension));
                assert_eq!(Bits::new(&packed, dimension).unwrap().iter().count(), dimension);
                packed[last] &= !(1 << (bit % 8));
            }
        }
    }
}
