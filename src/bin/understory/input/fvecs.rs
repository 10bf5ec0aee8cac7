//! .fvecs and .bvecs: each row is its dimension as a 32-bit number, then the components.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use super::{Row, RowSource, check_dimension, open_file};
use crate::failure::{Failure, Result};

const DIMENSION_BYTES: u64 = 4;

#[derive(Clone, Copy, Debug)]
pub(super) enum Component {
    Float32,
    Unsigned8,
}

/// All rows have the dimension of the first one, so that the file's length tells their number.
pub(super) struct VectorFile {
    file: BufReader<File>,
    path: PathBuf,
    component: Component,
    dimension: u32,
    rows: u64,
    next: u64,
    bytes: Vec<u8>,
}

impl VectorFile {
    pub(super) fn open(path: &Path, component: Component) -> Result<VectorFile> {
        let (mut file, length) = open_file(path)?;
        let (mut dimension, mut rows) = (0, 0);
        if length > 0 {
            if length < DIMENSION_BYTES {
                let what = format!(
                    "expected rows that begin with {DIMENSION_BYTES} bytes of dimension, found {length} bytes"
                );
                return Err(Failure::in_file(path, what));
            }
            dimension = read_dimension(&mut file, path, 0)?;
            let row_bytes = DIMENSION_BYTES + u64::from(dimension) * component.size_bytes();
            if length % row_bytes != 0 {
                let what =
                    format!("expected rows of {row_bytes} bytes (dimension {dimension}), found {length} bytes");
                return Err(Failure::in_file(path, what));
            }
            check_dimension(path, u64::from(dimension))?;
            rows = length / row_bytes;
            std::io::Seek::rewind(&mut file).map_err(|error| Failure::reading(path, &error))?;
        }
        let file = BufReader::with_capacity(1 << 18, file);
        Ok(VectorFile { file, path: path.to_owned(), component, dimension, rows, next: 0, bytes: Vec::new() })
    }
}

impl Component {
    fn size_bytes(self) -> u64 {
        match self {
            Component::Float32 => 4,
            Component::Unsigned8 => 1,
        }
    }
}

fn read_dimension(file: &mut impl Read, path: &Path, row: u64) -> Result<u32> {
    let mut bytes = [0; DIMENSION_BYTES as usize];
    file.read_exact(&mut bytes).map_err(|error| Failure::reading(path, &error))?;
    let dimension = i32::from_le_bytes(bytes);
    match u32::try_from(dimension) {
        Ok(dimension) if dimension > 0 => Ok(dimension),
        _ => Err(Failure::in_file(path, format!("expected a dimension above 0 at row {row}, found {dimension}"))),
    }
}

impl RowSource for VectorFile {
    fn rows(&self) -> u64 {
        self.rows
    }

    fn read(&mut self, row: &mut Row) -> Result<bool> {
        if self.next == self.rows {
            return Ok(false);
        }
        let dimension = read_dimension(&mut self.file, &self.path, self.next)?;
        if dimension != self.dimension {
            let what = format!("expected dimension {} at row {}, found {dimension}", self.dimension, self.next);
            return Err(Failure::in_file(&self.path, what));
        }
        self.next += 1;
        self.bytes.resize(dimension as usize * self.component.size_bytes() as usize, 0);
        self.file.read_exact(&mut self.bytes).map_err(|error| Failure::reading(&self.path, &error))?;
        row.vector.clear();
        match self.component {
            Component::Float32 => {
                row.vector.extend(self.bytes.as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)));
            }
            Component::Unsigned8 => row.vector.extend(self.bytes.iter().map(|&byte| f32::from(byte))),
        }
        Ok(true)
    }
}
