//! What a damaged segment still tells: vectors and sequence numbers of records with a good checksum, and ids.
//!
//! The section table says where they are; where it is damaged, the first records are looked for at every place where a
//! section may begin, and the sections after them follow in the order of the format.

use std::ops::Range;
use std::path::Path;

use crate::bytes::{Reader, checksum};
use crate::error::Result;
use crate::fs::Map;
use crate::segment::element::Element;
use crate::segment::format::{
    ALIGNMENT, Header, Kind, RECORD_TAIL_BYTES, SECTION_BYTES, Section, TRAILER_BYTES, Trailer,
};
use crate::types::{Id, MAX_ID_BYTES, Metric};

const ID_CHECKSUM_BYTES: usize = 4;

/// An item of a damaged segment.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FoundRecord {
    pub(crate) sequence: u64,
    /// `None` where it is damaged.
    pub(crate) id: Option<Id>,
    pub(crate) position: usize,
}

/// What is left of a segment file.
pub(crate) struct Remains {
    file: Map,
    /// What the header says, if it is intact.
    pub(crate) metric: Option<Metric>,
    pub(crate) dimension: Option<usize>,
    pub(crate) uuid: Option<[u8; 16]>,
    /// How records hold components, if it is known.
    element: Option<Element>,
    sections: Option<Sections>,
}

/// Where the three sections of interest are.
#[derive(Clone)]
struct Sections {
    records: Range<usize>,
    offsets: Range<usize>,
    ids: Range<usize>,
    /// Whether a checksum says so.
    is_intact: bool,
}

impl Remains {
    /// Finds its way in a segment file. `dimension` is what its vectors are known to have.
    ///
    /// # Errors
    ///
    /// Only if the file cannot be read at all.
    pub(crate) fn open(path: &Path, dimension: Option<usize>) -> Result<Remains> {
        let file = Map::open(path)?;
        let header = Header::decode(&file).ok();
        let table = by_table(&file);
        let of_header = header.as_ref().map(|header| header.dimension as usize);
        let dimension = of_header.or(dimension).or_else(|| dimension_of(table.as_ref()?));
        let forms = match (&header, dimension) {
            (Some(header), Some(_)) => vec![header.element],
            (None, Some(_)) => vec![Element::Float32, Element::Bits, Element::Float16, Element::Bytes],
            (_, None) => Vec::new(),
        };
        let found = forms.iter().find_map(|&element| {
            let vector = element.bytes(dimension?);
            let is_sound = |sections: &Sections| has_record(&file, vector, sections.records.start);
            let table = table.clone().filter(|table| header.is_some() && table.is_intact || is_sound(table));
            let sections = table.or_else(|| by_search(&file, vector, header.as_ref()))?;
            Some((element, sections))
        });
        let trusted = || Some((*forms.first()?, table.clone().filter(|table| table.is_intact)?));
        let (element, sections) = found.or_else(trusted).unzip();
        let (metric, uuid) = (header.as_ref().map(|header| header.metric), header.map(|header| header.uuid));
        Ok(Remains { file, metric, dimension, uuid, element, sections })
    }

    /// The records with a good checksum, and how many there should be.
    pub(crate) fn records(&self) -> (Vec<FoundRecord>, usize) {
        let (Some(sections), Some(vector)) = (&self.sections, self.vector_bytes()) else { return (Vec::new(), 0) };
        let count = sections.records.len() / record_bytes(vector);
        let ids = Ids::new(self.file.get(sections.offsets.clone()), self.file.get(sections.ids.clone()));
        let mut found = Vec::new();
        for (position, id) in ids.all(count).into_iter().enumerate() {
            if let Some(record) = record(&self.file, vector, sections.records.start, position) {
                let sequence = Reader::new(record.get(vector + 4..).unwrap_or(&[])).u64();
                found.extend(sequence.ok().map(|sequence| FoundRecord { sequence, id, position }));
            }
        }
        (found, count)
    }

