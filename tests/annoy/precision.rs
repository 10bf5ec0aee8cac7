//! The thresholds of Annoy's own tests, or tighter ones where it leaves slack.

use rand::RngExt;
use understory::annoy::{AnnoyIndex, Metric};

use crate::support::{built, exact, gauss, generator, ids, recall, vector, vectors};

const F: usize = 10;
const ITEMS: usize = 10_000;
const ROUNDS: u64 = 3;

/// The share of the true `n` nearest, item `j` being the j-th nearest, over some rounds.
fn precision(metric: Metric, n: usize, search_k: i64) -> f64 {
    let mut found = 0;
    for round in 0..ROUNDS {
        let mut generator = generator(round);
        let mut items = Vec::new();
        for j in 0..ITEMS {
            let direction = vector(&mut generator, if metric == Metric::Angular { F - 1 } else { F });
            let norm = direction.iter().map(|component| component * component).sum::<f32>().sqrt();
            items.push(match metric {
                Metric::Angular => {
                    let rest = direction.iter().map(|component| component / norm * j as f32);
                    std::iter::once(1000.0).chain(rest).collect()
                }
                Metric::Euclidean => direction.iter().map(|component| component / norm * j as f32).collect(),
                _ => (0..F).map(|_| generator.random::<f32>() + j as f32).collect::<Vec<f32>>(),
            });
        }
        let index = built(metric, &items, 10);
        let mut query = vec![0.0; F];
        if metric == Metric::Angular {
            query[0] = 1000.0;
        }
        let nearest = ids(&index.get_nns_by_vector(&query, n, search_k).unwrap());
        assert!(nearest.is_sorted(), "{metric}, n {n}: {nearest:?}");
        found += nearest.iter().filter(|&&item| item < n).count();
    }
    found as f64 / (n as u64 * ROUNDS) as f64
}

#[test]
fn precision_is_annoys() {
    for (metric, search_k) in [(Metric::Angular, 100_000), (Metric::Euclidean, -1), (Metric::Manhattan, -1)] {
        for n in [1, 10, 100, 1000] {
            let precision = precision(metric, n, search_k);
            assert!(precision >= 0.98, "{metric}, n {n}: {precision}");
        }
    }
}

#[test]
fn twins_find_each_other() {
    let mut generator = generator(4);
    let mut items = Vec::new();
    for _ in 0..5_000 {
        let first = vector(&mut generator, F);
        items.push(first.iter().map(|component| component + 0.01 * gauss(&mut generator)).collect());
        items.push(first);
    }
    let index = built(Metric::Angular, &items, 10);
    for item in 0..items.len() {
        assert_eq!(ids(&index.get_nns_by_item(item, 2, 1000).unwrap()), [item, item ^ 1]);
    }
}

#[test]
fn dot_recall_is_annoys() {
    let items = vectors(&mut generator(8), 1000, F);
    let index = built(Metric::Dot, &items, 10);
    let few_trees = built(Metric::Dot, &items, 4);
    for (n, least) in [(10, 0.65), (100, 0.95), (1000, 0.99)] {
        let mean = |index: &AnnoyIndex| {
            let of = |item: usize| {
                let found = ids(&index.get_nns_by_item(item, n, -1).unwrap());
                recall(&found, &exact(Metric::Dot, &items, &items[item], n))
            };
            (0..200).map(of).sum::<f64>() / 200.0
        };
        assert!(mean(&index) >= least, "@{n}: {}", mean(&index));
        if n == 1000 {
            assert!(mean(&few_trees) >= least, "@{n} with 4 trees: {}", mean(&few_trees));
        }
    }
}

#[test]
fn random_bits_have_a_near_neighbour() {
    let mut generator = generator(6);
    let items: Vec<Vec<f32>> =
        (0..100_000).map(|_| (0..10).map(|_| f32::from(generator.random::<bool>())).collect()).collect();
    let index = built(Metric::Hamming, &items, 10);
    let mut sum = 0.0;
    for _ in 0..1000 {
        let query: Vec<f32> = (0..10).map(|_| f32::from(generator.random::<bool>())).collect();
        let found = index.get_nns_by_vector(&query, 1, 1000).unwrap();
        assert!((0.0..=10.0).contains(&found[0].1));
        sum += found[0].1;
    }
    assert!(sum / 1000.0 <= 0.42, "{}", sum / 1000.0);
}

#[test]
fn many_items_of_three_components_stay_within_the_range_of_distances() {
    let items = vectors(&mut generator(7), 100_000, 3);
    let index = built(Metric::Angular, &items, 10);
    for item in 0..20 {
        let found = index.get_nns_by_item(item, 100_000, 10_000_000).unwrap();
        assert_eq!(found.len(), 100_000);
        assert!(found[0].1 < 1e-3 && found.iter().all(|&(_, distance)| (0.0..=2.0).contains(&distance)));
    }
}
