//! Filtered queries against a naive evaluator: random metadata, random filters, items in segments of several builds, in
//! the delta and in rows alone, some of them replaced or removed.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Seek, SeekFrom, Write};

use rand::RngExt;
use rand::rngs::StdRng;
use understory::{Batch, Filter, Id, Metadata, Metric, Options, Store, Timestamp, Value, field, ids};

use crate::support::{Dir, generator, manual};

const DIMENSION: usize = 8;
const FIELDS: [&str; 12] =
    ["kind", "year", "tags", "flag", "place", "place.city", "place.zip", "text", "when", "mixed", "blob", "never"];

fn vector(rng: &mut StdRng) -> Vec<f32> {
    (0..DIMENSION).map(|_| rng.random_range(-1.0..1.0)).collect()
}

/// A scalar of any kind; equal ones come up often, also as integer and float.
fn scalar(rng: &mut StdRng) -> Value {
    match rng.random_range(0..9) {
        0 => Value::Bool(rng.random()),
        1 | 2 => Value::Integer(rng.random_range(-3..4)),
        3 => Value::Float(f64::from(rng.random_range(-6..7)) / 2.0),
        4 => [f64::NAN, f64::INFINITY, -0.0, 9.3e18, i64::MAX as f64][rng.random_range(0..5)].into(),
        5 => Value::Integer([i64::MIN, i64::MAX, (1 << 53) + 1][rng.random_range(0..3)]),
        6 => ["", "a", "ab", "abc", "b", "\u{e9}t\u{e9}"][rng.random_range(0..6)].into(),
        7 => Value::Bytes(vec![7; rng.random_range(0..3)]),
        _ => Value::Timestamp(Timestamp::from_micros(rng.random_range(-2..3) * 1_000_000)),
    }
}

fn metadata(rng: &mut StdRng) -> Metadata {
    let mut metadata = Metadata::new();
    let mut add = |rng: &mut StdRng, key: &str, value: Value| {
        if rng.random_bool(0.8) {
            metadata.insert(key, value);
        }
    };
    let kind = ["book", "note", "mail", "map"][rng.random_range(0..16usize).min(3)];
    add(rng, "kind", kind.into());
    let year = rng.random_range(1990..2030);
    add(rng, "year", if year % 5 == 0 { Value::Float(f64::from(year)) } else { Value::from(year) });
    let tags: Vec<Value> = (0..rng.random_range(0..4)).map(|_| scalar(rng)).collect();
    let tags = if rng.random_bool(0.1) { vec![Value::Null] } else { tags };
    add(rng, "tags", Value::List(tags));
    let flag = if rng.random_bool(0.2) { Value::Null } else { Value::Bool(rng.random()) };
    add(rng, "flag", flag);
    let mut place = BTreeMap::new();
    if rng.random_bool(0.7) {
        place.insert("city".to_owned(), ["Ulm", "Linz"][rng.random_range(0..2)].into());
    }
    if rng.random_bool(0.5) {
        place.insert("zip".to_owned(), scalar(rng));
    }
    add(rng, "place", Value::Map(place));
    // Unique and long: a field that gets no column once there are many.
    let long = format!("{} {}", rng.random_range(0..100_000), "lorem ipsum ".repeat(rng.random_range(20..40)));
    add(rng, "text", long.into());
    let when = Timestamp::from_micros(rng.random_range(0..1_000_000_000));
    add(rng, "when", Value::Timestamp(when));
    let mixed = scalar(rng);
    add(rng, "mixed", mixed);
    let blob = Value::Bytes(vec![rng.random_range(0..4)]);
    add(rng, "blob", blob);
    metadata
}

/// A value to compare with: one that may be there, or one of any kind.
fn operand(rng: &mut StdRng, name: &str) -> Value {
    if rng.random_bool(0.1) {
        return if let Value::Float(_) = scalar(rng) { 1.into() } else { "book".into() };
    }
    match name {
        "kind" => ["book", "note", "mail", "map", "none"][rng.random_range(0..5)].into(),
        "year" => Value::Float(f64::from(rng.random_range(3970..4070)) / 2.0),
        "place.city" => ["Ulm", "Linz", "Wien"][rng.random_range(0..3)].into(),
        "text" => format!("{}", rng.random_range(0..100_000)).into(),
        "when" => Value::Timestamp(Timestamp::from_micros(rng.random_range(0..1_000_000_000))),
        "flag" => Value::Bool(rng.random()),
        "blob" => Value::Bytes(vec![rng.random_range(0..5)]),
        _ => match scalar(rng) {
            Value::Float(number) if number.is_nan() => Value::Integer(0),
            value => value,
        },
    }
}

