//! Opening a store: lock, check, sweep what a crash left, load. The index never makes it fail: a segment that is
//! missing or damaged is set aside, and the rows answer for its items.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::code::Frame;
use crate::error::{Error, Result};
use crate::fs::{self, DirLock};
use crate::items::{Database, ReadRows, StoreRow};
use crate::options::Options;
use crate::segment::Expected;
use crate::snapshot::{
    Delta, DeltaItem, LiveSegment, ManifestRow, Part, Source, State, View, generation, row_file, segment_path,
    segments_dir, sweep,
};
use crate::types::{Id, MAX_DIMENSION, SequenceRange};

/// What opening a store found.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// let store = understory::Store::open(dir.path().join("a.understory"))?;
/// assert!(store.open_report().damaged_segments.is_empty());
/// # Ok::<(), understory::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct OpenReport {
    /// Segments that were set aside. Their items are answered exactly, from the rows, until the worker has built them
    /// again.
    pub damaged_segments: Vec<DamagedSegment>,
    /// Files without use that a crash had left and that were removed.
    pub swept_files: Vec<PathBuf>,
}

/// A segment that was set aside.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DamagedSegment {
    /// Its file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub cause: String,
    /// Items in it.
    pub items: u64,
}

/// An opened store, ready to be shared.
pub(crate) struct Opened {
    /// `None` where a read-only opening found no lock file it can use.
    pub(crate) lock: Option<DirLock>,
    pub(crate) database: Database,
    pub(crate) view: View,
    pub(crate) report: OpenReport,
}

/// Opens the store at `path`, or creates it.
pub(crate) fn open(path: &Path, options: &Options) -> Result<Opened> {
    check_options(options)?;
    let exists = check_directory(path)?;
    if !exists {
        if !options.create {
            return Err(not_a_store(path, "nothing"));
        }
        fs::create_dir(path)?;
    }
    let lock = DirLock::acquire(path)?;
    // What a process that was killed created or renamed may not be durable, though it can be seen.
    fs::sync_dir(path)?;
    let mut report = OpenReport::default();
    let database = open_rows(path, options, &mut report).map_err(|error| name_salvage(path, error))?;
    fs::create_dir(&segments_dir(path))?;
    let rows = database.begin_read()?;
    let store = rows.store()?;
    check_match(&store, options)?;
    let view = load(path, rows, store, None, &mut report).map_err(|error| name_salvage(path, error))?;
    sweep::sweep(path, &view, &mut |entry| {
        sweep_file(&entry, &mut report);
        Ok(())
    })?;
    Ok(Opened { lock: Some(lock), database, view, report })
}

/// Opens the store at `path` to read it, and changes nothing there.
pub(crate) fn open_read_only(path: &Path, options: &Options) -> Result<Opened> {
    check_options(options)?;
    if !check_directory(path)? {
        return Err(not_a_store(path, "nothing"));
    }
    // Without a lock file the row file's own lock keeps writers away.
    let lock = DirLock::share(path)?;
    let newest = fs::list(path)?.iter().filter_map(|entry| generation(entry)).max();
    let newest = newest.ok_or_else(|| not_a_store(path, "a directory without rows"))?;
    let database = Database::open_read_only(&row_file(path, newest), options.cache_bytes)
        .map_err(|error| name_salvage(path, error))?;
    let rows = database.begin_read()?;
    let store = rows.store()?;
    check_match(&store, options)?;
    let mut report = OpenReport::default();
    let view = load(path, rows, store, None, &mut report).map_err(|error| name_salvage(path, error))?;
    Ok(Opened { lock, database, view, report })
}

/// Damaged rows are what `understory salvage` is for.
fn name_salvage(path: &Path, error: Error) -> Error {
    match error {
        Error::Corrupt(mut corruption) => {
            let hint =
                format!(" (`understory salvage {} DEST` writes what is intact into a new store)", path.display());
            corruption.found.push_str(&hint);
            Error::Corrupt(corruption)
        }
        // Another holder of the row file is another holder of the store.
        Error::Locked(_) => Error::Locked(path.to_owned()),
        error => error,
    }
}

