//! Streams a segment to a file: sections one after the other, checksums on the way, synced every few MiB so that no
//! commit of the row database waits behind it.

use std::io::Write;
use std::path::Path;

use crate::bytes::{checksum, put_floats};
use crate::code::{CodeKind, Frame};
use crate::error::{Error, Result};
use crate::fs;
use crate::segment::columns;
use crate::segment::element::Element;
use crate::segment::format::{
    ALIGNMENT, Header, Kind, RECORD_TAIL_BYTES, SECTION_BYTES, Section, TABLE_ENTRY_BYTES, TRAILER_BYTES, TableEntry,
    Trailer, quantiser_section,
};
use crate::segment::layout::{ENCODED, EncodedRun, Image};
use crate::segment::progress::{Phase, Progress};
use crate::segment::rows::SegmentRows;
use crate::segment::{SegmentSpec, refused};

/// Bytes handed to the system at once, at multiples of them. What Linux is given like this it may keep, and map, in huge
/// pages, which spares searches a good part of their misses of the address cache.
const BUFFER_BYTES: usize = 2 << 20;
/// Bytes written between two syncs.
const SYNC_BYTES: usize = 8 << 20;

/// What the manifest says of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    /// Its length in bytes.
    pub(crate) length: u64,
    /// The checksum in its trailer.
    pub(crate) checksum: u32,
}

/// Writes the file and makes its bytes durable.
pub(super) fn write(
    frame: &Frame,
    rows: &SegmentRows,
    spec: &SegmentSpec,
    image: &Image,
    path: &Path,
    progress: &Progress<'_>,
) -> Result<Written> {
    let element = Element::of(frame.metric(), spec.options.vectors);
    let phase = Phase { start: ENCODED, end: 1.0, units: expected_bytes(frame, rows, element, image) };
    progress.begin(phase)?;
    let mut stream = Stream::create(path, progress, phase)?;
    let header = header(frame, rows, spec, image);
    stream.put(&header.encode())?;
    stream.section(Kind::GroupTable, |stream| put_table(stream, &image.groups))?;
    stream.section(Kind::LeafTable, |stream| put_table(stream, &image.leaves))?;
    stream.section(Kind::Groups, |stream| image.groups.iter().try_for_each(|run| stream.put(&run.bytes)))?;
    stream.section(Kind::Leaves, |stream| image.leaves.iter().try_for_each(|run| stream.put(&run.bytes)))?;
    stream.section(Kind::Records, |stream| put_records(stream, frame, rows, element, image))?;
    stream.section(Kind::IdOffsets, |stream| put_id_offsets(stream, rows, image))?;
    stream.section(Kind::Ids, |stream| put_ids(stream, rows, image))?;
    stream.section(Kind::SequenceOrder, |stream| {
        rows.sequences.iter().try_for_each(|sequence| stream.put(&sequence.to_le_bytes()))?;
        image.position_of.iter().try_for_each(|position| stream.put(&position.to_le_bytes()))
    })?;
    if rows.fields.are_known(rows.len()) {
        stream.section(Kind::Columns, |stream| {
            columns::write(&rows.fields, &image.row_at, &mut |bytes| stream.put(bytes))
        })?;
    }
    if let (Some(quantiser), Some(section)) = (&image.quantiser, quantiser_section(header.code)) {
        stream.section_of(section, |stream| stream.put(&quantiser.encode()))?;
    }
    stream.finish(spec)
}

fn expected_bytes(frame: &Frame, rows: &SegmentRows, element: Element, image: &Image) -> usize {
    let runs = image.groups.iter().chain(&image.leaves).map(|run| run.bytes.len() + TABLE_ENTRY_BYTES).sum::<usize>();
    runs + rows.len() * (element.bytes(frame.dimension()) + RECORD_TAIL_BYTES + 32)
}

fn header(frame: &Frame, rows: &SegmentRows, spec: &SegmentSpec, image: &Image) -> Header {
    Header {
        uuid: spec.uuid,
        id: spec.id,
        nonce: spec.nonce,
        range: spec.range,
        dimension: frame.dimension() as u32,
        metric: frame.metric(),
        element: Element::of(frame.metric(), spec.options.vectors),
        code: CodeKind::of_segment(frame.metric(), frame.dimension(), spec.options.trees.max(1)),
        trees: spec.options.trees.max(1) as u32,
        items: rows.len() as u64,
        leaves: image.leaves.len() as u32,
        groups: image.groups.len() as u32,
        seed: spec.seed,
        frame_checksum: frame.checksum(),
    }
}

fn put_table(stream: &mut Stream<'_>, runs: &[EncodedRun]) -> Result<()> {
    let mut offset = 0;
    let mut bytes = Vec::with_capacity(TABLE_ENTRY_BYTES);
    for run in runs {
        let length = u32::try_from(run.bytes.len()).map_err(|_| refused("a run of more than 4 GiB"))?;
        bytes.clear();
        TableEntry { offset, length, count: run.entries as u32 }.encode(&mut bytes);
        stream.put(&bytes)?;
        offset += u64::from(length);
    }
    Ok(())
}

