//! The calls themselves, as the operating system offers them. A test may put a simulated disk in their place.

use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};

pub(crate) use std::fs::File;

pub(super) fn create_new(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create_new(true).open(path)
}

pub(super) fn open_to_write(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

pub(super) fn open_to_read(path: &Path) -> io::Result<File> {
    File::open(path)
}

pub(super) fn open_or_create(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

pub(super) fn sync_file(file: &File) -> io::Result<()> {
    file.sync_all()
}

pub(super) fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path).and_then(|dir| dir.sync_all())
}

pub(super) fn try_lock(file: &File) -> Result<(), std::fs::TryLockError> {
    file.try_lock()
}

pub(super) fn try_lock_shared(file: &File) -> Result<(), std::fs::TryLockError> {
    file.try_lock_shared()
}

pub(super) fn is_dir(path: &Path) -> io::Result<bool> {
    std::fs::metadata(path).map(|metadata| metadata.is_dir())
}

pub(super) fn create_dir(path: &Path) -> io::Result<()> {
    std::fs::create_dir(path)
}

pub(super) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::rename(from, to)
}

pub(super) fn remove(path: &Path) -> io::Result<()> {
    std::fs::remove_file(path)
}

pub(super) fn list(path: &Path) -> io::Result<Vec<PathBuf>> {
    std::fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.path())).collect()
}

pub(super) fn allocated_bytes(path: &Path) -> io::Result<u64> {
    let metadata = std::fs::metadata(path)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        Ok(metadata.blocks() * 512)
    }
    #[cfg(not(unix))]
    Ok(metadata.len())
}