/// Opens the rows of an open store anew, after a failure. Segments that are open already are kept.
pub(crate) fn reopen(path: &Path, options: &Options, before: &View) -> Result<(Database, View)> {
    fs::sync_dir(path)?;
    let options = options.clone().create(false);
    let mut report = OpenReport::default();
    let database = open_rows(path, &options, &mut report)?;
    let rows = database.begin_read()?;
    let store = rows.store()?;
    if store.uuid != before.store.uuid {
        return Err(Error::corrupt(database.path(), "table meta", "the store that was open", "another store"));
    }
    let mut view = load(path, rows, store, Some(before), &mut report)?;
    if fs::keeps_old_delta(path) {
        view.delta = before.delta.clone();
    }
    Ok((database, view))
}

/// More would take seconds to start, at each build and each batch.
const MAX_THREADS: usize = 1024;

fn check_options(options: &Options) -> Result<()> {
    match options.dimension {
        Some(dimension) if dimension == 0 || dimension > MAX_DIMENSION => {
            Err(Error::InvalidArgument(format!("expected a dimension from 1 to {MAX_DIMENSION}, found {dimension}")))
        }
        _ if options.segment.trees == 0 || options.segment.trees > 64 => {
            Err(Error::InvalidArgument(format!("expected 1 to 64 trees, found {}", options.segment.trees)))
        }
        _ if options.threads > MAX_THREADS => {
            Err(Error::InvalidArgument(format!("expected at most {MAX_THREADS} threads, found {}", options.threads)))
        }
        _ => Ok(()),
    }
}

/// Whether there is a directory that is a store, or the beginning of one.
fn check_directory(path: &Path) -> Result<bool> {
    match fs::is_dir(path)? {
        None => return Ok(false),
        Some(false) => return Err(not_a_store(path, "a file")),
        Some(true) => {}
    }
    let ours = |entry: &PathBuf| {
        let name = entry.file_name().and_then(|name| name.to_str()).unwrap_or("");
        name == "LOCK" || name == "segments" || name.ends_with(".tmp") || generation(entry).is_some()
    };
    let entries = fs::list(path)?;
    // What the user keeps beside a store is the user's; a directory that is no store is not made one.
    match entries.iter().find(|entry| !ours(entry)) {
        Some(stranger) if !entries.iter().any(|entry| generation(entry).is_some()) => {
            Err(not_a_store(path, &format!("a directory with {}", stranger.display())))
        }
        _ => Ok(true),
    }
}

fn not_a_store(path: &Path, found: &str) -> Error {
    Error::NotAStore { path: path.to_owned(), found: found.to_owned() }
}

/// Opens the row file of the highest generation, or creates the first, and removes what crashes have left beside it.
fn open_rows(path: &Path, options: &Options, report: &mut OpenReport) -> Result<Database> {
    let entries = fs::list(path)?;
    let newest = entries.iter().filter_map(|entry| generation(entry)).max();
    for entry in &entries {
        let is_temporary = entry.extension().is_some_and(|extension| extension == "tmp");
        if is_temporary || generation(entry).is_some_and(|number| Some(number) < newest) {
            sweep_file(entry, report);
        }
    }
    if let Some(newest) = newest {
        return Database::open(&row_file(path, newest), options.cache_bytes);
    }
    let segments = segments_dir(path);
    let has_segments = fs::is_dir(&segments)? == Some(true);
    if has_segments && fs::list(&segments)?.iter().any(|entry| entry.extension().is_some_and(|e| e == "seg")) {
        return Err(Error::corrupt(path, "the row file", "store-*.redb beside the segments", "none"));
    }
    if !options.create {
        return Err(not_a_store(path, "a directory without rows"));
    }
    let store = StoreRow {
        uuid: rand::random(),
        metric: options.metric.unwrap_or_default(),
        dimension: options.dimension,
        rotation_seed: rand::random(),
        build_seed: rand::random(),
    };
    // From its first row on, a store must not vanish with its directory.
    fs::sync_parent(path)?;
    Database::create(&row_file(path, 0), &store, options.cache_bytes)
}

/// Removes a file that nothing refers to. One that cannot be removed, as where another program holds it and the system lets it,
/// harms nothing: a later job or opening tries again.
fn sweep_file(path: &Path, report: &mut OpenReport) {
    if fs::remove(path).is_ok() {
        report.swept_files.push(path.to_owned());
    }
}

