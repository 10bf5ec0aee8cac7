//! Items at the very limit of a search: as far as `max_distance` says, or as far as each other.

use understory::{Batch, Metric, Store};

use crate::support::{Dir, generator, manual, noise};

fn store_of(dir: &Dir, metric: Metric, items: &[Vec<f32>]) -> Store {
    let store = Store::open_with(dir.store(), manual(metric)).unwrap();
    let mut batch = Batch::new();
    for (id, vector) in (0u64..).zip(items) {
        batch.insert(id, vector);
    }
    store.write(batch).unwrap();
    store
}

/// Beside so short a query nothing rounds but the items' own sums, and nothing of their bounds is left to chance.
#[test]
fn items_at_the_very_limit_are_found_whatever_rounds() {
    for dimension in [65, 100, 257] {
        let mut rng = generator(3);
        let items: Vec<Vec<f32>> =
            (0..49).map(|item| noise(dimension, [1e-5, 1.0, 1e5, 1e15][item % 4], &mut rng)).collect();
        let dir = Dir::in_memory();
        let store = store_of(&dir, Metric::Euclidean, &items);
        let query = noise(dimension, 1e-20, &mut rng);
        let about = || store.query(&query).unwrap().k(100);
        let exact = about().exact().run().unwrap();
        for (rank, hit) in exact.iter().enumerate() {
            let within = about().max_distance(hit.distance).recall(1.0).run().unwrap();
            assert_eq!(within, exact[..=rank], "dimension {dimension}");
        }
    }
}

/// A product of nothing but zeros may be either zero. Both are one distance, whose hits come in the order of their ids.
#[test]
fn orthogonal_items_have_one_distance() {
    let dir = Dir::in_memory();
    let store = store_of(&dir, Metric::Dot, &[vec![-1.0, 0.0], vec![1.0, 0.0], vec![-2.0, -0.0], vec![3.0, -0.0]]);
    for query in [[0.0, 1.0], [0.0, 0.0], [-0.0, -0.0], [0.0, -1.0]] {
        let hits = store.query(query).unwrap().exact().run().unwrap();
        let ids: Vec<String> = hits.iter().map(|hit| hit.id.to_string()).collect();
        assert_eq!(ids, ["0", "1", "2", "3"], "{query:?}");
        assert!(hits.iter().all(|hit| hit.distance.to_bits() == 0), "{query:?}: {hits:?}");
        assert_eq!(store.query(query).unwrap().diverse(1.0).run().unwrap(), hits, "{query:?}");
    }
}

/// Their squares are nothing in float32; their products with a longer query are numbers like any other.
#[test]
fn vectors_whose_squares_are_nothing_are_found_by_their_products() {
    for dimension in [20, 100] {
        let mut rng = generator(5);
        let items: Vec<Vec<f32>> = (0..200).map(|_| noise(dimension, 1e-30, &mut rng)).collect();
        let dir = Dir::in_memory();
        let store = store_of(&dir, Metric::Dot, &items);
        for place in ["delta", "segment"] {
            for length in [1.0, 1e15] {
                let query = noise(dimension, length, &mut rng);
                let exact = store.query(&query).unwrap().exact().run().unwrap();
                assert!(exact[0].distance < exact[9].distance, "{exact:?}");
                let every_leaf = store.query(&query).unwrap().recall(1.0).run().unwrap();
                assert_eq!(every_leaf, exact, "dimension {dimension}, in the {place}");
            }
            store.flush().unwrap();
        }
    }
}
