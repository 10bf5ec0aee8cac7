//! Salvage: what is intact of a damaged store, written into a new one.
//!
//! The damaged store is only read. Whatever has a good checksum somewhere is used: the rows as the row database gives
//! them, rows among the bytes of the row file, records of segments. Of several versions of an item the one that the
//! store names is taken, or else the newest.

#[cfg(any(test, fuzzing))]
pub(crate) mod hostile;
mod report;
mod sources;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

pub use report::SalvageReport;
use sources::{Origin, Sources};

use crate::error::{Error, Result};
use crate::fs::{self, DirLock};
use crate::metadata::{Metadata, codec};
use crate::options::{Maintenance, Options};
use crate::store::{Batch, Store};
use crate::types::{Id, Metric};
use crate::vector;

/// Items and bytes of one batch of the new store.
const BATCH_ITEMS: usize = 2000;
const BATCH_BYTES: usize = 4 << 20;

/// Writes whatever is intact of the store at `path` into a new store at `target`, which must not exist. The damaged
/// store is not changed.
///
/// Use it when a store does not open because its rows are damaged; a damaged segment needs none of this. Takes about as
/// long as inserting everything anew.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// # let (path, target) = (dir.path().join("a.understory"), dir.path().join("b.understory"));
/// let store = understory::Store::open(&path)?;
/// store.insert(1, &[1.0, 2.0])?;
/// store.close()?;
/// let report = understory::salvage(&path, &target)?;
/// assert_eq!((report.items, report.uncertain), (1, 0));
/// assert!(understory::Store::open(&target)?.contains(1)?);
/// # Ok::<(), understory::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::NotAStore`] if there are neither rows nor segments, [`Error::Locked`] if the store is open for writing,
/// [`Error::InvalidArgument`] if `target` exists or lies in the store, [`Error::Io`] if a file cannot be read or the new store
/// not be written. Damage is no error but part of the report.
pub fn salvage(path: impl AsRef<Path>, target: impl AsRef<Path>) -> Result<SalvageReport> {
    let (path, target) = (path.as_ref(), target.as_ref());
    if fs::is_dir(path)? != Some(true) {
        return Err(Error::NotAStore { path: path.to_owned(), found: "no directory".into() });
    }
    if fs::is_dir(target)?.is_some() {
        let what = format!("expected a path where nothing is, found {} in use", target.display());
        return Err(Error::InvalidArgument(what));
    }
    if absolute(target).starts_with(absolute(path)) {
        let what = format!("expected a path outside of the damaged store, found {}", target.display());
        return Err(Error::InvalidArgument(what));
    }
    let _lock = DirLock::share(path)?;
    let sources = Sources::read(path)?;
    // Any finite vector has a euclidean distance.
    let metric = sources.metric().unwrap_or(Metric::Euclidean);
    let store = Store::open_with(target, Options::new().metric(metric).maintenance(Maintenance::Manual))?;
    let mut batch = Filling { store: &store, batch: Batch::new(), items: 0, bytes: 0 };
    let report = each_intact(&sources, metric, &mut |id, vector, metadata| batch.push(id, vector, metadata))?;
    batch.write()?;
    store.flush()?;
    store.close()?;
    Ok(report)
}

fn absolute(path: &Path) -> PathBuf {
    // Fails for an empty path, and where there is no current directory; the path then says what can be said.
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Hands every item that is intact to `put`, in the version that is to be taken.
fn each_intact(
    sources: &Sources,
    metric: Metric,
    put: &mut dyn FnMut(Id, Vec<f32>, Metadata) -> Result<()>,
) -> Result<SalvageReport> {
    let metric_is_known = sources.metric().is_some();
    let mut report =
        SalvageReport { problems: sources.problems(), metric, metric_is_known, ..SalvageReport::default() };
    for (id, version) in sources.choose(&mut report) {
        let Some(item) = sources.load(&id, &version) else { continue };
        let dimension = sources.dimension();
        if vector::validate(&item.vector, dimension, report.metric).is_err() {
            report.refused += 1;
            continue;
        }
        let metadata = item.metadata.as_deref().map(codec::decode);
        report.rounded += u64::from(item.is_rounded);
        report.count(&version, item.origin, matches!(metadata, Some(Ok(_))));
        put(id, item.vector, metadata.and_then(std::result::Result::ok).unwrap_or_default())?;
    }
    Ok(report)
}

/// The batch that is being filled.
struct Filling<'s> {
    store: &'s Store,
    batch: Batch,
    items: usize,
    bytes: usize,
}

impl Filling<'_> {
    fn push(&mut self, id: Id, vector: Vec<f32>, metadata: Metadata) -> Result<()> {
        self.items += 1;
        self.bytes += size_of_val(&*vector);
        if metadata.is_empty() {
            self.batch.insert(id, vector);
        } else {
            self.batch.insert_with(id, vector, &metadata)?;
        }
        if self.items >= BATCH_ITEMS || self.bytes >= BATCH_BYTES { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> Result<()> {
        (self.items, self.bytes) = (0, 0);
        self.store.write(std::mem::take(&mut self.batch))
    }
}

impl SalvageReport {
    fn count(&mut self, version: &sources::Version, origin: Origin, has_metadata: bool) {
        self.items += 1;
        match origin {
            Origin::Tables => self.from_rows += 1,
            Origin::Pages => self.from_pages += 1,
            Origin::Segment => self.from_segments += 1,
        }
        self.without_metadata += u64::from(!has_metadata);
        self.uncertain += u64::from(version.is_uncertain);
        self.older += u64::from(version.is_older);
    }
}
