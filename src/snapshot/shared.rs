//! What the threads of a store share: the current view, and the writer's side behind one lock.
//!
//! Lock order: the writer, then the current view. The view's lock is held only to clone or replace an `Arc`. Commit,
//! the start of the next read and the swap happen under the writer's lock, so that rows and segments always match.
//!
//! After a failure that may have stopped the row database the rows are opened anew, by whoever next wants to commit: the
//! old database is read on until the new one is loaded, and nothing is committed while anybody still reads through it.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::{LiveSegment, Source, View, sweep};
use crate::error::{Error, Result};
use crate::fs;
use crate::items::{Database, Readers, WriteRows};
use crate::options::Durability;
use crate::sync::{AtomicU64, Mistake, Mutex, MutexGuard, RwLock, makes, sleep};

/// The next view while a commit prepares it. Its rows are still those of the view before.
pub(crate) type Draft = View;

/// Opens the rows anew, after the database of the given view was retired.
pub(crate) type Reload = Box<dyn Fn(&View) -> Result<(Database, View)> + Send + Sync>;

/// A commit waits so long for searches under way to let go of rows that were opened anew since.
const PATIENCE: Duration = Duration::from_millis(if cfg!(test) { 2 } else { 50 });

/// The writer's side.
pub(crate) struct Writer {
    /// `None` once the store is closed.
    database: Option<Database>,
    /// Why no further commit is possible before the rows are opened anew.
    stopped: Option<String>,
    /// Who reads the row file through databases that failed, and how the last of them did.
    former: Vec<Readers>,
    failure: String,
}

/// The state of an open store.
pub(crate) struct Shared {
    path: PathBuf,
    current: RwLock<Option<Arc<View>>>,
    writer: Mutex<Writer>,
    next_segment_id: AtomicU64,
    reload: Reload,
    /// Segments that the manifest names no more and that somebody may still read.
    doomed: Mutex<Vec<Weak<LiveSegment>>>,
}

