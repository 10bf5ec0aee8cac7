//! The only mapping call of the crate.

use std::fs::File;
use std::path::Path;

use crate::error::{Error, Result};

/// A published file, or one that the caller lends, mapped read-only.
#[derive(Debug)]
pub(crate) struct Map {
    bytes: Bytes,
}

#[derive(Debug)]
enum Bytes {
    Mapped(memmap2::Mmap),
    /// A file of a simulated disk, which no kernel can map.
    #[cfg(test)]
    Loaded {
        words: Vec<u64>,
        len: usize,
    },
}

impl Map {
    /// Maps the whole file.
    pub(crate) fn open(path: &Path) -> Result<Map> {
        #[cfg(test)]
        if let Some(read) = super::simulated::read(path) {
            return read.map(|bytes| Map::loaded(&bytes)).map_err(|source| Error::io("open", path, source));
        }
        let file = File::open(path).map_err(|source| Error::io("open", path, source))?;
        // SAFETY: the file must not change while it is mapped. Segments are written under another name, synced and
        // renamed, and no code opens one for writing afterwards or truncates it. Their names are never reused, and the
        // directory lock keeps other stores out. A row file is mapped by a salvage alone, which opens no store on it and
        // shares the lock that a writer would need; where that was removed, as for every file, other programs must not
        // change it. Files of `annoy` are replaced by renaming as well, at most appended
        // to behind what is mapped, and their documentation asks callers that no other program changes them in place.
        #[expect(unsafe_code, reason = "mapping has no safe form")]
        let map = unsafe { memmap2::Mmap::map(&file) }.map_err(|source| Error::io("map", path, source))?;
        Ok(Map { bytes: Bytes::Mapped(map) })
    }

    /// A copy in memory, aligned for every field of a segment.
    #[cfg(test)]
    fn loaded(bytes: &[u8]) -> Map {
        let mut words = vec![0u64; bytes.len().div_ceil(8)];
        bytemuck::cast_slice_mut::<u64, u8>(&mut words)[..bytes.len()].copy_from_slice(bytes);
        Map { bytes: Bytes::Loaded { words, len: bytes.len() } }
    }

    /// Asks the kernel to read what is touched and no more around it: leaves and records are read in no order.
    pub(crate) fn expect_random_reads(&self) {
        #[cfg(unix)]
        match &self.bytes {
            Bytes::Mapped(map) => drop(map.advise(memmap2::Advice::Random)),
            #[cfg(test)]
            Bytes::Loaded { .. } => {}
        }
    }
}

impl std::ops::Deref for Map {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Mapped(map) => map,
            #[cfg(test)]
            Bytes::Loaded { words, len } => &bytemuck::cast_slice(words)[..*len],
        }
    }
}
