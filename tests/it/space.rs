//! Disk that is no longer needed comes back. Measured in allocated blocks, as the row file is sparse.
#![cfg(unix)]

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use understory::{Batch, Durability, Metric, Options, Store};

use crate::support::{Dir, generator, manual, noise};

const DIMENSION: usize = 256;
const MIB: u64 = 1 << 20;

fn allocated(path: &Path) -> u64 {
    let metadata = std::fs::symlink_metadata(path).unwrap();
    let below = if metadata.is_dir() {
        std::fs::read_dir(path).unwrap().map(|entry| allocated(&entry.unwrap().path())).sum()
    } else {
        0
    };
    metadata.blocks() * 512 + below
}

/// Writes items of these ids, 500 a batch, with vectors that differ from round to round.
fn fill(store: &Store, ids: std::ops::Range<u64>, round: u64) {
    let mut rng = generator(round);
    for first in ids.clone().step_by(500) {
        let mut batch = Batch::new();
        for id in first..(first + 500).min(ids.end) {
            batch.insert(id, noise(DIMENSION, 1.0, &mut rng));
        }
        store.write(batch).unwrap();
    }
}

#[test]
fn removing_nine_tenths_and_compacting_gives_the_space_back() {
    let dir = Dir::new();
    let store = Store::open_with(dir.store(), manual(Metric::Euclidean)).unwrap();
    fill(&store, 0..8000, 1);
    store.compact().unwrap();
    let full = allocated(&dir.store());
    let raw = 8000 * DIMENSION as u64 * 4;
    assert!(full <= raw * 24 / 10 + 2 * MIB, "expected at most 2.4 times {raw} bytes, found {full}");

    for first in (0..7200).step_by(400) {
        let mut batch = Batch::new();
        for id in first..first + 400 {
            batch.remove(id);
        }
        store.write(batch).unwrap();
    }
    store.compact().unwrap();
    let left = allocated(&dir.store());
    assert!(left <= full / 5 + 2 * MIB, "expected about a tenth of {full} bytes, found {left}");
    assert_eq!(store.len().unwrap(), 800);
    assert_eq!(store.query_near(7500).unwrap().k(1).run().unwrap()[0].id, 7500.into());

    let stats = store.stats().unwrap();
    assert_eq!(stats.tombstones, 0, "expected no dead item after a compaction");
    assert!(stats.rows_bytes + stats.segment_bytes <= left, "expected the stats to count no more than {left} bytes");
}

#[test]
fn an_emptied_store_is_small_and_works_on() {
    let dir = Dir::new();
    let store = Store::open_with(dir.store(), manual(Metric::Cosine)).unwrap();
    fill(&store, 0..4000, 2);
    store.flush().unwrap();
    for id in 0..4000 / 500 {
        let mut batch = Batch::new();
        for id in id * 500..(id + 1) * 500 {
            batch.remove(id);
        }
        store.write(batch).unwrap();
    }
    store.compact().unwrap();
    let left = allocated(&dir.store());
    assert!(left <= 2 * MIB, "expected a store without items under 2 MiB, found {left}");
    assert_eq!(store.search(noise(DIMENSION, 1.0, &mut generator(3)), 10).unwrap(), []);
    fill(&store, 0..500, 4);
    store.flush().unwrap();
    assert_eq!(store.len().unwrap(), 500);
}

#[test]
fn a_store_replaced_many_times_stays_bounded() {
    let dir = Dir::new();
    let store = Store::open_with(dir.store(), manual(Metric::Euclidean)).unwrap();
    fill(&store, 0..2000, 0);
    store.compact().unwrap();
    let once = allocated(&dir.store());
    for round in 1..=12 {
        fill(&store, 0..2000, round);
        if round % 3 == 0 {
            store.flush().unwrap();
        }
    }
    store.compact().unwrap();
    let replaced = allocated(&dir.store());
    assert!(replaced <= once * 3 / 2 + MIB, "expected about {once} bytes as after the first fill, found {replaced}");
    assert_eq!(store.len().unwrap(), 2000);
}

/// Without a call of `compact`: dead rows stayed in their blocks, and the row file grew with every item replaced.
#[test]
fn a_store_whose_items_are_replaced_for_ever_keeps_its_size_in_the_background() {
    let dir = Dir::in_memory();
    let options = Options::new().metric(Metric::Euclidean).durability(Durability::Buffered);
    let store = Store::open_with(dir.store(), options).unwrap();
    let rounds = 100;
    for round in 0..rounds {
        fill(&store, 0..1000, round);
        let start = std::time::Instant::now();
        loop {
            let stats = store.stats().unwrap();
            assert_eq!(stats.maintenance_error, None);
            if stats.tombstones < 30_000 {
                break;
            }
            assert!(start.elapsed().as_secs() < 60, "expected the dead rows to go, found {stats:?}");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
    let (occupied, written) = (store.stats().unwrap().rows_bytes, rounds * 1000 * DIMENSION as u64 * 4);
    assert!(occupied < written * 2 / 3, "expected less than the {written} bytes of rows written, found {occupied}");
    assert_eq!(store.len().unwrap(), 1000);
    assert_eq!(store.verify().unwrap().problems.len(), 0);
}

#[test]
fn files_that_a_snapshot_held_go_when_it_is_dropped() {
    let dir = Dir::new();
    let store = Store::open_with(dir.store(), manual(Metric::Euclidean)).unwrap();
    fill(&store, 0..2000, 5);
    store.compact().unwrap();
    let once = allocated(&dir.store());
    let snapshot = store.snapshot().unwrap();
    for round in 6..10 {
        fill(&store, 0..2000, round);
        store.compact().unwrap();
    }
    assert_eq!(snapshot.len(), 2000);
    drop(snapshot);
    store.compact().unwrap();
    let left = allocated(&dir.store());
    assert!(left <= once * 3 / 2 + MIB, "expected about {once} bytes without the snapshot, found {left}");
}