    /// The vector of a record that was found.
    pub(crate) fn vector(&self, position: usize) -> Option<Vec<f32>> {
        let (dimension, sections) = (self.dimension?, self.sections.as_ref()?);
        let vector = self.vector_bytes()?;
        let record = record(&self.file, vector, sections.records.start, position)?;
        Some(self.element?.read(record.get(..vector)?, dimension)?.to_floats(dimension).into_owned())
    }

    /// Whether vectors differ from those of the rows by rounding.
    pub(crate) fn is_rounded(&self) -> bool {
        self.element.is_some_and(Element::is_rounded)
    }

    fn vector_bytes(&self) -> Option<usize> {
        Some(self.element?.bytes(self.dimension?))
    }
}

fn record_bytes(vector: usize) -> usize {
    vector + RECORD_TAIL_BYTES
}

/// The bytes of a record, if its checksum is good.
fn record(file: &[u8], vector: usize, start: usize, position: usize) -> Option<&[u8]> {
    let at = record_bytes(vector).checked_mul(position)?.checked_add(start)?;
    let bytes = file.get(at..at.checked_add(record_bytes(vector))?)?;
    let (covered, stored) = bytes.split_last_chunk::<4>()?;
    (checksum(&[&(position as u64).to_le_bytes(), covered]) == u32::from_le_bytes(*stored)).then_some(bytes)
}

/// Positions of which at least one is good, or there are no records here: the first ones, and some far behind them.
fn tried() -> impl Iterator<Item = usize> {
    (0..8).chain((3..24).map(|power| 1 << power))
}

/// Whether there are good records from here on.
fn has_record(file: &[u8], vector: usize, start: usize) -> bool {
    tried().any(|position| record(file, vector, start, position).is_some())
}

/// The dimension that makes the records as many as the ids.
fn dimension_of(sections: &Sections) -> Option<usize> {
    let items = (sections.offsets.len() / 8).checked_sub(1)?;
    let record = sections.records.len().checked_div(items)?;
    record.checked_sub(RECORD_TAIL_BYTES).map(|vector| vector / 4)
}

fn by_table(file: &[u8]) -> Option<Sections> {
    let (trailer, _) = Trailer::decode(file.get(file.len().checked_sub(TRAILER_BYTES)?..)?).ok()?;
    let start = usize::try_from(trailer.table_offset).ok()?;
    let table = file.get(start..start.checked_add((trailer.sections as usize).checked_mul(SECTION_BYTES)?)?)?;
    let find = |kind: Kind| {
        let sections = table.chunks_exact(SECTION_BYTES).filter_map(|bytes| Section::decode(bytes).ok());
        let section = sections.into_iter().find(|section| section.kind == kind as u32)?;
        let start = usize::try_from(section.offset).ok()?;
        let end = start.checked_add(usize::try_from(section.length).ok()?)?;
        (end <= file.len()).then_some(start..end)
    };
    let is_intact = checksum(&[table]) == trailer.table_checksum;
    let (records, offsets, ids) = (find(Kind::Records)?, find(Kind::IdOffsets)?, find(Kind::Ids)?);
    Some(Sections { records, offsets, ids, is_intact })
}

