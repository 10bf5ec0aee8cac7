//! The public face: a [`Store`] is a handle that can be cloned and shared between threads.
//!
//! Writes go through the queue to one commit at a time; reads take the current view and hold no lock. The directory
//! lock, the row file and the worker end with [`Store::close`] or with the last handle.

mod batch;
mod change;
mod diverse;
mod edit;
mod group;
#[cfg(any(test, fuzzing))]
pub(crate) mod hostile;
mod like;
#[cfg(test)]
mod models;
mod query;
mod recall;
mod scan;
mod select;
#[cfg(test)]
mod simulation;
mod snapshot;
mod stats;
#[cfg(test)]
mod tests;
mod verify;
mod write;

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

pub use batch::Batch;
use batch::Operation;
pub use group::Group;
pub use like::Example;
pub use query::{Hit, Query, QueryPlan, QueryReport};
pub use recall::RecallReport;
pub use scan::Scan;
use snapshot::Registry;
pub use snapshot::{Ids, Item, Items, Snapshot};
pub use stats::{ColumnStats, SegmentStats, Stats};
pub use verify::VerifyReport;
use write::Queue;

use crate::error::{Error, Result};
use crate::fs::DirLock;
use crate::maintenance::{Maintainer, Stage, Worker};
use crate::options::{Maintenance, Options};
use crate::recovery::{self, OpenReport};
use crate::snapshot::{Reload, Shared};
use crate::sync::Mutex;
use crate::types::{Id, Metric};
use crate::vector::Vector;

/// An open store.
///
/// Handles are cheap to clone, and all clones are the same store. Many threads may search while others write and the
/// worker compacts: a search sees all of a commit or nothing of it, and waits for nobody.
///
/// ```
/// use understory::Store;
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("notes.understory");
/// let store = Store::open(&path)?;
/// store.insert("note-17", &[0.1, 0.9, 0.0])?; // on disk when this returns
/// for hit in store.search(&[0.0, 1.0, 0.0], 10)? {
///     println!("{} {:.3}", hit.id, hit.distance);
/// }
/// # Ok::<(), understory::Error>(())
/// ```
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    options: Options,
    report: OpenReport,
    metric: Metric,
    shared: Arc<Shared>,
    queue: Queue,
    maintainer: Arc<Maintainer>,
    worker: Option<Arc<Worker>>,
    registry: Arc<Registry>,
    /// Given back last of all, when nothing of the store is in use any more.
    lock: Mutex<Option<DirLock>>,
}

impl Store {
    /// Opens the store in the directory `path`, or creates it. The dimension is taken from the first vector; an existing
    /// store keeps its metric and dimension.
    ///
    /// Opening takes milliseconds whatever the size, also after a crash.
    ///
    /// # Errors
    ///
    /// [`Error::Locked`] if it is open elsewhere, [`Error::NotAStore`] if something else is there, [`Error::Io`] if the
    /// directory cannot be used, [`Error::UnsupportedFormat`] and [`Error::Corrupt`] if the rows cannot be read. A
    /// damaged segment is no error; see [`Store::open_report`].
    pub fn open(path: impl AsRef<Path>) -> Result<Store> {
        Store::open_with(path, Options::default())
    }

    /// Opens or creates a store with options.
    ///
    /// # Errors
    ///
    /// As [`Store::open`]; [`Error::MetricMismatch`] or [`Error::InvalidArgument`] if the options name another metric
    /// or dimension than the store has.
    pub fn open_with(path: impl AsRef<Path>, options: Options) -> Result<Store> {
        let path = path.as_ref();
        let opened = match options.read_only {
            true => recovery::open_read_only(path, &options)?,
            false => recovery::open(path, &options)?,
        };
        let metric = opened.view.store.metric;
        let shared = Arc::new(Shared::new(path.to_owned(), opened.database, opened.view, reload(path, &options)));
        let maintainer = Arc::new(Maintainer::new(shared.clone(), options.clone()));
        let worker = match options.maintenance {
            Maintenance::Background if !options.read_only => Some(Arc::new(Worker::start(maintainer.clone())?)),
            _ => None,
        };
        let inner = Inner {
            options,
            report: opened.report,
            metric,
            shared,
            queue: Queue::default(),
            maintainer,
            worker,
            registry: Arc::default(),
            lock: Mutex::new(opened.lock),
        };
        inner.wake_if_needed();
        Ok(Store { inner: Arc::new(inner) })
    }