fn put_records(
    stream: &mut Stream<'_>,
    frame: &Frame,
    rows: &SegmentRows,
    element: Element,
    image: &Image,
) -> Result<()> {
    let mut record = Vec::with_capacity(element.bytes(frame.dimension()) + RECORD_TAIL_BYTES);
    for (position, &row) in (0u64..).zip(&image.row_at) {
        let row = row as usize;
        record.clear();
        element.put(rows.vector(row, frame.dimension()), &mut record);
        put_floats(&mut record, &[image.inverse_norms[row]]);
        record.extend_from_slice(&rows.sequences[row].to_le_bytes());
        let sum = checksum(&[&position.to_le_bytes(), &record]);
        record.extend_from_slice(&sum.to_le_bytes());
        stream.put(&record)?;
    }
    Ok(())
}

fn put_id_offsets(stream: &mut Stream<'_>, rows: &SegmentRows, image: &Image) -> Result<()> {
    let mut end = 0u64;
    stream.put(&end.to_le_bytes())?;
    for &row in &image.row_at {
        end += rows.ids.get(row as usize).len() as u64 + 4;
        stream.put(&end.to_le_bytes())?;
    }
    Ok(())
}

fn put_ids(stream: &mut Stream<'_>, rows: &SegmentRows, image: &Image) -> Result<()> {
    for (position, &row) in (0u64..).zip(&image.row_at) {
        let stored_id = rows.ids.get(row as usize);
        stream.put(stored_id)?;
        stream.put(&checksum(&[&position.to_le_bytes(), stored_id]).to_le_bytes())?;
    }
    Ok(())
}

/// A file that is written from its beginning to its end.
struct Stream<'a> {
    file: fs::File,
    path: &'a Path,
    progress: &'a Progress<'a>,
    phase: Phase,
    buffer: Vec<u8>,
    /// Bytes put so far.
    offset: u64,
    /// Bytes written since the last sync.
    unsynced: usize,
    /// The checksum of the section, up to the start of the buffer or of the section if it is in the buffer.
    hasher: crc32fast::Hasher,
    /// Where in the buffer begins what the checksum lacks.
    unhashed: usize,
    sections: Vec<Section>,
}

impl<'a> Stream<'a> {
    fn create(path: &'a Path, progress: &'a Progress<'a>, phase: Phase) -> Result<Stream<'a>> {
        Ok(Stream {
            file: fs::create_new(path)?,
            path,
            progress,
            phase,
            buffer: Vec::with_capacity(BUFFER_BYTES),
            offset: 0,
            unsynced: 0,
            hasher: crc32fast::Hasher::new(),
            unhashed: 0,
            sections: Vec::with_capacity(Kind::ALL.len()),
        })
    }

    fn put(&mut self, mut bytes: &[u8]) -> Result<()> {
        self.offset += bytes.len() as u64;
        while self.buffer.len() + bytes.len() >= BUFFER_BYTES {
            let (fitting, rest) = bytes.split_at(BUFFER_BYTES - self.buffer.len());
            self.buffer.extend_from_slice(fitting);
            self.write_out()?;
            bytes = rest;
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    fn hash(&mut self) {
        self.hasher.update(&self.buffer[self.unhashed..]);
        self.unhashed = self.buffer.len();
    }

    fn write_out(&mut self) -> Result<()> {
        self.hash();
        self.file.write_all(&self.buffer).map_err(|source| Error::io("write", self.path, source))?;
        self.unsynced += self.buffer.len();
        self.progress.advance(self.phase, self.buffer.len());
        self.buffer.clear();
        self.unhashed = 0;
        if self.progress.is_stopped() {
            return Err(refused("cancelled"));
        }
        if self.unsynced >= SYNC_BYTES {
            fs::sync_file(&self.file, self.path)?;
            self.unsynced = 0;
        }
        Ok(())
    }

    fn align(&mut self) -> Result<()> {
        let padding = self.offset.next_multiple_of(ALIGNMENT as u64) - self.offset;
        self.put(&[0; ALIGNMENT][..padding as usize])
    }

    /// Writes a section with `fill`.
    fn section(&mut self, kind: Kind, fill: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        self.section_of(kind as u32, fill)
    }

    fn section_of(&mut self, kind: u32, fill: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        self.align()?;
        let offset = self.offset;
        self.hash();
        self.hasher = crc32fast::Hasher::new();
        fill(self)?;
        self.hash();
        let checksum = self.hasher.clone().finalize();
        self.sections.push(Section { kind, offset, length: self.offset - offset, checksum });
        Ok(())
    }

    /// Writes section table and trailer and makes everything durable.
    fn finish(mut self, spec: &SegmentSpec) -> Result<Written> {
        self.align()?;
        let table_offset = self.offset;
        let mut table = Vec::with_capacity(self.sections.len() * SECTION_BYTES);
        self.sections.iter().for_each(|section| section.encode(&mut table));
        self.put(&table)?;
        self.align()?;
        let length = self.offset + TRAILER_BYTES as u64;
        let trailer = Trailer {
            table_offset,
            sections: self.sections.len() as u32,
            table_checksum: checksum(&[&table]),
            length,
            uuid: spec.uuid,
            nonce: spec.nonce,
        };
        let (trailer, checksum) = trailer.encode();
        self.put(&trailer)?;
        self.write_out()?;
        fs::sync_file(&self.file, self.path)?;
        Ok(Written { length, checksum })
    }
}
