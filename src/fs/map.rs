//! The only mapping call of the crate.

use std::fs::File;
use std::path::Path;

use crate::error::{Error, Result};

/// A published file, mapped read-only.
#[derive(Debug)]
pub(crate) struct Map {
    map: memmap2::Mmap,
}

impl Map {
    /// Maps the whole file.
    pub(crate) fn open(path: &Path) -> Result<Map> {
        let file = File::open(path).map_err(|source| Error::io("open", path, source))?;
        // SAFETY: the file must not change while it is mapped. Only published segments are mapped; they are written
        // under another name, synced and renamed, and no code opens one for writing afterwards or truncates it. Their
        // names are never reused, and the directory lock keeps other stores out.
        #[expect(unsafe_code, reason = "mapping has no safe form")]
        let map = unsafe { memmap2::Mmap::map(&file) }.map_err(|source| Error::io("map", path, source))?;
        Ok(Map { map })
    }

    /// Asks the kernel to read what is touched and no more around it: leaves and records are read in no order.
    pub(crate) fn expect_random_reads(&self) {
        #[cfg(unix)]
        let _ = self.map.advise(memmap2::Advice::Random);
    }
}

impl std::ops::Deref for Map {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.map
    }
}
