//! The rotated space, the codes in it and beside it: what segments and the delta share.
//!
//! A [`Frame`] places vectors; a [`Run`] is a centroid with the codes of what lies near it. Neither knows files or
//! items. The layout is section 2 of `docs/format.md`, the arithmetic section 2 and 3.

mod frame;
mod heads;
mod items;
mod kind;
mod levels;
mod narrow;
mod quantiser;
mod query;
mod run;
mod short;
mod steps;
#[cfg(test)]
mod tests;

pub(crate) use frame::Frame;
pub(crate) use heads::Heads;
pub(crate) use items::{CodedItem, ItemEncoder};
pub(crate) use kind::CodeKind;
pub(crate) use quantiser::Quantiser;
pub(crate) use query::{LOSES_NONE, QueryCode};
pub(crate) use run::{Centroid, Encoder, Role, Run, empty_block};

/// The payload of a lane without an entry.
pub(crate) const NO_ENTRY: u32 = u32::MAX;
