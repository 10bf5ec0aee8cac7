//! Many readers, one writer and constant compaction: every snapshot answers as the model of the commit it was taken
//! at. `UNDERSTORY_STRESS_COMMITS=20000 cargo test --test it stress` makes the long form.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use rand::RngExt;
use understory::{Batch, Id, Metric, Options, Snapshot, Store};

use crate::oracle::{Model, Recall};
use crate::support::{Dir, Note, Vectors, generator, noise};

const DIMENSION: usize = 16;
const IDS: u64 = 500;
const COMMITS: u64 = 120;
/// The writer goes on until there were so many, so that a compaction that never ends would show.
const COMPACTIONS: u64 = 5;
const READERS: u64 = 3;

/// The item that names its commit: the first component of its vector, above this.
const COMMIT: &str = "commit";
const FAR: f32 = 1000.0;

/// What the store held after each commit, known to readers before the commit begins.
type States = Mutex<Vec<Arc<Model>>>;

fn commit_vector(number: u64) -> Vec<f32> {
    let mut vector = vec![0.0; DIMENSION];
    vector[0] = FAR + number as f32;
    vector
}

fn commit_of(snapshot: &Snapshot) -> usize {
    let item = snapshot.get(COMMIT).unwrap().expect("the item that every commit replaces");
    (item.vector[0] - FAR) as usize
}

/// Writes so many commits, and more until there were enough compactions beside them. How many.
fn write(store: &Store, states: &States, done: &AtomicU64, commits: u64, compactions: &AtomicU64) -> u64 {
    let mut rng = generator(11);
    let mut vectors = Vectors::new(DIMENSION, Metric::Euclidean, &mut rng);
    let mut number = 0;
    while number < commits || compactions.load(Ordering::Acquire) < COMPACTIONS {
        number += 1;
        let mut model = Model::clone(&states.lock().unwrap()[number as usize - 1]);
        let mut batch = Batch::new();
        for _ in 0..rng.random_range(1..60) {
            let id = Id::from(rng.random_range(0..IDS));
            if rng.random_bool(0.25) {
                batch.remove(id.clone());
                model.items.remove(&id);
            } else {
                let (vector, note) = (vectors.next(&mut rng), Note::random(&mut rng));
                batch.insert_with(id.clone(), &vector, &note).unwrap();
                model.insert(id, &vector, Some(note));
            }
        }
        batch.insert(COMMIT, commit_vector(number));
        model.insert(COMMIT, &commit_vector(number), None);
        states.lock().unwrap().push(Arc::new(model));
        store.write(batch).unwrap();
        done.store(number, Ordering::Release);
    }
    number
}

/// Takes snapshots, keeps one of them for a while, and checks both.
fn read(store: &Store, states: &States, done: &AtomicU64, seed: u64, ended: &AtomicBool) -> (u64, Recall) {
    let mut rng = generator(seed);
    let (mut checks, mut recall, mut last) = (0, Recall::default(), 0);
    let mut held = store.snapshot().unwrap();
    while !ended.load(Ordering::Acquire) {
        let acknowledged = done.load(Ordering::Acquire) as usize;
        let snapshot = store.snapshot().unwrap();
        let number = commit_of(&snapshot);
        assert!(number >= acknowledged.max(last), "expected commit {acknowledged} and {last}, found {number}");
        last = number;
        for snapshot in [&snapshot, &held] {
            let model = states.lock().unwrap()[commit_of(snapshot)].clone();
            let queries = [noise(DIMENSION, 2.0, &mut rng), commit_vector(last as u64)];
            recall.add(model.check_reader(snapshot, &queries));
            let id = Id::from(rng.random_range(0..IDS));
            assert_eq!(snapshot.contains(id.clone()).unwrap(), model.items.contains_key(&id), "{id:?}");
            checks += 1;
        }
        if rng.random_bool(0.2) {
            held = snapshot;
        }
    }
    (checks, recall)
}

#[test]
fn every_snapshot_answers_as_the_model_of_its_commit() {
    let wanted = std::env::var("UNDERSTORY_STRESS_COMMITS").map_or(COMMITS, |text| text.parse().unwrap());
    let dir = Dir::new();
    let store = Store::open_with(dir.store(), Options::new().metric(Metric::Euclidean)).unwrap();
    store.insert(COMMIT, commit_vector(0)).unwrap();
    let mut first = Model::new(Metric::Euclidean);
    first.insert(COMMIT, &commit_vector(0), None);
    let states: States = Mutex::new(vec![Arc::new(first)]);
    let (done, compactions, ended) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let (mut commits, mut checks, mut recall) = (0, 0, Recall::default());
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..READERS)
            .map(|seed| {
                scope.spawn({
                    let (store, states, done, ended) = (&store, &states, &done, &ended);
                    move || read(store, states, done, seed, ended)
                })
            })
            .collect();
        let builder = scope.spawn(|| {
            while !ended.load(Ordering::Acquire) {
                store.flush().unwrap();
                store.compact().unwrap();
                compactions.fetch_add(1, Ordering::Release);
            }
        });
        commits = write(&store, &states, &done, wanted, &compactions);
        ended.store(true, Ordering::Release);
        builder.join().unwrap();
        for reader in readers {
            let (its_checks, its_recall) = reader.join().unwrap();
            assert!(its_checks > 0, "expected every reader to read");
            checks += its_checks;
            recall.add(its_recall);
        }
    });
    let compactions = compactions.into_inner();
    println!("{commits} commits, {compactions} compactions, {checks} snapshots, recall {:.3}", recall.share());
    assert!(recall.share() >= 0.95, "expected a recall of .95, found {}", recall.share());
    let last = states.lock().unwrap().last().unwrap().clone();
    last.check_reader(&store, &[commit_vector(commits)]);
    assert!(store.verify().unwrap().problems.is_empty());
}
