//! Closing beside everything else: it waits for jobs, ends everyone, and leaves nothing behind.

use std::sync::Arc;

use super::{DELTA_ITEMS, Scene, check_view, holds, marked};
use crate::error::{Error, Result};
use crate::options::Maintenance;
use crate::store::{Batch, Store};

/// Whether to go on; the only failure may be that the store is closed.
fn goes_on<T>(outcome: Result<T>) -> bool {
    match outcome {
        Ok(_) => true,
        Err(Error::Closed) => false,
        Err(error) => panic!("expected success, or a closed store, found {error:?}"),
    }
}

/// What a job of the worker or of a flush is made of.
fn large_batch() -> Batch {
    let mut large = Batch::new();
    for item in 0..=DELTA_ITEMS as u64 {
        large.insert(1000 + item, marked(1, item));
    }
    large
}

fn close(scene: &Scene, store: &Store) {
    store.close().expect("a close on a sound disk");
    let names = scene.segment_names();
    assert!(names.iter().all(|name| name.ends_with(".seg")), "expected no job to go on, found {names:?}");
    assert!(!goes_on(store.snapshot()) && !goes_on(store.insert(1, marked(3, 1))) && !goes_on(store.flush()));
}

/// Everyone at once. Who reads or writes may keep a file a little longer than the store.
fn beside_everything(scene: &Arc<Scene>) {
    let store = scene.open(Maintenance::Background);
    let acknowledged = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let mut threads = Vec::new();
    let (writer, written) = (store.clone(), acknowledged.clone());
    threads.push(scene.spawn(move || {
        if !goes_on(writer.write(large_batch())) {
            return;
        }
        for id in 100..103 {
            if !goes_on(writer.insert(id, marked(2, id))) {
                return;
            }
            written.lock().push(id);
        }
    }));
    let builder = store.clone();
    threads.push(scene.spawn(move || _ = goes_on(builder.flush()) && goes_on(builder.compact())));
    let reader = store.clone();
    threads.push(scene.spawn(move || read(&reader)));
    let (closer, its_scene) = (store.clone(), scene.clone());
    threads.push(scene.spawn(move || close(&its_scene, &closer)));
    close(scene, &store);
    let closed = scene.segment_names();
    threads.into_iter().for_each(|thread| thread.join().expect("a watched thread"));
    let left = scene.segment_names();
    assert!(left.is_subset(&closed), "expected no file to be made after a close, found {left:?} after {closed:?}");
    drop(store);

    let store = scene.open(Maintenance::Manual);
    assert!(store.open_report().swept_files.is_empty(), "expected {:?} to be gone", store.open_report().swept_files);
    check_view(&store.inner.shared.view().expect("an open store"));
    for &id in acknowledged.lock().iter() {
        assert!(store.contains(id).expect("a read"), "expected the acknowledged item {id}");
    }
}

/// Jobs alone: a close is the end of every file's coming and going.
pub(super) fn beside_jobs(scene: &Arc<Scene>) {
    let store = scene.open(Maintenance::Manual);
    store.write(large_batch()).expect("a write on a sound disk");
    let builder = store.clone();
    let builds = scene.spawn(move || _ = goes_on(builder.flush()) && goes_on(builder.compact()));
    close(scene, &store);
    let closed = scene.segment_names();
    builds.join().expect("a watched thread");
    assert_eq!(scene.segment_names(), closed, "expected no job to go on after a close");
}

fn read(store: &Store) {
    for _ in 0..3 {
        let Ok(hits) = store.search(marked(0, 0), 3) else { return assert!(!goes_on(store.len())) };
        assert_eq!(hits.len(), 3, "expected whole answers until the store is closed");
    }
}

#[test]
fn closing_waits_for_jobs_and_ends_everyone() {
    holds(beside_everything);
    holds(beside_jobs);
}