    /// Opens a store that nobody writes, to read it: nothing on disk is changed, not even what a crash left is removed,
    /// and no worker runs. Many processes may do so at once. Works on a read-only medium as well.
    ///
    /// ```
    /// use understory::{Error, Store};
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("a.understory");
    /// let store = Store::open(&path)?;
    /// store.insert(1, &[1.0])?;
    /// assert!(matches!(Store::open_read_only(&path), Err(Error::Locked(_))), "it is open for writing");
    /// store.close()?;
    /// let (one, other) = (Store::open_read_only(&path)?, Store::open_read_only(&path)?);
    /// assert_eq!(one.search(&[1.0], 1)?[0].id, other.search(&[1.0], 1)?[0].id);
    /// assert!(matches!(one.remove(1), Err(Error::ReadOnly)));
    /// # Ok::<(), understory::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Locked`] if it is open for writing elsewhere, [`Error::NeedsRecovery`] if it was not closed cleanly,
    /// [`Error::NotAStore`] if there is none; else as [`Store::open`].
    pub fn open_read_only(path: impl AsRef<Path>) -> Result<Store> {
        Store::open_with(path, Options::default().read_only(true))
    }

    /// What opening the store found.
    pub fn open_report(&self) -> &OpenReport {
        &self.inner.report
    }

    /// The store's directory.
    pub fn path(&self) -> &Path {
        self.inner.shared.path()
    }

    /// The metric the store was created with.
    pub fn metric(&self) -> Metric {
        self.inner.metric
    }

    /// The number of components of a vector; `None` before the first, and when the store is closed.
    pub fn dimension(&self) -> Option<usize> {
        self.inner.shared.view().ok()?.store.dimension
    }

    /// Inserts an item without metadata. If an item has the id, the new one replaces it whole.
    ///
    /// When this returns, the item is on disk (see [`Durability`](crate::Durability)) and every later search sees it.
    /// Costs one commit, which callers on other threads share: two fsyncs.
    ///
    /// # Errors
    ///
    /// [`Error::DimensionMismatch`], [`Error::InvalidVector`] or [`Error::IdTooLong`] if the item is refused;
    /// After a failure of the disk: [`Error::CommitUnknown`] if it came half way, and nobody knows yet whether the item
    /// is there; from then on the store opens its rows again by itself, and a write returns [`Error::WritesStopped`]
    /// while the disk does not let it, or [`Error::SnapshotsHeld`] while snapshots taken before are in use.
    /// [`Error::ReadOnly`] if the store was opened so.
    pub fn insert(&self, id: impl Into<Id>, vector: impl Vector) -> Result<()> {
        let mut batch = Batch::new();
        batch.insert(id, vector);
        self.write(batch)
    }

    /// Inserts an item with metadata: any serde value that is a map of scalars and lists of scalars.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = understory::Store::open(dir.path().join("a.understory"))?;
    /// #[derive(serde::Serialize)]
    /// struct Note { title: &'static str, year: u16 }
    ///
    /// store.insert_with(17, &[0.5, 0.5], &Note { title: "On trees", year: 2026 })?;
    /// let item = store.get(17)?.unwrap();
    /// assert_eq!(item.metadata.get("year"), Some(&understory::Value::Integer(2026)));
    /// # Ok::<(), understory::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Store::insert`]; [`Error::InvalidMetadata`] for metadata that is no such map.
    pub fn insert_with(&self, id: impl Into<Id>, vector: impl Vector, metadata: &impl Serialize) -> Result<()> {
        self.write(Batch { operations: vec![Operation::insert(id.into(), vector, metadata)?] })
    }

