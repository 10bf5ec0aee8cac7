//! **Understory** is an embedded, persistent vector store: a library that a desktop application links, with no server
//! and no native dependency, that keeps vectors with ids and metadata in a directory and finds the nearest ones in well
//! under a millisecond.
//!
//! ```
//! # let dir = tempfile::tempdir().unwrap();
//! # let path = dir.path().join("notes.understory");
//! # let (embedding, query) = ([0.1, 0.9, 0.0], [0.0, 1.0, 0.0]);
//! let store = understory::Store::open(&path)?; // created if missing; dimension taken from the first vector
//! store.insert("note-17", &embedding)?; // on disk when this returns
//! for hit in store.search(&query, 10)? {
//!     println!("{} {:.3}", hit.id, hit.distance);
//! }
//! # Ok::<(), understory::Error>(())
//! ```
//!
//! Rows in a transactional database are the only source of truth; what makes searches fast, immutable memory-mapped
//! Annoy forest segments, is derived from them, built in the background, and can always be built again. A store opens
//! after any crash with everything that was acknowledged.
//!
//! # Features
//!
//! - `cli`: the `understory` command. Off by default; library users compile none of it.

#[cfg(target_endian = "big")]
compile_error!("understory maps little-endian files; big-endian targets are not supported");

pub mod annoy;
mod bitmap;
mod bits;
mod bytes;
mod code;
mod distance;
mod error;
mod filter;
mod fs;
#[cfg(fuzzing)]
pub mod fuzzing;
#[cfg(any(test, fuzzing))]
mod hostile;
mod items;
mod maintenance;
mod metadata;
mod options;
mod recovery;
mod salvage;
mod search;
mod segment;
mod snapshot;
mod store;
mod sync;
mod types;
mod vector;

pub use bits::Bits;
pub use error::{Corruption, Error, Result, VectorFault};
pub use filter::{Field, Filter, field, ids};
pub use maintenance::Stage;
pub use metadata::{Metadata, Timestamp, Value};
pub use options::{Durability, Maintenance, Options, SegmentVectors};
pub use recovery::{DamagedSegment, OpenReport};
pub use salvage::{SalvageReport, salvage};
pub use store::{
    Batch, ColumnStats, Example, Group, Hit, Ids, Item, Items, Query, QueryPlan, QueryReport, RecallReport, Scan,
    SegmentStats, Snapshot, Stats, Store, VerifyReport,
};
pub use types::{Id, MAX_DIMENSION, MAX_ID_BYTES, Metric};
pub use vector::Vector;
