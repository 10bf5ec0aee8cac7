//! The stages of an index's life, and the errors where Annoy corrupts memory or silently answers nothing.

use understory::annoy::{AnnoyIndex, Format, Metric};

use crate::support::{assert_refused, built, generator, ids, vector, vectors};

fn small() -> AnnoyIndex {
    built(Metric::Angular, &vectors(&mut generator(1), 500, 10), 10)
}

#[test]
fn saved_and_loaded_indexes_answer_alike() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("first.ann"), folder.path().join("second.ann"));
    let mut index = small();
    let (vector, expected) = (index.get_item_vector(7).unwrap(), index.get_nns_by_item(7, 20, -1).unwrap());
    index.save(&first, false).unwrap();
    assert_eq!(index.get_nns_by_item(7, 20, -1).unwrap(), expected);
    index.save(&second, true).unwrap();
    index.save(&second, true).unwrap();
    let mut other = AnnoyIndex::new(10, Metric::Angular).unwrap();
    other.load(&first, true).unwrap();
    other.load(&second, false).unwrap();
    assert_eq!((other.get_n_items(), other.get_n_trees()), (500, 10));
    assert_eq!(other.get_item_vector(7).unwrap(), vector);
    assert_eq!(other.get_nns_by_item(7, 20, -1).unwrap(), expected);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "no temporary file is left");
}

#[cfg(unix)]
#[test]
fn a_file_that_is_replaced_while_it_is_mapped_stays_what_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.ann");
    let mut index = small();
    index.save(&path, false).unwrap();
    let expected = index.get_nns_by_item(3, 20, -1).unwrap();
    built(Metric::Angular, &vectors(&mut generator(2), 20, 10), 1).save(&path, false).unwrap();
    assert_eq!(index.get_nns_by_item(3, 20, -1).unwrap(), expected);
    let mut on_disk = AnnoyIndex::new(10, Metric::Angular).unwrap();
    index.load(&path, false).unwrap();
    on_disk.on_disk_build(&path).unwrap();
    assert_eq!(index.get_nns_by_item(3, 20, -1).unwrap().len(), 20);
}

#[test]
fn what_annoy_gets_wrong_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.ann");
    let mut index = AnnoyIndex::new(3, Metric::Angular).unwrap();
    index.add_item(0, &[1.0, 0.0, 0.0]).unwrap();
    assert_refused(index.get_nns_by_item(0, 1, -1), &["without"]);
    assert_refused(index.get_nns_by_vector(&[0.0; 3], 1, -1), &["without"]);
    assert_refused(index.save(&path, false), &["without"]);
    for (trees, jobs) in [(0, -1), (-2, -1), (1, 0), (1, -2)] {
        assert_refused(index.build(trees, jobs), &["-1", "found"]);
    }
    index.build(1, -1).unwrap();
    assert_refused(index.add_item(1, &[0.0; 3]), &["unbuild"]);
    assert_refused(index.build(1, -1), &["unbuild"]);
    assert_refused(index.get_nns_by_item(1, 1, -1), &["below 1", "found 1"]);
    assert_refused(index.get_item_vector(1), &["below 1"]);
    assert_refused(index.get_distance(0, 1), &["below 1"]);
    assert_refused(index.get_nns_by_item(0, 1, 0), &["search_k", "found 0"]);
    assert_refused(index.get_nns_by_item(0, 1, -2), &["search_k", "found -2"]);
    assert_refused(index.get_nns_by_vector(&[0.0; 4], 1, -1), &["dimension 3", "dimension 4"]);
    assert_refused(index.get_nns_by_vector(&[0.0, f32::NAN, 0.0], 1, -1), &["NaN", "component 1"]);
    assert_refused(index.save(folder.path().join("missing").join("a.ann"), false), &["missing"]);
    index.save(&path, false).unwrap();
    assert_refused(index.add_item(1, &[0.0; 3]), &["read-only"]);
    assert_refused(index.build(1, -1), &["read-only"]);
    assert_refused(index.unbuild(), &["loaded"]);
    assert_refused(AnnoyIndex::new(0, Metric::Dot).map(|_| ()), &["found 0"]);
}

#[test]
fn vectors_and_ids_that_no_file_holds_are_refused() {
    let mut index = AnnoyIndex::new(2, Metric::Euclidean).unwrap();
    assert_refused(index.add_item(0, &[1.0]), &["dimension 2", "dimension 1"]);
    assert_refused(index.add_item(0, &[1.0, f32::INFINITY]), &["inf", "component 1"]);
    assert_refused(index.add_item(i32::MAX as usize, &[1.0, 1.0]), &["2147483647"]);
    assert_eq!(index.get_n_items(), 0);
    let mut dot = AnnoyIndex::with_format(2, Metric::Dot, Format::Unreleased).unwrap();
    dot.add_item(0, &[1.0, 1.0]).unwrap();
    assert_refused(dot.build(1, 1), &["Unreleased"]);
}

