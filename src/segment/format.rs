//! The fixed fields of a segment file: constants, and encoding and decoding of header, table entries, section table
//! and trailer. The page is section 2 of `docs/format.md`.

use crate::bytes::{Malformed, Reader, checksum};
use crate::code::CodeKind;
use crate::distance::{LANES, pad};
use crate::segment::element::Element;
use crate::types::{MAX_DIMENSION, Metric, SequenceRange};

/// The version of segment files this build writes and reads.
pub(crate) const SEGMENT_VERSION: u32 = 1;
/// Sections start at multiples of this.
pub(super) const ALIGNMENT: usize = 64;
pub(super) const HEADER_BYTES: usize = 128;
pub(super) const TRAILER_BYTES: usize = 64;
pub(super) const TABLE_ENTRY_BYTES: usize = 16;
pub(super) const SECTION_BYTES: usize = 32;
/// Bytes of a record after its vector.
pub(super) const RECORD_TAIL_BYTES: usize = 16;

const MAGIC: [u8; 8] = *b"\x89USEG\r\n\x1a";
const END_MAGIC: [u8; 4] = *b"SEG1";
/// The section that has a manhattan segment's quantiser: of bytes, of half bytes.
const STEPS: u32 = 64;
const LEVELS: u32 = 65;

/// The section that has the quantiser of a kind of code; `None` for a kind that needs none.
pub(super) fn quantiser_section(kind: CodeKind) -> Option<u32> {
    match kind {
        CodeKind::Bytes => Some(STEPS),
        CodeKind::HalfBytes => Some(LEVELS),
        CodeKind::Signs | CodeKind::ShortSigns | CodeKind::Narrow(_) | CodeKind::Bits => None,
    }
}

/// The kinds of section that this version knows, in the order of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    GroupTable = 1,
    LeafTable = 2,
    Groups = 3,
    Leaves = 4,
    Records = 5,
    IdOffsets = 6,
    Ids = 7,
    SequenceOrder = 8,
    Columns = 9,
}

impl Kind {
    /// How many there are.
    pub(super) const COUNT: usize = 9;

    /// Those that every segment has.
    pub(super) const ALL: [Kind; 8] = [
        Kind::GroupTable,
        Kind::LeafTable,
        Kind::Groups,
        Kind::Leaves,
        Kind::Records,
        Kind::IdOffsets,
        Kind::Ids,
        Kind::SequenceOrder,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::GroupTable => "group table",
            Kind::LeafTable => "leaf table",
            Kind::Groups => "groups",
            Kind::Leaves => "leaves",
            Kind::Records => "records",
            Kind::IdOffsets => "id offsets",
            Kind::Ids => "ids",
            Kind::SequenceOrder => "sequence order",
            Kind::Columns => "columns",
        }
    }
}

/// The fields of the header that vary.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Header {
    pub(super) uuid: [u8; 16],
    pub(super) id: u64,
    pub(super) nonce: u64,
    pub(super) range: SequenceRange,
    pub(super) dimension: u32,
    pub(super) metric: Metric,
    /// How records hold components.
    pub(super) element: Element,
    /// How the items are coded.
    pub(super) code: CodeKind,
    pub(super) trees: u32,
    pub(super) items: u64,
    pub(super) leaves: u32,
    pub(super) groups: u32,
    pub(super) seed: u64,
    pub(super) frame_checksum: u32,
}

impl Header {
    pub(super) fn encode(&self) -> [u8; HEADER_BYTES] {
        let padded = pad(self.dimension as usize) as u32;
        let parts: [&[u8]; 17] = [
            &MAGIC,
            &SEGMENT_VERSION.to_le_bytes(),
            &0u32.to_le_bytes(),
            &self.uuid,
            &self.id.to_le_bytes(),
            &self.nonce.to_le_bytes(),
            &self.range.start.to_le_bytes(),
            &self.range.end.to_le_bytes(),
            &self.dimension.to_le_bytes(),
            &padded.to_le_bytes(),
            &[self.metric.tag(), self.element as u8, self.code.tag(), LANES as u8],
            &self.trees.to_le_bytes(),
            &self.items.to_le_bytes(),
            &self.leaves.to_le_bytes(),
            &self.groups.to_le_bytes(),
            &self.seed.to_le_bytes(),
            &self.frame_checksum.to_le_bytes(),
        ];
        seal(&parts.concat())
    }

    /// Reads a header whose version is known and whose checksum holds.
    pub(super) fn decode(bytes: &[u8]) -> Result<Header, Malformed> {
        let body = unseal(bytes, HEADER_BYTES)?;
        let mut reader = Reader::new(body);
        expect("the first bytes of a segment", &MAGIC, reader.take(8)?)?;
        expect("format version", &SEGMENT_VERSION, &reader.u32()?)?;
        expect("incompatible features", &0, &reader.u32()?)?;
        let uuid = uuid(&mut reader)?;
        let (id, nonce) = (reader.u64()?, reader.u64()?);
        let range = SequenceRange { start: reader.u64()?, end: reader.u64()? };
        let dimension = reader.u32()?;
        if dimension == 0 || dimension as usize > MAX_DIMENSION {
            return Err(malformed(format!("a dimension of 1 to {MAX_DIMENSION}"), format!("{dimension}")));
        }
        expect("padded dimension", &(pad(dimension as usize) as u32), &reader.u32()?)?;
        let tag = reader.u8()?;
        let metric = Metric::from_tag(tag).ok_or_else(|| malformed("a metric", format!("{tag}")))?;
        let element = reader.u8()?;
        let element = Element::from_tag(element, metric)
            .ok_or_else(|| malformed(format!("an element type of {metric:?}"), format!("{element}")))?;
        let code = reader.u8()?;
        expect("lanes", &(LANES as u8), &reader.u8()?)?;
        let trees = reader.u32()?;
        let code = CodeKind::from_tag(code, metric, dimension as usize, trees as usize)
            .ok_or_else(|| malformed(format!("a code of {metric:?} in {trees} trees"), format!("{code}")))?;
        Ok(Header {
            uuid,
            id,
            nonce,
            range,
            dimension,
            metric,
            element,
            code,
            trees,
            items: reader.u64()?,
            leaves: reader.u32()?,
            groups: reader.u32()?,
            seed: reader.u64()?,
            frame_checksum: reader.u32()?,
        })
    }

