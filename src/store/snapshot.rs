//! One consistent view in a caller's hands, and the readers that stores and snapshots share.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rayon::prelude::*;

use super::query::{Hit, Query};
use crate::error::{Error, Result};
use crate::maintenance::Worker;
use crate::metadata::{Metadata, codec};
use crate::search;
use crate::snapshot::View;
use crate::sync::{AtomicU64, Mutex, on_threads};
use crate::types::{Id, Metric};
use crate::vector::{Vector, validate};

/// Ids that a scan reads at a time.
const PAGE: usize = 256;

/// An item as it was inserted.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Item {
    /// Its id.
    pub id: Id,
    /// Its vector, bit for bit.
    pub vector: Vec<f32>,
    /// Its metadata; empty if it was inserted without.
    pub metadata: Metadata,
}

/// A store as it was at one moment: no later write is seen, and no commit in part.
///
/// A snapshot keeps the disk space of what is deleted or replaced meanwhile; let it go when it is no longer needed. One
/// that was taken before a failure of the disk keeps the store from writing again: [`Error::SnapshotsHeld`].
/// After [`Store::close`](crate::Store::close) it still searches, and reading rows returns [`Error::Closed`].
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// let store = understory::Store::open(dir.path().join("a.understory"))?;
/// store.insert(1, &[1.0])?;
/// let before = store.snapshot()?;
/// store.remove(1)?;
/// assert_eq!((before.len(), store.len()?), (1, 0));
/// # Ok::<(), understory::Error>(())
/// ```
#[derive(Clone)]
pub struct Snapshot {
    view: Arc<View>,
    threads: usize,
    worker: Option<Arc<Worker>>,
    /// Only a snapshot in a caller's hands is registered: it has an age.
    _registration: Option<Arc<Registration>>,
}

impl Snapshot {
    pub(super) fn new(view: Arc<View>, threads: usize, worker: Option<Arc<Worker>>) -> Snapshot {
        Snapshot { view, threads, worker, _registration: None }
    }

    pub(super) fn registered(mut self, registry: &Arc<Registry>) -> Snapshot {
        self._registration = Some(Arc::new(registry.register()));
        self
    }

    pub(super) fn view(&self) -> &View {
        &self.view
    }

    /// A segment was set aside: the worker builds it again.
    pub(super) fn report_damage(&self) {
        if let Some(worker) = &self.worker {
            worker.wake();
        }
    }

    /// The number of live items.
    #[expect(clippy::len_without_is_empty, reason = "a snapshot is asked for its size, not for its emptiness")]
    pub fn len(&self) -> u64 {
        self.view.len
    }

    /// The metric of the store.
    pub fn metric(&self) -> Metric {
        self.view.store.metric
    }

    /// The number of components of a vector; `None` before the first item.
    pub fn dimension(&self) -> Option<usize> {
        self.view.store.dimension
    }

    /// Whether an item has the id.
    pub fn contains(&self, id: impl Into<Id>) -> Result<bool> {
        Ok(self.view.rows.sequence_of(&id.into())?.is_some())
    }

    /// The item that has the id, exactly as it was inserted. Reads one row, or the block that holds it.
    pub fn get(&self, id: impl Into<Id>) -> Result<Option<Item>> {
        let sequence = self.view.rows.sequence_of(&id.into())?;
        sequence.map(|sequence| self.item(sequence)).transpose()
    }

    /// The item of a live sequence number.
    pub(super) fn item(&self, sequence: u64) -> Result<Item> {
        let place = || format!("row {sequence}");
        let corrupt =
            |expected: String, found: String| Error::corrupt(self.view.rows.path(), place(), expected, found);
        let row =
            self.view.rows.row(sequence)?.ok_or_else(|| corrupt("the row of a live item".into(), "no row".into()))?;
        let metadata =
            codec::decode(&row.metadata).map_err(|malformed| corrupt(malformed.expected, malformed.found))?;
        Ok(Item { id: row.id, vector: row.vector, metadata })
    }

    /// The ids in order: numbers, then texts.
    pub fn ids(&self) -> Ids {
        Ids { snapshot: self.clone(), page: Vec::new().into_iter(), last: None, done: false }
    }

    /// The items in the order of their ids. Reads a row an item.
    pub fn scan(&self) -> Items {
        Items { ids: self.ids() }
    }

