//! Annoy's index under the names that its users know, on Annoy's own files.
//!
//! [`AnnoyIndex`] builds, saves, maps and searches `.ann` files: those that Annoy 1.17.3 wrote are read as they are,
//! and Annoy 1.17.3 reads those that are written here. Semantics and distances are Annoy's; where Annoy would corrupt
//! memory, write over its own trees, end the process or silently answer nothing, a call returns an error instead.
//!
//! ```
//! use understory::annoy::{AnnoyIndex, Metric};
//! # let dir = tempfile::tempdir().unwrap();
//! # let path = dir.path().join("test.ann");
//! let mut index = AnnoyIndex::new(3, Metric::Angular)?;
//! index.add_item(0, &[1.0, 0.0, 0.0])?;
//! index.add_item(1, &[0.9, 0.1, 0.0])?;
//! index.add_item(2, &[0.0, 0.0, 1.0])?;
//! index.build(10, -1)?; // 10 trees on all processors
//! index.save(&path, false)?;
//!
//! let mut index = AnnoyIndex::new(3, Metric::Angular)?;
//! index.load(&path, false)?;
//! let nearest = index.get_nns_by_item(0, 2, -1)?;
//! assert_eq!(nearest.iter().map(|&(item, _)| item).collect::<Vec<_>>(), [0, 1]);
//! # Ok::<(), understory::Error>(())
//! ```
//!
//! An `.ann` file holds no metric, no dimension and no checksum: what opens it must know the first two, and the third
//! is missed. A [`Store`](crate::Store) has all three; [`import`] and [`export`] go between them.

mod build;
mod code;
mod disk;
mod index;
mod layout;
mod means;
mod measure;
mod open;
mod rank;
mod rounded;
mod search;
mod split;
mod transfer;

pub use index::AnnoyIndex;
pub use transfer::{export, import, import_index};

use crate::error::{Error, Result};

/// How far apart two vectors of an [`AnnoyIndex`] are. Annoy's conventions, which are not those of
/// [`understory::Metric`](crate::Metric).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Metric {
    /// The euclidean distance of the normalised vectors: `sqrt(2 - 2 cos)`, within \[0, 2\].
    Angular,
    /// The euclidean distance.
    Euclidean,
    /// The sum of absolute differences.
    Manhattan,
    /// The inner product itself: larger is nearer, and hits come in descending order.
    Dot,
    /// The number of components that differ; a component above 0.5 is a one, any other a zero.
    Hamming,
}

impl Metric {
    const ALL: [Metric; 5] = [Metric::Angular, Metric::Euclidean, Metric::Manhattan, Metric::Dot, Metric::Hamming];

    /// The name that Annoy gives it.
    pub fn name(self) -> &'static str {
        match self {
            Metric::Angular => "angular",
            Metric::Euclidean => "euclidean",
            Metric::Manhattan => "manhattan",
            Metric::Dot => "dot",
            Metric::Hamming => "hamming",
        }
    }
}

impl std::fmt::Display for Metric {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for Metric {
    type Err = Error;

    fn from_str(name: &str) -> Result<Metric> {
        Metric::ALL.into_iter().find(|metric| metric.name() == name).ok_or_else(|| {
            let names = "angular, euclidean, manhattan, dot or hamming";
            Error::InvalidArgument(format!("expected a metric {names}, found {name:?}"))
        })
    }
}

/// Which Annoy wrote a file. They differ in where nodes keep their fields, and a file does not say which it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Format {
    /// The releases 1.17.0 to 1.17.3; for all metrics but hamming, everything since 1.14.0.
    #[default]
    Release,
    /// The releases up to 1.16.3, as GCC and Clang compiled them: vectors of hamming files begin four bytes earlier.
    Packed,
    /// The main branch since August 2023, which is in no release: dot files have a longer header.
    Unreleased,
}