fn check_match(store: &StoreRow, options: &Options) -> Result<()> {
    if let Some(requested) = options.metric.filter(|metric| *metric != store.metric) {
        return Err(Error::MetricMismatch { stored: store.metric, requested });
    }
    match (store.dimension, options.dimension) {
        (Some(stored), Some(asked)) if stored != asked => Err(Error::InvalidArgument(format!(
            "expected a store of dimension {asked}, found one of dimension {stored}"
        ))),
        _ => Ok(()),
    }
}

/// The view of the rows. `before` is one of the same store that is open already.
fn load(
    path: &Path,
    rows: ReadRows,
    store: StoreRow,
    before: Option<&View>,
    report: &mut OpenReport,
) -> Result<View> {
    let counters = rows.counters()?;
    let dead = rows.dead()?;
    let mean = rows.mean()?.filter(|_| store.metric.is_centred());
    let frame =
        store.dimension.map(|dimension| Arc::new(Frame::new(store.metric, dimension, store.rotation_seed, mean)));
    let mut parts = Vec::new();
    for (id, bytes) in rows.segments()? {
        let row = ManifestRow::decode(&bytes).map_err(|malformed| {
            Error::corrupt(path, format!("manifest row {id}"), malformed.expected, malformed.found)
        })?;
        // An upper bound after a crash of what a compaction would find: dead rows of blocks are counted as well.
        let dead = dead.count_in(row.range).min(row.items);
        let source = match open_already(path, before, id, &row) {
            Some(segment) => Source::Segment(segment),
            None => open_part(path, &store, frame.as_deref(), id, &row, report),
        };
        parts.push(Part { id, range: row.range, items: row.items, dead, source });
    }
    parts.sort_by_key(|part| part.range.start);
    let effort = rows.effort()?.unwrap_or_default();
    let len = rows.len()?;
    let delta = Delta::default();
    let mut view = View { rows: Arc::new(rows), store, counters, frame, parts, delta, dead, effort, len, reloads: 0 };
    view.delta = load_delta(path, &view)?;
    Ok(view)
}

/// The segment of a manifest row, if a view has it open.
fn open_already(path: &Path, before: Option<&View>, id: u64, row: &ManifestRow) -> Option<Arc<LiveSegment>> {
    let State::Built { nonce, .. } = row.state else { return None };
    let name = segment_path(path, id, nonce);
    before?.parts.iter().find_map(|part| match &part.source {
        Source::Segment(segment) if segment.path() == name => Some(segment.clone()),
        _ => None,
    })
}

fn open_part(
    path: &Path,
    store: &StoreRow,
    frame: Option<&Frame>,
    id: u64,
    row: &ManifestRow,
    report: &mut OpenReport,
) -> Source {
    let (State::Built { nonce, length, checksum }, Some(frame)) = (row.state, frame) else {
        return Source::Rows { damaged: None };
    };
    let name = segment_path(path, id, nonce);
    let expected = Expected { uuid: store.uuid, id, nonce, range: row.range, length, checksum };
    match LiveSegment::open(&name, &expected, frame) {
        Ok(segment) => Source::Segment(Arc::new(segment)),
        Err(error) => {
            report.damaged_segments.push(DamagedSegment {
                path: name.clone(),
                cause: error.to_string(),
                items: row.items,
            });
            Source::Rows { damaged: Some(name) }
        }
    }
}

fn load_delta(path: &Path, view: &View) -> Result<Delta> {
    let mut delta = Delta::default();
    let Some(frame) = &view.frame else { return Ok(delta) };
    let range = SequenceRange { start: view.counters.flushed, end: view.counters.next_sequence };
    view.rows.scan(range, &mut |row| {
        if !view.dead.contains(row.sequence) {
            let mut vector = Vec::new();
            view.read_vector(&row, &mut vector)?;
            let id = Id::decode(row.id)
                .ok_or_else(|| Error::corrupt(path, format!("row {}", row.sequence), "an id", "other bytes"))?;
            delta.push(frame, Arc::new(DeltaItem::new(frame, row.sequence, id, vector, row.metadata)));
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(delta)
}