#[test]
fn files_that_are_no_index_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.ann");
    let mut index = small();
    index.save(&path, false).unwrap();
    assert_refused(index.load(folder.path().join("missing"), false), &["missing"]);
    assert_eq!(index.get_n_items(), 500, "a load that fails changes nothing");
    for f in [200, 50] {
        assert_refused(AnnoyIndex::new(f, Metric::Angular).unwrap().load(&path, false), &["multiple"]);
    }
    std::fs::write(folder.path().join("empty"), b"").unwrap();
    assert_refused(index.load(folder.path().join("empty"), false), &["0 bytes"]);
    assert_refused(index.load(folder.path(), false), &[""]);
}

#[test]
fn an_index_is_as_new_after_unload_and_grows_after_unbuild() {
    let mut index = small();
    let expected = index.get_nns_by_item(0, 10, -1).unwrap();
    index.unload();
    assert_eq!((index.get_n_items(), index.get_n_trees()), (0, 0));
    for (item, vector) in vectors(&mut generator(1), 500, 10).iter().enumerate() {
        index.add_item(item, vector).unwrap();
    }
    index.build(10, 1).unwrap();
    assert_eq!(index.get_nns_by_item(0, 10, -1).unwrap(), expected);
    for item in 500..510 {
        index.unbuild().unwrap();
        assert_eq!(index.get_n_trees(), 0);
        index.add_item(item, &vector(&mut generator(item as u64), 10)).unwrap();
        index.build(3, 1).unwrap();
        assert_eq!(ids(&index.get_nns_by_item(item, 1, -1).unwrap()), [item]);
    }
}

#[test]
fn an_index_that_is_built_on_disk_is_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("a.ann"), folder.path().join("copy.ann"));
    for metric in [Metric::Angular, Metric::Dot, Metric::Hamming] {
        std::fs::write(&path, b"whatever was there before").unwrap();
        let mut index = AnnoyIndex::new(10, metric).unwrap();
        index.on_disk_build(&path).unwrap();
        let items = vectors(&mut generator(1), 500, 10);
        // In no order, and one of them twice.
        index.add_item(9, &items[0]).unwrap();
        for item in (0..500).rev() {
            index.add_item(item, &items[item]).unwrap();
        }
        assert_eq!(index.get_item_vector(9).unwrap().len(), 10);
        assert_eq!(index.get_distance(9, 9).unwrap(), index.get_distance(9, 9).unwrap());
        index.build(10, 2).unwrap();
        let in_memory = built(metric, &items, 10);
        let expected = in_memory.get_nns_by_item(5, 20, -1).unwrap();
        assert_eq!(index.get_nns_by_item(5, 20, -1).unwrap(), expected, "{metric}");
        assert_refused(index.add_item(500, &items[0]), &["unbuild"]);
        index.save(&copy, false).unwrap();
        assert_eq!(std::fs::read(&copy).unwrap(), std::fs::read(&path).unwrap());
        let mut other = AnnoyIndex::new(10, metric).unwrap();
        other.load(&path, false).unwrap();
        assert_eq!(other.get_nns_by_item(5, 20, -1).unwrap(), expected);
    }
}

#[test]
fn an_index_on_disk_can_be_unbuilt_and_only_starts_empty() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.ann");
    let mut index = AnnoyIndex::new(10, Metric::Euclidean).unwrap();
    index.on_disk_build(&path).unwrap();
    assert_refused(index.on_disk_build(&path), &["before the first item"]);
    let items = vectors(&mut generator(1), 300, 10);
    for (item, vector) in items.iter().enumerate().take(200) {
        index.add_item(item, vector).unwrap();
    }
    index.build(10, 2).unwrap();
    index.unbuild().unwrap();
    for (item, vector) in items.iter().enumerate().skip(200) {
        index.add_item(item, vector).unwrap();
    }
    index.build(5, 2).unwrap();
    let expected = built(Metric::Euclidean, &items, 5).get_nns_by_item(5, 20, -1).unwrap();
    assert_eq!(index.get_nns_by_item(5, 20, -1).unwrap(), expected);
    assert_refused(small().on_disk_build(&path), &["500 items"]);
}

#[test]
fn searches_run_on_many_threads_at_once() {
    let index = small();
    let expected: Vec<_> = (0..500).map(|item| index.get_nns_by_item(item, 10, -1).unwrap()).collect();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (index, expected) = (&index, &expected);
            scope.spawn(move || {
                for item in (thread..500).step_by(2) {
                    assert_eq!(index.get_nns_by_item(item, 10, -1).unwrap(), expected[item]);
                }
            });
        }
    });
}
