//! A store opened read-only answers as it would otherwise, and refuses whatever would write.

use std::path::Path;

use understory::{Batch, Error, Maintenance, Metric, Options, Store};

use crate::support::{Dir, manual, refused};

fn filled(path: &Path) -> Store {
    let store = Store::open_with(path, manual(Metric::Euclidean)).unwrap();
    let mut batch = Batch::new();
    for id in 0..500u64 {
        batch.insert(id, [id as f32, 0.5]);
    }
    store.write(batch).unwrap();
    store.flush().unwrap();
    store.insert(500, [500.0, 0.5]).unwrap();
    store.remove(3).unwrap();
    store
}

#[test]
fn a_store_answers_the_same_read_only_and_refuses_writes() {
    let dir = Dir::new();
    let store = filled(&dir.store());
    let expected = store.search([7.25, 0.5], 20).unwrap();
    store.close().unwrap();
    let store = Store::open_with(dir.store(), Options::new().read_only(true)).unwrap();
    assert_eq!(store.search([7.25, 0.5], 20).unwrap(), expected);
    assert_eq!((store.len().unwrap(), store.get(500).unwrap().unwrap().vector), (500, vec![500.0, 0.5]));
    assert_eq!(store.scan().unwrap().count(), 500);
    assert!(store.verify().unwrap().problems.is_empty());
    assert_eq!(store.stats().unwrap().segments.len(), 1);
    let refusals = [
        store.insert(1, [1.0, 1.0]),
        store.remove(1).map(drop),
        store.remove(9999).map(drop),
        store.write(Batch::new()),
        store.flush(),
        store.compact(),
    ];
    for refusal in refusals {
        assert!(matches!(refusal, Err(Error::ReadOnly)), "{refusal:?}");
    }
    assert_eq!(store.len().unwrap(), 500, "reads go on");
    store.close().unwrap();
    assert_eq!(Store::open(dir.store()).unwrap().len().unwrap(), 500);
}

#[test]
fn every_way_to_end_a_store_leaves_it_readable() {
    let dir = Dir::new();
    for round in 0..4 {
        let store = match round {
            0 => filled(&dir.store()),
            1 => Store::open(dir.store()).unwrap(),
            2 => Store::open_with(dir.store(), Options::new().durability(understory::Durability::Buffered)).unwrap(),
            _ => Store::open_with(dir.store(), Options::new().maintenance(Maintenance::Manual)).unwrap(),
        };
        if round == 2 {
            store.insert(600, [600.0, 0.5]).unwrap();
        }
        if round % 2 == 0 {
            drop(store);
        } else {
            store.close().unwrap();
        }
        let expected = if round < 2 { 500 } else { 501 };
        assert_eq!(Store::open_read_only(dir.store()).unwrap().len().unwrap(), expected, "round {round}");
    }
}

#[test]
fn nothing_is_created_for_a_reader() {
    let dir = Dir::new();
    assert!(matches!(refused(Store::open_read_only(dir.store())), Error::NotAStore { .. }));
    assert!(!dir.store().exists());
    std::fs::create_dir(dir.store()).unwrap();
    assert!(matches!(refused(Store::open_read_only(dir.store())), Error::NotAStore { .. }));
    assert_eq!(std::fs::read_dir(dir.store()).unwrap().count(), 0);
}
