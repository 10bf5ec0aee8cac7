//! Stored bytes that are not what was written. A segment is an index: losing one loses speed, never an answer.

use std::path::{Path, PathBuf};

use understory::{Batch, Id, Metric, Store, field};

use crate::oracle::{Model, bits};
use crate::support::{Dir, generator, manual, noise, refused, row_file};

const DIMENSION: usize = 8;

/// A closed store of one segment, with dead items in it and some items beside it.
fn closed_store(dir: &Dir, items: u64) -> (PathBuf, Model) {
    let store = Store::open_with(dir.store(), manual(Metric::Euclidean)).unwrap();
    let mut model = Model::new(Metric::Euclidean);
    let mut rng = generator(items);
    let mut put = |store: &Store, model: &mut Model, ids: std::ops::Range<u64>| {
        let mut batch = Batch::new();
        for id in ids {
            let vector = noise(DIMENSION, 1.0, &mut rng);
            batch.insert(id, &vector);
            model.insert(id, &vector, None);
        }
        store.write(batch).unwrap();
    };
    put(&store, &mut model, 0..items);
    store.flush().unwrap();
    put(&store, &mut model, items - 2..items + 3);
    store.remove(1).unwrap();
    model.items.remove(&1.into());
    store.close().unwrap();
    let segments = segment_files(&dir.store());
    let [segment] = &segments[..] else { panic!("expected one segment, found {segments:?}") };
    (segment.clone(), model)
}

fn segment_files(store: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(store.join("segments")).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|extension| extension == "seg")).collect()
}

fn queries() -> Vec<Vec<f32>> {
    let mut rng = generator(99);
    (0..3).map(|_| noise(DIMENSION, 1.0, &mut rng)).collect()
}

/// Opens a store whose segment is unusable: open says so, and every answer is right all the same.
fn assert_set_aside(dir: &Dir, segment: &Path, model: &mut Model) {
    let store = Store::open_with(dir.store(), manual(Metric::Euclidean)).expect("an index is no reason not to open");
    let damaged = &store.open_report().damaged_segments;
    assert_eq!(damaged.len(), 1, "expected the report of one segment, found {damaged:?}");
    assert_eq!(damaged[0].path.file_name(), segment.file_name());
    assert!(!damaged[0].cause.is_empty());
    let recall = model.check_reader(&store, &queries());
    assert_eq!(recall.found, recall.wanted, "items of a lost segment are answered exactly");

    store.insert("new", [0.5; DIMENSION]).unwrap();
    model.insert("new", &[0.5; DIMENSION], None);
    store.flush().unwrap();
    model.check_reader(&store, &queries());
    store.compact().unwrap();
    model.check_reader(&store, &queries());
    drop(store);
    let store = Store::open(dir.store()).unwrap();
    model.check_reader(&store, &queries());
}

#[test]
fn a_segment_that_is_missing() {
    let dir = Dir::new();
    let (segment, mut model) = closed_store(&dir, 300);
    std::fs::remove_file(&segment).unwrap();
    assert_set_aside(&dir, &segment, &mut model);
}

#[test]
fn a_lost_directory_of_segments() {
    let dir = Dir::new();
    let (segment, mut model) = closed_store(&dir, 300);
    std::fs::remove_dir_all(dir.store().join("segments")).unwrap();
    assert_set_aside(&dir, &segment, &mut model);
}

#[test]
fn a_segment_of_another_length() {
    let shorter = |len: u64| [0, 1, 63, len / 2, len - 64, len - 1, len + 1, len + 4096];
    for case in 0..8 {
        let dir = Dir::new();
        let (segment, mut model) = closed_store(&dir, 300);
        let file = std::fs::OpenOptions::new().write(true).open(&segment).unwrap();
        file.set_len(shorter(file.metadata().unwrap().len())[case]).unwrap();
        drop(file);
        assert_set_aside(&dir, &segment, &mut model);
    }
}

#[test]
fn a_segment_with_a_damaged_header_or_trailer() {
    for from_end in [false, true] {
        let dir = Dir::new();
        let (segment, mut model) = closed_store(&dir, 300);
        let mut bytes = std::fs::read(&segment).unwrap();
        let place = if from_end { bytes.len() - 30 } else { 20 };
        bytes[place] ^= 1;
        std::fs::write(&segment, bytes).unwrap();
        assert_set_aside(&dir, &segment, &mut model);
    }
}

