//! Work in progress.

#[cfg(target_endian = "big")]
compile_error!("understory maps little-endian files; big-endian targets are not supported");

mod bytes;
mod distance;
mod error;
mod fs;
mod options;
mod types;
mod vector;

pub use error::{Corruption, Error, Result, VectorFault};
pub use options::{Durability, Maintenance, Options};
pub use types::{Id, MAX_DIMENSION, MAX_ID_BYTES, Metric};
pub use vector::Vector;
