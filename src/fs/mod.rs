//! Every call to the file system but those of the row database: nothing else creates, syncs, renames, lists or
//! removes. Published files are never renamed onto and never written again.

mod crash;
mod map;

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

pub(crate) use crash::crash_point;
pub(crate) use map::Map;

use crate::error::{Error, Result};

/// Creates a file that must not exist yet.
pub(crate) fn create_new(path: &Path) -> Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .open(path)
        .map_err(|source| Error::io("create", path, source))
}

/// Makes the bytes and the length of a file durable.
pub(crate) fn sync_file(file: &File, path: &Path) -> Result<()> {
    file.sync_all().map_err(|source| Error::io("sync", path, source))
}

/// Makes creations, renames and removals in a directory durable. Windows has no such call and needs none.
pub(crate) fn sync_dir(path: &Path) -> Result<()> {
    if cfg!(windows) {
        return Ok(());
    }
    File::open(path).and_then(|dir| dir.sync_all()).map_err(|source| Error::io("sync", path, source))
}

/// Gives a synced file its final name, which must be free. The caller syncs the directory.
pub(crate) fn publish(temporary: &Path, name: &Path) -> Result<()> {
    if name.exists() {
        let taken = std::io::Error::from(std::io::ErrorKind::AlreadyExists);
        return Err(Error::io("rename onto", name, taken));
    }
    std::fs::rename(temporary, name).map_err(|source| Error::io("rename", temporary, source))
}

/// Creates a directory and makes its name durable; one that exists already is no error.
pub(crate) fn create_dir(path: &Path) -> Result<()> {
    match std::fs::create_dir(path) {
        Ok(()) => match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            Some(parent) => sync_dir(parent),
            None => sync_dir(Path::new(".")),
        },
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(Error::io("create the directory", path, error)),
    }
}

/// The paths in a directory, sorted.
pub(crate) fn list(path: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(path).map_err(|source| Error::io("list", path, source))?;
    let mut paths = entries
        .map(|entry| entry.map(|entry| entry.path()).map_err(|source| Error::io("list", path, source)))
        .collect::<Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

/// Removes a file; one that is gone already is no error.
pub(crate) fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", path, error)),
        _ => Ok(()),
    }
}

/// Bytes of disk a file occupies, which is less than its length where it is sparse.
pub(crate) fn allocated_bytes(path: &Path) -> Result<u64> {
    let metadata = std::fs::metadata(path).map_err(|source| Error::io("inspect", path, source))?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        Ok(metadata.blocks() * 512)
    }
    #[cfg(not(unix))]
    Ok(metadata.len())
}

/// An exclusive hold on a store directory, for as long as it lives.
#[derive(Debug)]
pub(crate) struct DirLock {
    _file: File,
}

impl DirLock {
    /// Takes the lock file of `dir`, creating it if it is missing. Never waits.
    pub(crate) fn acquire(dir: &Path) -> Result<DirLock> {
        let path = dir.join("LOCK");
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|source| Error::io("open", &path, source))?;
        match file.try_lock() {
            Ok(()) => Ok(DirLock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(Error::Locked(dir.to_owned())),
            Err(TryLockError::Error(source)) => Err(Error::io("lock", &path, source)),
        }
    }
}
