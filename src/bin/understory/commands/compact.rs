//! `compact`: all segments into one, and unused disk space given back.

use std::path::Path;

use super::{compact_with_bar, open_existing};
use crate::cpu::Stopwatch;
use crate::failure::Result;
use crate::output;

pub(crate) fn run(path: &Path) -> Result<()> {
    let watch = Stopwatch::start();
    let store = open_existing(path)?;
    let before = store.stats()?;
    compact_with_bar(&store)?;
    let after = store.stats()?;
    store.close()?;
    output::line(&format!(
        "compacted {} items in {:.2} s: {} before, {} after",
        output::grouped(after.items),
        watch.wall().as_secs_f64(),
        output::size(before.rows_bytes + before.segment_bytes),
        output::size(after.rows_bytes + after.segment_bytes)
    ))
}