fn filter(rng: &mut StdRng, depth: usize) -> Filter {
    if depth > 0 && rng.random_bool(0.6) {
        let (left, right) = (filter(rng, depth - 1), filter(rng, depth - 1));
        return match rng.random_range(0..3) {
            0 => left & right,
            1 => left | right,
            _ => !left,
        };
    }
    let name = FIELDS[rng.random_range(0..FIELDS.len())];
    let value = operand(rng, name);
    let test = field(name);
    match rng.random_range(0..14) {
        0 => test.eq(value),
        1 => test.ne(value),
        2 => test.is_in([value, operand(rng, name)]),
        3 => test.exists(),
        4 => test.is_null(),
        5 => test.starts_with(["", "a", "b", "no", "1", "L"][rng.random_range(0..6)]),
        6 => test.contains(["", "o", "b", "99", "ipsum 9"][rng.random_range(0..5)]),
        7 => ids((0..40).map(|_| rng.random_range(0..3000u64))),
        8 => test.lt(value),
        9 => test.le(value),
        10 => test.gt(value),
        11 => test.ge(value),
        12 => test.contains_all([value, operand(rng, name)]),
        _ => test.between(value.clone(), value),
    }
}

type Model = BTreeMap<Id, (Vec<f32>, Metadata)>;

/// Items in two segments, in rows alone where the batch was large, and in the delta.
fn fill(store: &Store, rng: &mut StdRng, most: u64) -> Model {
    let mut model = Model::new();
    for (count, flush) in [(most, true), (most / 4, true), (most / 8, false)] {
        let mut batch = Batch::new();
        for _ in 0..count {
            let id = Id::from(rng.random_range(0..most * 5 / 4));
            let (vector, metadata) = (vector(rng), metadata(rng));
            batch.insert_with(id.clone(), &vector, &metadata).unwrap();
            model.insert(id, (vector, metadata));
        }
        store.write(batch).unwrap();
        for _ in 0..count / 20 {
            let id = Id::from(rng.random_range(0..most));
            assert_eq!(store.remove(id.clone()).unwrap(), model.remove(&id).is_some());
        }
        if flush {
            store.flush().unwrap();
        }
    }
    model
}

fn check(store: &Store, model: &Model, rng: &mut StdRng, rounds: usize) {
    let mut found = [0; 2];
    for round in 0..rounds {
        let filter = filter(rng, 3);
        if filter.check().is_err() {
            continue;
        }
        let query = vector(rng);
        let distance = |of: &[f32]| of.iter().zip(&query).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt();
        let matching = model.iter().filter(|(id, (_, metadata))| filter.matches(id, metadata));
        let mut expected: Vec<(f64, &Id)> = matching.map(|(id, (vector, _))| (distance(vector), id)).collect();
        expected.sort_by(|a, b| a.0.total_cmp(&b.0));
        let about = store.query(&query).unwrap().filter(&filter);
        let (all, report) = about.clone().k(model.len() + 1).run_with_report().unwrap();
        assert_eq!(report.matches as usize, expected.len(), "round {round}: {filter}");
        let ids = |of: &[understory::Hit]| of.iter().map(|hit| hit.id.clone()).collect::<BTreeSet<_>>();
        let matching = expected.iter().map(|(_, id)| (*id).clone()).collect::<BTreeSet<_>>();
        assert!(all.len() == expected.len() && ids(&all) == matching, "round {round}: {filter}");
        // Rounding may swap what is all but equally far.
        let exact = about.clone().k(7).exact().run().unwrap();
        let pairs = exact.iter().zip(&expected);
        let close =
            |(hit, (distance, _)): (&understory::Hit, &(f64, &Id))| (f64::from(hit.distance) - distance).abs() < 1e-5;
        assert!(pairs.clone().all(close), "round {round}, exact: {filter}");
        for hits in [&exact, &about.k(7).run().unwrap()] {
            assert_eq!(hits.len(), expected.len().min(7), "round {round}: {filter}");
            assert!(ids(hits).is_subset(&matching), "round {round}: {filter}");
        }
        found[usize::from(!expected.is_empty())] += 1;
    }
    assert!(
        rounds < 50 || found.iter().all(|&count| count > rounds / 10),
        "filters of nothing and of something: {found:?}"
    );
}

fn run(options: Options, seed: u64, most: u64, rounds: usize) {
    let (dir, mut rng) = (Dir::in_memory(), generator(seed));
    let store = Store::open_with(dir.store(), options.clone()).unwrap();
    let model = fill(&store, &mut rng, most);
    check(&store, &model, &mut rng, rounds);
    store.verify().unwrap();
    store.close().unwrap();
    // Opened again, the delta has its metadata from the rows.
    let store = Store::open_with(dir.store(), options).unwrap();
    check(&store, &model, &mut rng, rounds);
    store.compact().unwrap();
    check(&store, &model, &mut rng, rounds);
}

