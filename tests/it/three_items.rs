//! A small store for the tests of bad input, and the proof that it took no harm.

use understory::{Metric, Store};

use crate::oracle::Model;
use crate::support::{Dir, manual};

/// A store of three items of dimension 3, and what it holds.
pub(crate) fn three_items(metric: Metric) -> (Dir, Store, Model) {
    let dir = Dir::new();
    let store = Store::open_with(dir.store(), manual(metric)).unwrap();
    let mut model = Model::new(metric);
    for (id, vector) in [(1, [1.0, 0.5, 0.0]), (2, [0.0, 1.0, 0.5]), (3, [0.5, 0.0, 1.0])] {
        store.insert(id, vector).unwrap();
        model.insert(id, &vector, None);
    }
    (dir, store, model)
}

/// The store has the same items as before, takes a write, and has everything after it is opened again.
pub(crate) fn assert_works_on(dir: &Dir, store: Store, mut model: Model) {
    model.check_reader(&store, &[vec![1.0, 0.25, 0.25]]);
    store.insert("after", [0.5, 0.5, 0.5]).unwrap();
    model.insert("after", &[0.5, 0.5, 0.5], None);
    model.check_reader(&store, &[vec![1.0, 0.25, 0.25]]);
    drop(store);
    let store = Store::open_with(dir.store(), manual(model.metric)).unwrap();
    model.check_reader(&store, &[vec![1.0, 0.25, 0.25]]);
}
