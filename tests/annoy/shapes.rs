//! Indexes of unusual shape: none, one or few items, holes, items that are all alike; and what builds depend on.

use understory::annoy::{AnnoyIndex, Metric};

use crate::support::{METRICS, built, generator, ids, vector, vectors};

#[test]
fn holes_are_never_found() {
    for metric in METRICS {
        let mut generator = generator(1);
        let mut index = AnnoyIndex::new(10, metric).unwrap();
        let present: Vec<usize> = (0..2000).step_by(2).rev().collect();
        for &item in &present {
            index.add_item(item, &vector(&mut generator, 10)).unwrap();
        }
        index.build(10, -1).unwrap();
        assert_eq!(index.get_n_items(), 1999);
        for item in (0..1999).step_by(37) {
            let found = index.get_nns_by_item(item, 3000, 1_000_000).unwrap();
            let mut found = ids(&found);
            found.sort_unstable();
            assert!(found.iter().all(|item| item % 2 == 0));
            assert_eq!(found.len(), 1000, "{metric}");
        }
    }
}

#[test]
fn few_items_far_from_zero_are_all_found() {
    let folder = tempfile::tempdir().unwrap();
    for metric in METRICS {
        for count in [1, 2, 10, 1000] {
            let mut generator = generator(count as u64);
            let mut index = AnnoyIndex::new(10, metric).unwrap();
            for item in 0..count {
                index.add_item(100_000 + item, &vector(&mut generator, 10)).unwrap();
            }
            index.build(30, -1).unwrap();
            for saved in [false, true] {
                if saved {
                    index.save(folder.path().join("a.ann"), false).unwrap();
                }
                assert_eq!((index.get_n_items(), index.get_n_trees()), (100_000 + count, 30));
                let query = vector(&mut generator, 10);
                let mut found = ids(&index.get_nns_by_vector(&query, count, 1_000_000).unwrap());
                found.sort_unstable();
                assert_eq!(found, (100_000..100_000 + count).collect::<Vec<_>>(), "{metric}, saved: {saved}");
            }
        }
    }
}

#[test]
fn none_or_one_item_is_an_index_as_well() {
    let folder = tempfile::tempdir().unwrap();
    for metric in METRICS {
        for count in [0, 1, 2] {
            let mut index = AnnoyIndex::new(100, metric).unwrap();
            for item in 0..count {
                index.add_item(item, &[1.0; 100]).unwrap();
            }
            for trees in [10, -1] {
                index.unbuild().unwrap();
                index.build(trees, 2).unwrap();
                assert!(index.get_n_trees() >= 1);
                assert_eq!(index.get_nns_by_vector(&[0.5; 100], 50, -1).unwrap().len(), count);
            }
            let trees = index.get_n_trees();
            index.save(folder.path().join("a.ann"), true).unwrap();
            assert_eq!((index.get_n_items(), index.get_n_trees()), (count, trees), "{metric}");
            assert_eq!(index.get_nns_by_vector(&[0.5; 100], 50, -1).unwrap().len(), count);
        }
    }
}

#[test]
fn items_that_are_all_alike_are_split_at_random() {
    for metric in METRICS {
        for component in [0.0, 1.0] {
            let index = built(metric, &vec![vec![component; 4]; 1000], 5);
            let found = index.get_nns_by_vector(&[1.0; 4], 1000, 100_000).unwrap();
            assert_eq!(ids(&found), (0..1000).collect::<Vec<_>>(), "{metric}");
        }
    }
}

#[test]
fn trees_depend_on_the_seed_and_not_on_the_threads() {
    let folder = tempfile::tempdir().unwrap();
    for metric in METRICS {
        let items = vectors(&mut generator(2), 2_000, 10);
        let bytes = |seed: Option<u64>, trees: i32, jobs: i32, on_disk: bool| {
            let path = folder.path().join("a.ann");
            let mut index = AnnoyIndex::new(10, metric).unwrap();
            if on_disk {
                index.on_disk_build(&path).unwrap();
            }
            for (item, vector) in items.iter().enumerate() {
                index.add_item(item, vector).unwrap();
            }
            if let Some(seed) = seed {
                index.set_seed(seed);
            }
            index.build(trees, jobs).unwrap();
            if !on_disk {
                index.save(&path, false).unwrap();
            }
            (index.get_n_trees(), std::fs::read(&path).unwrap())
        };
        let (trees, first) = bytes(Some(42), 7, 1, false);
        assert_eq!(trees, 7);
        for jobs in [2, 3, 8, -1] {
            assert!(bytes(Some(42), 7, jobs, false).1 == first, "{metric}, {jobs} jobs");
        }
        assert!(bytes(Some(42), 7, 2, true).1 == first, "{metric}, on disk");
        assert!(bytes(None, 7, 2, false).1 != first, "{metric}, another seed");
        let (trees, some) = bytes(Some(42), -1, 1, false);
        assert!(bytes(Some(42), -1, 4, false) == (trees, some), "{metric}, as many as it takes");
    }
}

#[test]
fn as_many_trees_as_it_takes_have_as_many_nodes_as_items() {
    let folder = tempfile::tempdir().unwrap();
    let items = vectors(&mut generator(3), 3_000, 16);
    let mut index = built(Metric::Euclidean, &items, -1);
    let trees = index.get_n_trees();
    let path = folder.path().join("a.ann");
    index.save(&path, false).unwrap();
    let nodes = std::fs::metadata(&path).unwrap().len() as usize / (16 + 4 * 16) - trees;
    assert!(nodes >= 6_000, "{nodes} nodes");
    // One tree fewer would not have been enough.
    assert!(nodes - (nodes - 3_000) / trees * 2 < 6_000, "{nodes} nodes, {trees} trees");
}
