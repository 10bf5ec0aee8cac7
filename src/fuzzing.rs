//! The door for fuzz targets (tests/fuzz), which are a package of their own: there only where the compiler is told
//! `--cfg fuzzing`, and so no part of what anyone can depend on.

use std::path::Path;

use crate::error::Result;
use crate::items;
use crate::metadata;
use crate::snapshot::ManifestRow;
use crate::store::hostile;

/// An intact store, and where damaged copies of its segment go.
pub struct Segments(hostile::Target);

impl Segments {
    /// Makes the store in a directory, which must be empty or missing.
    pub fn new(directory: &Path) -> Result<Segments> {
        hostile::Target::new(directory).map(Segments)
    }

    /// Damages the segment as the script says, opens, checks and searches it.
    pub fn run(&self, script: &[u8]) {
        self.0.run(script);
    }
}

/// Damages a block of rows as the script says, and decodes it.
pub fn rows(script: &[u8]) {
    items::hostile::rows(script);
}

/// Decodes bytes as a value of the row file: the first byte chooses which.
pub fn values(bytes: &[u8]) {
    items::hostile::values(bytes);
    if let Ok(row) = ManifestRow::decode(bytes) {
        assert_eq!(ManifestRow::decode(&row.encode()), Ok(row));
    }
}

/// Decodes bytes as stored metadata.
pub fn stored_metadata(bytes: &[u8]) {
    metadata::hostile::reread(bytes);
}
