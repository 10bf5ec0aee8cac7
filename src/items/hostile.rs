//! Rows, blocks and the values of `meta` from bytes that a script has edited, with their checksums put right again.
//! Whatever they decode to must be what encodes to them.

use super::block::{Block, BlockBuilder, COUNT_BYTES, ENTRY_BYTES, header_checksum};
use super::dead::DeadSet;
use super::effort::Effort;
use super::meta::{FormatRow, StoreRow, decode_mean, decode_u64, encode_mean};
use super::row::{Element, NewRow, RowRef, decode_id, encode, row_checksum};
use crate::hostile::edit;
use crate::types::Id;

/// A block of rows of every shape: its key and its bytes.
fn block() -> (u64, Vec<u8>) {
    let mut builder = BlockBuilder::default();
    let mut row = Vec::new();
    for sequence in (14..26).step_by(2) {
        let id = if sequence % 4 == 0 { Id::from(sequence) } else { Id::from(format!("item {sequence}")) };
        let vector = [0.5, f32::NAN, -1.0, sequence as f32];
        let vector = &vector[..sequence as usize % 5];
        let element = if sequence % 6 == 0 { Element::Bits } else { Element::Float32 };
        let metadata = &[1; 9][..sequence as usize % 4];
        encode(&NewRow { sequence, id: &id, metadata, vector }, element, &mut row);
        builder.push(sequence, &row);
    }
    builder.finish().unwrap_or_default()
}

/// Decodes a block, every row of it and one row alone.
pub(crate) fn rows(script: &[u8]) {
    let (key, mut bytes) = block();
    let header: Vec<usize> = (0..COUNT_BYTES + 6 * ENTRY_BYTES).collect();
    edit(&mut bytes, script, &header);
    reseal(key, &mut bytes);
    let Ok(block) = Block::decode(key, &bytes) else { return };
    assert_eq!(block.bytes(), bytes.len());
    for row in block.rows() {
        let Ok((sequence, stored)) = row else { continue };
        assert!(matches!(block.find(sequence), Ok(Some(found)) if found == stored) && block.last().is_ok());
        let Ok(row) = RowRef::decode(sequence, stored) else { continue };
        let Ok(whole) = row.to_row() else { continue };
        assert_eq!(whole.vector.len(), row.dimension());
        let new = NewRow { sequence, id: &whole.id, metadata: &whole.metadata, vector: &whole.vector };
        let mut again = Vec::new();
        encode(&new, row.element, &mut again);
        assert!(again == stored, "a row decodes to what does not encode to it");
    }
    let _ = (block.find(key), block.find(u64::MAX), block.find(0));
}

/// The checksums of the header and of every row that the header still leads to.
fn reseal(key: u64, bytes: &mut [u8]) {
    let Some(count) = bytes.first_chunk::<COUNT_BYTES>().map(|count| u32::from_le_bytes(*count) as usize) else {
        return;
    };
    let covered = COUNT_BYTES.saturating_add(count.saturating_mul(ENTRY_BYTES));
    let Some((header, after)) = bytes.split_at_mut_checked(covered) else { return };
    let Some((sum, rows)) = after.split_first_chunk_mut::<4>() else { return };
    *sum = header_checksum(key, header).to_le_bytes();
    let mut start = 0;
    for entry in header[COUNT_BYTES..].chunks_exact(ENTRY_BYTES) {
        let (Some((sequence, rest)), mut end) = (entry.split_first_chunk::<8>(), [0; 4]) else { continue };
        end.copy_from_slice(rest);
        let end = u32::from_le_bytes(end) as usize;
        if let Some((row, sum)) = rows.get_mut(start..end).and_then(|row| row.split_last_chunk_mut::<4>()) {
            *sum = row_checksum(u64::from_le_bytes(*sequence), row).to_le_bytes();
        }
        start = end;
    }
}

/// Decodes bytes as each kind of value that is sealed: the first byte chooses.
pub(crate) fn values(script: &[u8]) {
    let Some((kind, bytes)) = script.split_first() else { return };
    match kind % 8 {
        0 => _ = FormatRow::decode(bytes),
        1 => {
            if let Ok(row) = StoreRow::decode(bytes) {
                assert_eq!(row.encode(), bytes);
            }
        }
        2 => {
            if let Ok(row) = Effort::decode(bytes) {
                assert_eq!(row.encode(), bytes);
            }
        }
        3 => {
            if let Ok(mean) = decode_mean(bytes) {
                assert_eq!(encode_mean(&mean), bytes);
            }
        }
        4 => _ = decode_u64(bytes),
        6 => _ = Effort::decode_for_ten(bytes),
        5 => {
            let mut dead = DeadSet::default();
            let (number, chunk) = bytes.split_at(bytes.len().min(8));
            let mut whole = [0; 512];
            whole.iter_mut().zip(chunk).for_each(|(byte, given)| *byte = *given);
            let number = number.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
            if dead.push_stored(number, &whole).is_ok() {
                let ones: u32 = whole.iter().map(|byte| byte.count_ones()).sum();
                assert_eq!(dead.len(), u64::from(ones));
            }
            assert!(chunk.len() == 512 || dead.push_stored(number, chunk).is_err());
        }
        _ => {
            if let Ok(id) = decode_id(bytes) {
                assert_eq!(id.to_bytes(), bytes);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edited_rows_and_values_are_refused_or_are_what_they_say() {
        rows(&[]);
        crate::hostile::scripts(2, 20_000).for_each(|script| rows(&script));
        crate::hostile::scripts(3, 20_000).for_each(|script| values(&script));
    }

    #[test]
    fn resealing_an_intact_block_changes_nothing() {
        let (key, bytes) = block();
        let mut resealed = bytes.clone();
        reseal(key, &mut resealed);
        assert!(resealed == bytes && Block::decode(key, &bytes).unwrap().len() == 6);
    }
}
