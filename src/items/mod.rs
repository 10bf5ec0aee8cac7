//! The rows of a store in one redb file: items, their ids, which are dead, and the manifest's rows as bytes.
//!
//! This layer owns `docs/format.md` section 1 and nothing else: it knows no segments, searches or threads, and no redb
//! type leaves it. Its invariants, which [`ReadRows::verify`] checks:
//! - an item is live exactly if `ids` maps its id to its sequence number, and then its row is in `fresh` or in one
//!   block of `packed`, never in both;
//! - a row of `packed` that is not live has its bit in `dead`, and no row of `fresh` has;
//! - blocks do not overlap, and no row of `fresh` lies between the first and the last row of a block.

mod backend;
mod block;
mod check;
mod copy;
mod dead;
mod effort;
mod faults;
#[cfg(any(test, fuzzing))]
pub(crate) mod hostile;
mod meta;
mod own_tables;
mod pack;
mod read;
mod row;
pub(crate) mod salvage;
#[cfg(test)]
mod simulated;
mod tables;
#[cfg(test)]
mod tests;
mod write;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use redb::ReadableDatabase;

pub(crate) use dead::DeadSet;
pub(crate) use effort::{Effort, EffortCurve};
pub(crate) use meta::{Counters, StoreRow};
pub(crate) use read::ReadRows;
pub(crate) use row::{Element, NewRow, RowRef};
pub(crate) use write::WriteRows;

use crate::error::{Error, Result};
use crate::fs;
use crate::options::Durability;
use backend::Backend;
use faults::{Guarded, contained};
use meta::{FORMAT_VERSION, KNOWN_FEATURES};

/// One row file, open for reading, and for writing unless it was opened read-only.
pub(crate) struct Database {
    path: Arc<Path>,
    /// Shared with readers: redb ends their reads when it closes.
    redb: Guarded<Arc<Engine>>,
    backend: Backend,
}

/// The row database on the file.
enum Engine {
    Writable(redb::Database),
    ReadOnly(redb::ReadOnlyDatabase),
}

impl Engine {
    fn begin_read(&self) -> Result<redb::ReadTransaction, redb::TransactionError> {
        match self {
            Engine::Writable(redb) => redb.begin_read(),
            Engine::ReadOnly(redb) => redb.begin_read(),
        }
    }
}

/// Those who still read a row file through a database that was let go.
pub(crate) struct Readers(Weak<Engine>);

impl Readers {
    /// How many views of the file are read.
    pub(crate) fn count(&self) -> usize {
        self.0.strong_count()
    }
}

impl Database {
    /// Creates the file with the store's row and no items. It is whole or it is not there: it gets its name when it is
    /// durable.
    pub(crate) fn create(path: &Path, store: &StoreRow, cache_bytes: usize) -> Result<Database> {
        Database::create_with(path, cache_bytes, |database| {
            let mut rows = database.begin_write(Durability::Immediate)?;
            rows.set_format(store.metric)?;
            rows.set_store(store)?;
            rows.set_counters(Counters::INITIAL)?;
            rows.commit()
        })?;
        Database::open(path, cache_bytes)
    }

    /// Creates a file under a temporary name, lets `fill` write its rows, and publishes it.
    fn create_with(path: &Path, cache_bytes: usize, fill: impl FnOnce(&Database) -> Result<()>) -> Result<()> {
        let temporary = temporary_name(path);
        // What a crash left behind; the store's lock keeps others away.
        fs::remove(&temporary)?;
        let outcome = Database::fill_temporary(&temporary, cache_bytes, fill).and_then(|()| {
            fs::sync_path(&temporary)?;
            fs::crash_point("row file written");
            fs::publish(&temporary, path)
        });
        if let Err(error) = outcome {
            // The first failure is what the caller must hear of; whatever stays behind is swept at the next open.
            let _ = fs::remove(&temporary);
            return Err(error);
        }
        fs::crash_point("row file named");
        fs::sync_parent(path)
    }

    fn fill_temporary(
        temporary: &Path,
        cache_bytes: usize,
        fill: impl FnOnce(&Database) -> Result<()>,
    ) -> Result<()> {
        let database = contained(temporary, "create", || {
            let backend = Backend::create(temporary)?;
            let redb = builder(cache_bytes).create_with_backend(backend.clone())?;
            Ok::<_, redb::DatabaseError>(Database::over(temporary, Engine::Writable(redb), backend))
        })?;
        let transaction = {
            let redb = database.writable()?;
            contained(temporary, "begin writing", || redb.begin_write())?
        };
        let rows = WriteRows::new(&database.path, transaction);
        rows.create_tables()?;
        rows.commit()?;
        fill(&database)?;
        database.close()
    }

