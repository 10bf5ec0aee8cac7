//! A streaming reader of .npy files (versions 1 to 3): two-dimensional arrays, or one row, in C order.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use super::npy_header::{self, Header};
use super::{Row, RowSource, check_dimension, open_file};
use crate::failure::{Failure, Result};

const MAGIC: &[u8; 6] = b"\x93NUMPY";

/// A header of three entries takes a hundred bytes or two.
const MAX_HEADER_BYTES: u32 = 1 << 16;

/// The element types that vectors and row numbers come in.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Element {
    Float16,
    Float32,
    Float64,
    Unsigned8,
    Signed8,
    Signed32,
    Signed64,
    Unsigned32,
    Unsigned64,
}

const VECTOR_ELEMENTS: [(&str, Element); 5] = [
    ("f2", Element::Float16),
    ("f4", Element::Float32),
    ("f8", Element::Float64),
    ("u1", Element::Unsigned8),
    ("i1", Element::Signed8),
];

const ROW_NUMBER_ELEMENTS: [(&str, Element); 4] =
    [("i4", Element::Signed32), ("i8", Element::Signed64), ("u4", Element::Unsigned32), ("u8", Element::Unsigned64)];

impl Element {
    fn size_bytes(self) -> usize {
        match self {
            Element::Unsigned8 | Element::Signed8 => 1,
            Element::Float16 => 2,
            Element::Float32 | Element::Signed32 | Element::Unsigned32 => 4,
            Element::Float64 | Element::Signed64 | Element::Unsigned64 => 8,
        }
    }

    /// The element type of a `descr` such as `<f4`, if it is one of those accepted.
    fn from_descr(descr: &str, accepted: &[(&str, Element)]) -> Result<Element, String> {
        let name = descr.trim_start_matches(['<', '>', '|', '=']);
        let expected = || accepted.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        let (_, element) = accepted
            .iter()
            .find(|(accepted, _)| *accepted == name)
            .ok_or_else(|| format!("expected elements of type {}, found {descr:?}", expected()))?;
        if descr.starts_with('>') && element.size_bytes() > 1 {
            return Err(format!("expected little-endian elements, found big-endian {descr:?}"));
        }
        Ok(*element)
    }
}

/// A two-dimensional array, read row by row.
struct Table {
    file: BufReader<File>,
    path: PathBuf,
    element: Element,
    rows: u64,
    columns: usize,
    next: u64,
    bytes: Vec<u8>,
}

impl Table {
    fn open(path: &Path, accepted: &[(&str, Element)]) -> Result<Table> {
        let (file, length) = open_file(path)?;
        let mut file = BufReader::with_capacity(1 << 18, file);
        let (header, data_start) = read_header(&mut file, path, length)?;
        let fault = |what: String| Failure::in_file(path, what);
        let element = Element::from_descr(&header.descr, accepted).map_err(fault)?;
        if header.fortran_order {
            return Err(fault("expected an array in C order, found Fortran order".to_owned()));
        }
        let (rows, columns) = match header.shape[..] {
            [columns] => (1, columns),
            [rows, columns] => (rows, columns),
            ref shape => {
                return Err(fault(format!("expected an array of two dimensions, found {}", shape.len())));
            }
        };
        if columns == 0 {
            return Err(fault("expected vectors with components, found a shape with 0 columns".to_owned()));
        }
        let row_bytes = columns.checked_mul(element.size_bytes() as u64);
        let Some(expected) = row_bytes.and_then(|bytes| bytes.checked_mul(rows)) else {
            return Err(fault(format!("expected a shape that fits a file, found {:?}", header.shape)));
        };
        let found = length.saturating_sub(data_start);
        if found != expected {
            return Err(fault(format!(
                "expected {expected} bytes of elements for the shape {:?}, found {found}",
                header.shape
            )));
        }
        // With no rows the file justifies no buffer, whatever the number of columns; with rows both fit the file.
        let columns = usize::try_from(columns).map_err(|_| fault("the rows do not fit memory".to_owned()))?;
        Ok(Table { file, path: path.to_owned(), element, rows, columns, next: 0, bytes: Vec::new() })
    }

    /// The bytes of the next row; `None` after the last one.
    fn next_row(&mut self) -> Result<Option<&[u8]>> {
        if self.next == self.rows {
            return Ok(None);
        }
        self.next += 1;
        self.bytes.resize(self.columns * self.element.size_bytes(), 0);
        self.file.read_exact(&mut self.bytes).map_err(|error| Failure::reading(&self.path, &error))?;
        Ok(Some(&self.bytes))
    }
}

