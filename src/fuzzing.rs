//! The door for fuzz targets (tests/fuzz), which are a package of their own: there only where the compiler is told
//! `--cfg fuzzing`, and so no part of what anyone can depend on.

use std::path::Path;

use crate::error::Result;
use crate::filter;
use crate::items;
use crate::metadata;
use crate::salvage;
use crate::segment;
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

/// Decodes bytes as stored metadata, and metadata that they damage as a script.
pub fn stored_metadata(bytes: &[u8]) {
    metadata::hostile::reread(bytes);
    metadata::hostile::edited(bytes);
}

/// Parses bytes as the text of a filter, and as words of which filters are made.
pub fn filter_text(bytes: &[u8]) {
    filter::hostile::reread(bytes);
    filter::hostile::reread(filter::hostile::words(bytes).as_bytes());
}

/// A section of columns.
pub struct Columns(segment::hostile::Columns);

impl Columns {
    /// Makes the section, in memory.
    #[expect(clippy::new_without_default, reason = "the fuzz targets need no default")]
    pub fn new() -> Columns {
        Columns(segment::hostile::Columns::new())
    }

    /// Damages the section as the script says, and asks it in every way.
    pub fn run(&self, script: &[u8]) {
        self.0.run(script);
    }
}

/// The files of a store, and where damaged copies of them go.
pub struct Salvage(salvage::hostile::Target);

impl Salvage {
    /// Makes the store in a directory, which must be empty or missing.
    pub fn new(directory: &Path) -> Result<Salvage> {
        salvage::hostile::Target::new(directory).map(Salvage)
    }

    /// Damages the files as the script says, and salvages them.
    pub fn run(&self, script: &[u8]) {
        self.0.run(script);
    }
}
