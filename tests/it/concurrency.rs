//! Many threads on one store: readers see whole commits, writers share them, and closing ends it for all.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rayon::prelude::*;
use understory::{Batch, Durability, Error, Hit, Maintenance, Metric, Options, Snapshot, Stage, Store};

use crate::oracle::Model;
use crate::support::{Dir, generator, manual, noise, refused};

const DIMENSION: usize = 8;

#[test]
fn stores_and_snapshots_go_between_threads() {
    fn assert_shared<T: Clone + Send + Sync + 'static>() {}
    assert_shared::<Store>();
    assert_shared::<Snapshot>();
}

/// A thread of a pool that waits for work elsewhere is given other work of its pool: another flush, which waited for the
/// lock that its own thread held, or another search, and so on until the stack was used up.
#[test]
fn a_thread_pool_of_the_callers_flushes_and_searches() {
    let dir = Dir::new();
    let store = Store::open_with(dir.store(), manual(Metric::Euclidean).durability(Durability::Buffered)).unwrap();
    let (sender, done) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        pool.install(|| {
            (0..200u64).into_par_iter().for_each(|id| {
                store.insert(id, [id as f32, 1.0]).unwrap();
                store.flush().unwrap();
                let found = store.search_batch(&[[id as f32, 1.0], [0.0, 1.0]], 1).unwrap();
                assert_eq!(found[0][0].id, id.into());
            });
        });
        sender.send(store.len().unwrap()).unwrap();
    });
    assert_eq!(done.recv_timeout(std::time::Duration::from_secs(120)), Ok(200), "expected all to end");
}

/// Items of one batch.
const TOGETHER: u64 = 32;
const GENERATIONS: u64 = 120;

/// The vector of an item in a generation, which its first component names.
fn marked(generation: u64, item: u64) -> Vec<f32> {
    let mut vector = vec![0.0; DIMENSION];
    vector[0] = generation as f32;
    vector[1 + item as usize % (DIMENSION - 1)] = item as f32;
    vector
}

/// The one generation of a whole answer.
fn generation_of(vectors: impl Iterator<Item = Vec<f32>>) -> u64 {
    let generations: Vec<u64> = vectors.map(|vector| vector[0] as u64).collect();
    assert_eq!(generations.len(), TOGETHER as usize, "expected all items of a batch, found {generations:?}");
    assert!(generations.iter().all(|&each| each == generations[0]), "expected one batch, found {generations:?}");
    generations[0]
}

fn vectors(hits: Vec<Hit>) -> impl Iterator<Item = Vec<f32>> {
    hits.into_iter().map(|hit| hit.vector.expect("asked for"))
}

fn write_generation(store: &Store, generation: u64) {
    let mut batch = Batch::new();
    for item in 0..TOGETHER {
        batch.insert(item, marked(generation, item));
    }
    store.write(batch).unwrap();
}

/// Reads by every way in turn until told to stop; generations never go back.
fn read_generations(store: &Store, done: &AtomicBool) -> u64 {
    let (mut last, mut reads) = (0, 0);
    while !done.load(Ordering::Acquire) {
        let about = || store.query(marked(last, 3)).unwrap().k(2 * TOGETHER as usize).with_vectors();
        let found = match reads % 4 {
            0 => generation_of(vectors(about().exact().run().unwrap())),
            1 => generation_of(vectors(about().run().unwrap())),
            2 => generation_of(store.scan().unwrap().map(|item| item.unwrap().vector)),
            _ => {
                let snapshot = store.snapshot().unwrap();
                let scanned = generation_of(snapshot.scan().map(|item| item.unwrap().vector));
                let query = snapshot.query(marked(last, 3)).unwrap().k(100).with_vectors();
                assert_eq!(generation_of(vectors(query.run().unwrap())), scanned, "one snapshot, one generation");
                scanned
            }
        };
        assert!(found >= last, "expected generation {last} or a later one, found {found}");
        last = found;
        reads += 1;
    }
    reads
}

fn whole_batches(maintenance: Maintenance) {
    let dir = Dir::new();
    let options = Options::new().metric(Metric::Euclidean).maintenance(maintenance);
    let store = Store::open_with(dir.store(), options).unwrap();
    write_generation(&store, 0);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..3).map(|_| scope.spawn(|| read_generations(&store, &done))).collect();
        let worker = scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                store.flush().unwrap();
                store.compact().unwrap();
            }
        });
        for generation in 1..GENERATIONS {
            write_generation(&store, generation);
            if generation % 40 == 0 {
                store.flush().unwrap();
            }
        }
        done.store(true, Ordering::Release);
        worker.join().unwrap();
        for reader in readers {
            assert!(reader.join().unwrap() > 0, "expected some reads meanwhile");
        }
    });
    assert_eq!(generation_of(store.scan().unwrap().map(|item| item.unwrap().vector)), GENERATIONS - 1);
}

