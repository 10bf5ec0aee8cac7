//! Vector files. Every reader streams: it holds one row at a time, never allocates more than the file's length
//! justifies, and names the file and the row or line in every error.

mod ann;
mod fvecs;
mod json;
mod lines;
mod npy;
mod npy_header;

use std::path::Path;

use understory::{Id, MAX_DIMENSION};

pub(crate) use json::{Object, metadata_object};
pub(crate) use lines::{Lines, count_lines};
pub(crate) use npy::{RowNumbers, read_row_numbers};

use crate::failure::{Failure, Result};

/// One row of a vector file. Readers reuse its buffers.
#[derive(Debug, Default)]
pub(crate) struct Row {
    pub(crate) vector: Vec<f32>,
    /// What the row itself says, where the format can.
    pub(crate) id: Option<Id>,
    pub(crate) metadata: Option<Object>,
}

/// The rows of a vector file, one after the other.
pub(crate) trait RowSource {
    /// How many rows the file has.
    fn rows(&self) -> u64;

    /// Reads the next row; false after the last one.
    fn read(&mut self, row: &mut Row) -> Result<bool>;
}

/// Opens a vector file by its extension.
pub(crate) fn open(path: &Path) -> Result<Box<dyn RowSource>> {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    match extension.to_ascii_lowercase().as_str() {
        "npy" => Ok(Box::new(npy::VectorTable::open(path)?)),
        "fvecs" => Ok(Box::new(fvecs::VectorFile::open(path, fvecs::Component::Float32)?)),
        "bvecs" => Ok(Box::new(fvecs::VectorFile::open(path, fvecs::Component::Unsigned8)?)),
        "jsonl" => Ok(Box::new(json::VectorLines::open(path)?)),
        "ann" => Err(Failure::in_file(path, "expected a file of rows, found an .ann file, which import alone reads")),
        _ => Err(Failure::in_file(path, "expected a file .npy, .fvecs, .bvecs or .jsonl, found another extension")),
    }
}

/// Whether a file is an Annoy index, which does not tell its dimension.
pub(crate) fn is_ann(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("ann"))
}

/// Opens the items of an Annoy index as rows.
pub(crate) fn open_ann(path: &Path, dim: usize, metric: understory::Metric) -> Result<Box<dyn RowSource>> {
    Ok(Box::new(ann::Items::open(path, dim, metric)?))
}

/// The vector of one row, counted from 0.
pub(crate) fn read_vector(path: &Path, wanted: u64) -> Result<Vec<f32>> {
    let mut source = open(path)?;
    let rows = source.rows();
    if wanted >= rows {
        return Err(Failure::in_file(path, format!("expected a row {wanted}, found {rows} rows (counted from 0)")));
    }
    let mut row = Row::default();
    for _ in 0..=wanted {
        source.read(&mut row)?;
    }
    Ok(row.vector)
}

/// All vectors of a file.
pub(crate) fn read_vectors(path: &Path) -> Result<Vec<Vec<f32>>> {
    let mut source = open(path)?;
    let mut vectors = Vec::new();
    let mut row = Row::default();
    while source.read(&mut row)? {
        vectors.push(std::mem::take(&mut row.vector));
    }
    Ok(vectors)
}

/// Refuses vectors that no store takes, before memory is taken for one.
fn check_dimension(path: &Path, dimension: u64) -> Result<()> {
    if dimension > MAX_DIMENSION as u64 {
        let what = format!("expected vectors of at most {MAX_DIMENSION} components, found {dimension}");
        return Err(Failure::in_file(path, what));
    }
    Ok(())
}

/// Opens a file and tells its length, from which every later size is checked.
fn open_file(path: &Path) -> Result<(std::fs::File, u64)> {
    let open = || {
        let file = std::fs::File::open(path)?;
        let metadata = file.metadata()?;
        Ok((file, metadata))
    };
    let (file, metadata) = open().map_err(|error| Failure::reading(path, &error))?;
    if !metadata.is_file() {
        return Err(Failure::in_file(path, "expected a regular file, found something else"));
    }
    Ok((file, metadata.len()))
}

#[cfg(test)]
mod hostile;
#[cfg(test)]
mod tests;
