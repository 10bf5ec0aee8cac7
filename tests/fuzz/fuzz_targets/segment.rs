//! A segment damaged as the input says, its checksums put right again or not: opened, checked and searched.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use understory::fuzzing::Segments;

static SEGMENTS: LazyLock<(tempfile::TempDir, Segments)> = LazyLock::new(|| {
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a directory");
    let segments = Segments::new(dir.path()).expect("a store");
    (dir, segments)
});

fuzz_target!(|script: &[u8]| SEGMENTS.1.run(script));
