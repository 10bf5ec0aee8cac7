//! `export`: the vectors of a store as an `.ann` file.

use crate::arguments::Export;
use crate::cpu::Stopwatch;
use crate::failure::{Failure, Result};
use crate::input;
use crate::output;

pub(crate) fn run(export: &Export) -> Result<()> {
    let watch = Stopwatch::start();
    if !input::is_ann(&export.file) {
        return Err(Failure::in_file(&export.file, "expected a file .ann to write, found another extension"));
    }
    let store = super::open_to_read(&export.store)?;
    let items = understory::annoy::export(&store.snapshot()?, &export.file, export.trees)?;
    store.close()?;
    let seconds = watch.wall().as_secs_f64();
    output::line(&format!("exported {} items in {seconds:.2} s", output::grouped(items)))
}
