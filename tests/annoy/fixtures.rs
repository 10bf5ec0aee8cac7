//! Files that Annoy 1.17.3 wrote, and what it answered from them.

use std::path::{Path, PathBuf};

use serde_json::Value;
use understory::annoy::{AnnoyIndex, Format};

use crate::support::ids;

const NAMES: [&str; 9] = [
    "angular",
    "euclidean",
    "manhattan",
    "dot",
    "hamming",
    "one_bucket",
    "one_item",
    "hamming_packed",
    "dot_unreleased",
];

pub(crate) fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/annoy/fixtures").join(name).with_extension("ann")
}

fn answers(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(file(name).with_extension("json")).unwrap()).unwrap()
}

fn numbers(value: &Value) -> Vec<usize> {
    value.as_array().unwrap().iter().map(|number| number.as_u64().unwrap() as usize).collect()
}

fn floats(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap() as f32).collect()
}

fn empty(answers: &Value) -> AnnoyIndex {
    let format = match answers["format"].as_str().unwrap() {
        "packed" => Format::Packed,
        "unreleased" => Format::Unreleased,
        _ => Format::Release,
    };
    let metric = answers["metric"].as_str().unwrap().parse().unwrap();
    AnnoyIndex::with_format(answers["f"].as_u64().unwrap() as usize, metric, format).unwrap()
}

#[track_caller]
fn assert_close(found: f32, expected: f32, what: &str) {
    assert!((found - expected).abs() <= 1e-4 * expected.abs().max(1.0), "{what}: expected {expected}, found {found}");
}

fn check(name: &str, index: &AnnoyIndex, answers: &Value) {
    assert_eq!(index.get_n_items() as u64, answers["items"].as_u64().unwrap(), "{name}");
    assert_eq!(index.get_n_trees() as u64, answers["trees"].as_u64().unwrap(), "{name}");
    let present = (0..index.get_n_items()).filter(|&item| index.has_item(item).unwrap()).count();
    assert_eq!(present as u64, answers["present"].as_u64().unwrap(), "{name}");
    for (number, search) in answers["searches"].as_array().unwrap().iter().enumerate() {
        let what = format!("{name}, search {number}");
        let (n, search_k) = (search["n"].as_u64().unwrap() as usize, search["search_k"].as_i64().unwrap());
        let found = match search.get("item") {
            Some(item) => index.get_nns_by_item(item.as_u64().unwrap() as usize, n, search_k),
            None => index.get_nns_by_vector(&floats(&search["vector"]), n, search_k),
        };
        let found = found.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(ids(&found), numbers(&search["ids"]), "{what}");
        for (&(_, distance), expected) in found.iter().zip(floats(&search["distances"])) {
            assert_close(distance, expected, &what);
        }
    }
    for pair in answers["pairs"].as_array().unwrap() {
        let item = |at: usize| pair[at].as_u64().unwrap() as usize;
        let distance = index.get_distance(item(0), item(1)).unwrap();
        assert_close(distance, pair[2].as_f64().unwrap() as f32, &format!("{name}, pair {pair}"));
    }
    for vector in answers["vectors"].as_array().unwrap() {
        let found = index.get_item_vector(vector[0].as_u64().unwrap() as usize).unwrap();
        assert_eq!(found, floats(&vector[1]), "{name}");
    }
}

#[test]
fn files_of_annoy_give_the_answers_of_annoy() {
    for name in NAMES {
        let answers = answers(name);
        for prefault in [false, true] {
            let mut index = empty(&answers);
            index.load(file(name), prefault).unwrap_or_else(|error| panic!("{name}: {error}"));
            check(name, &index, &answers);
        }
    }
}

#[test]
fn files_that_were_loaded_and_saved_are_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    for name in NAMES {
        let answers = answers(name);
        let mut index = empty(&answers);
        index.load(file(name), false).unwrap();
        let copy = folder.path().join(name);
        index.save(&copy, false).unwrap();
        assert_eq!(std::fs::read(&copy).unwrap(), std::fs::read(file(name)).unwrap(), "{name}");
        check(name, &index, &answers);
    }
}

#[test]
fn files_of_another_metric_or_dimension_are_refused_where_their_bytes_tell() {
    use understory::annoy::Metric::{Angular, Dot, Euclidean, Hamming, Manhattan};
    let refusals = [
        ("angular", 17, Angular),
        ("angular", 15, Euclidean),
        ("angular", 15, Dot),
        ("euclidean", 13, Angular),
        ("euclidean", 12, Dot),
        ("manhattan", 12, Dot),
        ("dot", 16, Euclidean),
        ("dot", 16, Manhattan),
        ("hamming", 3, Euclidean),
        ("angular", 192, Hamming),
        ("angular", 5, Angular),
    ];
    for (name, f, metric) in refusals {
        let mut index = AnnoyIndex::new(f, metric).unwrap();
        let loaded = index.load(file(name), false);
        assert!(loaded.is_err_and(|error| error.is_corruption()), "{name} as {metric} of {f}");
        assert_eq!(index.get_n_items(), 0, "{name} as {metric} of {f}");
    }
}
