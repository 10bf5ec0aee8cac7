//! Every call to the file system but those of the row database: nothing else creates, syncs, renames, lists or
//! removes. Published files of a store are never renamed onto and never written again; an export replaces the file of
//! its name.

mod crash;
pub(crate) mod index_file;
mod map;
pub(crate) mod row_file;
#[cfg(test)]
pub(crate) mod simulated;
mod system;

use std::fs::TryLockError;
use std::path::{Path, PathBuf};

pub(crate) use crash::{
    crash_point, ignores_former_readers, keeps_old_delta, skips_records, skips_runs, skips_sweep,
};
pub(crate) use map::{Map, Slots};
#[cfg(test)]
use simulated::calls;
#[cfg(not(test))]
use system as calls;

pub(crate) use calls::File;

use crate::error::{Error, Result};

/// Creates a file that must not exist yet.
pub(crate) fn create_new(path: &Path) -> Result<File> {
    calls::create_new(path).map_err(|source| Error::io("create", path, source))
}

/// Makes the bytes and the length of a file durable.
pub(crate) fn sync_file(file: &File, path: &Path) -> Result<()> {
    calls::sync_file(file).map_err(|source| Error::io("sync", path, source))
}

/// Makes durable what others have written to a file.
pub(crate) fn sync_path(path: &Path) -> Result<()> {
    let file = calls::open_to_write(path).map_err(|source| Error::io("open", path, source))?;
    sync_file(&file, path)
}

/// Makes creations, renames and removals in a directory durable. On Windows the standard library has no such call; names
/// rest on the log of the file system there.
pub(crate) fn sync_dir(path: &Path) -> Result<()> {
    if cfg!(windows) {
        return Ok(());
    }
    calls::sync_dir(path).map_err(|source| Error::io("sync", path, source))
}

/// Makes the name of a file or directory durable.
pub(crate) fn sync_parent(path: &Path) -> Result<()> {
    sync_dir(path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")))
}

/// Gives a synced file its final name, which must be free. The caller syncs the directory.
pub(crate) fn publish(temporary: &Path, name: &Path) -> Result<()> {
    if is_dir(name)?.is_some() {
        let taken = std::io::Error::from(std::io::ErrorKind::AlreadyExists);
        return Err(Error::io("rename onto", name, taken));
    }
    calls::rename(temporary, name).map_err(|source| Error::io("rename", temporary, source))
}

/// Whether there is a directory, or something else; `None` if there is nothing.
pub(crate) fn is_dir(path: &Path) -> Result<Option<bool>> {
    match calls::is_dir(path) {
        Ok(is_dir) => Ok(Some(is_dir)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("inspect", path, error)),
    }
}

/// Gives a synced file a name that another may have, which it replaces. The caller syncs the directory.
pub(crate) fn replace(temporary: &Path, name: &Path) -> Result<()> {
    calls::rename(temporary, name).map_err(|source| Error::io("replace", name, source))
}

/// Creates a directory and makes its name durable; one that exists already is no error.
pub(crate) fn create_dir(path: &Path) -> Result<()> {
    match calls::create_dir(path) {
        Ok(()) => sync_parent(path),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && is_dir(path)? == Some(true) => Ok(()),
        Err(error) => Err(Error::io("create the directory", path, error)),
    }
}

/// The paths in a directory, sorted.
pub(crate) fn list(path: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = calls::list(path).map_err(|source| Error::io("list", path, source))?;
    paths.sort();
    Ok(paths)
}

/// Removes a file; one that is gone already is no error.
pub(crate) fn remove(path: &Path) -> Result<()> {
    match calls::remove(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", path, error)),
        _ => Ok(()),
    }
}

/// Bytes of disk a file occupies, which is less than its length where it is sparse.
pub(crate) fn allocated_bytes(path: &Path) -> Result<u64> {
    calls::allocated_bytes(path).map_err(|source| Error::io("inspect", path, source))
}

/// A hold on a store directory, for as long as it lives: an exclusive one, or one that readers share.
#[derive(Debug)]
pub(crate) struct DirLock {
    _file: File,
}

impl DirLock {
    /// Takes the lock file of `dir`, creating it if it is missing. Never waits.
    pub(crate) fn acquire(dir: &Path) -> Result<DirLock> {
        let path = dir.join("LOCK");
        let file = calls::open_or_create(&path).map_err(|source| Error::io("open", &path, source))?;
        let locked = calls::try_lock(&file);
        DirLock::taken(file, locked, dir)
    }

    /// Shares the lock file of `dir` with other readers, without a write. `None` if there is none to be used, as on a
    /// medium that has none, or that knows no locks. Never waits.
    pub(crate) fn share(dir: &Path) -> Result<Option<DirLock>> {
        use std::io::ErrorKind;
        let path = dir.join("LOCK");
        let file = match calls::open_to_read(&path) {
            Ok(file) => file,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) => {
                return Ok(None);
            }
            Err(source) => return Err(Error::io("open", &path, source)),
        };
        match calls::try_lock_shared(&file) {
            Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => Ok(None),
            locked => DirLock::taken(file, locked, dir).map(Some),
        }
    }

    fn taken(file: File, locked: std::result::Result<(), TryLockError>, dir: &Path) -> Result<DirLock> {
        match locked {
            Ok(()) => Ok(DirLock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(Error::Locked(dir.to_owned())),
            Err(TryLockError::Error(source)) => Err(Error::io("lock", &dir.join("LOCK"), source)),
        }
    }
}
