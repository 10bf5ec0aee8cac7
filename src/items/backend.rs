//! A row file as the row database reads and writes it.
//!
//! A backend can be retired: the database on it goes on reading, never writes again and holds no lock any more, so that
//! the file can be opened anew beside it. That is sound as long as nothing is committed through the new one while
//! somebody reads through the old one, whose pages a commit may give to others.

use std::io::{Error, ErrorKind, Result};
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::backends::FileBackend;
use redb::{BackendError, DatabaseError, StorageBackend};

use crate::fs;

type Locked<T> = std::result::Result<T, BackendError>;

#[derive(Debug)]
struct Storage {
    inner: Box<dyn StorageBackend>,
    is_retired: AtomicBool,
}

/// A row file; clones are the same one.
#[derive(Clone, Debug)]
pub(super) struct Backend {
    storage: Arc<Storage>,
}

impl Backend {
    /// Creates the file.
    pub(super) fn create(path: &Path) -> std::result::Result<Backend, DatabaseError> {
        #[cfg(test)]
        if let Some(file) = fs::simulated::create_rows(path) {
            return Ok(Backend::over(super::simulated::Backend(file?)));
        }
        Ok(Backend::over(FileBackend::new(fs::row_file::create(path)?)?))
    }

    /// Opens the file, which must not be empty.
    pub(super) fn open(path: &Path, is_writable: bool) -> std::result::Result<Backend, DatabaseError> {
        #[cfg(test)]
        if let Some(file) = fs::simulated::open_rows(path) {
            return Ok(Backend::over(super::simulated::Backend(file?)));
        }
        let file = fs::row_file::open(path, is_writable)?;
        if file.metadata()?.len() == 0 {
            return Err(Error::new(ErrorKind::InvalidData, "the file is empty").into());
        }
        Ok(Backend::over(FileBackend::new(file)?))
    }

    /// Reads and writes through another backend.
    pub(super) fn over(inner: impl StorageBackend) -> Backend {
        Backend { storage: Arc::new(Storage { inner: Box::new(inner), is_retired: AtomicBool::new(false) }) }
    }

    /// Ends writing and gives the locks back; reading goes on.
    pub(super) fn retire(&self) {
        self.storage.is_retired.store(true, Ordering::Release);
        // A lock that stays refuses the next opening, which reports it.
        let _ = self.storage.inner.close();
    }

    fn writable(&self) -> Result<&dyn StorageBackend> {
        if self.storage.is_retired.load(Ordering::Acquire) {
            return Err(Error::new(ErrorKind::PermissionDenied, "the row file was opened anew"));
        }
        Ok(&*self.storage.inner)
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> Result<u64> {
        self.storage.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        self.storage.inner.read(offset, out)
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.writable()?.set_len(len)
    }

    fn sync_data(&self) -> Result<()> {
        self.writable()?.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.writable()?.write(offset, data)
    }

    fn close(&self) -> Result<()> {
        self.storage.inner.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked<bool> {
        self.storage.inner.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked<bool> {
        self.storage.inner.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked<()> {
        self.storage.inner.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked<()> {
        self.storage.inner.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked<()> {
        self.storage.inner.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked<bool> {
        self.storage.inner.query_lock_range(start, end)
    }
}