impl Shared {
    pub(crate) fn new(path: PathBuf, database: Database, view: View, reload: Reload) -> Shared {
        let writer = Writer { database: Some(database), stopped: None, former: Vec::new(), failure: String::new() };
        Shared {
            path,
            next_segment_id: AtomicU64::new(view.counters.next_segment),
            current: RwLock::new(Some(Arc::new(view))),
            writer: Mutex::new(writer),
            reload,
            doomed: Mutex::default(),
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

    /// Makes commits possible again after a failure. Whoever is to commit calls it first, and takes the view on which
    /// the commit builds afterwards.
    ///
    /// # Errors
    ///
    /// [`Error::WritesStopped`] if the rows cannot be opened yet, [`Error::SnapshotsHeld`] if they were and somebody
    /// still reads them as they were.
    pub(crate) fn recover(&self, writer: &mut Writer) -> Result<()> {
        if let Some(cause) = writer.stopped.clone() {
            self.open_anew(writer, cause)?;
        }
        let end = Instant::now() + PATIENCE;
        while writer.former_readers() > 0 && Instant::now() < end {
            sleep(Duration::from_millis(1));
        }
        self.check_former(writer)
    }

    fn open_anew(&self, writer: &mut Writer, cause: String) -> Result<()> {
        let old = writer.database.as_ref().ok_or(Error::Closed)?;
        let before = self.view()?;
        old.retire();
        let (database, mut view) = (self.reload)(&before).map_err(|error| Error::WritesStopped {
            cause: format!("{cause}; and the rows could not be opened again: {error}"),
        })?;
        view.reloads = before.reloads + 1;
        self.next_segment_id.fetch_max(view.counters.next_segment, Ordering::Relaxed);
        let named = sweep::named(&view);
        for part in &before.parts {
            if let Source::Segment(segment) = &part.source
                && !named.contains(&segment.path())
            {
                self.doom(segment);
            }
        }
        // Another file may be written to whoever reads this one.
        let former = (old.path() == database.path()).then(|| old.readers());
        *self.current.write() = Some(Arc::new(view));
        writer.database = Some(database);
        writer.former.extend(former);
        writer.failure = cause;
        writer.stopped = None;
        Ok(())
    }

    fn check_former(&self, writer: &mut Writer) -> Result<()> {
        match writer.former_readers() {
            0 => Ok(()),
            _ if fs::ignores_former_readers(&self.path) => Ok(()),
            views => Err(Error::SnapshotsHeld { views, cause: writer.failure.clone() }),
        }
    }

    /// The manifest no longer names the segment: its file goes as soon as nobody reads it.
    pub(crate) fn doom(&self, segment: &Arc<LiveSegment>) {
        segment.doom();
        let mut doomed = self.doomed.lock();
        doomed.retain(|segment| segment.strong_count() > 0);
        doomed.push(Arc::downgrade(segment));
    }

    /// Removes what failures may have left. Only where neither a segment nor a row file is being made.
    pub(crate) fn sweep(&self) -> Result<()> {
        if fs::skips_sweep(&self.path) {
            return Ok(());
        }
        let view = self.view()?;
        let read: Vec<_> = self.doomed.lock().iter().filter_map(Weak::upgrade).collect();
        let is_read = |path: &Path| read.iter().any(|segment| segment.path() == path);
        let mut unnamed = sweep::old_row_files(&self.path, &view)?;
        sweep::sweep(&self.path, &view, &mut |path| {
            if !is_read(&path) {
                unnamed.push(path);
            }
            Ok(())
        })?;
        // What cannot be removed now is removed later, or when the store is opened.
        unnamed.iter().for_each(|path| drop(fs::remove(path)));
        Ok(())
    }

    /// Whether the rows were opened anew since a view was taken.
    pub(crate) fn has_reloaded_since(&self, view: &View) -> bool {
        self.view().is_ok_and(|current| current.reloads != view.reloads)
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
        self.check_former(writer)?;
        let database = writer.database.as_ref().ok_or(Error::Closed)?;
        let mut draft = View::clone(&*self.view()?);
        let attempt = (|| {
            let mut rows = database.begin_write(durability)?;
            let value = change(&mut rows, &mut draft)?;
            rows.commit()?;
            // From here on the rows have it: a view without it must not be committed to.
            let rows = database.begin_read().map_err(|error| Error::CommitUnknown { source: Box::new(error) })?;
            if makes(Mistake::ViewBeforeRows) {
                *self.current.write() = Some(Arc::new(draft.clone()));
            }
            draft.rows = Arc::new(rows);
            *self.current.write() = Some(Arc::new(draft));
            Ok(value)
        })();
        if let Err(
            error @ (Error::CommitUnknown { .. }
            | Error::WritesStopped { .. }
            | Error::Storage { .. }
            | Error::Io { .. }),
        ) = &attempt
        {
            writer.stopped = Some(error.to_string());
        }
        attempt
    }

    /// Switches to another row file that holds the same live rows, and to the dead set that belongs to it. The old file
    /// is removed as soon as nobody reads it, which on some systems is at the next open.
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

    /// Ends reading and writing for everyone but those who hold a view. After a failure the rows are opened anew first,
    /// if the disk lets that be, so that they are closed cleanly.
    pub(crate) fn close(&self) -> Result<()> {
        let mut writer = self.writer.lock();
        if let Some(cause) = writer.stopped.clone() {
            // If it fails, so does what follows, and says why.
            let _ = self.open_anew(&mut writer, cause);
        }
        drop(self.current.write().take());
        let Some(database) = writer.database.take() else { return Ok(()) };
        let held = self.check_former(&mut writer);
        if held.is_err() {
            // To close the file is to write to it, which those who read it as it was must not see.
            database.retire();
            return held;
        }
        database.close()
    }
}

impl Writer {
    /// The row file, for a copy of it.
    pub(crate) fn database(&self) -> Result<&Database> {
        self.database.as_ref().ok_or(Error::Closed)
    }

    /// Refuses every further commit until the rows are opened anew.
    pub(crate) fn stop(&mut self, cause: String) {
        self.stopped.get_or_insert(cause);
    }

    /// Why no commit is possible now, if none is.
    pub(crate) fn stopped(&mut self) -> Option<&str> {
        let has_former = self.former_readers() > 0;
        self.stopped.as_deref().or(has_former.then_some(&self.failure))
    }

    /// How many views are read through databases that failed.
    fn former_readers(&mut self) -> usize {
        self.former.retain(|readers| readers.count() > 0);
        self.former.iter().map(Readers::count).sum()
    }
}
