//! Callers that write at the same time: each gets one outcome, its own, and what it wrote is there when it has it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Scene, check_view, holds, marked};
use crate::error::Error;
use crate::options::Maintenance;

/// Schedules in which callers shared a commit: without any, the model would show little.
static SHARED_COMMITS: AtomicUsize = AtomicUsize::new(0);

const WRITERS: u64 = 3;
const WRITES: u64 = 2;

pub(super) fn model(scene: &Arc<Scene>) {
    let store = scene.open(Maintenance::Manual);
    let before = store.inner.shared.view().expect("an open store").counters.next_sequence;
    let syncs = syncs(scene);
    let mut threads: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let store = store.clone();
            scene.spawn(move || {
                for write in 0..WRITES {
                    let id = 100 + writer * WRITES + write;
                    store.insert(id, marked(9, id)).expect("a valid write");
                    let item = store.get(id).expect("a read").expect("its own write");
                    assert_eq!(item.vector, marked(9, id), "expected its own write");
                }
            })
        })
        .collect();
    let refused = store.clone();
    threads.push(scene.spawn(move || {
        let outcome = refused.insert(7777, [1.0; 5]);
        assert!(matches!(outcome, Err(Error::DimensionMismatch { .. })), "expected its own refusal: {outcome:?}");
    }));
    threads.into_iter().for_each(|thread| thread.join().expect("a watched thread"));

    let view = store.inner.shared.view().expect("an open store");
    assert_eq!(view.counters.next_sequence - before, WRITERS * WRITES, "expected each write to be applied once");
    check_view(&view);
    drop(view);
    assert!(!store.contains(7777).expect("a read"), "expected no trace of what was refused");
    let commits = self::syncs(scene) - syncs;
    SHARED_COMMITS.fetch_add(usize::from(commits < (WRITERS * WRITES) as usize * 2), Ordering::Relaxed);
    store.close().expect("a close on a sound disk");
    let store = scene.open(Maintenance::Manual);
    for id in 100..100 + WRITERS * WRITES {
        assert!(store.contains(id).expect("a read"), "expected item {id} after a reopening");
    }
}

/// Syncs of the disk so far; a commit makes two.
fn syncs(scene: &Scene) -> usize {
    scene.disk.log().iter().filter(|operation| operation.is_sync()).count()
}

#[test]
fn every_write_gets_its_own_outcome_once() {
    holds(model);
    assert!(SHARED_COMMITS.load(Ordering::Relaxed) > 0, "expected callers to share a commit in some schedules");
}