    /// Applies a batch: all of it or nothing, with one commit. An empty one does nothing.
    ///
    /// A batch of more than about 8,000 items, or 16 MiB, is searched from its rows, exactly and more slowly, until the
    /// worker has built its segment.
    ///
    /// # Errors
    ///
    /// As [`Store::insert`]; one refused item refuses the batch.
    pub fn write(&self, batch: Batch) -> Result<()> {
        self.inner.check_writable()?;
        if batch.is_empty() {
            return self.inner.shared.view().map(drop);
        }
        self.submit(batch.operations).map(drop)
    }

    /// Commits the operations; how many took effect.
    fn submit(&self, operations: Vec<Operation>) -> Result<u64> {
        let outcome = self.inner.queue.submit(&self.inner.shared, &self.inner.options, operations);
        match (&outcome, &self.inner.worker) {
            // It opens the rows again as soon as that is possible.
            (Err(error), Some(worker)) if !error.is_usage() => worker.wake(),
            _ => self.inner.wake_if_needed(),
        }
        outcome
    }

    /// Removes an item. Whether there was one.
    ///
    /// # Errors
    ///
    /// As [`Store::insert`].
    pub fn remove(&self, id: impl Into<Id>) -> Result<bool> {
        self.inner.check_writable()?;
        let id = id.into();
        if !self.contains(id.clone())? {
            return Ok(false);
        }
        let mut batch = Batch::new();
        batch.remove(id);
        self.write(batch)?;
        Ok(true)
    }

    /// The item that has the id, exactly as it was inserted.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if its row is damaged.
    pub fn get(&self, id: impl Into<Id>) -> Result<Option<Item>> {
        self.current()?.get(id)
    }

    /// Whether an item has the id.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`], or [`Error::Corrupt`] if the entry of the id is damaged.
    pub fn contains(&self, id: impl Into<Id>) -> Result<bool> {
        self.current()?.contains(id)
    }

    /// The number of live items.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`].
    pub fn len(&self) -> Result<u64> {
        Ok(self.current()?.len())
    }

    /// Whether there are none.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`].
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// The ids in order, numbers before texts, as they are now.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`].
    pub fn ids(&self) -> Result<Ids> {
        Ok(self.snapshot()?.ids())
    }

    /// The items in the order of their ids, as they are now.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`].
    pub fn scan(&self) -> Result<Items> {
        Ok(self.snapshot()?.scan())
    }

    /// The `k` nearest items, nearest first, those of one distance in the order of their ids: `min(k, len)` of them,
    /// always. Distances are exact; which items are found depends on the recall aimed at, 0.95 for the ten nearest (see
    /// [`Query::recall`]).
    ///
    /// # Errors
    ///
    /// [`Error::DimensionMismatch`] or [`Error::InvalidVector`] if the vector cannot be compared with the items.
    pub fn search(&self, vector: impl Vector, k: usize) -> Result<Vec<Hit>> {
        self.current()?.search(vector, k)
    }

    /// A search to be refined.
    ///
    /// # Errors
    ///
    /// As [`Store::search`].
    pub fn query(&self, vector: impl Vector) -> Result<Query> {
        self.current()?.query(vector)
    }

    /// A search near a stored item, which is found itself.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] if no item has the id.
    pub fn query_near(&self, id: impl Into<Id>) -> Result<Query> {
        self.current()?.query_near(id)
    }

    /// The `k` nearest items of each vector, on all threads the options allow, all in one snapshot.
    ///
    /// A thread searches vectors that are near each other one after the other, so that they share what is in its caches:
    /// the answers are those of [`Store::search`], in the order of the vectors, and cost less the more vectors there are.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = understory::Store::open(dir.path().join("a.understory"))?;
    /// store.insert("east", &[1.0, 0.0])?;
    /// store.insert("north", &[0.0, 1.0])?;
    /// let found = store.search_batch(&[[0.1, 0.9], [0.9, 0.1]], 1)?;
    /// assert_eq!((&found[0][0].id, &found[1][0].id), (&"north".into(), &"east".into()));
    /// # Ok::<(), understory::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Store::search`].
    pub fn search_batch<V: Vector + Sync>(&self, vectors: &[V], k: usize) -> Result<Vec<Vec<Hit>>> {
        self.current()?.search_batch(vectors, k)
    }

