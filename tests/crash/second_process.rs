//! One store, two processes; and a disk without room, which only a process of its own can have.

use std::path::Path;

use understory::{Batch, Error, Maintenance, Metric, Options, Store};

use crate::children;
use crate::support::{Dir, assert_mentions, generator, manual, noise, refused};

/// Child: tries to open the store and says how it went.
pub(crate) fn open(path: &Path) {
    match Store::open(path) {
        Ok(_) => children::say("opened"),
        Err(error) => children::say(&error.to_string()),
    }
}

#[test]
fn a_store_is_open_in_one_process_at_a_time() {
    let _alone = children::alone();
    let dir = Dir::new();
    let store = Store::open(dir.store()).unwrap();
    store.insert(1, [1.0, 2.0]).unwrap();
    let error = refused(Store::open(dir.store()));
    assert!(matches!(error, Error::Locked(_)), "{error:?}");
    assert_mentions(&error, &["a.understory", "open in another process"]);
    assert_eq!(children::run("open", &dir.store()), [error.to_string()], "what another process is told");
    store.insert(2, [1.0, 2.0]).expect("the owner works on");
    drop(store);
    assert_eq!(children::run("open", &dir.store()), ["opened"], "after the last handle is gone");
}

const FILL_DIMENSION: usize = 128;

fn fill_vector(id: u64) -> Vec<f32> {
    noise(FILL_DIMENSION, 1.0, &mut generator(id))
}

/// Child: writes until the system gives no more room, then reads everything that was acknowledged.
pub(crate) fn fill(path: &Path) {
    let options = Options::new().metric(Metric::Euclidean).maintenance(Maintenance::Manual);
    let store = Store::open_with(path, options).unwrap();
    let mut acknowledged = 0;
    let error = loop {
        let mut batch = Batch::new();
        for id in acknowledged..acknowledged + 100 {
            batch.insert(id, fill_vector(id));
        }
        match store.write(batch) {
            Ok(()) => acknowledged += 100,
            Err(error) => break error,
        }
        assert!(acknowledged < 1_000_000, "expected the limit to be met");
    };
    assert!(!error.is_usage() && !error.is_corruption(), "expected an error of the system, found {error:?}");
    for id in 0..acknowledged {
        assert_eq!(store.get(id).unwrap().expect("an acknowledged item").vector, fill_vector(id));
    }
    assert_eq!(store.search(fill_vector(7), 1).unwrap()[0].id, 7.into());
    children::say(&acknowledged.to_string());
    children::say(&error.to_string());
}

/// A full disk, as the limit on the size of a file: the write fails in the same calls.
#[cfg(unix)]
#[test]
fn a_full_disk() {
    let _alone = children::alone();
    let dir = Dir::new();
    // With the signal ignored the write itself fails. Units are 512 or 1,024 bytes.
    let shell = ["sh", "-c", "trap '' XFSZ; ulimit -f 8192; exec \"$0\" \"$@\""];
    let said = children::finish(children::spawn_under(&shell, "fill", &dir.store()));
    let [acknowledged, error] = &said[..] else { panic!("expected a number and an error, found {said:?}") };
    let acknowledged: u64 = acknowledged.parse().unwrap();
    assert!(acknowledged > 0, "expected some writes before {error}");

    let store = Store::open_with(dir.store(), manual(Metric::Euclidean)).unwrap();
    let found = store.len().unwrap();
    // A commit that failed half way may be there, but whole.
    assert!([acknowledged, acknowledged + 100].contains(&found), "acknowledged {acknowledged}, found {found}");
    for id in 0..acknowledged {
        assert_eq!(store.get(id).unwrap().expect("an acknowledged item").vector, fill_vector(id));
    }
    assert!(store.verify().unwrap().problems.is_empty());
    store.insert(u64::MAX, fill_vector(0)).expect("room again");
}
