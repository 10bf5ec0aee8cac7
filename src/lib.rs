//! Under construction: an embedded, persistent vector store.

mod bytes;
mod code;
mod distance;
mod error;
mod fs;
mod items;
mod metadata;
mod options;
mod segment;
mod types;
mod vector;

pub use error::{Corruption, Error, Result, VectorFault};
pub use options::{Durability, Maintenance, Options};
pub use types::{Id, MAX_DIMENSION, MAX_ID_BYTES, Metric};
pub use vector::Vector;
pub use metadata::{Metadata, Value};
