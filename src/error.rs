//! The one error type. Every message says what was expected, what was found and where.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::types::{Id, MAX_DIMENSION, MAX_ID_BYTES, Metric};

/// The result of every fallible call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// let store = understory::Store::open(dir.path().join("a.understory"))?;
/// store.insert(1, &[1.0, 0.0, 0.0])?;
/// let error = store.insert(2, &[1.0, 0.0]).unwrap_err();
/// assert!(error.is_usage());
/// assert_eq!(error.to_string(), "expected a vector of dimension 3, found dimension 2");
/// # Ok::<(), understory::Error>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A vector of another dimension than the store's.
    DimensionMismatch {
        /// The store's dimension.
        expected: usize,
        /// The vector's dimension.
        found: usize,
    },
    /// A vector that no metric, or not this one, can measure.
    InvalidVector(VectorFault),
    /// A text id longer than [`MAX_ID_BYTES`](crate::MAX_ID_BYTES).
    IdTooLong {
        /// Its length in bytes.
        bytes: usize,
    },
    /// A call that can never succeed as it was made.
    InvalidArgument(String),
    /// Metadata that is no map of scalars, lists of scalars and further maps, or is too large or too deep.
    InvalidMetadata(String),
    /// A filter that cannot be parsed, or that no item could ever satisfy as it was meant.
    InvalidFilter {
        /// Where in its text, in characters from 1; `None` for a filter that was built.
        column: Option<usize>,
        /// What was expected and what was found.
        message: String,
    },
    /// No item has this id.
    NotFound(Id),
    /// The store was created with another metric than the one asked for.
    MetricMismatch {
        /// The metric the store was created with.
        stored: Metric,
        /// The metric asked for.
        requested: Metric,
    },
    /// Another process, or another handle of this one, has the store open.
    Locked(PathBuf),
    /// The path exists and is no store.
    NotAStore {
        /// The path.
        path: PathBuf,
        /// What is there.
        found: String,
    },
    /// The store was written by a newer version.
    UnsupportedFormat {
        /// The file.
        path: PathBuf,
        /// The version or the features it names.
        found: String,
        /// The newest version this build reads.
        supported: u32,
    },
    /// Stored bytes that are not what was written.
    Corrupt(Box<Corruption>),
    /// The operating system refused a read or a write.
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The row database failed, before anything was committed.
    Storage {
        /// What was tried.
        action: &'static str,
        /// What the database said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The store was opened read-only, and the call would write.
    ReadOnly,
    /// The store was not closed cleanly, so that it cannot be opened read-only: open it once for writing.
    NeedsRecovery {
        /// The row file.
        path: PathBuf,
    },
    /// A commit failed half way: the write may or may not be on disk, whole. The store opens its rows again by itself,
    /// at the next write or before; then reading tells.
    CommitUnknown {
        /// What the database said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An earlier failure ended writing, and the rows could not be opened again yet. Reads go on. Each write tries again.
    WritesStopped {
        /// The first failure, and what was in the way since.
        cause: String,
    },
    /// The rows were opened again after a failure, and somebody still reads them as they were before: snapshots, or
    /// searches under way. Drop the snapshots and write again.
    SnapshotsHeld {
        /// How many states of the store are read, by one snapshot or search each, or several.
        views: usize,
        /// The failure.
        cause: String,
    },
    /// Background maintenance failed; no data is lost and reads go on.
    Maintenance {
        /// What failed.
        cause: String,
    },
    /// The store was closed.
    Closed,
}

/// Why a vector was refused.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum VectorFault {
    /// It has no components.
    Empty,
    /// It has more than [`MAX_DIMENSION`](crate::MAX_DIMENSION) components.
    TooLong {
        /// How many.
        dimension: usize,
    },
    /// A component is NaN or infinite.
    NotFinite {
        /// Which one, counted from 0.
        component: usize,
        /// Its value.
        value: f32,
    },
    /// The zero vector has no direction, which the cosine metric needs.
    Zero,
    /// A component is neither 0 nor 1, as the hamming metric needs.
    NotABit {
        /// Which one, counted from 0.
        component: usize,
        /// Its value.
        value: f32,
    },
    /// Its squared norm does not fit a float32.
    NormOverflow {
        /// The norm.
        norm: f64,
    },
}

/// Where stored bytes were found damaged.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Corruption {
    /// The file.
    pub path: PathBuf,
    /// The table, section or row.
    pub place: String,
    /// What should be there.
    pub expected: String,
    /// What is there.
    pub found: String,
}

