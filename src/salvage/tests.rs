//! Damage of every kind: what still has a good checksum somewhere comes back, and nothing else passes for it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::{SalvageReport, salvage};
use crate::error::Error;
use crate::metadata::{Metadata, codec};
use crate::options::{Maintenance, Options};
use crate::store::{Batch, Store};
use crate::types::{Id, Metric};

const DIMENSION: usize = 24;
const PAGE: usize = 4096;

/// Set to 1, pages are damaged one by one; else every fifth.
const EVERY_PAGE: &str = "UNDERSTORY_SALVAGE_PAGES";

#[derive(Clone, Debug, PartialEq)]
struct Entry {
    vector: Vec<f32>,
    metadata: Metadata,
    is_in_segment: bool,
}

/// A store as bytes, and what it holds.
struct Fixture {
    rows: Vec<u8>,
    segments: Vec<(PathBuf, Vec<u8>)>,
    items: BTreeMap<Id, Entry>,
    /// Every version that any item ever had.
    versions: Vec<(Id, Vec<f32>)>,
    /// Where the row file has the row of each item, as often as it has it.
    places: BTreeMap<Id, Vec<Range<usize>>>,
}

fn entry(rng: &mut StdRng) -> Entry {
    let mut metadata = Metadata::new();
    if rng.random_bool(0.5) {
        metadata.insert("note", rng.random_range(0..1000i64));
        metadata.insert("text", "x".repeat(rng.random_range(0..200)));
    }
    let vector = (0..DIMENSION).map(|_| rng.random_range(-1.0..1.0f32)).collect();
    Entry { vector, metadata, is_in_segment: false }
}

impl Fixture {
    /// A closed store with blocks, fresh rows, a segment, deleted and replaced items.
    fn new() -> Fixture {
        let dir = scratch();
        let path = dir.path().join("store");
        let store = open(&path);
        let mut fixture = Fixture {
            rows: Vec::new(),
            segments: Vec::new(),
            items: BTreeMap::new(),
            versions: Vec::new(),
            places: BTreeMap::new(),
        };
        let mut rng = StdRng::seed_from_u64(1);
        let ids: Vec<Id> =
            (0..500u64).map(|n| if n % 3 == 0 { Id::from(format!("item {n}")) } else { Id::from(n) }).collect();
        fixture.write(&store, &ids[..400], &mut rng);
        fixture.write(&store, &ids[30..60], &mut rng);
        store.compact().unwrap();
        fixture.items.values_mut().for_each(|entry| entry.is_in_segment = true);
        fixture.write(&store, &ids[100..110], &mut rng);
        for id in &ids[200..215] {
            store.remove(id.clone()).unwrap();
            fixture.items.remove(id);
        }
        for id in &ids[400..450] {
            fixture.write(&store, std::slice::from_ref(id), &mut rng);
        }
        store.close().unwrap();
        fixture.rows = std::fs::read(path.join("store-0000000000.redb")).unwrap();
        for file in std::fs::read_dir(path.join("segments")).unwrap() {
            let file = file.unwrap();
            fixture.segments.push((file.file_name().into(), std::fs::read(file.path()).unwrap()));
        }
        assert_eq!(fixture.segments.len(), 1);
        fixture.places = fixture.items.iter().map(|(id, entry)| (id.clone(), fixture.find(id, entry))).collect();
        fixture
    }

    fn write(&mut self, store: &Store, ids: &[Id], rng: &mut StdRng) {
        let mut batch = Batch::new();
        for id in ids {
            let entry = entry(rng);
            batch.insert_with(id.clone(), &entry.vector, &entry.metadata).unwrap();
            self.versions.push((id.clone(), entry.vector.clone()));
            self.items.insert(id.clone(), entry);
        }
        store.write(batch).unwrap();
    }

    fn find(&self, id: &Id, entry: &Entry) -> Vec<Range<usize>> {
        let metadata = if entry.metadata.is_empty() { Vec::new() } else { codec::encode(&entry.metadata).unwrap() };
        let mut middle = id.to_bytes();
        middle.extend_from_slice(&metadata);
        middle.extend(entry.vector.iter().flat_map(|component| component.to_le_bytes()));
        let found = memchr_all(&self.rows, &middle);
        found.into_iter().map(|at| at - 12..at + middle.len() + 4).collect()
    }

