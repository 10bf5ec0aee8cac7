//! Items at the very limit of a search: as far as `max_distance` says, or as far as each other.

use understory::{Batch, Hit, Metric, Query, Store};

use crate::support::{Dir, generator, manual, noise};

/// Vectors with one component other than zero: their codes have no error, so bounds are as near as rounding lets them be.
fn one_hot(dimension: usize, items: usize) -> Vec<Vec<f32>> {
    let component = |item: usize, at: usize| if at == item % dimension { [1.0, -1.0][item % 2] } else { 0.0 };
    (0..items).map(|item| (0..dimension).map(|at| component(item, at)).collect()).collect()
}

/// Of lengths from 1e-20 to 1e15, so that the items are what rounds.
fn lengths(dimension: usize, items: usize) -> Vec<Vec<f32>> {
    let mut rng = generator(3);
    (0..items).map(|item| noise(dimension, [1e-20, 1e-5, 1.0, 1e5, 1e15][item % 5], &mut rng)).collect()
}

fn store_of(dir: &Dir, metric: Metric, items: &[Vec<f32>]) -> Store {
    let store = Store::open_with(dir.store(), manual(metric)).unwrap();
    let mut batch = Batch::new();
    for (id, vector) in (0u64..).zip(items) {
        batch.insert(id, vector);
    }
    store.write(batch).unwrap();
    store
}

/// For each query and some numbers of hits, what every leaf gives must be what exact search does, with and without a limit.
fn check(store: &Store, queries: &[Vec<f32>], what: &str) {
    for query in queries {
        for k in [1, 10, 100] {
            let about = || store.query(query).unwrap().k(k);
            let exact = about().exact().run().unwrap();
            let every_leaf = |query: Query| query.recall(1.0).run().unwrap();
            assert_eq!(every_leaf(about()), exact, "{what}, k = {k}");
            let limit = exact[exact.len() / 2].distance;
            let within: Vec<Hit> = exact.iter().filter(|hit| hit.distance <= limit).cloned().collect();
            assert_eq!(every_leaf(about().max_distance(limit)), within, "{what}, k = {k}, within {limit}");
        }
    }
}

fn check_in_delta_and_segment(items: &[Vec<f32>], metric: Metric, what: &str) {
    let dir = Dir::in_memory();
    let store = store_of(&dir, metric, items);
    let queries = [items[0].clone(), items[1].clone(), items[7].clone(), vec![1.0; items[0].len()]];
    check(&store, &queries, &format!("{metric}, {what}, in the delta"));
    store.flush().unwrap();
    check(&store, &queries, &format!("{metric}, {what}, in a segment"));
}

#[test]
fn items_at_the_very_limit_are_found_whatever_rounds() {
    for dimension in [3, 65, 100, 257] {
        for metric in [Metric::Cosine, Metric::Euclidean, Metric::Dot, Metric::Manhattan] {
            check_in_delta_and_segment(&one_hot(dimension, 49), metric, &format!("one-hot, dimension {dimension}"));
        }
        for metric in [Metric::Euclidean, Metric::Manhattan] {
            check_in_delta_and_segment(&lengths(dimension, 49), metric, &format!("lengths, dimension {dimension}"));
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