/// Looks for the records. How many there are the header tells, or else they end where no more are good.
fn by_search(file: &[u8], vector: usize, header: Option<&Header>) -> Option<Sections> {
    // A checksum a place would take long: a sequence number that fits goes first.
    let sequence_at = |start: usize, position: usize| {
        let at = start.checked_add(record_bytes(vector).checked_mul(position)?)?.checked_add(vector + 4)?;
        Reader::new(file.get(at..)?).u64().ok()
    };
    let fits = |sequence: u64| match header {
        Some(header) => header.range.contains(sequence),
        None => sequence > 0 && sequence < 1 << 40,
    };
    let may_begin = |start: usize| {
        tried().any(|position| {
            sequence_at(start, position).is_some_and(fits) && record(file, vector, start, position).is_some()
        })
    };
    let start = (0..file.len()).step_by(ALIGNMENT).find(|&start| may_begin(start))?;
    let room = file.len().saturating_sub(start) / record_bytes(vector);
    let count = match header {
        Some(header) => usize::try_from(header.items).ok()?.min(room),
        None => (0..room).rev().find(|&position| record(file, vector, start, position).is_some())? + 1,
    };
    let end = start + count * record_bytes(vector);
    let offsets = end.next_multiple_of(ALIGNMENT);
    let offsets = offsets..offsets.saturating_add(8 * (count + 1));
    let ids = offsets.end.next_multiple_of(ALIGNMENT);
    Some(Sections { records: start..end, offsets, ids: ids..file.len().max(ids), is_intact: false })
}

/// The ids in the order of positions. They follow each other without gaps: where an offset is damaged, the end of the
/// id before is where the next begins, and the beginning of the id behind is where it ends.
struct Ids<'f> {
    offsets: &'f [u8],
    ids: &'f [u8],
}

/// An id, and where it is.
type Placed = (Id, Range<usize>);

impl<'f> Ids<'f> {
    fn new(offsets: Option<&'f [u8]>, ids: Option<&'f [u8]>) -> Ids<'f> {
        Ids { offsets: offsets.unwrap_or(&[]), ids: ids.unwrap_or(&[]) }
    }

    /// The ids of so many positions, as far as they are intact.
    fn all(&self, count: usize) -> Vec<Option<Id>> {
        let mut found: Vec<Option<Placed>> = Vec::with_capacity(count);
        let mut next = Some(0);
        for position in 0..count {
            let id = self.forwards(position, next);
            next = id.as_ref().map(|(_, place)| place.end);
            found.push(id);
        }
        // Where a page of offsets is lost together with the first ids behind it, only the end leads back.
        let mut end = Some(self.ids.len());
        for (position, id) in found.iter_mut().enumerate().rev() {
            if id.is_none() {
                *id = end.and_then(|end| self.backwards(position, end));
            }
            end = id.as_ref().map(|(_, place)| place.start);
        }
        found.into_iter().map(|id| id.map(|(id, _)| id)).collect()
    }

    /// The id where the offsets say, or where the one before it ends.
    fn forwards(&self, position: usize, next: Option<usize>) -> Option<Placed> {
        let (start, end) = (self.offset(position), self.offset(position + 1));
        (start.zip(end).and_then(|(start, end)| self.read(position, start..end)))
            .or_else(|| self.beginning(position, next.or(start)?))
            .or_else(|| self.beginning(position, start?))
    }

    fn offset(&self, position: usize) -> Option<usize> {
        let bytes = self.offsets.get(position.checked_mul(8)?..)?;
        usize::try_from(Reader::new(bytes).u64().ok()?).ok()
    }

    /// The id in a range.
    fn read(&self, position: usize, place: Range<usize>) -> Option<Placed> {
        let (id, stored) = self.ids.get(place.clone())?.split_last_chunk::<ID_CHECKSUM_BYTES>()?;
        let is_good = checksum(&[&(position as u64).to_le_bytes(), id]) == u32::from_le_bytes(*stored);
        is_good.then(|| Id::decode(id)).flatten().map(|id| (id, place))
    }

    /// The id that begins here, however long it is.
    fn beginning(&self, position: usize, start: usize) -> Option<Placed> {
        lengths().find_map(|length| self.read(position, start..start.checked_add(length)?))
    }

    /// The id that ends here.
    fn backwards(&self, position: usize, end: usize) -> Option<Placed> {
        lengths().find_map(|length| self.read(position, end.checked_sub(length)?..end))
    }
}

/// Of ids with their checksums.
fn lengths() -> impl Iterator<Item = usize> {
    1 + ID_CHECKSUM_BYTES..=MAX_ID_BYTES + 1 + ID_CHECKSUM_BYTES
}
