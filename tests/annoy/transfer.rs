//! Between `.ann` files and stores.

use understory::annoy::{self, AnnoyIndex};
use understory::{Id, Maintenance, Metric, Options, Store};

use crate::fixtures::file;
use crate::support::{assert_refused, generator, ids, vectors};

const FILES: [(&str, usize, annoy::Metric, Metric); 5] = [
    ("angular", 16, annoy::Metric::Angular, Metric::Cosine),
    ("euclidean", 12, annoy::Metric::Euclidean, Metric::Euclidean),
    ("dot", 16, annoy::Metric::Dot, Metric::Dot),
    ("manhattan", 12, annoy::Metric::Manhattan, Metric::Manhattan),
    ("hamming", 130, annoy::Metric::Hamming, Metric::Hamming),
];

fn store(folder: &tempfile::TempDir, metric: Metric) -> Store {
    let options = Options::new().metric(metric).maintenance(Maintenance::Manual);
    Store::open_with(folder.path().join("a.understory"), options).unwrap()
}

#[test]
fn files_become_stores_and_stores_become_files() {
    for (name, f, annoys, metric) in FILES {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder, metric);
        let mut index = AnnoyIndex::new(f, annoys).unwrap();
        index.load(file(name), false).unwrap();
        let present: Vec<usize> = (0..index.get_n_items()).filter(|&item| index.has_item(item).unwrap()).collect();
        assert_eq!(annoy::import(&store, file(name), f, annoys).unwrap(), present.len() as u64, "{name}");
        store.compact().unwrap();
        assert_eq!(store.len().unwrap(), present.len() as u64);
        for &item in &present {
            let stored = store.get(item as u64).unwrap().unwrap();
            assert_eq!(stored.vector, index.get_item_vector(item).unwrap());
        }
        let copy = folder.path().join("copy.ann");
        let written = annoy::export(&store.snapshot().unwrap(), &copy, 8).unwrap();
        assert_eq!(written, present.len() as u64);
        let mut exported = AnnoyIndex::new(f, annoys).unwrap();
        exported.load(&copy, false).unwrap();
        assert_eq!((exported.get_n_items(), exported.get_n_trees()), (index.get_n_items(), 8));
        for &item in present.iter().step_by(10) {
            let expected = index.get_nns_by_item(item, 10, 1_000_000).unwrap();
            let found = exported.get_nns_by_item(item, 10, 1_000_000).unwrap();
            assert_eq!(ids(&found), ids(&expected), "{name}");
            // Norms in the file were added up by Annoy, those of the export here, in the order of this processor's kernels.
            for ((_, found), (_, expected)) in found.iter().zip(&expected) {
                assert!(
                    (found - expected).abs() <= 4.0 * f32::EPSILON * expected.abs(),
                    "{name}: {found}, {expected}"
                );
            }
            let vector = index.get_item_vector(item).unwrap();
            let hits = store.query(&vector).unwrap().k(10).exact().run().unwrap();
            let hits: Vec<_> = hits.iter().map(|hit| hit.id.clone()).collect();
            let expected: Vec<_> = ids(&expected).into_iter().map(|item| Id::from(item as u64)).collect();
            assert_eq!(hits, expected, "{name}");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "no temporary file is left");
    }
}

#[test]
fn what_a_store_or_a_file_cannot_hold_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder, Metric::Cosine);
    let path = folder.path().join("a.ann");
    let export = || annoy::export(&store.snapshot().unwrap(), &path, 3);
    assert_refused(export(), &["empty"]);
    assert_refused(annoy::import(&store, file("euclidean"), 12, annoy::Metric::Euclidean), &["cosine"]);
    assert_refused(annoy::import(&store, file("hamming"), 130, annoy::Metric::Hamming), &["hamming"]);
    assert_refused(annoy::import(&store, file("angular"), 15, annoy::Metric::Angular), &["multiple"]);
    assert_eq!(store.len().unwrap(), 0);
    store.insert(i32::MAX as u64, [1.0, 0.0]).unwrap();
    assert_refused(export(), &["2147483647"]);
    store.remove(i32::MAX as u64).unwrap();
    store.insert("note", [1.0, 0.0]).unwrap();
    assert_refused(export(), &["note"]);
    assert!(!path.exists());
}

#[test]
fn a_vector_that_the_store_refuses_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.ann");
    let mut items = vectors(&mut generator(1), 10, 4);
    items[6] = vec![0.0; 4];
    crate::support::built(annoy::Metric::Angular, &items, 1).save(&path, false).unwrap();
    let store = store(&folder, Metric::Cosine);
    assert_refused(annoy::import(&store, &path, 4, annoy::Metric::Angular), &["item 6", "zero vector"]);
}
