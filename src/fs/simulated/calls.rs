//! The calls of the file system under test: those on a simulated disk where the path lies on one, else the system's.

use std::fs::TryLockError;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::image::Operation;
use super::{Location, Mutant, OnDisk, locate};
use crate::fs::system;

/// A file, on whichever disk.
#[derive(Debug)]
pub(crate) enum File {
    Real(system::File),
    Simulated(OnDisk),
}

impl Write for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            File::Real(file) => file.write(bytes),
            File::Simulated(file) => {
                file.append(bytes)?;
                Ok(bytes.len())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(in crate::fs) fn create_new(path: &Path) -> io::Result<File> {
    match locate(path)? {
        None => system::create_new(path).map(File::Real),
        Some(location) => location.create_file(true).map(File::Simulated),
    }
}

pub(in crate::fs) fn open_to_write(path: &Path) -> io::Result<File> {
    match locate(path)? {
        None => system::open_to_write(path).map(File::Real),
        Some(location) => location.open_file().map(File::Simulated),
    }
}

pub(in crate::fs) fn open_to_read(path: &Path) -> io::Result<File> {
    match locate(path)? {
        None => system::open_to_read(path).map(File::Real),
        Some(location) => location.open_file().map(File::Simulated),
    }
}

pub(in crate::fs) fn open_or_create(path: &Path) -> io::Result<File> {
    match locate(path)? {
        None => system::open_or_create(path).map(File::Real),
        Some(location) => location.create_file(false).map(File::Simulated),
    }
}

pub(in crate::fs) fn sync_file(file: &File) -> io::Result<()> {
    match file {
        File::Real(file) => system::sync_file(file),
        File::Simulated(file) => file.sync(),
    }
}

pub(in crate::fs) fn sync_dir(path: &Path) -> io::Result<()> {
    let Some(Location { disk, path }) = locate(path)? else { return system::sync_dir(path) };
    let mut state = disk.lock();
    let directory = state.image.find(&path)?;
    state.image.entries(directory)?;
    state.act(Operation::SyncDirectory { directory })
}

/// A disk that was put in for one opening has no other user.
pub(in crate::fs) fn try_lock(file: &File) -> Result<(), TryLockError> {
    match file {
        File::Real(file) => system::try_lock(file),
        File::Simulated(_) => Ok(()),
    }
}

pub(in crate::fs) fn try_lock_shared(file: &File) -> Result<(), TryLockError> {
    match file {
        File::Real(file) => system::try_lock_shared(file),
        File::Simulated(_) => Ok(()),
    }
}

pub(in crate::fs) fn is_dir(path: &Path) -> io::Result<bool> {
    let Some(Location { disk, path }) = locate(path)? else { return system::is_dir(path) };
    let state = disk.lock();
    if state.mutant == Some(Mutant::RowsCreatedInPlace) && path.extension().is_some_and(|name| name == "redb") {
        // The file has its name already; the code with the mistake would not look.
        return Err(io::ErrorKind::NotFound.into());
    }
    Ok(state.image.is_directory(state.image.find(&path)?))
}

pub(in crate::fs) fn create_dir(path: &Path) -> io::Result<()> {
    let Some(location) = locate(path)? else { return system::create_dir(path) };
    let mut state = location.disk.lock();
    let (directory, name) = state.parent(&location.path)?;
    if state.image.entries(directory)?.contains_key(&name) {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let node = state.take_node();
    state.act(Operation::CreateDirectory { directory, name, node })
}

pub(in crate::fs) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    let (Some(source), Some(target)) = (locate(from)?, locate(to)?) else { return system::rename(from, to) };
    let mut state = source.disk.lock();
    let (directory, from) = state.parent(&source.path)?;
    let (_, to) = state.parent(&target.path)?;
    let node = state.image.find(&source.path)?;
    if from == to {
        return Ok(());
    }
    state.act(Operation::Rename { directory, from, to, node })
}

pub(in crate::fs) fn remove(path: &Path) -> io::Result<()> {
    let Some(Location { disk, path }) = locate(path)? else { return system::remove(path) };
    let mut state = disk.lock();
    let (directory, name) = state.parent(&path)?;
    if !state.image.entries(directory)?.contains_key(&name) {
        return Err(io::ErrorKind::NotFound.into());
    }
    if state.mutant == Some(Mutant::FailedRowsKept) && state.row_file_names().last() == Some(&name) {
        return Ok(());
    }
    state.act(Operation::Remove { directory, name })
}

pub(in crate::fs) fn list(path: &Path) -> io::Result<Vec<PathBuf>> {
    let Some(location) = locate(path)? else { return system::list(path) };
    let state = location.disk.lock();
    let node = state.image.find(&location.path)?;
    Ok(state.listed(node)?.map(|name| path.join(name)).collect())
}

pub(in crate::fs) fn allocated_bytes(path: &Path) -> io::Result<u64> {
    let Some(Location { disk, path }) = locate(path)? else { return system::allocated_bytes(path) };
    let state = disk.lock();
    let node = state.image.find(&path)?;
    Ok(state.image.file(node)?.len() as u64 + state.waste)
}