    /// Salvages what is left after some bytes of the row file changed, and checks it.
    fn check(&self, damaged: &[u8], changed: &[Range<usize>], what: &str) -> SalvageReport {
        let (report, found) = run(Some(damaged), &self.segments);
        let is_intact = |place: &Range<usize>| {
            place.end <= damaged.len()
                && changed.iter().all(|range| place.end <= range.start || range.end <= place.start)
        };
        let (mut wrong, mut stripped) = (0, 0);
        for (id, entry) in &self.items {
            let has_row = self.places[id].iter().any(is_intact);
            let Some((vector, metadata)) = found.get(id) else {
                assert!(!has_row && !entry.is_in_segment, "{what}: {id:?} is lost; {report:?}");
                continue;
            };
            if *vector != entry.vector {
                assert!(!has_row && !entry.is_in_segment, "{what}: {id:?} is another version; {report:?}");
                wrong += 1;
            } else if *metadata != entry.metadata {
                assert!(!has_row && metadata.is_empty(), "{what}: {id:?} has other metadata; {report:?}");
                stripped += 1;
            }
        }
        for (id, (vector, _)) in &found {
            let is_known = self.versions.iter().any(|(known, version)| known == id && version == vector);
            assert!(is_known, "{what}: {id:?} never had that vector; {report:?}");
            wrong += u64::from(!self.items.contains_key(id));
        }
        assert!(wrong <= report.uncertain + report.older, "{what}: {wrong} old items pass for new ones; {report:?}");
        assert!(stripped <= report.without_metadata, "{what}: {report:?}");
        assert_eq!(found.len() as u64, report.items, "{what}: {report:?}");
        assert_eq!(report.items, report.from_rows + report.from_pages + report.from_segments, "{what}");
        report
    }
}

fn memchr_all(bytes: &[u8], wanted: &[u8]) -> Vec<usize> {
    let first = wanted[0];
    let starts = bytes.iter().enumerate().filter(|&(_, &byte)| byte == first).map(|(at, _)| at);
    starts.filter(|&at| bytes[at..].starts_with(wanted)).collect()
}

/// In memory where the system has such a place: no power is cut here.
fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn open(path: &Path) -> Store {
    let options = Options::new().metric(Metric::Cosine).maintenance(Maintenance::Manual);
    Store::open_with(path, options).unwrap()
}

type Items = BTreeMap<Id, (Vec<f32>, Metadata)>;

/// Lays files out, salvages them, and reads what came of it. The damaged files must stay as they are.
fn run(rows: Option<&[u8]>, segments: &[(PathBuf, Vec<u8>)]) -> (SalvageReport, Items) {
    let dir = scratch();
    let (path, target) = (dir.path().join("store"), dir.path().join("target"));
    std::fs::create_dir_all(path.join("segments")).unwrap();
    let row_file = path.join("store-0000000000.redb");
    if let Some(rows) = rows {
        std::fs::write(&row_file, rows).unwrap();
    }
    for (name, bytes) in segments {
        std::fs::write(path.join("segments").join(name), bytes).unwrap();
    }
    let report = salvage(&path, &target).unwrap();
    if let Some(rows) = rows {
        assert!(std::fs::read(&row_file).unwrap() == rows, "the damaged store was changed");
    }
    let store = Store::open_read_only(&target).unwrap();
    assert_eq!(store.metric(), report.metric);
    let items = store.scan().unwrap().map(|item| item.map(|item| (item.id, (item.vector, item.metadata))).unwrap());
    (report, items.collect())
}

#[test]
fn a_sound_store_comes_back_whole() {
    let fixture = Fixture::new();
    let report = fixture.check(&fixture.rows, &[], "nothing");
    assert_eq!(report.items, fixture.items.len() as u64);
    assert_eq!((report.from_rows, report.uncertain, report.lost, report.nameless), (report.items, 0, 0, 0));
    assert!(report.metric_is_known && report.problems.is_empty(), "{report:?}");
    assert_eq!(report.metric, Metric::Cosine);
}

