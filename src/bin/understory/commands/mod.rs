//! One file a command.

pub(crate) mod bench;
pub(crate) mod compact;
pub(crate) mod count;
pub(crate) mod export;
pub(crate) mod import;
pub(crate) mod salvage;
pub(crate) mod search;
pub(crate) mod stats;
pub(crate) mod verify;

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use understory::{Error, Maintenance, Options, Stage, Store};

use crate::cpu::{Stopwatch, process_cpu_time};
use crate::failure::Result;
use crate::progress::Progress;

/// Opens a store that must exist to write it, without a worker.
fn open_existing(path: &Path) -> Result<Store> {
    Ok(warn(Store::open_with(path, options())?))
}

/// Opens a store that must exist to read it. Nothing is changed, and others may read it too; only a store that was not
/// closed cleanly is opened for writing, once, to recover it.
fn open_to_read(path: &Path) -> Result<Store> {
    match Store::open_with(path, options().read_only(true)) {
        Err(Error::NeedsRecovery { .. }) => open_existing(path),
        opened => Ok(warn(opened?)),
    }
}

fn options() -> Options {
    Options::new().create(false).maintenance(Maintenance::Manual)
}

fn warn(store: Store) -> Store {
    for segment in &store.open_report().damaged_segments {
        eprintln!(
            "understory: warning: {} is set aside, its {} items are answered from the rows: {}",
            segment.path.display(),
            segment.items,
            segment.cause
        );
    }
    store
}

/// Says which fields of a filter no item has: they are likely misspelled.
fn warn_of(unknown_fields: &[String]) {
    for field in unknown_fields {
        eprintln!("understory: warning: no item has the field {field:?}");
    }
}

/// Compacts with a progress bar. The CPU time of what makes searches fast: building segments and measuring searches,
/// without reading and writing rows.
fn compact_with_bar(store: &Store) -> Result<Option<Duration>> {
    let progress = Progress::following("compacting");
    let builds = Mutex::new((Duration::ZERO, None::<Stopwatch>));
    store.compact_with_progress(&|stage, fraction| {
        progress.follow(&stage.to_string(), fraction);
        let (total, running) = &mut *builds.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(stage, Stage::Building | Stage::Measuring) {
            running.get_or_insert_with(Stopwatch::start);
        } else if let Some(watch) = running.take() {
            *total += watch.cpu().unwrap_or_default();
        }
        true
    })?;
    let (total, _) = builds.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(process_cpu_time().map(|_| total))
}
