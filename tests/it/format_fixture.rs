//! Stores written by the first release of each format version keep opening, with every item they held.
//!
//! The fixtures are in `tests/fixtures`, a directory for each format version and metric, and for
//! each further form of segments. To write those of a new
//! version: `UNDERSTORY_WRITE_FIXTURES=tests/fixtures cargo test --test it format_fixture`. Those that are there
//! are never written again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Serialize;
use understory::{Batch, Id, Maintenance, Metric, Options, SegmentVectors, Store, Value, field};

const DIMENSION: usize = 8;
const METRICS: [Metric; 5] = [Metric::Cosine, Metric::Euclidean, Metric::Dot, Metric::Manhattan, Metric::Hamming];
/// The forms that came with short factors, and later ones, and what their directories are called. `spent` is the row that
/// says how much effort a recall takes; `error-share` is what runs of half bytes say of their items' errors.
const FORMS: [(&str, Metric, SegmentVectors); 7] = [
    ("short", Metric::Euclidean, SegmentVectors::Float32),
    ("float16", Metric::Cosine, SegmentVectors::Float16),
    ("int8", Metric::Dot, SegmentVectors::Int8),
    ("half-bytes", Metric::Manhattan, SegmentVectors::Float32),
    ("spent", Metric::Cosine, SegmentVectors::Float32),
    ("narrow", Metric::Cosine, SegmentVectors::Float32),
    ("error-share", Metric::Manhattan, SegmentVectors::Float32),
];

#[derive(Serialize)]
struct Fields {
    name: String,
    number: i64,
    half: f64,
    even: bool,
    none: Option<u8>,
    tags: Vec<&'static str>,
}

fn id(number: u64) -> Id {
    if number.is_multiple_of(2) { Id::from(number) } else { Id::from(format!("text-{number}")) }
}

fn vector(number: u64, metric: Metric) -> Vec<f32> {
    let component = |axis: u64| (number * 31 + axis * 17) % 101;
    let bit = |axis| f32::from(u8::from(component(axis) > 50));
    match metric {
        Metric::Hamming => (0..DIMENSION as u64).map(bit).collect(),
        _ => (0..DIMENSION as u64).map(|axis| component(axis) as f32 / 8.0 - 5.0).collect(),
    }
}

fn fields(number: u64) -> Fields {
    let (half, even) = (number as f64 / 2.0, number.is_multiple_of(2));
    Fields { name: format!("item {number}"), number: number as i64, half, even, none: None, tags: vec!["a", "b"] }
}

/// What a fixture holds: of each id the number its vector and metadata are made from.
fn contents() -> BTreeMap<Id, u64> {
    let mut contents: BTreeMap<Id, u64> = (0..130).map(|number| (id(number), number)).collect();
    for number in 0..5 {
        contents.remove(&id(number));
    }
    for number in 5..10 {
        contents.insert(id(number), number + 1000);
    }
    contents
}

/// A store with a segment, blocks, fresh rows, dead items in both, and a delta.
fn write(path: &Path, metric: Metric, vectors: SegmentVectors) {
    let options = Options::new().metric(metric).maintenance(Maintenance::Manual).segment_vectors(vectors);
    let store = Store::open_with(path, options).unwrap();
    let mut batch = Batch::new();
    for number in 0..120 {
        batch.insert_with(id(number), vector(number, metric), &fields(number)).unwrap();
    }
    store.write(batch).unwrap();
    store.compact().unwrap();
    for number in 0..5 {
        assert!(store.remove(id(number)).unwrap());
    }
    for number in 5..10 {
        store.insert_with(id(number), vector(number + 1000, metric), &fields(number + 1000)).unwrap();
    }
    for number in 120..130 {
        store.insert_with(id(number), vector(number, metric), &fields(number)).unwrap();
    }
    store.close().unwrap();
}

fn fixtures() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut found: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
        if path.is_dir() {
            copy(&path, &to.join(name));
        } else {
            std::fs::copy(&path, to.join(name)).unwrap();
        }
    }
}

#[test]
fn write_fixtures_where_asked() {
    let Ok(folder) = std::env::var("UNDERSTORY_WRITE_FIXTURES") else { return };
    let metrics = METRICS.map(|metric| (metric.to_string(), metric, SegmentVectors::Float32));
    let forms = FORMS.map(|(name, metric, vectors)| (format!("{metric}-{name}"), metric, vectors));
    for (name, metric, vectors) in metrics.into_iter().chain(forms) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(&folder).join(format!("format-1-{name}"));
        if !path.exists() {
            write(&path, metric, vectors);
        }
    }
}

#[test]
fn stores_of_every_format_version_open_with_all_they_held() {
    let fixtures = fixtures();
    assert!(fixtures.len() >= METRICS.len() + FORMS.len(), "{fixtures:?}");
    for fixture in fixtures {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store");
        copy(&fixture, &path);
        let store = Store::open_with(&path, Options::new().create(false).maintenance(Maintenance::Manual)).unwrap();
        let report = store.open_report();
        assert!(report.damaged_segments.is_empty() && report.swept_files.is_empty(), "{report:?}");
        check(&store);
        store.compact().unwrap();
        check(&store);
    }
}

fn check(store: &Store) {
    let contents = contents();
    let report = store.verify().unwrap();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    assert!(store.ids().unwrap().map(Result::unwrap).eq(contents.keys().cloned()));
    // Segments of the first builds have no columns: the rows answer.
    let filter = field("even").is(true) & field("half").lt(30) & field("tags").contains_any(["b", "c"]);
    let (hits, report) =
        store.query(vector(7, store.metric())).unwrap().k(200).filter(&filter).run_with_report().unwrap();
    let is_match = |number: u64| number.is_multiple_of(2) && number < 60;
    let expected = contents.iter().filter(|(_, number)| is_match(**number)).map(|(id, _)| id.clone());
    assert_eq!(hits.iter().map(|hit| hit.id.clone()).collect::<BTreeSet<_>>(), expected.collect());
    assert_eq!((report.matches as usize, report.unknown_fields.len()), (hits.len(), 0));
    for (id, &number) in &contents {
        let item = store.get(id.clone()).unwrap().unwrap();
        assert_eq!(item.vector, vector(number, store.metric()));
        assert_eq!(item.metadata.get("name"), Some(&Value::from(format!("item {number}"))));
        assert_eq!(item.metadata.get("half"), Some(&Value::Float(number as f64 / 2.0)));
        assert_eq!(item.metadata.len(), 6);
        let all = store.query(&item.vector).unwrap().k(contents.len()).exact_distances(true).run().unwrap();
        let exact = store.query(&item.vector).unwrap().k(contents.len()).exact().run().unwrap();
        assert_eq!(all.len(), contents.len());
        assert_eq!(all, exact);
    }
}
