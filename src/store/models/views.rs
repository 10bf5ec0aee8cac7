//! Readers beside a writer, a flush and a compaction: every view is of one commit, and its files are there for as long
//! as it is held, and no longer.

use std::sync::Arc;

use super::{Scene, TOGETHER, check_view, generation, holds, marked};
use crate::options::Maintenance;
use crate::store::{Snapshot, Store};

const GENERATIONS: u64 = 3;

pub(super) fn model(scene: &Arc<Scene>) {
    let store = scene.open(Maintenance::Manual);
    let mut threads = Vec::new();
    let writer = store.clone();
    threads.push(scene.spawn(move || {
        for number in 1..=GENERATIONS {
            writer.write(generation(number)).expect("a write on a sound disk");
        }
    }));
    let builder = store.clone();
    threads.push(scene.spawn(move || {
        builder.flush().expect("a flush on a sound disk");
        builder.compact().expect("a compaction on a sound disk");
    }));
    for _ in 0..2 {
        let store = store.clone();
        threads.push(scene.spawn(move || read(&store)));
    }
    threads.into_iter().for_each(|thread| thread.join().expect("a watched thread"));

    check_view(&store.inner.shared.view().expect("an open store"));
    assert_eq!(one_generation(&store.snapshot().expect("an open store")), GENERATIONS);
    assert_eq!(store.inner.registry.oldest(), None, "expected no snapshot to be left");
    scene.check_files(&store);
}

/// Takes snapshots and holds one of them while it reads the others.
fn read(store: &Store) {
    let held = store.snapshot().expect("an open store");
    let first = one_generation(&held);
    let mut last = first;
    for _ in 0..2 {
        let found = one_generation(&store.snapshot().expect("an open store"));
        assert!(found >= last, "expected generation {last} or a later one, found {found}");
        last = found;
    }
    assert_eq!(one_generation(&held), first, "expected a snapshot to stay as it was");
}

/// The generation of all items of a snapshot, found in every way.
fn one_generation(snapshot: &Snapshot) -> u64 {
    check_view(snapshot.view());
    let rows: Vec<Vec<f32>> = snapshot.scan().map(|item| item.expect("a row").vector).collect();
    let generation = rows.first().map_or(0.0, |vector| vector[0]);
    let query = || snapshot.query(marked(0, 0)).expect("a valid query").k(2 * TOGETHER as usize).with_vectors();
    let searches = [query().exact().run(), query().run()];
    let found = searches.into_iter().map(|hits| {
        let hits = hits.expect("a search on a sound disk").into_iter();
        hits.map(|hit| hit.vector.expect("it was asked for")).collect()
    });
    for vectors in std::iter::once(rows.clone()).chain(found) {
        assert_eq!(vectors.len(), TOGETHER as usize, "expected all items of one commit");
        assert!(vectors.iter().all(|vector| vector[0] == generation), "expected one generation, found {vectors:?}");
    }
    generation as u64
}

#[test]
fn a_view_is_of_one_commit_and_keeps_its_files() {
    holds(model);
}
