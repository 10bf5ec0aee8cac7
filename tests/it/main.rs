//! The store from outside, by scenario. One binary, so that it is linked once.
//! Nothing here starts a process: a fork holds its parent's file locks for a moment, so a store that is closed and
//! opened by another thread would be found locked. Those tests are in `tests/crash`.

mod bad_input;
mod bad_open;
mod changes;
mod concurrency;
mod damage;
mod filter_model;
mod filter_search;
mod filters;
mod format_fixture;
mod limits;
mod loops;
mod model;
mod oracle;
mod read_only;
mod rounded;
mod sample_recall;
mod space;
mod stress;
mod support;
mod three_items;
mod traps;
