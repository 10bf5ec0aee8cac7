//! The rotated space and the one-bit codes in it: what segments and the delta share.
//!
//! A [`Frame`] places vectors; a [`Run`] is a centroid with the codes of what lies near it. Neither knows files or
//! items. The layout is section 2 of `docs/format.md`, the arithmetic section 2 and 3.

mod frame;
mod query;
mod run;
#[cfg(test)]
mod tests;

pub(crate) use frame::Frame;
pub(crate) use query::QueryCode;
pub(crate) use run::{Centroid, Encoder, Role, Run, empty_block, run_bytes};

/// The payload of a lane without an entry.
pub(crate) const NO_ENTRY: u32 = u32::MAX;
