//! What the files of a damaged store hold, and which version of each item is to be taken.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use super::SalvageReport;
use crate::error::{Error, Result};
use crate::fs;
use crate::items::salvage as rows;
use crate::segment::salvage as segment;
use crate::snapshot::{generation, segments_dir};
use crate::types::{Id, Metric};

/// Problems that a report lists.
const MOST_PROBLEMS: usize = 100;

/// Where an item was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Origin {
    /// Where the row database finds it.
    Tables,
    /// Elsewhere in the row file.
    Pages,
    Segment,
}

/// A version of an item that was chosen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Version {
    sequence: u64,
    pub(super) is_uncertain: bool,
    pub(super) is_older: bool,
}

/// An item as it was found.
pub(super) struct Found {
    pub(super) vector: Vec<f32>,
    /// As stored; `None` where it is not known.
    pub(super) metadata: Option<Vec<u8>>,
    pub(super) origin: Origin,
    /// Whether the vector is what a segment rounded.
    pub(super) is_rounded: bool,
}

/// The files of a damaged store.
pub(super) struct Sources {
    /// Newest generation first.
    rows: Vec<rows::Remains>,
    segments: Vec<(PathBuf, segment::Remains)>,
    /// By sequence number: which segment, which position.
    records: HashMap<u64, (usize, usize)>,
    /// Every version of every item, by id.
    versions: BTreeMap<Id, BTreeSet<u64>>,
    nameless: u64,
    problems: Vec<String>,
}

impl Sources {
    pub(super) fn read(path: &Path) -> Result<Sources> {
        let mut row_files: Vec<PathBuf> =
            fs::list(path)?.into_iter().filter(|entry| generation(entry).is_some()).collect();
        row_files.sort_by_key(|entry| std::cmp::Reverse(generation(entry)));
        let segment_files = segment_files(path)?;
        if row_files.is_empty() && segment_files.is_empty() {
            return Err(Error::NotAStore { path: path.to_owned(), found: "neither rows nor segments".into() });
        }
        let mut problems = Vec::new();
        if row_files.is_empty() {
            problems.push("there is no row file: only vectors and ids of segments are left".to_owned());
        }
        // Headers first: a dimension helps to find rows, and rows tell the dimension of segments with damaged headers.
        let mut dimension = segment_files.iter().find_map(|file| segment::Remains::open(file, None).ok()?.dimension);
        let mut rows = Vec::new();
        for file in &row_files {
            match rows::Remains::read(file, dimension) {
                Ok(remains) => rows.push(remains),
                Err(error) => problems.push(error.to_string()),
            }
        }
        dimension = rows.iter().find_map(rows::Remains::dimension).or(dimension);
        let mut segments = Vec::new();
        for file in segment_files {
            match segment::Remains::open(&file, dimension) {
                Ok(remains) => segments.push((file, remains)),
                Err(error) => problems.push(error.to_string()),
            }
        }
        let uuid = rows.iter().find_map(|rows| Some(rows.store.as_ref()?.uuid));
        segments.retain(|(_, segment)| segment.uuid.is_none() || uuid.is_none() || segment.uuid == uuid);
        let mut sources =
            Sources { rows, segments, records: HashMap::new(), versions: BTreeMap::new(), nameless: 0, problems };
        sources.index();
        Ok(sources)
    }

    /// Finds out which versions of which items there are.
    fn index(&mut self) {
        for rows in &self.rows {
            for (id, sequence) in rows.rows() {
                self.versions.entry(id).or_default().insert(sequence);
            }
            for (id, sequence) in rows.names.iter() {
                self.versions.entry(id.clone()).or_default().insert(sequence);
            }
        }
        let mut unnamed = Vec::new();
        for (number, (path, segment)) in self.segments.iter().enumerate() {
            let (records, total) = segment.records();
            if records.len() < total {
                let name = path.display();
                self.problems.push(format!("{name}: {} of {total} records are damaged", total - records.len()));
            }
            for record in records {
                self.records.insert(record.sequence, (number, record.position));
                match record.id {
                    Some(id) => drop(self.versions.entry(id).or_default().insert(record.sequence)),
                    None => unnamed.push(record.sequence),
                }
            }
        }
        // The name of a vector whose id is damaged in the segment may be known from elsewhere.
        if !unnamed.is_empty() {
            let named: BTreeSet<u64> = self.versions.values().flatten().copied().collect();
            let is_dead = |sequence| self.rows.iter().any(|rows| rows.dead.contains(sequence));
            self.nameless =
                unnamed.into_iter().filter(|sequence| !named.contains(sequence) && !is_dead(*sequence)).count()
                    as u64;
        }
    }

