//! Crashes at each step of publication: a child process ends itself at a named point, and the parent opens what is left.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use super::{Batch, Store};
use crate::options::{Maintenance, Options};
use crate::types::{Id, Metric};

const DIMENSION: usize = 6;

/// Every point, and the call that passes it.
const POINTS: [(&str, Call); 12] = [
    ("row file written", Call::Create),
    ("row file named", Call::Create),
    ("segment written", Call::Flush),
    ("segment renamed", Call::Flush),
    ("segment directory synced", Call::Flush),
    ("segment commit", Call::Flush),
    ("segment committed", Call::Flush),
    ("segment renamed", Call::Compact),
    ("segment committed", Call::Compact),
    ("rows packed", Call::Compact),
    ("row file written", Call::Compact),
    ("row file switched", Call::Compact),
];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Call {
    Create,
    Flush,
    Compact,
}

/// Builds spill their vectors, so that a crash leaves these files too.
fn open(path: &Path) -> Store {
    let options = Options::new().metric(Metric::Euclidean).maintenance(Maintenance::Manual).build_memory(0);
    Store::open_with(path, options).unwrap()
}

fn vector(number: u64) -> Vec<f32> {
    (0..DIMENSION as u64).map(|axis| ((number * 31 + axis * 17) % 101) as f32).collect()
}

/// Enough rows, most of them replaced, that compaction finds the row file worth rewriting.
fn fill(store: &Store) {
    for round in 0..12 {
        let mut batch = Batch::new();
        for number in 0..300 {
            let text = "x".repeat(4000);
            batch.insert_with(number, vector(number + round), &BTreeMap::from([("text", text)])).unwrap();
        }
        store.write(batch).unwrap();
        if round == 5 {
            store.flush().unwrap();
        }
    }
    for number in 250..300 {
        store.remove(number).unwrap();
    }
}

/// What the parent expects of the store whatever the point.
fn check(store: &Store) {
    let numbers: Vec<_> = store.ids().unwrap().map(Result::unwrap).collect();
    assert_eq!(numbers, (0..250).map(Id::from).collect::<Vec<_>>());
    for number in 0..250 {
        assert_eq!(store.get(number).unwrap().unwrap().vector, vector(number + 11));
    }
    let query = vector(7);
    let mut expected: Vec<_> = (0..250)
        .map(|number| {
            let squares = vector(number + 11).iter().zip(&query).map(|(a, b)| (a - b) * (a - b)).sum::<f32>();
            (squares.sqrt(), Id::from(number))
        })
        .collect();
    expected.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    for query in [store.query(&query).unwrap().k(250), store.query(&query).unwrap().k(250).exact()] {
        let hits: Vec<_> = query.run().unwrap().into_iter().map(|hit| (hit.distance, hit.id)).collect();
        assert_eq!(hits, expected);
    }
    let report = store.verify().unwrap();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
}

/// The files a store needs, and no others.
fn check_files(path: &Path, store: &Store) {
    let mut files: Vec<_> = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    files.sort();
    assert_eq!(files.len(), 3, "{files:?}");
    let segments = std::fs::read_dir(path.join("segments")).unwrap().count();
    assert_eq!(segments, store.stats().unwrap().segments.len());
}

/// The child's part: does nothing unless the parent says where.
#[test]
fn child_of_the_crash_test() {
    let (Ok(path), Ok(call)) = (std::env::var("UNDERSTORY_CRASH_STORE"), std::env::var("UNDERSTORY_CRASH_CALL"))
    else {
        return;
    };
    let store = open(Path::new(&path));
    match call.as_str() {
        "Flush" => store.flush().unwrap(),
        "Compact" => store.compact().unwrap(),
        _ => {}
    }
}

#[test]
fn a_crash_at_any_step_of_publication_loses_nothing_and_leaves_nothing() {
    for (point, call) in POINTS {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store");
        if call != Call::Create {
            let store = open(&path);
            fill(&store);
            store.close().unwrap();
        }
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::tests::child_of_the_crash_test", "--nocapture"])
            .env("UNDERSTORY_CRASH_STORE", &path)
            .env("UNDERSTORY_CRASH_CALL", format!("{call:?}"))
            .env("UNDERSTORY_CRASH_AT", point)
            .output()
            .unwrap();
        assert!(!child.status.success(), "{call:?} did not pass the point {point:?}");
        assert!(!String::from_utf8_lossy(&child.stderr).contains("panicked"), "{child:?}");
        let store = open(&path);
        if call == Call::Create {
            fill(&store);
        }
        assert!(store.open_report().damaged_segments.is_empty(), "{:?}", store.open_report());
        check(&store);
        check_files(&path, &store);
        store.compact().unwrap();
        check(&store);
        check_files(&path, &store);
    }
}
