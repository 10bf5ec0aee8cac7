//! The worker: whatever gives it something to do wakes it, and it ends when it is told to.

use std::sync::Arc;

use super::{DELTA_ITEMS, Scene, check_view, holds, marked};
use crate::options::Maintenance;
use crate::store::Batch;

pub(super) fn model(scene: &Arc<Scene>) {
    let store = scene.open(Maintenance::Background);
    let threads: Vec<_> = (0..2)
        .map(|writer| {
            let store = store.clone();
            scene.spawn(move || {
                let mut batch = Batch::new();
                for item in 0..=DELTA_ITEMS as u64 {
                    batch.insert(1000 + writer * 100 + item, marked(writer, item));
                }
                store.write(batch).expect("a write on a sound disk");
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("a watched thread"));

    // Nobody writes any more: should the worker sleep now, this would never end.
    while store.inner.maintainer.has_work(&store.inner.shared.view().expect("an open store")) {
        shuttle::thread::yield_now();
    }
    assert_eq!(store.inner.maintainer.last_error(), None, "expected no failure in the background");
    store.close().expect("a close on a sound disk");
    drop(store);
    let store = scene.open(Maintenance::Manual);
    check_view(&store.inner.shared.view().expect("an open store"));
    scene.check_files(&store);
}

#[test]
fn the_worker_misses_no_signal() {
    holds(model);
}
