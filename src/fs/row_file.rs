//! Opening the files that the row database reads and writes by itself.

use std::io;
use std::path::Path;

use super::system;
pub(crate) use super::system::File;

/// Creates a file, or opens what is there, to read and write.
pub(crate) fn create(path: &Path) -> io::Result<File> {
    system::open_or_create(path)
}

/// Opens a file that exists.
pub(crate) fn open(path: &Path, is_writable: bool) -> io::Result<File> {
    if is_writable { system::open_to_write(path) } else { system::open_to_read(path) }
}