#[test]
fn readers_see_whole_batches_during_flushes_and_compactions() {
    whole_batches(Maintenance::Manual);
}

#[test]
fn readers_see_whole_batches_beside_the_worker() {
    whole_batches(Maintenance::Background);
}

#[test]
fn many_threads_share_commits_and_each_sees_its_own_writes() {
    let dir = Dir::new();
    let store = Store::open_with(dir.store(), Options::new().metric(Metric::Euclidean)).unwrap();
    let mut model = Model::new(Metric::Euclidean);
    std::thread::scope(|scope| {
        for thread in 0..8_u64 {
            let store = store.clone();
            scope.spawn(move || {
                for write in 0..50 {
                    let id = thread * 1000 + write;
                    let vector = noise(DIMENSION, 1.0, &mut generator(id));
                    store.insert(id, &vector).unwrap();
                    assert_eq!(store.get(id).unwrap().expect("its own write").vector, vector);
                    let hits = store.search(&vector, 1).unwrap();
                    assert_eq!((hits[0].id.clone(), hits[0].distance), (id.into(), 0.0), "its own write comes first");
                    if write % 5 == 4 {
                        assert!(store.remove(id).unwrap(), "its own write is there to be removed");
                        assert!(!store.contains(id).unwrap());
                    }
                }
            });
        }
    });
    for thread in 0..8 {
        for write in (0..50).filter(|write| write % 5 != 4) {
            let id = thread * 1000 + write;
            model.insert(id, &noise(DIMENSION, 1.0, &mut generator(id)), None);
        }
    }
    model.check_reader(&store, &[vec![0.1; DIMENSION]]);
    store.close().unwrap();
    drop(store);
    model.check_reader(&Store::open(dir.store()).unwrap(), &[vec![0.1; DIMENSION]]);
}

/// More items than the delta takes, so that the worker flushes and merges while searches run.
#[test]
fn searches_are_complete_while_the_worker_builds() {
    let dir = Dir::new();
    let store = Store::open_with(dir.store(), Options::new().metric(Metric::Euclidean)).unwrap();
    let (done, written) = (AtomicBool::new(false), AtomicU64::new(0));
    let vector = |id: u64| noise(16, 1.0, &mut generator(id));
    std::thread::scope(|scope| {
        let searchers: Vec<_> = (0..2_u64)
            .map(|seed| {
                let (store, done, written) = (&store, &done, &written);
                scope.spawn(move || {
                    let mut searches = 0;
                    while !done.load(Ordering::Acquire) {
                        let least = written.load(Ordering::Acquire);
                        let hits = store.search(vector(1_000_000 + seed + searches), 20).unwrap();
                        assert!(hits.len() as u64 >= least.min(20), "expected 20 of {least} items");
                        assert!(hits.windows(2).all(|pair| pair[0].distance <= pair[1].distance));
                        if least > 0 {
                            let known = (searches * 7919) % least;
                            let hits = store.query(vector(known)).unwrap().k(1).exact().run().unwrap();
                            assert_eq!(hits[0].id, known.into(), "expected an item that was written long ago");
                        }
                        searches += 1;
                    }
                })
            })
            .collect();
        for first in (0..12_000).step_by(200) {
            let mut batch = Batch::new();
            for id in first..first + 200 {
                batch.insert(id, vector(id));
            }
            store.write(batch).unwrap();
            written.store(first + 200, Ordering::Release);
        }
        done.store(true, Ordering::Release);
        searchers.into_iter().for_each(|searcher| searcher.join().unwrap());
    });
    store.flush().unwrap();
    let stats = store.stats().unwrap();
    assert_eq!((stats.items, stats.delta_items, stats.maintenance_error), (12_000, 0, None));
    assert!(store.verify().unwrap().problems.is_empty());
}

#[test]
fn a_snapshot_stays_as_it_was() {
    let dir = Dir::new();
    let store = Store::open_with(dir.store(), manual(Metric::Cosine)).unwrap();
    let mut model = Model::new(Metric::Cosine);
    let mut rng = generator(5);
    let mut write = |store: &Store, model: &mut Model| {
        let mut batch = Batch::new();
        for id in 0..200_u64 {
            let vector = noise(DIMENSION, 1.0, &mut rng);
            batch.insert(id, &vector);
            model.insert(id, &vector, None);
        }
        store.write(batch).unwrap();
    };
    write(&store, &mut model);
    let in_delta = (store.snapshot().unwrap(), model.clone());
    store.flush().unwrap();
    let in_segment = (store.snapshot().unwrap(), model.clone());
    write(&store, &mut model);
    store.flush().unwrap();
    for id in 0..50_u64 {
        store.remove(id).unwrap();
        model.items.remove(&id.into());
    }
    let with_dead = (store.snapshot().unwrap(), model.clone());
    write(&store, &mut model);
    store.compact().unwrap();

    let queries = [vec![0.3; DIMENSION], vec![-0.3; DIMENSION]];
    model.check_reader(&store, &queries);
    for (snapshot, model) in [&in_delta, &in_segment, &with_dead] {
        model.check_reader(snapshot, &queries);
    }
    store.close().unwrap();
    drop(store);
    for (snapshot, model) in [&in_delta, &in_segment, &with_dead] {
        model.check_reader(snapshot, &queries);
    }
}

