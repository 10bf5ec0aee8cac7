//! An Annoy index in the making: read and changed in place, and no file of a store.

use std::path::Path;

use super::system;
pub(crate) use super::system::File;
use crate::error::{Error, Result};

/// Creates a file that must not exist yet.
pub(crate) fn create(path: &Path) -> Result<File> {
    system::create_new(path).map_err(|source| Error::io("create", path, source))
}

/// Opens a file that exists, to read and write.
pub(crate) fn open(path: &Path) -> Result<File> {
    system::open_to_write(path).map_err(|source| Error::io("open", path, source))
}

/// Makes the bytes and the length of a file durable.
pub(crate) fn sync(file: &File, path: &Path) -> Result<()> {
    system::sync_file(file).map_err(|source| Error::io("sync", path, source))
}