#[test]
fn filtered_queries_agree_with_the_naive_evaluator() {
    run(manual(Metric::Euclidean), 1, 2000, 150);
}

#[test]
fn so_they_do_with_several_trees() {
    run(manual(Metric::Euclidean).trees(3), 2, 1200, 80);
}

#[test]
fn so_they_do_where_only_the_rows_answer() {
    let (dir, mut rng) = (Dir::in_memory(), generator(3));
    let store = Store::open_with(dir.store(), manual(Metric::Euclidean)).unwrap();
    let mut model = Model::new();
    let mut batch = Batch::new();
    for number in 0..9000u64 {
        let (vector, metadata) = (vector(&mut rng), metadata(&mut rng));
        batch.insert_with(number, &vector, &metadata).unwrap();
        model.insert(number.into(), (vector, metadata));
    }
    store.write(batch).unwrap();
    assert!(store.stats().unwrap().segments.is_empty(), "a batch of this size waits for its segment");
    check(&store, &model, &mut rng, 20);
}

#[test]
fn a_misspelled_field_matches_nothing_and_is_named() {
    let dir = Dir::in_memory();
    let store = Store::open_with(dir.store(), manual(Metric::Euclidean)).unwrap();
    for (number, flush) in [(1u64, true), (2, false)] {
        store.insert_with(number, [number as f32], &BTreeMap::from([("year", number)])).unwrap();
        if flush {
            store.flush().unwrap();
        }
    }
    let unknown = |filter: Filter| {
        let (hits, report) = store.query([1.0]).unwrap().filter(filter).run_with_report().unwrap();
        (hits.len(), report.matches, report.unknown_fields)
    };
    assert_eq!(unknown(field("yaer").ge(1) & field("year").ge(1)), (0, 0, vec!["yaer".to_owned()]));
    assert_eq!(unknown(!field("yaer").ge(1)), (0, 0, vec!["yaer".to_owned()]));
    assert_eq!(unknown(field("year").ge(1)), (2, 2, vec![]));
    let refused = store.query([1.0]).unwrap().filter(field("year").ge(true)).run().unwrap_err();
    assert!(refused.is_usage(), "{refused}");
}

/// The one segment file of a store.
fn segment_file(store: &std::path::Path) -> std::path::PathBuf {
    let mut files = std::fs::read_dir(store.join("segments")).unwrap().map(|entry| entry.unwrap().path());
    let file = files.next().expect("a segment");
    assert!(files.next().is_none(), "one segment");
    file
}

#[test]
fn a_column_damaged_while_the_store_is_open_changes_no_answer() {
    let (dir, mut rng) = (Dir::in_memory(), generator(5));
    let store = Store::open_with(dir.store(), manual(Metric::Euclidean)).unwrap();
    let mut model = Model::new();
    for number in 0..400u64 {
        model.insert(number.into(), (vector(&mut rng), metadata(&mut rng)));
    }
    let mut batch = Batch::new();
    model.iter().for_each(|(id, (vector, metadata))| {
        batch.insert_with(id.clone(), vector, metadata).unwrap();
    });
    store.write(batch).unwrap();
    store.flush().unwrap();
    let length: u64 = store.stats().unwrap().segments[0].columns.iter().map(|column| column.bytes).sum();
    assert!(length > 10_000, "{length}");
    store.close().unwrap();
    let mut file = std::fs::OpenOptions::new().read(true).write(true).open(segment_file(&dir.store())).unwrap();
    // The columns and their directory come last but for the section table and the trailer.
    let end = file.metadata().unwrap().len() - 64 - 9 * 32;
    let mut set_aside = 0;
    for step in 0..24 {
        let place = end - 40 - step * length / 24;
        let mut flip = || {
            let mut byte = [0];
            file.seek(SeekFrom::Start(place)).and_then(|_| file.read_exact(&mut byte)).unwrap();
            file.seek(SeekFrom::Start(place)).and_then(|_| file.write_all(&[byte[0] ^ 0x10])).unwrap();
        };
        let store = Store::open_with(dir.store(), manual(Metric::Euclidean)).unwrap();
        flip();
        check(&store, &model, &mut rng, 12);
        let stats = store.stats().unwrap();
        assert!(stats.segments.len() == 1 || stats.unbuilt_items == 400, "{stats:?}");
        set_aside += usize::from(stats.segments.is_empty());
        store.close().unwrap();
        flip();
    }
    assert!(set_aside > 12, "{set_aside} of 24 flips were met by a filter");
}