    /// Which version of each item to take, in the order in which they were written.
    pub(super) fn choose(&self, report: &mut SalvageReport) -> Vec<(Id, Version)> {
        report.nameless = self.nameless;
        let are_complete = self.rows.first().is_some_and(|rows| rows.names.are_complete);
        let mut chosen: Vec<(Id, Version)> = Vec::new();
        for (id, sequences) in &self.versions {
            let named = self.rows.iter().find_map(|rows| rows.names.get(id));
            if are_complete && named.is_none() {
                continue;
            }
            match self.newest(id, named, sequences) {
                Some(version) => chosen.push((id.clone(), version)),
                None if named.is_some() => report.lost += 1,
                None => {}
            }
        }
        chosen.sort_by_key(|(_, version)| version.sequence);
        chosen
    }

    fn newest(&self, id: &Id, named: Option<u64>, sequences: &BTreeSet<u64>) -> Option<Version> {
        let can_load = |sequence: u64| {
            let version = Version { sequence, is_uncertain: false, is_older: false };
            self.load(id, &version).is_some()
        };
        match named {
            Some(sequence) if can_load(sequence) => Some(Version { sequence, is_uncertain: false, is_older: false }),
            Some(sequence) => {
                let older = sequences.range(..sequence).rev().copied().find(|&sequence| can_load(sequence))?;
                Some(Version { sequence: older, is_uncertain: false, is_older: true })
            }
            None => {
                let is_dead = |sequence: u64| self.rows.iter().any(|rows| rows.dead.contains(sequence));
                let newest = sequences.iter().rev().copied().find(|&sequence| can_load(sequence))?;
                // If the newest there is was deleted or replaced, no older one lives.
                (!is_dead(newest)).then_some(Version { sequence: newest, is_uncertain: true, is_older: false })
            }
        }
    }

    /// The item of a version.
    pub(super) fn load(&self, id: &Id, version: &Version) -> Option<Found> {
        for rows in &self.rows {
            if let Some(found) = rows.row(version.sequence, id) {
                let origin = if found.is_in_tables { Origin::Tables } else { Origin::Pages };
                return Some(Found {
                    vector: found.row.vector,
                    metadata: Some(found.row.metadata),
                    origin,
                    is_rounded: false,
                });
            }
        }
        let &(segment, position) = self.records.get(&version.sequence)?;
        let (_, segment) = self.segments.get(segment)?;
        let vector = segment.vector(position)?;
        Some(Found { vector, metadata: None, origin: Origin::Segment, is_rounded: segment.is_rounded() })
    }

    pub(super) fn metric(&self) -> Option<Metric> {
        let of_rows = self.rows.iter().find_map(|rows| Some(rows.store.as_ref()?.metric));
        of_rows.or_else(|| self.segments.iter().find_map(|(_, segment)| segment.metric))
    }

    pub(super) fn dimension(&self) -> Option<usize> {
        let of_rows = self.rows.iter().find_map(rows::Remains::dimension);
        of_rows.or_else(|| self.segments.iter().find_map(|(_, segment)| segment.dimension))
    }

    /// What is wrong, a line each, and no more lines than people read.
    pub(super) fn problems(&self) -> Vec<String> {
        let of_rows = self.rows.iter().flat_map(|rows| rows.problems.iter().cloned());
        let mut problems: Vec<String> = self.problems.iter().cloned().chain(of_rows).collect();
        let more = problems.len().saturating_sub(MOST_PROBLEMS);
        if more > 0 {
            problems.truncate(MOST_PROBLEMS);
            problems.push(format!("and {more} more"));
        }
        problems
    }
}

fn segment_files(path: &Path) -> Result<Vec<PathBuf>> {
    let segments = segments_dir(path);
    if fs::is_dir(&segments)? != Some(true) {
        return Ok(Vec::new());
    }
    let is_segment = |entry: &PathBuf| entry.extension().is_some_and(|extension| extension == "seg");
    Ok(fs::list(&segments)?.into_iter().filter(is_segment).collect())
}
