//! What the threads of a store share: the current view, and the writer's side behind one lock.
//!
//! Lock order: the writer, then the current view. The view's lock is held only to clone or replace an `Arc`. Commit,
//! the start of the next read and the swap happen under the writer's lock, so that rows and segments always match.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard, RwLock};

use super::View;
use crate::error::{Error, Result};
use crate::items::{Database, WriteRows};
use crate::options::Durability;

/// The next view while a commit prepares it. Its rows are still those of the view before.
pub(crate) type Draft = View;

/// The writer's side.
pub(crate) struct Writer {
    /// `None` once the store is closed.
    database: Option<Database>,
    /// Why no further commit is possible.
    stopped: Option<String>,
}

/// The state of an open store.
pub(crate) struct Shared {
    path: PathBuf,
    current: RwLock<Option<Arc<View>>>,
    writer: Mutex<Writer>,
    next_segment_id: AtomicU64,
}

impl Shared {
    pub(crate) fn new(path: PathBuf, database: Database, view: View) -> Shared {
        Shared {
            path,
            next_segment_id: AtomicU64::new(view.counters.next_segment),
            current: RwLock::new(Some(Arc::new(view))),
            writer: Mutex::new(Writer { database: Some(database), stopped: None }),
        }
    }

    /// The store's directory.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A segment id that nothing else has or will have. The counter in the rows follows with the commit that uses it;
    /// should that never come, the id is given again, to a file of another nonce.
    pub(crate) fn reserve_segment_id(&self) -> u64 {
        self.next_segment_id.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn next_segment_id(&self) -> u64 {
        self.next_segment_id.load(Ordering::Relaxed)
    }

    /// The current view.
    pub(crate) fn view(&self) -> Result<Arc<View>> {
        self.current.read().clone().ok_or(Error::Closed)
    }

    /// The writer's side; whoever holds it is the only one to commit.
    pub(crate) fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock()
    }

    /// Runs `change` in a transaction and makes both it and the draft visible, or neither. A change that returns an
    /// error changes nothing.
    pub(crate) fn commit<T>(
        &self,
        writer: &mut Writer,
        durability: Durability,
        change: impl FnOnce(&mut WriteRows, &mut Draft) -> Result<T>,
    ) -> Result<T> {
        if let Some(cause) = &writer.stopped {
            return Err(Error::WritesStopped { cause: cause.clone() });
        }
        let database = writer.database.as_ref().ok_or(Error::Closed)?;
        let mut draft = View::clone(&*self.view()?);
        let attempt = (|| {
            let mut rows = database.begin_write(durability)?;
            let value = change(&mut rows, &mut draft)?;
            rows.commit()?;
            Ok(value)
        })();
        let outcome = attempt.and_then(|value| {
            draft.rows = Arc::new(database.begin_read()?);
            *self.current.write() = Some(Arc::new(draft));
            Ok(value)
        });
        if let Err(error @ (Error::CommitUnknown { .. } | Error::WritesStopped { .. } | Error::Storage { .. })) =
            &outcome
        {
            writer.stopped = Some(error.to_string());
        }
        outcome
    }

    /// Switches to another row file that holds the same live rows, and to the dead set that belongs to it. The old file is removed as soon as nobody reads it,
    /// which on some systems is at the next open.
    pub(crate) fn switch_database(&self, writer: &mut Writer, database: Database) -> Result<()> {
        let mut view = View::clone(&*self.view()?);
        view.rows = Arc::new(database.begin_read()?);
        view.dead = view.rows.dead()?;
        *self.current.write() = Some(Arc::new(view));
        crate::fs::crash_point("row file switched");
        if let Some(old) = writer.database.replace(database) {
            let path = old.path().to_owned();
            drop(old);
            let _ = crate::fs::remove(&path);
        }
        Ok(())
    }

    /// Ends reading and writing for everyone but those who hold a view.
    pub(crate) fn close(&self) -> Result<()> {
        let mut writer = self.writer.lock();
        let view = self.current.write().take();
        drop(view);
        match writer.database.take() {
            Some(database) => database.close(),
            None => Ok(()),
        }
    }
}

impl Writer {
    /// The row file, for a copy of it.
    pub(crate) fn database(&self) -> Result<&Database> {
        self.database.as_ref().ok_or(Error::Closed)
    }

    /// Refuses every further commit.
    pub(crate) fn stop(&mut self, cause: String) {
        self.stopped.get_or_insert(cause);
    }

    /// Why no further commit is possible, if it is not.
    pub(crate) fn stopped(&self) -> Option<&str> {
        self.stopped.as_deref()
    }
}
