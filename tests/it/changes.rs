//! Changes of metadata from many threads at once: none is lost, and a refused one hurts nobody who shares its commit.

use std::collections::BTreeMap;
use std::thread;

use understory::{Durability, Error, Metric, Store, Value, field};

use crate::support::{Dir, manual};

const THREADS: usize = 6;
const ROUNDS: i64 = 60;

fn patch(key: String, value: i64) -> BTreeMap<String, i64> {
    BTreeMap::from([(key, value)])
}

#[test]
fn patches_from_many_threads_all_stay_and_refused_ones_fail_alone() {
    let dir = Dir::in_memory();
    let options = manual(Metric::Euclidean).durability(Durability::Buffered);
    let store = Store::open_with(dir.store(), options.clone()).unwrap();
    store.insert_with("shared", [1.0, 2.0], &patch("first".into(), -1)).unwrap();
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let store = &store;
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    match (thread, round % 2) {
                        (0, 0) => {
                            let refused = store.patch_metadata("absent", &patch("a".into(), 1));
                            assert!(matches!(refused, Err(Error::NotFound(id)) if id == "absent".into()));
                        }
                        _ => {
                            store.patch_metadata("shared", &patch(format!("{thread}.{}", round % 7), round)).unwrap()
                        }
                    }
                }
            });
        }
    });
    store.close().unwrap();
    let store = Store::open_with(dir.store(), options).unwrap();
    let item = store.get("shared").unwrap().unwrap();
    assert_eq!(item.vector, [1.0, 2.0]);
    let mut expected = BTreeMap::from([("first".to_owned(), Value::Integer(-1))]);
    for thread in 0..THREADS {
        for round in (0..ROUNDS).filter(|round| thread > 0 || round % 2 == 1) {
            expected.insert(format!("{thread}.{}", round % 7), round.into());
        }
    }
    assert_eq!(item.metadata.into_iter().collect::<BTreeMap<_, _>>(), expected);
    assert_eq!(store.len().unwrap(), 1);
    assert!(store.verify().unwrap().problems.is_empty());
}

/// What is put in place of a match while it is being removed stays, whole.
#[test]
fn removing_what_matches_beside_a_writer_leaves_what_was_replaced() {
    let dir = Dir::in_memory();
    let store = Store::open_with(dir.store(), manual(Metric::Euclidean).durability(Durability::Buffered)).unwrap();
    let ids = 0..40u64;
    for id in ids.clone() {
        store.insert_with(id, [0.0], &patch("old".into(), 1)).unwrap();
    }
    let removed = thread::scope(|scope| {
        let remover =
            scope.spawn(|| (0..40).map(|_| store.remove_where(field("old").exists()).unwrap()).sum::<u64>());
        for id in ids.clone() {
            store.insert_with(id, [1.0], &patch("new".into(), 2)).unwrap();
        }
        remover.join().unwrap()
    });
    let left = removed + store.remove_where(field("old").exists()).unwrap();
    assert!(left <= 40, "{left} of 40 removed");
    assert_eq!(store.count(field("new").is(2)).unwrap(), 40);
    assert_eq!(store.len().unwrap(), 40);
}

#[test]
fn bad_filters_are_refused_wherever_they_are_taken() {
    let dir = Dir::in_memory();
    let store = Store::open_with(dir.store(), manual(Metric::Euclidean)).unwrap();
    store.insert(1, [0.0]).unwrap();
    let bad = || field("a").lt(f64::NAN);
    let query = || store.query([0.0]).unwrap();
    let refused = [
        store.count(bad()).err(),
        store.remove_where(bad()).err(),
        store.distinct("a", Some(&bad())).err(),
        store.scan_where(bad()).unwrap().run().err(),
        query().filter(bad()).run().err(),
        query().filter(bad()).group_by("a", 1, 1).err(),
    ];
    for error in refused {
        assert!(
            matches!(&error, Some(error @ Error::InvalidFilter { column: None, .. }) if error.is_usage()),
            "{error:?}"
        );
    }
    for lambda in [-0.1, 1.1, f32::NAN] {
        let error = query().diverse(lambda).run().unwrap_err();
        assert!(matches!(&error, Error::InvalidArgument(what) if what.contains("from 0 to 1")), "{error}");
    }
    assert!(matches!(store.query_like(&[], &[1.into()]).err(), Some(Error::InvalidArgument(_))));
    assert!(matches!(store.query_like(&[2.into()], &[]).err(), Some(Error::NotFound(id)) if id == 2.into()));
    let wrong = store.query_like(&[1.into()], &[vec![0.0, 1.0].into()]).err();
    assert!(matches!(wrong, Some(Error::DimensionMismatch { expected: 1, found: 2 })), "{wrong:?}");
    assert_eq!(store.len().unwrap(), 1);
}