    /// The store as it is now, for as long as the snapshot lives.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`].
    pub fn snapshot(&self) -> Result<Snapshot> {
        Ok(self.current()?.registered(&self.inner.registry))
    }

    /// Puts every item into a segment and makes buffered writes durable. Returns when that is done; writers and readers
    /// go on meanwhile.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] and the like if the disk fails; nothing is lost then.
    pub fn flush(&self) -> Result<()> {
        self.inner.check_writable()?;
        self.inner.maintainer.flush()
    }

    /// Puts every item into one segment, drops what is dead, and gives unused disk space back.
    ///
    /// Costs a build of the whole store and, where the row file is mostly waste, a copy of its live rows, for which
    /// writers wait.
    ///
    /// # Errors
    ///
    /// As [`Store::flush`].
    pub fn compact(&self) -> Result<()> {
        self.compact_with_progress(&|_, _| true)
    }

    /// [`Store::compact`], calling back with what is done and how far it is; the callback returns whether to go on.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = understory::Store::open(dir.path().join("a.understory"))?;
    /// store.insert(1, &[1.0, 0.0])?;
    /// store.compact_with_progress(&|stage, share| {
    ///     println!("{stage}: {:.0} %", share * 100.0);
    ///     true
    /// })?;
    /// # Ok::<(), understory::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Store::flush`]; [`Error::Maintenance`] if the callback ended it.
    pub fn compact_with_progress(&self, progress: &(dyn Fn(Stage, f32) -> bool + Sync)) -> Result<()> {
        self.inner.check_writable()?;
        self.inner.maintainer.compact(progress)
    }

    /// What the store is made of.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`], or [`Error::Io`] if a file cannot be inspected.
    pub fn stats(&self) -> Result<Stats> {
        self.inner.stats()
    }

    /// Reads everything and checks every checksum and structure. Takes seconds for large stores.
    ///
    /// # Errors
    ///
    /// Damage is no error but part of the report.
    pub fn verify(&self) -> Result<VerifyReport> {
        self.inner.verify()
    }

    /// Ends the store for all clones: later calls return [`Error::Closed`]. A build under way is cancelled; what is
    /// committed stays. Dropping the last handle does the same and hides the error.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`], [`Error::Io`], [`Error::WritesStopped`] or [`Error::SnapshotsHeld`] if the row file cannot be
    /// closed cleanly, so that it must be opened for writing before it is read, and [`Error::Maintenance`] if background maintenance failed when it last ran (no write reports that: none is the
    /// worse for it). The store is closed nevertheless, and nothing acknowledged is lost.
    pub fn close(&self) -> Result<()> {
        self.inner.close()
    }

    fn current(&self) -> Result<Snapshot> {
        Ok(Snapshot::new(self.inner.shared.view()?, self.inner.options.threads, self.inner.worker.clone()))
    }
}

impl Inner {
    /// Wakes the worker if the current view gives it something to do.
    fn wake_if_needed(&self) {
        let (Some(worker), Ok(view)) = (&self.worker, self.shared.view()) else { return };
        if self.maintainer.has_work(&view) {
            worker.wake();
        }
    }

    fn check_writable(&self) -> Result<()> {
        if self.options.read_only { Err(Error::ReadOnly) } else { Ok(()) }
    }

    fn close(&self) -> Result<()> {
        if let Some(worker) = &self.worker {
            worker.end();
        }
        self.maintainer.stop_and_wait();
        let outcome = self.shared.close();
        *self.lock.lock() = None;
        outcome.and_then(|()| match self.maintainer.take_last_error() {
            Some(cause) => Err(Error::Maintenance { cause }),
            None => Ok(()),
        })
    }
}

/// How the rows of a store are opened anew after a failure.
fn reload(path: &Path, options: &Options) -> Reload {
    let (path, options) = (path.to_owned(), options.clone());
    Box::new(move |before| recovery::reopen(&path, &options, before))
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The error is for those who ask: see `Store::close`.
        let _: Result<(), Error> = self.close();
    }
}
