//! The package itself: Annoy 1.17.3 loads what is saved here, and finds as much in it as in a build of its own.
//!
//! Needs a Python that imports `annoy` (`pip install annoy==1.17.3`), named by the environment variable
//! `ANNOY_PYTHON` or else `python3`; without one the test says so and passes.

use std::path::Path;
use std::process::Command;

use rand::RngExt;
use serde_json::Value;
use understory::annoy::Metric;

use crate::support::{METRICS, built, exact_distance, generator, ids, vectors};

const ITEMS: usize = 4_000;
const QUERIES: usize = 200;
const TREES: i32 = 8;
const SEARCH_K: i64 = 400;
const N: usize = 10;

/// Loads a file, says what it holds and what it answers, and answers the same from a build of its own.
const SCRIPT: &str = r#"
import array, json, sys
from annoy import AnnoyIndex
path, metric, f, trees, queries, n, search_k = sys.argv[1:3] + [int(x) for x in sys.argv[3:]]
theirs = AnnoyIndex(f, metric)
theirs.load(path)
own = AnnoyIndex(f, metric)
for i in range(theirs.get_n_items()):
    own.add_item(i, theirs.get_item_vector(i))
own.build(trees, 1)
find = lambda index, k: [index.get_nns_by_item(i, n, k) for i in range(queries)]
print(json.dumps({
    "items": theirs.get_n_items(), "trees": theirs.get_n_trees(), "found": find(theirs, search_k),
    "own": find(own, search_k), "all": find(theirs, 10**9),
}))
"#;

fn python() -> Option<String> {
    let python = std::env::var("ANNOY_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let imports = Command::new(&python).args(["-c", "import annoy"]).output().is_ok_and(|run| run.status.success());
    imports.then_some(python)
}

fn ask(python: &str, path: &Path, metric: Metric, f: usize) -> Value {
    let numbers = [f as i64, TREES.into(), QUERIES as i64, N as i64, SEARCH_K].map(|number| number.to_string());
    let run = Command::new(python).args(["-c", SCRIPT]).arg(path).arg(metric.name()).args(numbers).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    serde_json::from_slice(&run.stdout).unwrap()
}

fn lists(value: &Value) -> Vec<Vec<usize>> {
    let list = |list: &Value| list.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as usize).collect();
    value.as_array().unwrap().iter().map(list).collect()
}

#[test]
fn the_package_loads_what_is_saved_here_and_finds_as_much() {
    let Some(python) = python() else {
        eprintln!("skipped: no python with annoy (pip install annoy==1.17.3, or name one in ANNOY_PYTHON)");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    for metric in METRICS {
        let f = if metric == Metric::Hamming { 128 } else { 24 };
        let mut generator = generator(3);
        let mut items = vectors(&mut generator, ITEMS, f);
        if metric == Metric::Dot {
            items.iter_mut().for_each(|item| {
                let length = generator.random_range(0.3f32..3.0);
                item.iter_mut().for_each(|component| *component *= length);
            });
        }
        let mut index = built(metric, &items, TREES);
        let path = folder.path().join(metric.name());
        index.save(&path, false).unwrap();
        let answer = ask(&python, &path, metric, f);
        assert_eq!((answer["items"].as_u64(), answer["trees"].as_u64()), (Some(ITEMS as u64), Some(TREES as u64)));
        let here: Vec<Vec<usize>> =
            (0..QUERIES).map(|item| ids(&index.get_nns_by_item(item, N, SEARCH_K).unwrap())).collect();
        let (found, own, all) = (lists(&answer["found"]), lists(&answer["own"]), lists(&answer["all"]));
        let agree = here.iter().zip(&found).filter(|(here, found)| here == found).count();
        assert!(agree * 100 >= QUERIES * 97, "{metric}: {agree} of {QUERIES} answers are the package's");
        // By distance, since ties are the rule for bits.
        let recall = |lists: &[Vec<usize>]| {
            let hits = lists.iter().zip(&all).enumerate().map(|(query, (list, all))| {
                let distance = |item: usize| exact_distance(metric, &items[query], &items[item]);
                let worst = distance(all[N - 1]);
                let near = |item: usize| match metric {
                    Metric::Dot => distance(item) >= worst - 1e-6,
                    _ => distance(item) <= worst + 1e-6,
                };
                list.iter().filter(|&&item| near(item)).count()
            });
            hits.sum::<usize>() as f64 / (QUERIES * N) as f64
        };
        let (found, own) = (recall(&found), recall(&own));
        println!("{metric}: recall {found:.3} of the file from here, {own:.3} of the package's own");
        assert!(found >= own - 0.03, "{metric}: {found} against {own}");
    }
}
