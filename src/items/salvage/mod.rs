//! What a damaged row file still tells, without a change to it.
//!
//! The row database is asked first, on a copy of what it changes in memory, table by table and past what is damaged;
//! then the bytes themselves. Only what has a good checksum counts.

mod overlay;
mod pages;
mod sequence;
mod tables;

use std::path::Path;
use std::sync::Arc;

pub(crate) use tables::{Dead, Names};

use self::pages::Places;
use self::tables::Tables;
use super::meta::StoreRow;
use super::row::{Row, RowRef};
use crate::error::Result;
use crate::fs::Map;
use crate::types::Id;

/// What is left of a row file.
pub(crate) struct Remains {
    file: Arc<Map>,
    tables: Option<Tables>,
    places: Places,
    dimension: Option<usize>,
    /// The store's own row, wherever it was found.
    pub(crate) store: Option<StoreRow>,
    /// Which sequence numbers the live ids have.
    pub(crate) names: Names,
    /// Which sequence numbers are dead.
    pub(crate) dead: Dead,
    /// What is wrong, for people.
    pub(crate) problems: Vec<String>,
}

/// A row, and where it was found.
pub(crate) struct FoundRow {
    pub(crate) row: Row,
    /// The row database has it; else it may be one that is no longer in use.
    pub(crate) is_in_tables: bool,
}

impl Remains {
    /// Reads all of a row file. `dimension` is what its vectors are known to have.
    ///
    /// # Errors
    ///
    /// Only if the file cannot be read at all.
    pub(crate) fn read(path: &Path, dimension: Option<usize>) -> Result<Remains> {
        let file = Arc::new(Map::open(path)?);
        let mut problems = Vec::new();
        let tables = Tables::open(path, &file).map_err(|error| problems.push(error.to_string())).ok();
        let (mut names, mut dead, mut store) = (Names::default(), Dead::default(), None);
        if let Some(tables) = &tables {
            names = tables.names(&mut problems);
            dead = tables.dead(&mut problems);
            store = tables.store(&mut problems);
        }
        let mut found = pages::scan(&file);
        let store = store.or(found.store);
        let first =
            found.rows.values().flatten().next().and_then(|range| super::row::dimension(file.get(range.clone())?));
        let dimension = store.as_ref().and_then(|store| store.dimension).or(dimension).or(first);
        if let Some(dimension) = dimension {
            pages::scan_between(&file, dimension, &|id| names.sequence_of(id), &mut found.rows);
        }
        Ok(Remains { file, tables, places: found.rows, dimension, store, names, dead, problems })
    }

    /// The dimension of the vectors, if anything tells.
    pub(crate) fn dimension(&self) -> Option<usize> {
        self.dimension
    }

    /// The row of a sequence number, which must be that of the id.
    pub(crate) fn row(&self, sequence: u64, id: &Id) -> Option<FoundRow> {
        let in_tables = self.tables.as_ref().and_then(|tables| tables.row(sequence));
        if let Some(row) = in_tables.filter(|row| row.id == *id) {
            return Some(FoundRow { row, is_in_tables: true });
        }
        let places = self.places.get(&sequence)?;
        let mut rows = places.iter().rev().filter_map(|range| self.decode(sequence, range.clone()));
        let row = rows.find(|row| row.id == *id)?;
        Some(FoundRow { row, is_in_tables: false })
    }

    /// Id and sequence number of every row that was found among the bytes of the file, in use or not.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (Id, u64)> + '_ {
        let places =
            self.places.iter().flat_map(|(&sequence, ranges)| ranges.iter().map(move |range| (sequence, range)));
        places.filter_map(|(sequence, range)| Some((self.decode(sequence, range.clone())?.id, sequence)))
    }

    fn decode(&self, sequence: u64, range: std::ops::Range<usize>) -> Option<Row> {
        RowRef::decode(sequence, self.file.get(range)?).ok()?.to_row().ok()
    }
}
