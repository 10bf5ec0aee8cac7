//! Columns: for each field of the metadata which positions have which values, so that a filter becomes a bitmap without
//! a look at the rows.
//!
//! [`Gathered`] collects values while rows are read for a build, [`write`] lays them out by position, [`Column`] reads
//! one back. A field whose values are long texts or long lists is left out, and so are fields beyond the first few
//! hundred; the section says so, and filters on them are answered from the rows. The section is described in
//! `docs/format.md`.

mod check;
mod counts;
mod dictionary;
mod gather;
#[cfg(any(test, fuzzing))]
pub(crate) mod hostile;
mod read;
mod write;

pub(crate) use gather::Gathered;
pub(super) use read::Directory;
pub(crate) use read::{Column, Field};
pub(super) use write::write;

/// Fields that have a column at most, and the most that any reader accepts.
pub(super) const MAX_FIELDS: usize = 256;

/// A value has a bitmap if at least one in so many items has it: its list would be as long.
const DENSE_ONE_IN: u64 = 32;

const FOOTER_BYTES: usize = 16;
const ENTRY_BYTES: usize = 32;
const HEADER_BYTES: usize = 32;

/// How an entry of the directory says that its field has a column, or none.
const INDEXED: u32 = 1;
const LEFT_OUT: u32 = 2;

/// The flag of a footer whose directory names every field there is.
const COMPLETE: u32 = 1;

/// The flag of a column each of whose items has one value.
const SINGLE: u8 = 1;
