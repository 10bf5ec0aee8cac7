//! Checked little-endian reading and writing of stored bytes, and the checksum.

/// The bytes ended before the field did, or a field holds what it never may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Malformed {
    pub(crate) expected: String,
    pub(crate) found: String,
}

/// A cursor over bytes that may be hostile: every read is bounds-checked.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes }
    }

    #[inline]
    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        match self.rest.split_at_checked(len) {
            Some((head, rest)) => {
                self.rest = rest;
                Ok(head)
            }
            None => Err(missing(len, self.rest.len())),
        }
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    #[inline]
    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(self.array::<1>()?[0])
    }

    #[inline]
    pub(crate) fn u16(&mut self) -> Result<u16, Malformed> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    #[inline]
    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    #[inline]
    pub(crate) fn u64(&mut self) -> Result<u64, Malformed> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    #[inline]
    pub(crate) fn f32(&mut self) -> Result<f32, Malformed> {
        Ok(f32::from_le_bytes(self.array()?))
    }

    pub(crate) fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Everything was read.
    pub(crate) fn finish(self) -> Result<(), Malformed> {
        match self.rest.len() {
            0 => Ok(()),
            left => Err(Malformed { expected: "the end".into(), found: format!("{left} more bytes") }),
        }
    }
}

/// Out of the way of the readers, which are short enough to be inlined without it.
#[cold]
fn missing(len: usize, rest: usize) -> Malformed {
    Malformed { expected: format!("{len} more bytes"), found: format!("{rest} bytes before the end") }
}

/// CRC-32 (IEEE) over the parts as if they were joined.
pub(crate) fn checksum(parts: &[&[u8]]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize()
}

/// Appends the components, little-endian.
pub(crate) fn put_floats(out: &mut Vec<u8>, components: &[f32]) {
    out.reserve(components.len() * 4);
    for component in components {
        out.extend_from_slice(&component.to_le_bytes());
    }
}

/// Reads components; a trailing part of fewer than 4 bytes is left out.
pub(crate) fn floats(bytes: &[u8]) -> impl Iterator<Item = f32> + '_ {
    bytes.chunks_exact(4).map(|chunk| f32::from_le_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_past_the_end_is_an_error_that_says_how_much_is_missing() {
        let mut reader = Reader::new(&[1, 0, 0, 0, 9]);
        assert_eq!(reader.u32(), Ok(1));
        let error = reader.u64().unwrap_err();
        assert_eq!((error.expected.as_str(), error.found.as_str()), ("8 more bytes", "1 bytes before the end"));
        assert_eq!(reader.u8(), Ok(9));
        assert_eq!(reader.finish(), Ok(()));
    }

    #[test]
    fn the_checksum_of_parts_is_that_of_the_whole() {
        assert_eq!(checksum(&[b"under", b"story"]), crc32fast::hash(b"understory"));
    }
}