    /// The version a file names, if it begins like a segment at all.
    pub(super) fn version(bytes: &[u8]) -> Option<u32> {
        let mut reader = Reader::new(bytes);
        (reader.take(8).ok()? == MAGIC).then(|| reader.u32().ok())?
    }
}

/// Pads with zeros and appends the checksum of what is before it.
fn seal(body: &[u8]) -> [u8; HEADER_BYTES] {
    let mut out = [0; HEADER_BYTES];
    let (kept, sum) = out.split_at_mut(HEADER_BYTES - 4);
    kept[..body.len()].copy_from_slice(body);
    sum.copy_from_slice(&checksum(&[kept]).to_le_bytes());
    out
}

fn unseal(bytes: &[u8], len: usize) -> Result<&[u8], Malformed> {
    let mut reader = Reader::new(bytes);
    let body = reader.take(len - 4)?;
    expect("checksum", &checksum(&[body]), &reader.u32()?)?;
    Ok(body)
}

/// Where a run is, and how much is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TableEntry {
    pub(super) offset: u64,
    pub(super) length: u32,
    pub(super) count: u32,
}

impl TableEntry {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.offset.to_le_bytes());
        out.extend_from_slice(&self.length.to_le_bytes());
        out.extend_from_slice(&self.count.to_le_bytes());
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<TableEntry, Malformed> {
        let mut reader = Reader::new(bytes);
        Ok(TableEntry { offset: reader.u64()?, length: reader.u32()?, count: reader.u32()? })
    }
}

/// A line of the section table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) kind: u32,
    pub(super) offset: u64,
    pub(super) length: u64,
    pub(super) checksum: u32,
}

impl Section {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.kind.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.offset.to_le_bytes());
        out.extend_from_slice(&self.length.to_le_bytes());
        out.extend_from_slice(&self.checksum.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Section, Malformed> {
        let mut reader = Reader::new(bytes);
        let kind = reader.u32()?;
        reader.take(4)?;
        Ok(Section { kind, offset: reader.u64()?, length: reader.u64()?, checksum: reader.u32()? })
    }
}

/// The last bytes of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trailer {
    pub(super) table_offset: u64,
    pub(super) sections: u32,
    pub(super) table_checksum: u32,
    pub(super) length: u64,
    pub(super) uuid: [u8; 16],
    pub(super) nonce: u64,
}

impl Trailer {
    /// The bytes, and the checksum in them that the manifest repeats.
    pub(super) fn encode(&self) -> ([u8; TRAILER_BYTES], u32) {
        let parts: [&[u8]; 7] = [
            &self.table_offset.to_le_bytes(),
            &self.sections.to_le_bytes(),
            &self.table_checksum.to_le_bytes(),
            &self.length.to_le_bytes(),
            &self.uuid,
            &self.nonce.to_le_bytes(),
            &[0; 8],
        ];
        let mut out = [0; TRAILER_BYTES];
        let (body, end) = out.split_at_mut(TRAILER_BYTES - 8);
        body.copy_from_slice(&parts.concat());
        let sum = checksum(&[body]);
        end.copy_from_slice([sum.to_le_bytes(), END_MAGIC].as_flattened());
        (out, sum)
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<(Trailer, u32), Malformed> {
        let mut reader = Reader::new(bytes);
        let mut body = Reader::new(reader.take(TRAILER_BYTES - 8)?);
        let sum = reader.u32()?;
        expect("the last bytes of a segment", &END_MAGIC, reader.take(4)?)?;
        expect("checksum", &checksum(&[&bytes[..TRAILER_BYTES - 8]]), &sum)?;
        let trailer = Trailer {
            table_offset: body.u64()?,
            sections: body.u32()?,
            table_checksum: body.u32()?,
            length: body.u64()?,
            uuid: uuid(&mut body)?,
            nonce: body.u64()?,
        };
        Ok((trailer, sum))
    }
}

fn uuid(reader: &mut Reader<'_>) -> Result<[u8; 16], Malformed> {
    let mut uuid = [0; 16];
    uuid.copy_from_slice(reader.take(16)?);
    Ok(uuid)
}

pub(super) fn malformed(expected: impl Into<String>, found: impl Into<String>) -> Malformed {
    Malformed { expected: expected.into(), found: found.into() }
}

/// A field holds what it must.
pub(super) fn expect<T, U>(what: &str, expected: &T, found: &U) -> Result<(), Malformed>
where
    T: std::fmt::Debug + ?Sized + PartialEq<U>,
    U: std::fmt::Debug + ?Sized,
{
    if expected == found {
        return Ok(());
    }
    Err(malformed(format!("{what} {expected:?}"), format!("{found:?}")))
}
