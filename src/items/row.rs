//! The bytes of one row: id, metadata and vector, with a checksum that binds them to their sequence number.

use super::tables::mismatch;
use crate::bits;
use crate::bytes::{Malformed, Reader, checksum, floats, put_floats};
use crate::types::{Id, Metric};

const HEADER_BYTES: usize = 12;
const CHECKSUM_BYTES: usize = 4;

/// How the components of a row are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Element {
    #[default]
    Float32,
    /// Components 0 and 1, packed.
    Bits,
}

impl Element {
    /// The element type of a store's rows.
    pub(crate) fn of(metric: Metric) -> Element {
        if metric == Metric::Hamming { Element::Bits } else { Element::Float32 }
    }

    pub(super) fn tag(self) -> u8 {
        match self {
            Element::Float32 => 1,
            Element::Bits => 2,
        }
    }

    fn from_tag(tag: u8) -> Option<Element> {
        [Element::Float32, Element::Bits].into_iter().find(|element| element.tag() == tag)
    }

    fn bytes(self, dimension: usize) -> usize {
        match self {
            Element::Float32 => dimension.saturating_mul(4),
            Element::Bits => bits::packed_bytes(dimension),
        }
    }
}

/// A row to be written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewRow<'a> {
    pub(crate) sequence: u64,
    pub(crate) id: &'a Id,
    pub(crate) metadata: &'a [u8],
    pub(crate) vector: &'a [f32],
}

/// A row that was read, checksum checked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) id: Id,
    pub(crate) metadata: Vec<u8>,
    pub(crate) vector: Vec<f32>,
}

/// A row on its page, checksum checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowRef<'a> {
    pub(crate) sequence: u64,
    /// The stored form.
    pub(crate) id: &'a [u8],
    pub(crate) metadata: &'a [u8],
    pub(super) element: Element,
    dimension: usize,
    vector: &'a [u8],
    /// The whole row as it is stored.
    pub(super) stored: &'a [u8],
}

impl<'a> RowRef<'a> {
    pub(crate) fn dimension(&self) -> usize {
        self.dimension
    }

    /// Puts the vector in place of what `out` holds.
    pub(crate) fn vector_into(&self, out: &mut Vec<f32>) {
        out.clear();
        match self.element {
            Element::Float32 => out.extend(floats(self.vector)),
            Element::Bits => out.extend(bits::unpack(self.vector, self.dimension)),
        }
    }

    /// Reads a row and checks its checksum.
    pub(super) fn decode(sequence: u64, bytes: &'a [u8]) -> Result<RowRef<'a>, Malformed> {
        let Some((covered, &found)) = bytes.split_last_chunk::<CHECKSUM_BYTES>() else {
            return Err(Malformed { expected: "a row".into(), found: format!("{} bytes", bytes.len()) });
        };
        let (expected, found) = (row_checksum(sequence, covered), u32::from_le_bytes(found));
        if expected != found {
            return Err(mismatch(expected, found));
        }
        let mut reader = Reader::new(covered);
        let kind = [reader.u8()?, reader.u8()?];
        let element = Element::from_tag(kind[0]).filter(|_| kind[1] == 0).ok_or_else(|| Malformed {
            expected: "element type 1 or 2 and a zero".into(),
            found: format!("{} and {}", kind[0], kind[1]),
        })?;
        let id_bytes = usize::from(reader.u16()?);
        let metadata_bytes = reader.u32()? as usize;
        let dimension = reader.u32()? as usize;
        let row = RowRef {
            sequence,
            id: reader.take(id_bytes)?,
            metadata: reader.take(metadata_bytes)?,
            element,
            dimension,
            vector: reader.take(element.bytes(dimension))?,
            stored: bytes,
        };
        reader.finish()?;
        if element == Element::Bits && !bits::is_packed(row.vector, dimension) {
            return Err(Malformed { expected: "zeros after the last bit".into(), found: "a one".into() });
        }
        Ok(row)
    }

    pub(super) fn to_row(self) -> Result<Row, Malformed> {
        let mut vector = Vec::new();
        self.vector_into(&mut vector);
        Ok(Row { id: decode_id(self.id)?, metadata: self.metadata.to_vec(), vector })
    }
}

/// How long the row is that these bytes begin with, by what it says of itself; `None` if they begin like no row.
pub(super) fn measure(bytes: &[u8]) -> Option<usize> {
    let mut reader = Reader::new(bytes);
    let element = Element::from_tag(reader.u8().ok()?)?;
    if reader.u8().ok()? != 0 {
        return None;
    }
    let id_bytes = usize::from(reader.u16().ok()?);
    let metadata_bytes = reader.u32().ok()? as usize;
    let vector_bytes = element.bytes(reader.u32().ok()? as usize);
    let rest = id_bytes.checked_add(metadata_bytes)?.checked_add(vector_bytes)?.checked_add(CHECKSUM_BYTES)?;
    (id_bytes > 0 && rest <= reader.remaining()).then_some(HEADER_BYTES + rest)
}

/// The dimension that a row says it has.
pub(super) fn dimension(bytes: &[u8]) -> Option<usize> {
    let mut reader = Reader::new(bytes);
    reader.take(8).ok()?;
    Some(reader.u32().ok()? as usize)
}

pub(super) fn decode_id(bytes: &[u8]) -> Result<Id, Malformed> {
    Id::decode(bytes)
        .ok_or_else(|| Malformed { expected: "a stored id".into(), found: format!("{} other bytes", bytes.len()) })
}

/// Puts the row's bytes in place of what `out` holds. Ids, metadata and vectors were measured at the edge of the
/// store: their lengths fit their fields.
pub(super) fn encode(row: &NewRow<'_>, element: Element, out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(&[element.tag(), 0, 0, 0]);
    out.extend_from_slice(&(row.metadata.len() as u32).to_le_bytes());
    out.extend_from_slice(&(row.vector.len() as u32).to_le_bytes());
    row.id.encode(out);
    let id_bytes = (out.len() - HEADER_BYTES) as u16;
    out[2..4].copy_from_slice(&id_bytes.to_le_bytes());
    out.extend_from_slice(row.metadata);
    match element {
        Element::Float32 => put_floats(out, row.vector),
        Element::Bits => bits::pack(row.vector, out),
    }
    out.extend_from_slice(&row_checksum(row.sequence, out).to_le_bytes());
}

pub(super) fn row_checksum(sequence: u64, covered: &[u8]) -> u32 {
    checksum(&[b"row", &[0], &sequence.to_le_bytes(), covered])
}
