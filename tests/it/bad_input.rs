//! Bad input gets a typed error that says what was expected and what was found, or the documented empty answer; the
//! store works on afterwards, unchanged.

use understory::{Batch, Bits, Error, MAX_DIMENSION, MAX_ID_BYTES, Metric, Options, Store, VectorFault};

use crate::support::{Dir, Note, assert_mentions, generator, refused};
use crate::three_items::{assert_works_on, three_items};

/// Every call that takes a vector refuses this one in the same way.
fn assert_vector_refused(metric: Metric, vector: &[f32], mentions: &[&str], right: impl Fn(&Error) -> bool) {
    let (dir, store, model) = three_items(metric);
    let mut batch = Batch::new();
    batch.insert(10, [1.0, 1.0, 1.0]).insert(1, vector).insert(11, [1.0, 1.0, 1.0]);
    let mut with_note = Batch::new();
    with_note.insert_with(10, vector, &Note::random(&mut generator(1))).unwrap();
    let calls = [
        ("insert", refused(store.insert(1, vector))),
        ("insert_with", refused(store.insert_with(9, vector, &Note::random(&mut generator(1))))),
        ("write", refused(store.write(batch))),
        ("write with metadata", refused(store.write(with_note))),
        ("search", refused(store.search(vector, 5))),
        ("query", refused(store.query(vector).and_then(|query| query.exact().run()))),
        ("search_batch", refused(store.search_batch(&[vector], 5))),
        ("snapshot search", refused(store.snapshot().unwrap().search(vector, 5))),
    ];
    for (call, error) in calls {
        assert!(right(&error), "{call}: found {error:?}");
        assert!(error.is_usage(), "{call}: expected a usage error, found {error:?}");
        assert_mentions(&error, mentions);
    }
    assert_works_on(&dir, store, model);
}

#[test]
fn a_vector_of_another_dimension() {
    for (vector, found) in [(&[1.0, 2.0][..], 2), (&[1.0; 4][..], 4)] {
        assert_vector_refused(
            Metric::Cosine,
            vector,
            &["3", &found.to_string()],
            |error| matches!(error, Error::DimensionMismatch { expected: 3, found: dimension } if *dimension == found),
        );
    }
}

#[test]
fn a_component_that_is_not_finite() {
    for (value, shown) in [(f32::NAN, "NaN"), (f32::INFINITY, "inf"), (f32::NEG_INFINITY, "-inf")] {
        for metric in [Metric::Cosine, Metric::Euclidean, Metric::Dot] {
            assert_vector_refused(metric, &[1.0, value, 0.0], &["finite", shown, "component 1"], |error| {
                matches!(error, Error::InvalidVector(VectorFault::NotFinite { component: 1, .. }))
            });
        }
    }
}

#[test]
fn a_component_that_is_no_bit() {
    for value in [0.5, -1.0, 2.0, 1e-30] {
        let dir = Dir::new();
        let store = Store::open_with(dir.store(), Options::new().metric(Metric::Hamming)).unwrap();
        store.insert(1, [1.0, 0.0, 1.0]).unwrap();
        store.insert(2, Bits::new(&[0b011], 3).unwrap()).unwrap();
        let odd = [1.0, value, 0.0];
        for error in [refused(store.insert(3, odd)), refused(store.search(odd, 1)), refused(store.query(odd))] {
            assert!(matches!(error, Error::InvalidVector(VectorFault::NotABit { component: 1, .. })), "{error:?}");
            assert!(error.is_usage());
            assert_mentions(&error, &["0 or 1", "component 1"]);
        }
        assert_eq!(store.get(2).unwrap().unwrap().vector, [1.0, 1.0, 0.0]);
        let hits = store.search(Bits::new(&[0b011], 3).unwrap(), 5).unwrap();
        assert_eq!(hits.iter().map(|hit| hit.distance).collect::<Vec<_>>(), [0.0, 2.0]);
        assert!(refused(Bits::new(&[1, 2], 3)).is_usage());
        // The mean of both is no vector of bits; rounded it is.
        store.insert(3, [1.0, 0.0, 0.0]).unwrap();
        let like = store.query_like(&[1.into(), 2.into()], &[]).unwrap().run().unwrap();
        assert_eq!((like.len(), &like[0].id, like[0].distance), (1, &3.into(), 0.0));
    }
}

