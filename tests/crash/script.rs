//! A scripted workload whose child says what was acknowledged and what failed, and what must then hold.

use std::collections::BTreeMap;
use std::path::Path;

use understory::{Batch, Error, Id, Maintenance, Metric, Options, Store};

use crate::children;

const DIMENSION: usize = 8;

/// Items that each write inserts.
const NEW: u64 = 5;

/// An item that every write replaces.
const SHARED: Id = Id::Number(1);

/// Operations of the script.
pub(crate) const OPERATIONS: u64 = 16;

fn options() -> Options {
    Options::new().metric(Metric::Euclidean).maintenance(Maintenance::Manual).threads(1)
}

fn vector(id: u64) -> Vec<f32> {
    (0..DIMENSION as u64).map(|axis| ((id * 31 + axis * 17) % 101) as f32).collect()
}

fn is_write(operation: u64) -> bool {
    !matches!(operation % 8, 3 | 6)
}

/// What a write puts into the store.
fn items(operation: u64) -> Vec<(Id, Vec<f32>)> {
    let mut items: Vec<_> =
        (0..NEW).map(|item| 100 + operation * NEW + item).map(|id| (Id::Number(id), vector(id))).collect();
    items.push((SHARED, vector(operation)));
    items
}

fn perform(store: &Store, operation: u64) -> understory::Result<()> {
    match operation % 8 {
        3 => store.flush(),
        6 => store.compact(),
        _ => {
            let mut batch = Batch::new();
            for (id, vector) in items(operation) {
                batch.insert(id, vector);
            }
            store.write(batch)
        }
    }
}

/// Child: works through the script, whatever fails.
pub(crate) fn work(path: &Path) {
    let store = match Store::open_with(path, options()) {
        Ok(store) => store,
        Err(error) => return say_failure(&error),
    };
    for operation in 0..OPERATIONS {
        match perform(&store, operation) {
            Ok(()) => children::say(&format!("done {operation}")),
            Err(error) => say_failure(&error),
        }
    }
    if let Err(error) = store.close() {
        say_failure(&error);
    }
}

/// A failing disk is reported as such: not as a mistake of the caller, and not as damage.
fn say_failure(error: &Error) {
    let is_of_the_disk = matches!(
        error,
        Error::Io { .. }
            | Error::CommitUnknown { .. }
            | Error::WritesStopped { .. }
            | Error::Storage { .. }
            | Error::Maintenance { .. }
    );
    children::say(&format!("{} {error}", if is_of_the_disk { "failed" } else { "unexpected" }));
}

/// The operations that a child acknowledged.
pub(crate) fn acknowledged(words: &[String]) -> Vec<u64> {
    if let Some(unexpected) = words.iter().find(|word| word.starts_with("unexpected")) {
        panic!("expected an error of the disk, found {unexpected}");
    }
    words.iter().filter_map(|word| word.strip_prefix("done ")).map(|number| number.parse().unwrap()).collect()
}

/// Opens the store on a sound disk: what was acknowledged is there, every other write whole or not at all, searches
/// are right, and nothing is left behind.
pub(crate) fn check(path: &Path, acknowledged: &[u64]) -> Result<(), String> {
    let store = Store::open_with(path, options()).map_err(|error| format!("open failed: {error}"))?;
    let mut found = BTreeMap::new();
    for item in store.scan().map_err(|error| error.to_string())? {
        let item = item.map_err(|error| error.to_string())?;
        found.insert(item.id, item.vector);
    }
    let mut expected = BTreeMap::new();
    for operation in (0..OPERATIONS).filter(|&operation| is_write(operation)) {
        let is_there = found.contains_key(&Id::Number(100 + operation * NEW));
        if acknowledged.contains(&operation) && !is_there {
            return Err(format!("operation {operation} was acknowledged and is lost"));
        }
        if is_there {
            expected.extend(items(operation));
        }
    }
    if found != expected {
        return Err(format!("expected {} items of whole writes, found {}", expected.len(), found.len()));
    }
    let damaged = &store.open_report().damaged_segments;
    if !damaged.is_empty() {
        return Err(format!("expected whole segments, found {damaged:?}"));
    }
    if !expected.is_empty() {
        check_search(&store, &expected)?;
    }
    let report = store.verify().map_err(|error| error.to_string())?;
    if let Some(problem) = report.problems.first() {
        return Err(format!("verify reports: {problem}"));
    }
    check_files(path, store.stats().map_err(|error| error.to_string())?.segments.len())
}

fn check_search(store: &Store, items: &BTreeMap<Id, Vec<f32>>) -> Result<(), String> {
    let query = vector(77);
    let distance = |vector: &[f32]| vector.iter().zip(&query).map(|(l, r)| (l - r) * (l - r)).sum::<f32>().sqrt();
    let mut expected: Vec<(f32, Id)> = items.iter().map(|(id, vector)| (distance(vector), id.clone())).collect();
    expected.sort_by(|left, right| left.0.total_cmp(&right.0).then(left.1.cmp(&right.1)));
    let hits = store.search(&query, items.len()).map_err(|error| error.to_string())?;
    let found: Vec<(f32, Id)> = hits.into_iter().map(|hit| (hit.distance, hit.id)).collect();
    if found == expected { Ok(()) } else { Err(format!("expected {expected:?}, found {found:?}")) }
}

fn check_files(path: &Path, segments: usize) -> Result<(), String> {
    let names = |path: &Path| -> Vec<String> {
        let entries = std::fs::read_dir(path).unwrap();
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
    };
    let (files, built) = (names(path), names(&path.join("segments")));
    if files.len() == 3 && built.len() == segments {
        return Ok(());
    }
    Err(format!("expected {segments} segments and no other files, found {files:?} and {built:?}"))
}