#[test]
fn damage_of_any_page_loses_only_what_was_on_it() {
    let fixture = Fixture::new();
    let is_long = std::env::var_os(EVERY_PAGE).is_some();
    let used: Vec<usize> = (0..fixture.rows.len())
        .step_by(PAGE)
        .filter(|&start| fixture.rows[start..].iter().take(PAGE).any(|&byte| byte != 0))
        .collect();
    let mut rng = StdRng::seed_from_u64(2);
    for (number, &start) in used.iter().enumerate() {
        if !is_long && number % 5 != 0 && number > 2 {
            continue;
        }
        let page = start..(start + PAGE).min(fixture.rows.len());
        // The whole page, its head, and one bit of it.
        let at = rng.random_range(page.clone());
        for (range, value) in [(page.clone(), 0), (page.clone(), 0xa5), (start..start + 16, 0), (at..at + 1, 0xff)] {
            let mut damaged = fixture.rows.clone();
            damaged[range.clone()].iter_mut().for_each(|byte| if value == 0 { *byte = 0 } else { *byte ^= value });
            fixture.check(&damaged, std::slice::from_ref(&range), &format!("{range:?} of the row file, {value}"));
        }
    }
    println!("salvage: {} pages in use", used.len());
}

#[test]
fn a_row_file_that_is_cut_off_gives_what_is_left() {
    let fixture = Fixture::new();
    for length in [0, 1, 100, PAGE, 5 * PAGE, fixture.rows.len() / 2, fixture.rows.len() - 1] {
        fixture.check(&fixture.rows[..length], &[], &format!("{length} bytes"));
    }
    let (report, items) = run(None, &fixture.segments);
    assert!(report.metric_is_known && report.from_segments == report.items && report.uncertain == report.items);
    for (id, entry) in fixture.items.iter().filter(|(_, entry)| entry.is_in_segment) {
        assert_eq!(items[id].0, entry.vector);
    }
}

#[test]
fn changed_bytes_all_over_lose_only_what_they_meet() {
    let fixture = Fixture::new();
    for seed in 0..12 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut damaged = fixture.rows.clone();
        let mut changed = Vec::new();
        for _ in 0..rng.random_range(1..200) {
            let at = rng.random_range(0..damaged.len());
            damaged[at] ^= rng.random_range(1..=255u8);
            changed.push(at..at + 1);
        }
        fixture.check(&damaged, &changed, &format!("seed {seed}"));
    }
}

#[test]
fn without_its_header_the_row_file_still_gives_every_row() {
    let fixture = Fixture::new();
    let mut damaged = fixture.rows.clone();
    damaged[..320].fill(0);
    let report = fixture.check(&damaged, std::slice::from_ref(&(0..320)), "the header");
    assert!(report.from_rows == 0 && report.from_pages >= 435 && report.metric_is_known, "{report:?}");
    assert!(!report.problems.is_empty());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    std::fs::create_dir(&path).unwrap();
    std::fs::write(path.join("store-0000000000.redb"), &damaged).unwrap();
    for opened in [Store::open(&path), Store::open_read_only(&path)] {
        let error = opened.err().expect("a damaged row file does not open");
        assert!(error.is_corruption() && error.to_string().contains("understory salvage"), "{error}");
    }
}

#[test]
fn a_damaged_segment_gives_the_vectors_that_are_intact() {
    let fixture = Fixture::new();
    let (name, bytes) = &fixture.segments[0];
    let in_segment = fixture.items.values().filter(|entry| entry.is_in_segment).count();
    let check = |damaged: Vec<u8>, at_least: usize, what: &str| {
        let (report, items) = run(None, &[(name.clone(), damaged)]);
        let is_right = |(id, (vector, _)): &(&Id, &(Vec<f32>, Metadata))| {
            fixture.versions.iter().any(|(known, version)| known == *id && version == vector)
        };
        assert!(items.iter().all(|item| is_right(&item)), "{what}");
        let found =
            fixture.items.iter().filter(|(id, entry)| items.get(id).is_some_and(|item| item.0 == entry.vector));
        assert!(found.count() >= at_least, "{what}: expected {at_least} items, found {report:?}");
    };
    let without = |range: Range<usize>| {
        let mut damaged = bytes.clone();
        damaged[range].fill(0);
        damaged
    };
    check(without(0..128), in_segment, "no header");
    check(bytes[..bytes.len() - 64].to_vec(), in_segment, "no trailer");
    check(without(bytes.len() - 64 - 8 * 32..bytes.len() - 64), in_segment, "no section table");
    // A page of ids has more of them than a page of records.
    let lost = (PAGE / (4 * DIMENSION + 16) + 2).max(PAGE / 12 + 2);
    // Near the end of the file closer: a page that took all offsets and the first ids behind them took all ids, once.
    let near_the_end = (bytes.len().saturating_sub(14 * PAGE)..bytes.len()).step_by(PAGE / 8);
    for start in (0..bytes.len()).step_by(PAGE).chain(near_the_end) {
        check(without(start..(start + PAGE).min(bytes.len())), in_segment.saturating_sub(lost), "a page");
    }
    check(vec![0; 500], 0, "zeros");
    check(Vec::new(), 0, "nothing");
}