    fn over(path: &Path, engine: Engine, backend: Backend) -> Database {
        Database { path: path.into(), redb: Guarded::new(Arc::new(engine)), backend }
    }

    /// Opens a file that was created before.
    pub(crate) fn open(path: &Path, cache_bytes: usize) -> Result<Database> {
        let backend = contained(path, "open", || Backend::open(path, true))?;
        own_tables::check(path, &backend)?;
        let database = contained(path, "open", || {
            let redb = builder(cache_bytes).create_with_backend(backend.clone())?;
            Ok::<_, redb::DatabaseError>(Database::over(path, Engine::Writable(redb), backend))
        })?;
        database.check_format()?;
        Ok(database)
    }

    /// Opens a file that nobody writes, without writing a byte. Many may do so at once.
    pub(crate) fn open_read_only(path: &Path, cache_bytes: usize) -> Result<Database> {
        let database = contained(path, "open", || {
            let backend = Backend::open(path, false)?;
            let redb = builder(cache_bytes).open_read_only_with_backend(backend.clone())?;
            Ok::<_, redb::DatabaseError>(Database::over(path, Engine::ReadOnly(redb), backend))
        })?;
        database.check_format()?;
        Ok(database)
    }

    fn check_format(&self) -> Result<()> {
        let rows = self.begin_read()?;
        let format = rows.format()?;
        if format.version != FORMAT_VERSION || format.incompatible & !KNOWN_FEATURES != 0 {
            let found = format!("format version {}, features {:#x}", format.version, format.incompatible);
            return Err(Error::UnsupportedFormat { path: self.path.to_path_buf(), found, supported: FORMAT_VERSION });
        }
        rows.store()?;
        rows.counters()?;
        Ok(())
    }

    /// A consistent view. It stays readable when the database is dropped, and keeps its file open.
    pub(crate) fn begin_read(&self) -> Result<ReadRows> {
        let transaction = contained(&self.path, "begin reading", || self.redb.begin_read())?;
        ReadRows::new(&self.path, &transaction, &self.redb)
    }

    /// The one write transaction at a time; waits for another to end.
    pub(crate) fn begin_write(&self, durability: Durability) -> Result<WriteRows> {
        let mut transaction = {
            let redb = self.writable()?;
            contained(&self.path, "begin writing", || redb.begin_write())?
        };
        let stored = match durability {
            Durability::Immediate => redb::Durability::Immediate,
            Durability::Buffered => redb::Durability::None,
        };
        contained(&self.path, "begin writing", || transaction.set_durability(stored))?;
        // So that opening after a crash takes milliseconds, whatever the size.
        transaction.set_quick_repair(durability == Durability::Immediate);
        Ok(WriteRows::new(&self.path, transaction))
    }

    fn writable(&self) -> Result<&redb::Database> {
        match &**self.redb {
            Engine::Writable(redb) => Ok(redb),
            Engine::ReadOnly(_) => Err(Error::ReadOnly),
        }
    }

    /// Ends writing, so that the file can be opened anew while this one is still read: nothing is written any more, not
    /// even when it is dropped.
    pub(crate) fn retire(&self) {
        self.backend.retire();
    }

    /// Whoever reads through this database, once it is dropped.
    pub(crate) fn readers(&self) -> Readers {
        Readers(Arc::downgrade(&self.redb))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Closes the file and reports what a drop would hide. While a [`ReadRows`] lives the file stays open, and closes
    /// with the last of them.
    pub(crate) fn close(self) -> Result<()> {
        match self.redb.into_inner().and_then(Arc::into_inner) {
            Some(Engine::Writable(redb)) => contained(&self.path, "close", || redb.close()),
            Some(Engine::ReadOnly(redb)) => contained(&self.path, "close", || redb.close()),
            None => Ok(()),
        }
    }
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database").field("path", &self.path).finish_non_exhaustive()
    }
}

fn builder(cache_bytes: usize) -> redb::Builder {
    let mut builder = redb::Builder::new();
    builder.set_cache_size(cache_bytes);
    builder
}

fn temporary_name(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    name.into()
}