/// Found by the stress test: a job that went on for as long as there was anything to build never returned.
#[test]
fn flush_and_compact_end_beside_a_writer_that_never_pauses() {
    let dir = Dir::new();
    let store = Store::open_with(dir.store(), manual(Metric::Euclidean)).unwrap();
    let (ended, written) = (AtomicBool::new(false), AtomicU64::new(0));
    write_generation(&store, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Acquire) {
                write_generation(&store, written.fetch_add(1, Ordering::AcqRel));
            }
        });
        for _ in 0..3 {
            store.flush().unwrap();
            store.compact().unwrap();
        }
        ended.store(true, Ordering::Release);
    });
    assert_eq!(store.len().unwrap(), TOGETHER);
}

/// Found by the stress test: what died in the delta while the row file was about to be rewritten came back to life.
#[test]
fn what_dies_beside_a_compaction_stays_dead() {
    let dir = Dir::new();
    let store = Store::open_with(dir.store(), manual(Metric::Euclidean)).unwrap();
    let (mut fill, mut empty) = (Batch::new(), Batch::new());
    for id in 0..4000_u64 {
        fill.insert(id, noise(512, 1.0, &mut generator(id)));
        empty.remove(id);
    }
    store.write(fill).unwrap();
    store.write(empty).unwrap();
    // So much waste makes a new row file; what follows is written beside that.
    store
        .compact_with_progress(&|stage, _| {
            if stage == Stage::Reclaiming {
                (0..3).for_each(|time| store.insert("twice", [time as f32; 512]).unwrap());
                store.insert("removed", [9.0; 512]).unwrap();
                store.remove("removed").unwrap();
            }
            true
        })
        .unwrap();
    for _ in 0..2 {
        let hits = store.query([0.0; 512]).unwrap().k(10).exact().with_vectors().run().unwrap();
        let found: Vec<_> = hits.into_iter().map(|hit| (hit.id, hit.vector.unwrap())).collect();
        assert_eq!(found, [("twice".into(), vec![2.0; 512])], "expected the last version alone");
        store.compact().unwrap();
    }
    assert!(store.verify().unwrap().problems.is_empty());
}

#[test]
fn closing_ends_all_clones_and_loses_nothing() {
    let dir = Dir::new();
    let store = Store::open_with(dir.store(), Options::new().metric(Metric::Euclidean)).unwrap();
    store.insert("first", [1.0; DIMENSION]).unwrap();
    let written = AtomicU64::new(0);
    let ended = |error: Error| assert!(matches!(error, Error::Closed), "expected Closed, found {error:?}");
    std::thread::scope(|scope| {
        let writer = store.clone();
        scope.spawn(|| {
            let writer = writer;
            for id in 0.. {
                match writer.insert(id, [id as f32; DIMENSION]) {
                    Ok(()) => written.store(id + 1, Ordering::Release),
                    Err(error) => return ended(error),
                }
            }
        });
        for work in 0..3 {
            let store = store.clone();
            scope.spawn(move || {
                loop {
                    let result = match work {
                        0 => store.search([1.0; DIMENSION], 5).map(|hits| assert!(!hits.is_empty())),
                        1 => store.get("first").map(|item| assert!(item.is_some())),
                        _ => store.flush(),
                    };
                    if let Err(error) = result {
                        return ended(error);
                    }
                }
            });
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
        store.close().unwrap();
        ended(refused(store.len()));
        ended(refused(store.snapshot()));
        ended(refused(store.insert(1, [1.0; DIMENSION])));
    });
    drop(store);
    let store = Store::open(dir.store()).unwrap();
    let written = written.into_inner();
    // A write that met the close may be there without an acknowledgement.
    assert!([written + 1, written + 2].contains(&store.len().unwrap()), "expected {written} items and the first");
    for id in 0..written {
        assert_eq!(store.get(id).unwrap().expect("an acknowledged item").vector, [id as f32; DIMENSION]);
    }
}

#[test]
fn closing_twice_is_no_harm_and_frees_the_store_at_once() {
    let dir = Dir::new();
    let store = Store::open(dir.store()).unwrap();
    store.insert(1, [1.0, 2.0]).unwrap();
    store.close().unwrap();
    assert!(matches!(store.close(), Ok(()) | Err(Error::Closed)));
    let again = Store::open(dir.store()).expect("closed, though the first handle still lives");
    assert_eq!(again.len().unwrap(), 1);
}