    /// The `k` nearest items, nearest first, at the default recall. See [`Store::search`](crate::Store::search).
    pub fn search(&self, vector: impl Vector, k: usize) -> Result<Vec<Hit>> {
        self.query(vector)?.k(k).run()
    }

    /// A search to be refined.
    ///
    /// # Errors
    ///
    /// [`Error::DimensionMismatch`] or [`Error::InvalidVector`] if the vector cannot be compared with the items.
    pub fn query(&self, vector: impl Vector) -> Result<Query> {
        let vector = vector.components().into_owned();
        validate(&vector, self.view.store.dimension, self.view.store.metric)?;
        Ok(Query::new(self.clone(), vector))
    }

    /// A search near a stored item, which is found itself.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] if no item has the id.
    pub fn query_near(&self, id: impl Into<Id>) -> Result<Query> {
        let id = id.into();
        match self.get(id.clone())? {
            Some(item) => Ok(Query::new(self.clone(), item.vector)),
            None => Err(Error::NotFound(id)),
        }
    }

    /// The `k` nearest items of each vector, on as many threads as the options say. See
    /// [`Store::search_batch`](crate::Store::search_batch).
    pub fn search_batch<V: Vector + Sync>(&self, vectors: &[V], k: usize) -> Result<Vec<Vec<Hit>>> {
        let queries = vectors.iter().map(|vector| Ok(self.query(vector)?.k(k))).collect::<Result<Vec<Query>>>()?;
        let order = search::order(&self.view, queries.iter().map(Query::vector));
        let run = |&number: &usize| queries[number].run();
        let found: Vec<Vec<Hit>> = if vectors.len() < 2 || self.threads == 1 {
            order.iter().map(run).collect::<Result<_>>()?
        } else {
            self.on_threads(|| order.par_iter().map(run).collect())?
        };
        let mut answers = vec![Vec::new(); found.len()];
        order.into_iter().zip(found).for_each(|(number, hits)| answers[number] = hits);
        Ok(answers)
    }

    /// Runs on as many threads as the options say.
    pub(super) fn on_threads<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        on_threads(self.threads, work)
    }
}

/// The ids of a snapshot, in order. Reads a page of them at a time.
pub struct Ids {
    snapshot: Snapshot,
    page: std::vec::IntoIter<(Id, u64)>,
    last: Option<Id>,
    done: bool,
}

impl Ids {
    fn next_entry(&mut self) -> Option<Result<(Id, u64)>> {
        if let Some(entry) = self.page.next() {
            return Some(Ok(entry));
        }
        if self.done {
            return None;
        }
        match self.snapshot.view.rows.ids(self.last.as_ref(), PAGE) {
            Ok(page) => {
                self.done = page.len() < PAGE;
                self.last = page.last().map(|(id, _)| id.clone());
                self.page = page.into_iter();
                self.page.next().map(Ok)
            }
            Err(error) => {
                self.done = true;
                Some(Err(error))
            }
        }
    }
}

impl Iterator for Ids {
    type Item = Result<Id>;

    fn next(&mut self) -> Option<Result<Id>> {
        self.next_entry().map(|entry| entry.map(|(id, _)| id))
    }
}

/// The items of a snapshot, in the order of their ids.
pub struct Items {
    ids: Ids,
}

impl Iterator for Items {
    type Item = Result<Item>;

    fn next(&mut self) -> Option<Result<Item>> {
        let entry = self.ids.next_entry()?;
        Some(entry.and_then(|(_, sequence)| self.ids.snapshot.item(sequence)))
    }
}

/// When the snapshots in callers' hands were taken.
#[derive(Default)]
pub(super) struct Registry {
    next: AtomicU64,
    taken: Mutex<BTreeMap<u64, Instant>>,
}

impl Registry {
    fn register(self: &Arc<Registry>) -> Registration {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.taken.lock().insert(number, Instant::now());
        Registration { registry: self.clone(), number }
    }

    /// The age of the oldest snapshot that lives.
    pub(super) fn oldest(&self) -> Option<Duration> {
        self.taken.lock().values().map(Instant::elapsed).max()
    }
}

struct Registration {
    registry: Arc<Registry>,
    number: u64,
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.registry.taken.lock().remove(&self.number);
    }
}