#[test]
fn the_zero_vector_has_no_direction() {
    for zero in [[0.0, 0.0, 0.0], [0.0, -0.0, 1e-30]] {
        assert_vector_refused(Metric::Cosine, &zero, &["direction", "zero"], |error| {
            matches!(error, Error::InvalidVector(VectorFault::Zero))
        });
    }
}

#[test]
fn the_zero_vector_is_a_place_like_any_other() {
    for metric in [Metric::Euclidean, Metric::Dot] {
        let (dir, store, mut model) = three_items(metric);
        store.insert("zero", [0.0; 3]).unwrap();
        model.insert("zero", &[0.0; 3], None);
        let hits = store.query([0.0; 3]).unwrap().k(4).exact().run().unwrap();
        model.check_exact(&[0.0; 3], 4, &hits);
        assert_works_on(&dir, store, model);
    }
}

#[test]
fn a_norm_that_overflows() {
    for vector in [[1e19, 1e19, 0.0], [f32::MAX, 0.0, 0.0]] {
        for metric in [Metric::Cosine, Metric::Euclidean, Metric::Dot] {
            assert_vector_refused(
                metric,
                &vector,
                &["norm", "float32"],
                |error| matches!(error, Error::InvalidVector(VectorFault::NormOverflow { norm }) if *norm > 1e18),
            );
        }
    }
}

#[test]
fn a_vector_without_components() {
    let dir = Dir::new();
    let store = Store::open(dir.store()).unwrap();
    let none: [f32; 0] = [];
    let error = refused(store.insert(1, none));
    assert!(matches!(error, Error::InvalidVector(VectorFault::Empty)), "{error:?}");
    assert_mentions(&error, &["expected a vector with components", "none"]);
    assert_eq!((store.dimension(), store.len().unwrap()), (None, 0), "nothing was fixed by a refused vector");

    assert_vector_refused(Metric::Cosine, &none, &["3", "0"], |error| {
        matches!(error, Error::DimensionMismatch { expected: 3, found: 0 })
    });
}

#[test]
fn a_vector_longer_than_any() {
    let dir = Dir::new();
    let store = Store::open(dir.store()).unwrap();
    let error = refused(store.insert(1, vec![1.0; MAX_DIMENSION + 1]));
    assert!(matches!(error, Error::InvalidVector(VectorFault::TooLong { dimension: 16_385 })), "{error:?}");
    assert_mentions(&error, &["16384", "16385"]);
    store.insert(1, vec![1.0; MAX_DIMENSION]).unwrap();
    assert_eq!(store.get(1).unwrap().expect("the item").vector, vec![1.0; MAX_DIMENSION]);
}

#[test]
fn zero_hits_and_empty_batches_are_empty_answers() {
    let (dir, store, model) = three_items(Metric::Cosine);
    assert_eq!(store.search([1.0, 0.0, 0.0], 0).unwrap(), []);
    assert_eq!(store.query([1.0, 0.0, 0.0]).unwrap().k(0).exact().run().unwrap(), []);
    store.write(Batch::new()).unwrap();
    let none: [[f32; 3]; 0] = [];
    assert_eq!(store.search_batch(&none, 10).unwrap(), Vec::<Vec<_>>::new());
    assert_works_on(&dir, store, model);
}

#[test]
fn an_empty_store_answers() {
    let dir = Dir::new();
    let store = Store::open(dir.store()).unwrap();
    assert_eq!(store.search([1.0, 0.0], 5).unwrap(), []);
    assert!(store.is_empty().unwrap() && !store.remove(1).unwrap() && store.get("a").unwrap().is_none());
    assert!(matches!(refused(store.query_near(1).and_then(|query| query.run())), Error::NotFound(_)));
    store.write(Batch::new()).unwrap();
    store.flush().unwrap();
    store.compact().unwrap();
    assert!(store.verify().unwrap().problems.is_empty());
    assert_eq!(store.dimension(), None);
    store.insert(1, [1.0, 2.0]).unwrap();
    assert_eq!(store.dimension(), Some(2));
}