#[test]
fn a_segment_of_another_store() {
    let (dir, other) = (Dir::new(), Dir::new());
    let (segment, mut model) = closed_store(&dir, 300);
    let (foreign, _) = closed_store(&other, 300);
    std::fs::copy(foreign, &segment).unwrap();
    assert_set_aside(&dir, &segment, &mut model);
}

#[test]
fn a_segment_of_noise() {
    let dir = Dir::new();
    let (segment, mut model) = closed_store(&dir, 300);
    let len = std::fs::read(&segment).unwrap().len();
    std::fs::write(&segment, (0..len).map(|at| (at * 131 + at / 5) as u8).collect::<Vec<u8>>()).unwrap();
    assert_set_aside(&dir, &segment, &mut model);
}

/// A search that meets a damaged vector begins again without the segment. What its first attempt had collected must not be
/// taken for items of the segments that are left: they have other numbers, and the filter selects others of them.
#[test]
fn a_vector_found_damaged_in_the_middle_of_a_filtered_search() {
    let dir = Dir::new();
    let options = || manual(Metric::Euclidean).merges(false);
    let store = Store::open_with(dir.store(), options()).unwrap();
    let mut rng = generator(17);
    let mut vectors = Vec::new();
    for _ in 0..3 {
        let mut batch = Batch::new();
        for _ in 0..3_000 {
            let vector = noise(DIMENSION, 1.0, &mut rng);
            let id = vectors.len() as u64;
            batch.insert_with(id, &vector, &serde_json::json!({ "odd": id % 2 })).unwrap();
            vectors.push(vector);
        }
        store.write(batch).unwrap();
        store.flush().unwrap();
    }
    store.close().unwrap();
    let damaged = [41_usize, 3_041, 6_041];
    for path in segment_files(&dir.store()) {
        let mut bytes = std::fs::read(&path).unwrap();
        for place in damaged.iter().filter_map(|&id| place_of(&vectors[id], &bytes)).collect::<Vec<_>>() {
            bytes[place + 2] ^= 1;
        }
        std::fs::write(path, bytes).unwrap();
    }
    for id in damaged {
        let store = Store::open_with(dir.store(), options()).unwrap();
        let query = || store.query(&vectors[id]).unwrap().k(20).filter(field("odd").is(1));
        let (hits, report) = query().run_with_report().unwrap();
        assert_eq!(report.plan, understory::QueryPlan::LeavesScanned);
        let expected = query().exact().run().unwrap();
        assert_eq!(hits[0], expected[0], "expected the item itself, from the rows");
        let ids: std::collections::BTreeSet<_> = hits.iter().map(|hit| &hit.id).collect();
        assert_eq!(ids.len(), 20, "expected each item once, found {hits:?}");
        let is_odd = |id: &Id| matches!(id, Id::Number(number) if number % 2 == 1);
        assert!(hits.iter().all(|hit| is_odd(&hit.id)), "expected what the filter selects, found {hits:?}");
    }
}

/// Where a file holds a vector as it was given.
fn place_of(vector: &[f32], bytes: &[u8]) -> Option<usize> {
    let stored: Vec<u8> = vector.iter().flat_map(|component| component.to_le_bytes()).collect();
    bytes.windows(stored.len()).position(|window| window == stored)
}

/// Copies a closed store.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// What must hold with one flipped byte: an answer is right or an error that says the bytes are damaged. Returns
/// whether anything noticed.
fn noticed_flip(path: &Path, model: &Model) -> bool {
    let store = Store::open_with(path, manual(Metric::Euclidean)).expect("an index is no reason not to open");
    let mut noticed = !store.open_report().damaged_segments.is_empty();
    let mut accept =
        |answer: understory::Result<Vec<understory::Hit>>, check: &dyn Fn(&[understory::Hit])| match answer {
            Ok(hits) => check(&hits),
            Err(error) => {
                assert!(error.is_corruption(), "expected a right answer or what is damaged, found {error:?}");
                noticed = true;
            }
        };
    for query in queries() {
        accept(store.search(&query, 5), &|hits| {
            model.check_hits(&query, 5, hits);
        });
        let exact = store.query(&query).and_then(|about| about.k(5).exact().run());
        accept(exact, &|hits| model.check_exact(&query, 5, hits));
    }
    model.check_contents(&store);
    let report = store.verify().expect("damage is what the report is for");
    noticed || !report.problems.is_empty()
}

