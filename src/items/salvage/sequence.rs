//! The sequence number that a row's checksum covers, from the checksum: for a row whose key is lost.
//!
//! CRC-32 can be run backwards. From the stored checksum back over the row we get the state that the sequence number
//! left behind, and from the state before it there is exactly one number of 32 bits that leads there.

const POLYNOMIAL: u32 = 0xedb8_8320;

const TABLE: [u32; 256] = table();

/// The entry of the table that has a byte as its highest.
const BACK: [u8; 256] = back();

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut state = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            state = if state & 1 == 1 { state >> 1 ^ POLYNOMIAL } else { state >> 1 };
            bit += 1;
        }
        table[byte] = state;
        byte += 1;
    }
    table
}

const fn back() -> [u8; 256] {
    let mut back = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        back[(TABLE[byte] >> 24) as usize] = byte as u8;
        byte += 1;
    }
    back
}

/// The state before a byte.
fn undo(state: u32, byte: u8) -> u32 {
    let index = BACK[(state >> 24) as usize];
    (state ^ TABLE[usize::from(index)]) << 8 | u32::from(index ^ byte)
}

/// The only sequence number below 2^32 of which `checksum` is that of `prefix`, the number as 8 bytes, and `covered`.
pub(super) fn covered_by(checksum: u32, prefix: &[u8], covered: &[u8]) -> u64 {
    let after = covered.iter().rev().fold(!checksum, |state, &byte| undo(state, byte));
    // Four high bytes that are zero, then four that, taken as zero, leave the difference from the state before.
    let with_difference = (0..8).fold(after, |state, _| undo(state, 0));
    let before = !crc32fast::hash(prefix);
    u64::from(with_difference ^ before)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::checksum;

    #[test]
    fn the_sequence_number_comes_back_from_its_checksum() {
        for sequence in [0u64, 1, 255, 256, 70_000, 0x1234_5678, u64::from(u32::MAX)] {
            for covered in [&b""[..], b"a", b"some longer bytes of a row"] {
                let sum = checksum(&[b"row", &[0], &sequence.to_le_bytes(), covered]);
                assert_eq!(covered_by(sum, b"row\0", covered), sequence);
            }
        }
    }
}
