//! Vector files of any bytes, as each format that the command imports, by the command's own readers. The first byte
//! chooses the format.
#![no_main]
// The readers are taken whole, and the targets do not use all they offer.
#![allow(dead_code)]

#[path = "../../../src/bin/understory/failure.rs"]
mod failure;
#[path = "../../../src/bin/understory/input/mod.rs"]
mod input;

use std::path::Path;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

static DIR: LazyLock<tempfile::TempDir> =
    LazyLock::new(|| tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a directory"));

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, bytes)) = bytes.split_first() else { return };
    let name = ["a.npy", "a.fvecs", "a.bvecs", "a.jsonl", "a.ann", "ids.npy", "lines"][usize::from(*choice) % 7];
    let path = DIR.path().join(name);
    // A new file each time: an .ann may still be mapped.
    let _ = std::fs::remove_file(&path);
    std::fs::write(&path, bytes).expect("room for a file");
    match name {
        "ids.npy" => row_numbers(&path),
        "lines" => metadata_lines(&path),
        "a.ann" => {
            let dimension = 1 + usize::from(*choice) / 7 % 8;
            for metric in [understory::Metric::Cosine, understory::Metric::Euclidean, understory::Metric::Dot] {
                if let Ok(source) = input::open_ann(&path, dimension, metric) {
                    read(source, bytes.len());
                }
            }
        }
        _ => {
            if let Ok(source) = input::open(&path) {
                read(source, bytes.len());
            }
        }
    }
});

/// Reads to the end or to the first error; no row is larger than its file, nor are there more rows than it says.
fn read(mut source: Box<dyn input::RowSource>, len: usize) {
    let (mut row, mut rows) = (input::Row::default(), 0);
    while let Ok(true) = source.read(&mut row) {
        rows += 1;
        assert!(row.vector.len() <= len, "expected at most {len} components");
    }
    assert!(rows <= source.rows(), "expected {} rows, found {rows}", source.rows());
}

fn row_numbers(path: &Path) {
    let _ = input::read_row_numbers(path);
}

fn metadata_lines(path: &Path) {
    let (Ok(count), Ok(mut lines)) = (input::count_lines(path), input::Lines::open(path)) else { return };
    let mut read = 0;
    while let Ok(Some(line)) = lines.next_line() {
        let _ = input::metadata_object(line);
        read += 1;
    }
    assert!(read <= count, "expected {count} lines, found {read}");
}
