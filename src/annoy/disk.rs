//! Files in the making: an index that is saved, and one that is built in its file.

use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::Mutex;

use super::layout::{Layout, NodeMut};
use crate::error::{Error, Result};
use crate::fs::{self, index_file};

/// Bytes that are written or read at once.
const CHUNK: usize = 4 << 20;

/// Writes nodes to a temporary file beside the target, syncs it and renames it onto the target: after a crash there
/// is the old file or the new one. A map of the old file stays valid.
pub(super) fn replace(path: &Path, words: &[u32]) -> Result<()> {
    replace_by(path, |temporary| write_synced(temporary, words))
}

/// Renames the file that `write` writes and syncs onto the target, or removes it if that fails.
pub(super) fn replace_by(path: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    static SAVED: AtomicU32 = AtomicU32::new(0);
    let name = path.file_name().ok_or_else(|| {
        Error::InvalidArgument(format!("expected a path that ends with the name of a file, found {}", path.display()))
    })?;
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{}-{}.tmp", std::process::id(), SAVED.fetch_add(1, Ordering::Relaxed)));
    let temporary = path.with_file_name(temporary);
    let result = write(&temporary).and_then(|()| fs::replace(&temporary, path));
    if result.is_err() {
        let _ = fs::remove(&temporary);
    }
    result.and_then(|()| fs::sync_dir(folder(path)))
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn write_synced(path: &Path, words: &[u32]) -> Result<()> {
    let mut file = fs::create_new(path)?;
    for chunk in bytemuck::cast_slice::<u32, u8>(words).chunks(CHUNK) {
        file.write_all(chunk).map_err(|source| Error::io("write", path, source))?;
    }
    fs::sync_file(&file, path)
}

/// The file of an index that is built on disk, while items are added. Missing items are holes: zeros.
pub(super) struct Growing {
    path: PathBuf,
    file: Mutex<index_file::File>,
}

impl Growing {
    /// Creates the file. One that exists is removed, not truncated: whoever has it mapped keeps it.
    pub(super) fn create(path: &Path) -> Result<Growing> {
        fs::remove(path)?;
        let file = index_file::create(path)?;
        fs::sync_dir(folder(path))?;
        Ok(Growing { path: path.to_owned(), file: Mutex::new(file) })
    }

    /// Continues with a file that begins with these items, in place of the one of that name.
    pub(super) fn restart(path: &Path, items: &[u32]) -> Result<Growing> {
        replace(path, items)?;
        let file = index_file::open(path)?;
        Ok(Growing { path: path.to_owned(), file: Mutex::new(file) })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn put(&mut self, layout: &Layout, item: usize, words: &[u32]) -> Result<()> {
        self.write_at(item * layout.node_bytes(), words)
    }

    pub(super) fn get(&self, layout: &Layout, item: usize) -> Result<Vec<u32>> {
        let mut words = vec![0; layout.node];
        self.read_at(item * layout.node_bytes(), &mut words)?;
        Ok(words)
    }

    /// Changes all items in place, in order, some at a time.
    pub(super) fn update(
        &mut self,
        layout: &Layout,
        count: usize,
        mut change: impl FnMut(&mut NodeMut<'_>),
    ) -> Result<()> {
        let step = (CHUNK / layout.node_bytes()).max(1);
        for first in (0..count).step_by(step) {
            let mut words = vec![0; step.min(count - first) * layout.node];
            self.read_at(first * layout.node_bytes(), &mut words)?;
            for words in words.chunks_exact_mut(layout.node) {
                change(&mut NodeMut { layout, words });
            }
            self.write_at(first * layout.node_bytes(), &words)?;
        }
        Ok(())
    }

    /// Adds nodes that follow `before` others.
    pub(super) fn append(&mut self, layout: &Layout, before: usize, words: &[u32]) -> Result<()> {
        self.write_at(before * layout.node_bytes(), words)
    }

    /// Forgets all nodes behind the items, none of which is mapped any more.
    pub(super) fn truncate(&mut self, layout: &Layout, items: usize) -> Result<()> {
        let bytes = (items * layout.node_bytes()) as u64;
        self.file.lock().set_len(bytes).map_err(|source| Error::io("truncate", &self.path, source))
    }

    pub(super) fn sync(&self) -> Result<()> {
        index_file::sync(&self.file.lock(), &self.path)
    }

    fn write_at(&self, start: usize, words: &[u32]) -> Result<()> {
        let mut file = self.file.lock();
        file.seek(SeekFrom::Start(start as u64))
            .and_then(|_| file.write_all(bytemuck::cast_slice(words)))
            .map_err(|source| Error::io("write", &self.path, source))
    }

    fn read_at(&self, start: usize, words: &mut [u32]) -> Result<()> {
        let mut file = self.file.lock();
        file.seek(SeekFrom::Start(start as u64))
            .and_then(|_| file.read_exact(bytemuck::cast_slice_mut(words)))
            .map_err(|source| Error::io("read", &self.path, source))
    }
}