#[test]
fn an_id_that_is_too_long() {
    let (dir, store, mut model) = three_items(Metric::Cosine);
    let long = "i".repeat(MAX_ID_BYTES + 1);
    let mut batch = Batch::new();
    batch.insert(20, [1.0, 1.0, 1.0]).insert(long.as_str(), [1.0, 1.0, 1.0]);
    for error in [refused(store.insert(long.as_str(), [1.0, 1.0, 1.0])), refused(store.write(batch))] {
        assert!(matches!(error, Error::IdTooLong { bytes: 1025 }), "{error:?}");
        assert_mentions(&error, &["1024", "1025"]);
    }
    let longest = "i".repeat(MAX_ID_BYTES);
    store.insert(longest.as_str(), [1.0, 1.0, 1.0]).unwrap();
    model.insert(longest, &[1.0, 1.0, 1.0], None);
    assert_works_on(&dir, store, model);
}

#[test]
fn metadata_that_is_no_map_or_has_lists_of_maps() {
    let (dir, store, model) = three_items(Metric::Cosine);
    let in_list = std::collections::BTreeMap::from([("inner", [std::collections::BTreeMap::from([("a", 1)])])]);
    for error in [
        refused(store.insert_with(1, [1.0, 1.0, 1.0], &17)),
        refused(store.insert_with(1, [1.0, 1.0, 1.0], &"text")),
        refused(store.insert_with(1, [1.0, 1.0, 1.0], &in_list)),
        refused(Batch::new().insert_with(1, [1.0, 1.0, 1.0], &vec![1, 2])),
    ] {
        assert!(matches!(error, Error::InvalidMetadata(_)) && error.is_usage(), "{error:?}");
        assert_mentions(&error, &["map"]);
    }
    assert_works_on(&dir, store, model);
}

/// One caller's mistake must not fail, delay or reorder the writes that share its commit.
#[test]
fn a_bad_call_fails_no_other_that_shares_its_commit() {
    let (dir, store, mut model) = three_items(Metric::Cosine);
    std::thread::scope(|scope| {
        for thread in 0..8_u64 {
            let store = &store;
            scope.spawn(move || {
                for write in 0..25 {
                    let id = 1000 + thread * 100 + write;
                    let bad = match (thread + write) % 4 {
                        0 => store.insert(id, [1.0, 2.0]),
                        1 => store.insert(id, [1.0, f32::NAN, 2.0]),
                        2 => store.insert(id, [0.0; 3]),
                        _ => store.insert("i".repeat(2000), [1.0, 2.0, 3.0]),
                    };
                    assert!(refused(bad).is_usage());
                    store.insert(id, [id as f32, 1.0, write as f32]).expect("a good call");
                }
            });
        }
    });
    for thread in 0..8_u64 {
        for write in 0..25 {
            let id = 1000 + thread * 100 + write;
            model.insert(id, &[id as f32, 1.0, write as f32], None);
        }
    }
    assert_works_on(&dir, store, model);
}

/// The first write in commit order fixes the dimension, and every other caller is told of it.
#[test]
fn first_writes_of_different_dimensions_agree_on_one() {
    for _ in 0..10 {
        let dir = Dir::new();
        let store = Store::open(dir.store()).unwrap();
        let results: Vec<(usize, understory::Result<()>)> = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..8_usize)
                .map(|thread| {
                    let store = &store;
                    let dimension = 3 + thread % 2;
                    scope.spawn(move || (dimension, store.insert(thread as u64, vec![1.0; dimension])))
                })
                .collect();
            writers.into_iter().map(|writer| writer.join().unwrap()).collect()
        });
        let fixed = store.dimension().expect("some write was the first");
        for (dimension, result) in results {
            match result {
                Ok(()) => assert_eq!(dimension, fixed),
                Err(Error::DimensionMismatch { expected, found }) => {
                    assert_eq!((expected, found), (fixed, 7 - fixed))
                }
                Err(error) => panic!("expected a dimension mismatch, found {error:?}"),
            }
        }
        assert_eq!(store.len().unwrap(), 4);
    }
}
