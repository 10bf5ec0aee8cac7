//! Orders and distances on a few items, and the conventions of each metric.

use understory::annoy::{AnnoyIndex, Metric};

use crate::support::{METRICS, assert_refused, built, exact, exact_distance, generator, ids, vectors};

fn three(metric: Metric, items: [[f32; 3]; 3]) -> AnnoyIndex {
    built(metric, &items.map(|item| item.to_vec()), 10)
}

#[track_caller]
fn assert_distances(found: &[(usize, f32)], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    for (&(item, distance), expected) in found.iter().zip(expected) {
        assert!((f64::from(distance) - expected).abs() < 1e-5, "item {item}: expected {expected}, found {distance}");
    }
}

#[test]
fn angular_orders_by_direction() {
    let index = three(Metric::Angular, [[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]);
    assert_eq!(ids(&index.get_nns_by_vector(&[3.0, 2.0, 1.0], 3, -1).unwrap()), [2, 1, 0]);
    assert_eq!(ids(&index.get_nns_by_vector(&[2.0, 0.0, 1.0], 3, -1).unwrap()), [2, 0, 1]);
    let index = three(Metric::Angular, [[2.0, 1.0, 0.0], [1.0, 2.0, 0.0], [0.0, 0.0, 1.0]]);
    assert_eq!(ids(&index.get_nns_by_item(0, 3, -1).unwrap()), [0, 1, 2]);
    assert_eq!(ids(&index.get_nns_by_item(1, 3, -1).unwrap()), [1, 0, 2]);
}

#[test]
fn angular_distances_are_those_of_the_unit_vectors() {
    let index = built(Metric::Angular, &[vec![0.0, 1.0], vec![1.0, 1.0], vec![0.0, 5.0], vec![0.0, 0.0]], 5);
    let half = (2.0 * (1.0 - 2.0f64.powf(-0.5))).sqrt();
    let pairs = [(0, 1, half), (0, 2, 0.0), (0, 3, 2.0f64.sqrt()), (3, 3, 2.0f64.sqrt())];
    for (i, j, expected) in pairs {
        assert_distances(&[(i, index.get_distance(i, j).unwrap())], &[expected]);
    }
    let opposite = built(Metric::Angular, &[vec![1.0, 0.0], vec![-1.0, 0.0]], 5);
    assert_distances(&opposite.get_nns_by_vector(&[2.0, 0.0], 2, -1).unwrap(), &[0.0, 2.0]);
}

#[test]
fn euclidean_and_manhattan_distances() {
    let items = [[2.0, 2.0], [3.0, 2.0], [3.0, 3.0]].map(|item| item.to_vec());
    let root = |squares: [f64; 3]| squares.map(f64::sqrt);
    let index = built(Metric::Euclidean, &items, 10);
    let found = index.get_nns_by_vector(&[4.0, 4.0], 3, -1).unwrap();
    assert_eq!(ids(&found), [2, 1, 0]);
    assert_distances(&found, &root([2.0, 5.0, 8.0]));
    let index = built(Metric::Manhattan, &items, 10);
    let found = index.get_nns_by_vector(&[4.0, 4.0], 3, -1).unwrap();
    assert_eq!(ids(&found), [2, 1, 0]);
    assert_distances(&found, &[2.0, 3.0, 4.0]);
    // Close values must not give a negative square.
    let close = built(Metric::Euclidean, &[vec![0.712_593], vec![0.712_316_6]], 1);
    assert!(close.get_distance(0, 1).unwrap() >= 0.0);
}

#[test]
fn dot_distances_are_products_in_descending_order() {
    let index = three(Metric::Dot, [[2.0, 2.0, 0.0], [3.0, 2.0, 0.0], [3.0, 3.0, 0.0]]);
    let found = index.get_nns_by_vector(&[4.0, 4.0, 0.0], 3, -1).unwrap();
    assert_eq!(ids(&found), [2, 1, 0]);
    assert_distances(&found, &[24.0, 20.0, 16.0]);
    assert_distances(&[(0, index.get_distance(0, 1).unwrap())], &[10.0]);
}

#[test]
fn hamming_counts_bits_that_differ_and_gives_them_back() {
    let mut generator = generator(5);
    let bits: Vec<Vec<f32>> = vectors(&mut generator, 2, 100)
        .into_iter()
        .map(|vector| vector.iter().map(|&component| f32::from(component > 0.0)).collect())
        .collect();
    let index = built(Metric::Hamming, &bits, 10);
    assert_eq!(index.get_item_vector(0).unwrap(), bits[0]);
    assert_eq!(index.get_item_vector(1).unwrap(), bits[1]);
    let differing = bits[0].iter().zip(&bits[1]).filter(|(a, b)| a != b).count() as f64;
    assert_distances(&index.get_nns_by_item(0, 2, -1).unwrap(), &[0.0, differing]);
    assert_distances(&[(0, index.get_distance(0, 1).unwrap())], &[differing]);
}

#[test]
fn distances_are_those_of_the_definition_and_everything_is_found_exhaustively() {
    for metric in METRICS {
        for f in [1, 3, 8, 33, 130] {
            let vectors = vectors(&mut generator(f as u64), 300, f);
            let index = built(metric, &vectors, 4);
            for query in 0..10 {
                let found = index.get_nns_by_item(query, 300, 1_000_000).unwrap();
                assert_eq!(found.len(), 300, "{metric}, f {f}");
                for &(item, distance) in &found {
                    let expected = exact_distance(metric, &vectors[query], &vectors[item]);
                    let close = (f64::from(distance) - expected).abs() < 1e-3;
                    assert!(close, "{metric}, f {f}: expected {expected}, found {distance}");
                    assert!((f64::from(index.get_distance(query, item).unwrap()) - expected).abs() < 1e-3);
                }
                let in_order = found.windows(2).all(|pair| match metric {
                    Metric::Dot => pair[0].1 >= pair[1].1,
                    _ => pair[0].1 <= pair[1].1,
                });
                assert!(in_order, "{metric}, f {f}");
            }
        }
    }
}

#[test]
fn some_of_the_nearest_are_found_with_a_small_budget() {
    for metric in METRICS {
        let vectors = vectors(&mut generator(9), 3_000, 20);
        let index = built(metric, &vectors, 10);
        let mut found = 0.0;
        for query in 0..100 {
            let nearest = index.get_nns_by_item(query, 10, 600).unwrap();
            assert_eq!(nearest.len(), 10);
            let worst = exact(metric, &vectors, &vectors[query], 10)[9];
            let worst = exact_distance(metric, &vectors[query], &vectors[worst]);
            // By distance, since ties are the rule for bits.
            found += nearest
                .iter()
                .filter(|hit| match metric {
                    Metric::Dot => f64::from(hit.1) >= worst - 1e-4,
                    _ => f64::from(hit.1) <= worst + 1e-4,
                })
                .count() as f64;
        }
        // A tenth of the items at random would give 0.2.
        assert!(found / 1000.0 > 0.5, "{metric}: {}", found / 1000.0);
    }
}

#[test]
fn names_are_annoys() {
    for metric in METRICS {
        assert_eq!(metric.to_string().parse::<Metric>().unwrap(), metric);
    }
    assert_refused("cosine".parse::<Metric>(), &["angular", "cosine"]);
}