impl Error {
    /// Whether stored bytes were found damaged.
    pub fn is_corruption(&self) -> bool {
        matches!(self, Error::Corrupt(_))
    }

    /// Whether the caller's own arguments were refused; the store is unchanged and works on.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Error::DimensionMismatch { .. }
                | Error::InvalidVector(_)
                | Error::IdTooLong { .. }
                | Error::InvalidArgument(_)
                | Error::InvalidMetadata(_)
                | Error::InvalidFilter { .. }
                | Error::NotFound(_)
                | Error::MetricMismatch { .. }
        )
    }

    pub(crate) fn corrupt(
        path: &Path,
        place: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Error {
        Error::Corrupt(Box::new(Corruption {
            path: path.to_owned(),
            place: place.into(),
            expected: expected.into(),
            found: found.into(),
        }))
    }

    pub(crate) fn io(action: &'static str, path: &Path, source: std::io::Error) -> Error {
        Error::Io { action, path: path.to_owned(), source }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::DimensionMismatch { expected, found } => {
                write!(f, "expected a vector of dimension {expected}, found dimension {found}")
            }
            Error::InvalidVector(fault) => fault.fmt(f),
            Error::IdTooLong { bytes } => {
                write!(f, "expected an id of at most {MAX_ID_BYTES} bytes, found {bytes} bytes")
            }
            Error::InvalidArgument(what) | Error::InvalidMetadata(what) => f.write_str(what),
            Error::InvalidFilter { column: Some(column), message } => write!(f, "filter, column {column}: {message}"),
            Error::InvalidFilter { column: None, message } => write!(f, "filter: {message}"),
            Error::NotFound(id) => write!(f, "no item has the id {id:?}"),
            Error::MetricMismatch { stored, requested } => {
                write!(f, "expected a store of metric {requested}, found one created with {stored}")
            }
            Error::Locked(path) => write!(f, "{} is open in another process or handle", path.display()),
            Error::NotAStore { path, found } => {
                write!(f, "expected a store at {}, found {found}", path.display())
            }
            Error::UnsupportedFormat { path, found, supported } => {
                write!(f, "{} has {found}; this build reads format versions up to {supported}", path.display())
            }
            Error::Corrupt(corruption) => corruption.fmt(f),
            Error::Io { action, path, source } => write!(f, "could not {action} {}: {source}", path.display()),
            Error::Storage { action, source } => write!(f, "could not {action}: {source}"),
            Error::CommitUnknown { source } => {
                write!(f, "a commit failed and may or may not be on disk (read to find out): {source}")
            }
            Error::WritesStopped { cause } => {
                write!(f, "writes stopped after a failure (reads go on, and each write tries again): {cause}")
            }
            Error::SnapshotsHeld { views, cause } => write!(
                f,
                "writes wait until the snapshots of {views} states of the store are dropped, which were taken before a \
                 failure: {cause}"
            ),
            Error::ReadOnly => f.write_str("the store was opened read-only"),
            Error::NeedsRecovery { path } => write!(
                f,
                "{} was not closed cleanly and cannot be read yet: open the store once for writing",
                path.display()
            ),
            Error::Maintenance { cause } => write!(f, "background maintenance failed: {cause}"),
            Error::Closed => f.write_str("the store is closed"),
        }
    }
}

impl fmt::Display for VectorFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            VectorFault::Empty => f.write_str("expected a vector with components, found none"),
            VectorFault::TooLong { dimension } => {
                write!(f, "expected at most {MAX_DIMENSION} components, found {dimension}")
            }
            VectorFault::NotFinite { component, value } => {
                write!(f, "expected finite components, found {value} at component {component}")
            }
            VectorFault::Zero => {
                f.write_str("expected a vector with a direction (cosine metric), found the zero vector")
            }
            VectorFault::NotABit { component, value } => {
                write!(f, "expected components 0 or 1 (hamming metric), found {value} at component {component}")
            }
            VectorFault::NormOverflow { norm } => {
                write!(f, "expected a norm whose square fits a float32, found a norm of {norm:e}")
            }
        }
    }
}

impl fmt::Display for Corruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} is damaged: {}: expected {}, found {}",
            self.path.display(),
            self.place,
            self.expected,
            self.found
        )
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io { source, .. } => Some(source),
            Error::Storage { source, .. } | Error::CommitUnknown { source } => Some(source.as_ref()),
            _ => None,
        }
    }
}
