//! A section of columns damaged as the input says, its checksums put right again or not: read, checked and asked.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use understory::fuzzing::Columns;

static COLUMNS: LazyLock<Columns> = LazyLock::new(Columns::new);

fuzz_target!(|script: &[u8]| COLUMNS.run(script));
