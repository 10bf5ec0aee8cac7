//! Row file and segment of a store damaged as the input says: salvaged, and compared with what there was.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use understory::fuzzing::Salvage;

static STORE: LazyLock<(tempfile::TempDir, Salvage)> = LazyLock::new(|| {
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a directory");
    let salvage = Salvage::new(dir.path()).expect("a store");
    // The row database's panics are contained and reported; libFuzzer's hook would end the process.
    std::panic::set_hook(Box::new(|panic| {
        let is_ours = panic.location().is_none_or(|place| !place.file().contains("redb"));
        if is_ours {
            eprintln!("{panic}");
            std::process::abort();
        }
    }));
    (dir, salvage)
});

fuzz_target!(|script: &[u8]| STORE.1.run(script));
