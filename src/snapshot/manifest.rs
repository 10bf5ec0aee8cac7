//! Manifest rows: which ranges of sequence numbers are covered, and by which file.

use crate::bytes::{Malformed, Reader};
use crate::types::SequenceRange;

/// What covers a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// A segment file.
    Built {
        /// The second half of its name.
        nonce: u64,
        /// Its length in bytes.
        length: u64,
        /// The checksum of its trailer.
        checksum: u32,
    },
    /// No file yet.
    Unbuilt,
}

/// A manifest row; its key is the segment id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ManifestRow {
    pub(crate) range: SequenceRange,
    pub(crate) items: u64,
    pub(crate) state: State,
}

const BUILT: u8 = 1;
const UNBUILT: u8 = 2;

impl ManifestRow {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let (tag, nonce, length, checksum) = match self.state {
            State::Built { nonce, length, checksum } => (BUILT, nonce, length, checksum),
            State::Unbuilt => (UNBUILT, 0, 0, 0),
        };
        let mut out = vec![tag];
        for number in [self.range.start, self.range.end, nonce, length] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&checksum.to_le_bytes());
        out.extend_from_slice(&self.items.to_le_bytes());
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<ManifestRow, Malformed> {
        let mut reader = Reader::new(bytes);
        let tag = reader.u8()?;
        let range = SequenceRange { start: reader.u64()?, end: reader.u64()? };
        let (nonce, length, checksum) = (reader.u64()?, reader.u64()?, reader.u32()?);
        let items = reader.u64()?;
        reader.finish()?;
        let state = match tag {
            BUILT => State::Built { nonce, length, checksum },
            UNBUILT => State::Unbuilt,
            other => {
                return Err(Malformed { expected: "state 1 or 2".into(), found: format!("state {other}") });
            }
        };
        if range.start >= range.end {
            return Err(Malformed {
                expected: "a range that is not empty".into(),
                found: format!("{} to {}", range.start, range.end),
            });
        }
        Ok(ManifestRow { range, items, state })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifest_rows_come_back_and_damaged_ones_are_refused() {
        let built = ManifestRow {
            range: SequenceRange { start: 1, end: 900 },
            items: 800,
            state: State::Built { nonce: 7, length: 1 << 40, checksum: 0xdead_beef },
        };
        let unbuilt = ManifestRow { state: State::Unbuilt, ..built };
        for row in [built, unbuilt] {
            let bytes = row.encode();
            assert_eq!(ManifestRow::decode(&bytes), Ok(row));
            for len in 0..bytes.len() {
                assert!(ManifestRow::decode(&bytes[..len]).is_err());
            }
        }
        let mut bytes = built.encode();
        bytes[0] = 3;
        assert!(ManifestRow::decode(&bytes).is_err());
        let empty = ManifestRow { range: SequenceRange { start: 5, end: 5 }, ..built };
        assert!(ManifestRow::decode(&empty.encode()).is_err());
    }
}
