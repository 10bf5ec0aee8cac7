//! Codes of candidates change how fast an answer comes, never the answer.

use understory::annoy::{AnnoyIndex, Metric};

use crate::support::{METRICS, built, generator, vector, vectors};

/// Enough items of enough components that codes are kept.
const ITEMS: usize = 6000;
const F: usize = 100;

fn answers(index: &AnnoyIndex, queries: &[Vec<f32>], n: usize, search_k: i64) -> Vec<Vec<(usize, f32)>> {
    queries.iter().map(|query| index.get_nns_by_vector(query, n, search_k).unwrap()).collect()
}

#[test]
fn answers_are_the_same_with_and_without_codes() {
    let mut generator = generator(41);
    for metric in METRICS {
        let mut items = vectors(&mut generator, ITEMS, F);
        // Ties and vectors that have no code.
        for item in (0..300).step_by(3) {
            items[item + 1] = items[item].clone();
            items[item + 2] = vec![0.0; F];
        }
        let mut coded = built(metric, &items, 5);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("items.ann");
        coded.save(&path, false).unwrap();
        let loaded = |keep, prefault| {
            let mut index = AnnoyIndex::new(F, metric).unwrap();
            index.candidate_codes(keep);
            index.load(&path, prefault).unwrap();
            index
        };
        // Made by the build, by searches that measured enough, by the load, and never.
        let [plain, lazy, eager] =
            [(false, true), (true, false), (true, true)].map(|(keep, prefault)| loaded(keep, prefault));
        let mut queries = vectors(&mut generator, 20, F);
        queries.extend(items[..9].iter().cloned());
        for (n, search_k) in [(10, -1), (10, 3000), (1, 500), (700, 4000), (100_000, 2000)] {
            let expected = answers(&plain, &queries, n, search_k);
            for (pass, index) in [&coded, &lazy, &eager, &lazy, &lazy].into_iter().enumerate() {
                assert_eq!(answers(index, &queries, n, search_k), expected, "{metric} {n} {search_k} pass {pass}");
            }
        }
        coded.candidate_codes(false);
        assert_eq!(answers(&coded, &queries, 10, 3000), answers(&plain, &queries, 10, 3000), "{metric}");
    }
}

#[test]
fn many_threads_make_codes_at_once() {
    let mut generator = generator(42);
    for metric in [Metric::Angular, Metric::Manhattan] {
        let items = vectors(&mut generator, ITEMS, F);
        let queries = vectors(&mut generator, 40, F);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("items.ann");
        built(metric, &items, 5).save(&path, false).unwrap();
        // Searches make them.
        let mut index = AnnoyIndex::new(F, metric).unwrap();
        index.load(&path, false).unwrap();
        let found: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| answers(&index, &queries, 10, 2000))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        index.candidate_codes(false);
        let expected = answers(&index, &queries, 10, 2000);
        assert!(found.iter().all(|found| *found == expected), "{metric}");
    }
}

#[test]
fn codes_are_of_the_items_that_the_index_has_now() {
    let mut generator = generator(43);
    let items = vectors(&mut generator, ITEMS, F);
    let mut index = built(Metric::Euclidean, &items, 3);
    let query = vector(&mut generator, F);
    answers(&index, std::slice::from_ref(&query), 10, i64::MAX);
    index.unbuild().unwrap();
    for item in 0..ITEMS {
        let moved: Vec<f32> = items[(item + 1) % ITEMS].clone();
        index.add_item(item, &moved).unwrap();
    }
    index.build(3, 1).unwrap();
    let found = index.get_nns_by_vector(&query, 10, i64::MAX).unwrap();
    index.candidate_codes(false);
    assert_eq!(found, index.get_nns_by_vector(&query, 10, i64::MAX).unwrap());
    assert!(!found.is_empty());
}