/// Every `step`-th byte of a small segment, from `first` on.
fn flip_bytes(first: usize, step: usize) {
    let dir = Dir::in_memory();
    let (segment, model) = closed_store(&dir, 40);
    let whole = std::fs::read(&segment).unwrap();
    let name = segment.file_name().unwrap();
    for place in (first..whole.len()).step_by(step) {
        let path = dir.path().join("flipped");
        copy(&dir.store(), &path);
        let mut bytes = whole.clone();
        bytes[place] ^= 1 << (place % 8);
        std::fs::write(path.join("segments").join(name), bytes).unwrap();
        let noticed = std::panic::catch_unwind(|| noticed_flip(&path, &model))
            .unwrap_or_else(|_| panic!("byte {place} of {}, flipped: see the panic above", whole.len()));
        // Between two sections there is padding, of zeros, that nothing reads.
        assert!(noticed || whole[place] == 0, "expected someone to notice that byte {place} is flipped");
        std::fs::remove_dir_all(&path).unwrap();
    }
}

#[test]
fn every_even_byte_of_a_segment_flipped() {
    flip_bytes(0, 2);
}

#[test]
fn every_odd_byte_of_a_segment_flipped() {
    flip_bytes(1, 2);
}

/// A row's checksum covers what `get` returns: damage to it is never handed out as a vector.
#[test]
fn a_flipped_byte_in_a_row_is_an_error_and_no_other_vector() {
    let dir = Dir::in_memory();
    let (_, model) = closed_store(&dir, 40);
    let whole = std::fs::read(row_file(&dir.store())).unwrap();
    for id in [5_u64, 20, 41] {
        let vector = &model.items[&id.into()].vector;
        let stored: Vec<u8> = vector.iter().flat_map(|component| component.to_le_bytes()).collect();
        let mut bytes = whole.clone();
        let places: Vec<usize> =
            (0..bytes.len() - stored.len()).filter(|&at| bytes[at..].starts_with(&stored)).collect();
        assert!(!places.is_empty(), "expected the vector of {id} in the row file");
        for place in places {
            bytes[place + 9] ^= 4;
        }
        let path = dir.path().join("flipped");
        copy(&dir.store(), &path);
        std::fs::write(row_file(&path), bytes).unwrap();
        // The delta is read at open, so damage to it may be found there already.
        if let Ok(store) = Store::open_with(&path, manual(Metric::Euclidean)) {
            let error = refused(store.get(id));
            assert!(error.is_corruption(), "{error:?}");
            assert!(!store.verify().unwrap().problems.is_empty(), "expected verify to find the row of {id}");
            let other = store.get(10).unwrap().expect("an item of another row");
            assert_eq!(bits(&other.vector), bits(&model.items[&10.into()].vector));
        }
        std::fs::remove_dir_all(&path).unwrap();
    }
}

#[test]
fn files_that_nothing_refers_to_are_swept() {
    let dir = Dir::new();
    let (segment, model) = closed_store(&dir, 40);
    let orphans = [
        "segments/00000000000000ff-0123456789abcdef.seg",
        "segments/0000000000000100-0123456789abcdef.seg.tmp",
        "segments/anything.tmp",
        "store-0000000001.redb.tmp",
    ]
    .map(|name| dir.store().join(name));
    for orphan in &orphans {
        std::fs::write(orphan, "half of a").unwrap();
    }
    let letter = dir.store().join("letter.txt");
    std::fs::write(&letter, "dear").unwrap();

    let store = Store::open(dir.store()).unwrap();
    let mut swept = store.open_report().swept_files.clone();
    swept.sort();
    assert_eq!(swept, orphans, "expected the report to name what was removed");
    assert!(orphans.iter().all(|orphan| !orphan.exists()), "expected {orphans:?} to be gone");
    assert!(segment.exists() && letter.exists(), "expected the segment and what is not ours to be left alone");
    assert!(store.open_report().damaged_segments.is_empty());
    model.check_reader(&store, &queries());
}