/// Magic, version, length, and the dictionary; returns where the elements start.
fn read_header(file: &mut impl Read, path: &Path, length: u64) -> Result<(Header, u64)> {
    let truncated = || Failure::in_file(path, format!("expected a .npy header, found a file of {length} bytes"));
    let mut fixed = [0; 8];
    file.read_exact(&mut fixed).map_err(|_| truncated())?;
    if fixed[..6] != MAGIC[..] {
        return Err(Failure::in_file(path, "expected a .npy file, found another magic number"));
    }
    let (major, minor) = (fixed[6], fixed[7]);
    let length_bytes = match (major, minor) {
        (1, 0) => 2,
        (2 | 3, 0) => 4,
        _ => {
            let what = format!("expected .npy version 1.0, 2.0 or 3.0, found {major}.{minor}");
            return Err(Failure::in_file(path, what));
        }
    };
    let mut header_length = [0; 4];
    file.read_exact(&mut header_length[..length_bytes]).map_err(|_| truncated())?;
    let header_length = u32::from_le_bytes(header_length);
    let data_start = 8 + length_bytes as u64 + u64::from(header_length);
    if data_start > length {
        return Err(truncated());
    }
    if header_length > MAX_HEADER_BYTES {
        let what = format!("expected a header of at most {MAX_HEADER_BYTES} bytes, found {header_length}");
        return Err(Failure::in_file(path, what));
    }
    let mut text = vec![0; header_length as usize];
    file.read_exact(&mut text).map_err(|_| truncated())?;
    let header = npy_header::parse(&String::from_utf8_lossy(&text)).map_err(|what| Failure::in_file(path, what))?;
    Ok((header, data_start))
}

/// A .npy file of vectors.
pub(super) struct VectorTable(Table);

impl VectorTable {
    pub(super) fn open(path: &Path) -> Result<VectorTable> {
        let table = Table::open(path, &VECTOR_ELEMENTS)?;
        if table.rows > 0 {
            check_dimension(path, table.columns as u64)?;
        }
        Ok(VectorTable(table))
    }
}

impl RowSource for VectorTable {
    fn rows(&self) -> u64 {
        self.0.rows
    }

    fn read(&mut self, row: &mut Row) -> Result<bool> {
        let element = self.0.element;
        let Some(bytes) = self.0.next_row()? else { return Ok(false) };
        widen(element, bytes, &mut row.vector);
        Ok(true)
    }
}

fn widen(element: Element, bytes: &[u8], vector: &mut Vec<f32>) {
    vector.clear();
    match element {
        Element::Float16 => vector.extend(groups(bytes).map(|bytes| half::f16::from_le_bytes(bytes).to_f32())),
        Element::Float32 => vector.extend(groups(bytes).map(f32::from_le_bytes)),
        // A float64 beyond float32 becomes infinite, and is refused as such.
        Element::Float64 => vector.extend(groups(bytes).map(|bytes| f64::from_le_bytes(bytes) as f32)),
        Element::Unsigned8 => vector.extend(bytes.iter().map(|&byte| f32::from(byte))),
        Element::Signed8 => vector.extend(bytes.iter().map(|&byte| f32::from(byte.cast_signed()))),
        Element::Signed32 | Element::Signed64 | Element::Unsigned32 | Element::Unsigned64 => {
            unreachable!("a table of vectors is opened with their element types only")
        }
    }
}

fn groups<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; N]> {
    bytes.as_chunks::<N>().0.iter().copied()
}

/// The rows of a table of row numbers, all of the same length.
pub(crate) struct RowNumbers {
    pub(crate) columns: usize,
    pub(crate) rows: Vec<Vec<u64>>,
}

/// Reads a .npy file of row numbers, such as the true neighbours of queries.
pub(crate) fn read_row_numbers(path: &Path) -> Result<RowNumbers> {
    let mut table = Table::open(path, &ROW_NUMBER_ELEMENTS)?;
    let (element, columns) = (table.element, table.columns);
    let mut rows = Vec::new();
    while let Some(bytes) = table.next_row()? {
        let numbers: Option<Vec<u64>> = match element {
            Element::Signed32 => groups(bytes).map(|bytes| i32::from_le_bytes(bytes).try_into().ok()).collect(),
            Element::Signed64 => groups(bytes).map(|bytes| i64::from_le_bytes(bytes).try_into().ok()).collect(),
            Element::Unsigned32 => groups(bytes).map(|bytes| Some(u32::from_le_bytes(bytes).into())).collect(),
            _ => groups(bytes).map(|bytes| Some(u64::from_le_bytes(bytes))).collect(),
        };
        let row = rows.len();
        rows.push(numbers.ok_or_else(|| {
            Failure::in_file(path, format!("expected row numbers, found a negative number in row {row}"))
        })?);
    }
    Ok(RowNumbers { columns, rows })
}