#[test]
fn random_bytes_give_nothing_and_do_no_harm() {
    for seed in 0..20 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut bytes: Vec<u8> = (0..rng.random_range(1..200_000)).map(|_| rng.random()).collect();
        if seed % 2 == 0 && bytes.len() > 9 {
            bytes[..9].copy_from_slice(b"redb\x1a\x0a\xa9\x0d\x0a");
        }
        let segment: Vec<u8> = (0..rng.random_range(1..20_000)).map(|_| rng.random()).collect();
        let (report, items) = run(Some(&bytes), &[("0000000000000001-0000000000000001.seg".into(), segment)]);
        assert_eq!((items.len(), report.metric_is_known), (0, false), "seed {seed}");
    }
}

#[test]
fn what_cannot_be_salvaged_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let missing = salvage(&path, dir.path().join("target")).unwrap_err();
    assert!(matches!(missing, Error::NotAStore { .. }), "{missing}");
    std::fs::create_dir(&path).unwrap();
    let empty = salvage(&path, dir.path().join("target")).unwrap_err();
    assert!(matches!(empty, Error::NotAStore { .. }), "{empty}");
    let store = open(&path);
    store.insert(1, [1.0]).unwrap();
    assert!(matches!(salvage(&path, dir.path().join("target")), Err(Error::Locked(_))));
    store.close().unwrap();
    let taken = salvage(&path, dir.path()).unwrap_err();
    assert!(taken.to_string().contains("in use"), "{taken}");
    // It was written into the damaged store, which is promised not to change.
    let inside = salvage(&path, path.join("inside")).unwrap_err();
    assert!(inside.to_string().contains("outside of the damaged store"), "{inside}");
    assert!(!path.join("inside").exists());
}

/// Rows and records of bits are shorter, and are found all the same; so are those of the metric whose codes are bytes.
#[test]
fn bits_and_bytes_are_found_without_tables_and_without_rows() {
    for metric in [Metric::Hamming, Metric::Manhattan] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store");
        let options = Options::new().metric(metric).maintenance(Maintenance::Manual);
        let store = Store::open_with(&path, options).unwrap();
        let mut rng = StdRng::seed_from_u64(3);
        let mut batch = Batch::new();
        let mut expected = BTreeMap::new();
        for id in 0..300u64 {
            let vector: Vec<f32> = (0..DIMENSION).map(|_| f32::from(u8::from(rng.random::<bool>()))).collect();
            batch.insert(id, &vector);
            expected.insert(Id::from(id), (vector, Metadata::new()));
        }
        store.write(batch).unwrap();
        store.compact().unwrap();
        store.close().unwrap();
        let mut rows = std::fs::read(path.join("store-0000000000.redb")).unwrap();
        let file = std::fs::read_dir(path.join("segments")).unwrap().next().unwrap().unwrap();
        let mut segments = vec![(PathBuf::from(file.file_name()), std::fs::read(file.path()).unwrap())];
        rows[..320].fill(0);
        let (report, items) = run(Some(&rows), &segments);
        assert!(report.metric == metric && items == expected, "{metric} without the row file's tables: {report:?}");
        let (report, items) = run(None, &segments);
        assert!(report.metric == metric && items == expected, "{metric} without the row file: {report:?}");
        segments[0].1[..128].fill(0);
        let (report, items) = run(Some(&rows), &segments);
        assert!(items == expected, "{metric} without tables and header: {report:?}");
    }
}
