//! The command, end to end: the built binary on generated files, its output, its exit codes.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

const ROWS: usize = 600;
const DIM: usize = 16;
const QUERIES: usize = 20;
const K: usize = 10;

/// A folder of input files and the store made from them.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// Runs the command in this folder, so that arguments are short names.
    fn run(&self, line: &str) -> Output {
        let command = env!("CARGO_BIN_EXE_understory");
        Command::new(command).args(line.split_whitespace()).current_dir(self.0.path()).output().unwrap()
    }

    /// Standard output of a run that must succeed, and say nothing else.
    fn output(&self, line: &str) -> String {
        let output = self.run(line);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), errors.as_str()), (Some(0), ""), "{line}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, line: &str) -> Vec<Value> {
        self.output(line).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The sentence of a run that must fail with this exit code and write nothing to standard output.
    fn failure(&self, line: &str, code: i32) -> String {
        let output = self.run(line);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{line}: {errors}");
        assert_eq!(output.stdout, b"", "{line}");
        assert_eq!(errors.lines().count(), 1, "{line}: expected one sentence, found {errors}");
        assert!(!errors.contains("panicked"), "{line}: {errors}");
        errors
    }
}

fn npy(descr: &str, rows: usize, columns: usize, elements: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({rows}, {columns}), }}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(u16::try_from(header.len()).unwrap().to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(elements);
    bytes
}

fn npy_of_vectors(vectors: &[Vec<f32>]) -> Vec<u8> {
    let elements: Vec<u8> = vectors.iter().flatten().flat_map(|value| value.to_le_bytes()).collect();
    npy("<f4", vectors.len(), vectors[0].len(), &elements)
}

/// Vectors without a pattern, the same in every run (a multiplicative generator).
fn vectors(count: usize, seed: u64) -> Vec<Vec<f32>> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1_u64 << 24) as f32 - 0.5
    };
    (0..count).map(|_| (0..DIM).map(|_| next()).collect()).collect()
}

/// The k nearest rows by euclidean distance, in float64, ties by row.
fn nearest(base: &[Vec<f32>], query: &[f32], k: usize) -> Vec<usize> {
    let squared =
        |row: &Vec<f32>| -> f64 { row.iter().zip(query).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum() };
    let mut rows: Vec<usize> = (0..base.len()).collect();
    rows.sort_by(|&a, &b| squared(&base[a]).total_cmp(&squared(&base[b])).then(a.cmp(&b)));
    rows.truncate(k);
    rows
}

/// A folder with vectors, queries, truth and metadata.
fn inputs() -> (Folder, Vec<Vec<f32>>, Vec<Vec<f32>>) {
    let folder = Folder::new();
    let (base, queries) = (vectors(ROWS, 1), vectors(QUERIES, 2));
    folder.write("base.npy", npy_of_vectors(&base));
    folder.write("queries.npy", npy_of_vectors(&queries));
    let truth: Vec<u8> = queries
        .iter()
        .flat_map(|query| nearest(&base, query, K))
        .flat_map(|row| i32::try_from(row).unwrap().to_le_bytes())
        .collect();
    folder.write("truth.npy", npy("<i4", QUERIES, K, &truth));
    let metadata: String = (0..ROWS)
        .map(|row| {
            format!(
                "{{\"row\":{row},\"score\":{},\"name\":\"row {row}\",\"tags\":[\"a\",null,true]}}\n",
                row as f32 + 0.25
            )
        })
        .collect();
    folder.write("metadata.jsonl", metadata);
    (folder, base, queries)
}

fn ids(hits: &[Value]) -> Vec<usize> {
    hits.iter().map(|hit| usize::try_from(hit["id"].as_u64().unwrap()).unwrap()).collect()
}

fn files_under(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files_under(&path) } else { vec![path] }).collect()
}

#[test]
fn import_search_stats_verify_and_compact() {
    let (folder, base, queries) = inputs();
    let report = folder.json("import s base.npy --metric euclidean --metadata metadata.jsonl --json");
    assert_eq!(report.len(), 1);
    assert_eq!(report[0]["items"], json!(ROWS));
    for time in ["seconds", "build_cpu_seconds"] {
        assert!(report[0][time].as_f64().unwrap() >= 0.0, "{report:?}");
    }
    assert!(report[0].as_object().unwrap().contains_key("cpu_seconds"));

    let exact = folder.json("search s --query queries.npy --row 3 -k 7 --exact --json");
    assert_eq!(ids(&exact), nearest(&base, &queries[3], 7));
    let first = &exact[0];
    let row = first["id"].as_u64().unwrap();
    let metadata =
        json!({"row": row, "score": row as f64 + 0.25, "name": format!("row {row}"), "tags": ["a", null, true]});
    assert_eq!(first["metadata"], metadata);
    assert!(exact.is_sorted_by_key(|hit| hit["distance"].as_f64().unwrap()));

    for effort in ["--recall 0.99", "--effort 600", ""] {
        let hits = folder.json(&format!("search s --near 17 -k 3 --json {effort}"));
        assert_eq!((hits.len(), &hits[0]["id"], &hits[0]["distance"]), (3, &json!(17), &json!(0.0)), "{effort}");
    }
    let plain = folder.output("search s --near 17 -k 2");
    assert_eq!(plain.lines().count(), 2);
    assert!(
        plain.starts_with("17 ") && plain.contains("0.000000") && plain.contains("\"name\":\"row 17\""),
        "{plain}"
    );
    assert_eq!(folder.output("search s --near 17 -k 0"), "");

    let stats = &folder.json("stats s --json")[0];
    for (name, value) in [("items", json!(ROWS)), ("dimension", json!(DIM)), ("metric", json!("euclidean"))] {
        assert_eq!(stats[name], value, "{name}");
    }
    assert_eq!(
        (&stats["tombstones"], &stats["delta_items"], &stats["unbuilt_items"]),
        (&json!(0), &json!(0), &json!(0))
    );
    assert_eq!(stats["segments"].as_array().unwrap().len(), 1);
    assert_eq!(stats["segments"][0]["items"], json!(ROWS));
    assert!(stats["bytes_per_vector"].as_f64().unwrap() >= (DIM * 4) as f64);
    assert!(folder.output("stats s").lines().any(|line| line.starts_with("items ") && line.ends_with(" 600")));

    assert!(folder.output("verify s").contains("600 items and 1 segments"));
    assert!(folder.output("compact s").contains("600 items"));
    assert!(folder.output("verify s").contains("600 items"));
    assert_eq!(folder.json("search s --query queries.npy --row 3 -k 7 --exact --json"), exact);
}

#[test]
fn bench_reports_every_setting_from_low_effort_to_exact() {
    let (folder, ..) = inputs();
    folder.output("import s base.npy --metric euclidean --json");
    let settings = folder.json("bench s --queries queries.npy --truth truth.npy --json");
    assert!(settings.len() >= 4, "{settings:?}");
    for setting in &settings {
        for figure in ["effort", "recall", "qps", "p50_us", "p99_us"] {
            assert!(setting[figure].as_f64().unwrap() > 0.0, "{figure}: {setting}");
        }
        assert!(setting["recall"].as_f64().unwrap() <= 1.0);
        assert!(setting["p50_us"].as_f64() <= setting["p99_us"].as_f64());
        assert!(!cfg!(target_os = "linux") || setting["cpu_qps"].as_f64().unwrap() > 0.0);
    }
    let ladder: Vec<u64> = settings
        .iter()
        .filter(|setting| setting.get("default").is_none() && setting.get("exact").is_none())
        .map(|setting| setting["effort"].as_u64().unwrap())
        .collect();
    assert!(ladder.is_sorted() && ladder.first() < ladder.last(), "{ladder:?}");
    assert_eq!(settings.iter().filter(|setting| setting["default"] == json!(true)).count(), 1);
    let last = settings.last().unwrap();
    assert_eq!((&last["exact"], &last["recall"]), (&json!(true), &json!(1.0)));

    let table = folder.output("bench s --queries queries.npy --truth truth.npy -k 3");
    let mut lines = table.lines();
    let header = lines.next().unwrap();
    assert!(header.contains("recall") && header.contains("p99 us"), "{header}");
    assert!(lines.clone().any(|line| line.ends_with("default")));
    assert!(lines.last().unwrap().ends_with("exact"));
}

#[test]
fn filters_narrow_searches_counts_and_benches() {
    let (folder, base, queries) = inputs();
    let lines: String = (0..ROWS)
        .map(|row| {
            let (kind, part) = (["moss", "fern", "tree"][row % 3], row / 100);
            format!("{{\"kind\":\"{kind}\",\"at\":{{\"part\":{part},\"row\":[{row}]}}}}\n")
        })
        .collect();
    folder.write("nested.jsonl", lines);
    folder.output("import s base.npy --metric euclidean --metadata nested.jsonl --json");
    assert_eq!(folder.output("count s"), "600\n");
    assert_eq!(folder.output("count s --filter (kind='fern')and(at.part>=3)"), "100\n");
    assert_eq!(folder.json("count s --json --filter id<>5"), [json!({"items": ROWS - 1})]);

    let ferns: Vec<usize> =
        nearest(&base, &queries[0], ROWS).into_iter().filter(|row| row % 3 == 1).take(7).collect();
    let search = "search s --query queries.npy -k 7 --json --filter kind='fern'";
    assert_eq!(ids(&folder.json(&format!("{search} --exact"))), ferns);
    let hits = folder.json(search);
    assert!(hits.len() == 7 && hits.iter().all(|hit| hit["metadata"]["kind"] == "fern"), "{hits:?}");
    let row = hits[0]["id"].as_u64().unwrap();
    assert_eq!(hits[0]["metadata"]["at"], json!({"part": row / 100, "row": [row]}));

    let settings = folder.json("bench s --queries queries.npy --filter at.part=2 -k 5 --json");
    let last = settings.last().unwrap();
    assert_eq!((&last["exact"], &last["recall"]), (&json!(true), &json!(1.0)));

    let output = folder.run("search s --near 1 --filter knid='fern'");
    let warning = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(0), 0));
    assert!(warning.contains("no item has the field \"knid\""), "{warning}");
    let sentence = folder.failure("count s --filter kind=fern", 2);
    assert!(sentence.contains("filter, column 6: expected a value, found `fern`"), "{sentence}");
}

#[test]
fn ids_come_from_a_file_and_importing_again_replaces() {
    let (folder, base, _) = inputs();
    folder.write("few.npy", npy_of_vectors(&base[..3]));
    folder.write("ids", "7\nnote\n007\n");
    // 7 and 007 are one number, so the later row replaces the earlier one.
    folder.output("import numbers few.npy --ids ids");
    let hits = folder.json("search numbers --near 7 -k 9 --json");
    assert_eq!(hits.iter().map(|hit| hit["id"].clone()).collect::<Vec<_>>().len(), 2);
    assert_eq!(hits[0]["id"], json!(7));
    assert_eq!(hits[0]["metadata"], json!({}));

    folder.output("import texts few.npy --ids ids --text-id");
    let hits = folder.json("search texts --near 007 --text-id -k 9 --json");
    assert_eq!((hits.len(), &hits[0]["id"]), (3, &json!("007")));
    folder.output("import texts few.npy --ids ids --text-id");
    assert_eq!(folder.json("stats texts --json")[0]["items"], json!(3));
    assert!(folder.failure("search texts --near 7", 1).contains('7'));

    let lines = "{\"id\":\"a\",\"vector\":[1,0],\"metadata\":{\"n\":1}}\n{\"id\":\"b\",\"vector\":[0,1]}\n";
    folder.write("lines.jsonl", lines);
    folder.output("import json lines.jsonl");
    let hits = folder.json("search json --near a --json");
    assert_eq!((hits.len(), &hits[0]["id"], &hits[0]["metadata"]), (2, &json!("a"), &json!({"n": 1})));
}

#[test]
fn wrong_usage_exits_with_2() {
    let folder = Folder::new();
    for line in [
        "",
        "grow s",
        "import s",
        "search s",
        "search s --near 1 --exact --effort 3",
        "bench s",
        "count",
        "verify s --json",
    ] {
        let sentence = folder.failure(line, 2);
        assert!(sentence.starts_with("understory: ") && sentence.contains("--help"), "{line}: {sentence}");
    }
    assert!(folder.output("--help").contains("import STORE FILE"));
    assert!(folder.output("--version").contains(env!("CARGO_PKG_VERSION")));
    assert!(files_under(folder.0.path()).is_empty());
}

#[test]
fn bad_files_exit_with_1_and_create_no_store() {
    let (folder, base, _) = inputs();
    folder.write("cut.npy", &npy_of_vectors(&base)[..400]);
    folder.write("words.npy", "no array at all");
    folder.write("short.ids", "1\n2\n");
    folder.write("few.jsonl", "{}\n");
    for (line, reason) in [
        ("import s missing.npy", "missing.npy"),
        ("import s cut.npy", "bytes of elements"),
        ("import s words.npy", "magic"),
        ("import s base.npy --ids short.ids", "found 2 lines"),
        ("import s base.npy --metadata few.jsonl", "found 1 lines"),
        ("import s base.npy --ids missing", "missing"),
        ("search absent --near 1", "absent"),
        ("stats absent", "absent"),
        ("verify absent", "absent"),
        ("compact absent", "absent"),
    ] {
        let sentence = folder.failure(line, 1);
        assert!(sentence.contains(reason), "{line}: {sentence}");
    }
    assert!(!folder.path("s").exists() && !folder.path("absent").exists());
}

#[test]
fn bad_rows_are_named_and_leave_the_store_whole() {
    let (folder, base, _) = inputs();
    let mut bad = base[..5].to_vec();
    bad[3][2] = f32::NAN;
    folder.write("nan.npy", npy_of_vectors(&bad));
    bad[3] = vec![0.0; DIM];
    folder.write("zero.npy", npy_of_vectors(&bad));
    folder.write("nested.jsonl", "{}\n{\"a\":[{\"b\":1}]}\n{}\n{}\n{}\n");
    folder.write("other.npy", npy_of_vectors(&[vec![1.0; DIM + 1]]));
    folder.write("few.npy", npy_of_vectors(&base[..5]));
    assert!(folder.failure("import s nan.npy", 1).contains("row 3"));
    assert!(folder.failure("import s zero.npy", 1).contains("row 3"));
    assert!(folder.failure("import s few.npy --metadata nested.jsonl", 1).contains("line 2"));
    folder.output("import s few.npy");
    assert!(folder.failure("import s other.npy", 1).contains("17"));
    assert!(folder.failure("import s few.npy --metric dot", 1).contains("dot"));
    assert!(folder.failure("search s --query other.npy", 1).contains("17"));
    assert!(folder.failure("search s --query few.npy --row 5", 1).contains("5 rows"));
    assert_eq!(folder.json("stats s --json")[0]["items"], json!(5));
    folder.output("import e zero.npy --metric euclidean");
    assert_eq!(folder.json("search e --near 3 -k 1 --json")[0]["distance"], json!(0.0));
}

#[test]
fn a_store_goes_to_an_annoy_file_and_comes_back() {
    let (folder, base, queries) = inputs();
    folder.output("import s base.npy --metric euclidean");
    assert!(folder.output("export s copy.ann --trees 4").contains("600 items"));
    let sentence = folder.failure("import t copy.ann --metric euclidean", 2);
    assert!(sentence.contains("--dim"), "{sentence}");
    folder.failure("import t base.npy --dim 16", 2);
    folder.failure(&format!("import t copy.ann --dim {DIM}"), 1);
    folder.failure("export s copy.npy", 1);
    let report = folder.json(&format!("import t copy.ann --metric euclidean --dim {DIM} --json"));
    assert_eq!(report[0]["items"], ROWS);
    let hits = folder.json("search t --query queries.npy --json --exact");
    assert_eq!(ids(&hits), nearest(&base, &queries[0], K));
}

#[test]
fn bench_refuses_a_truth_that_does_not_fit() {
    let (folder, ..) = inputs();
    folder.output("import s base.npy --metric euclidean");
    for (truth, k, reason) in [
        (npy("<i4", 1, K, &[0; 40]), 10, "each of 20 queries"),
        (npy("<i4", QUERIES, 1, &[0; 80]), 10, "k = 10"),
        (npy("<i4", QUERIES, 1, &[0xff; 80]), 1, "negative"),
        (npy("<f4", QUERIES, 1, &[0; 80]), 1, "elements of type"),
    ] {
        folder.write("bad.npy", truth);
        let sentence = folder.failure(&format!("bench s --queries queries.npy --truth bad.npy -k {k}"), 1);
        assert!(sentence.contains(reason), "{reason}: {sentence}");
    }
}

#[test]
fn verify_says_what_is_damaged_and_searches_go_on() {
    let (folder, base, queries) = inputs();
    folder.output("import s base.npy --metric euclidean");
    let segments = files_under(&folder.path("s").join("segments"));
    assert_eq!(segments.len(), 1, "{segments:?}");
    let mut bytes = std::fs::read(&segments[0]).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&segments[0], bytes).unwrap();

    let output = folder.run("verify s");
    let errors = String::from_utf8(output.stderr).unwrap();
    let name = segments[0].file_name().unwrap().to_str().unwrap();
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains(name) && errors.contains("problems found"), "{errors}");
    let search = folder.run("search s --query queries.npy --json --exact");
    let hits: Vec<Value> =
        String::from_utf8(search.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(ids(&hits), nearest(&base, &queries[0], K));
}

#[test]
fn a_damaged_store_is_salvaged_into_a_new_one() {
    let (folder, base, _) = inputs();
    folder.output("import s base.npy --metric euclidean");
    let is_rows = |file: &PathBuf| file.extension().is_some_and(|extension| extension == "redb");
    let row_file = files_under(&folder.path("s")).into_iter().find(is_rows).expect("a row file");
    let mut bytes = std::fs::read(&row_file).unwrap();
    bytes[..320].fill(0);
    std::fs::write(&row_file, &bytes).unwrap();
    for line in ["search s --near 3", "stats s", "verify s", "compact s"] {
        assert!(folder.failure(line, 1).contains("understory salvage s DEST"), "{line}");
    }
    let output = folder.run("salvage s whole --json");
    assert!(output.status.success(), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let expected = json!([ROWS, ROWS, 0, "euclidean", true]);
    let found = ["items", "from_pages", "lost", "metric", "metric_is_known"].map(|name| report[name].clone());
    assert_eq!(json!(found), expected, "{report}");
    assert_eq!(std::fs::read(&row_file).unwrap(), bytes, "the damaged store stays as it is");
    let hits = folder.json("search whole --near 3 -k 5 --exact --json");
    assert_eq!(ids(&hits), nearest(&base, &base[3], 5));
    assert!(folder.output("verify whole").contains("nothing is wrong"));
    assert!(folder.failure("salvage s whole", 1).contains("in use"));
}

/// Bits of 600 rows tie everywhere: whatever is no farther than the k-th counts as found.
#[test]
fn bits_and_manhattan_are_imported_searched_measured_and_exported() {
    let (folder, base, queries) = inputs();
    let to_bits = |rows: &[Vec<f32>]| -> Vec<Vec<f32>> {
        rows.iter().map(|row| row.iter().map(|&component| f32::from(u8::from(component > 0.0))).collect()).collect()
    };
    for (metric, base, queries) in [("hamming", to_bits(&base), to_bits(&queries)), ("manhattan", base, queries)] {
        folder.write("rows.npy", npy_of_vectors(&base));
        folder.write("asked.npy", npy_of_vectors(&queries));
        let distance = |row: &Vec<f32>, query: &Vec<f32>| -> f64 {
            row.iter().zip(query).map(|(a, b)| (f64::from(*a) - f64::from(*b)).abs()).sum()
        };
        let nearest = |query: &Vec<f32>| -> Vec<usize> {
            let mut rows: Vec<usize> = (0..ROWS).collect();
            rows.sort_by(|&a, &b| distance(&base[a], query).total_cmp(&distance(&base[b], query)).then(a.cmp(&b)));
            rows.truncate(K);
            rows
        };
        let rows = queries.iter().flat_map(nearest).flat_map(|row| i32::try_from(row).unwrap().to_le_bytes());
        folder.write("near.npy", npy("<i4", QUERIES, K, &rows.collect::<Vec<u8>>()));
        let report = folder.json(&format!("import {metric} rows.npy --metric {metric} --json"));
        assert_eq!(report[0]["items"], json!(ROWS));
        let hits = folder.json(&format!("search {metric} --query asked.npy --row 3 --exact --json"));
        assert_eq!(ids(&hits), nearest(&queries[3]));
        let settings = folder.json(&format!("bench {metric} --queries asked.npy --truth near.npy --json"));
        let last = settings.last().unwrap();
        assert!(last["exact"] == json!(true) && last["recall"].as_f64() == Some(1.0), "{last}");
        assert!(folder.output(&format!("verify {metric}")).contains("600 items"));
        folder.output(&format!("export {metric} {metric}.ann"));
        let command = format!("import again-{metric} {metric}.ann --metric {metric} --dim {DIM} --json");
        assert_eq!(folder.json(&command)[0]["items"], json!(ROWS));
        let again = folder.json(&format!("search again-{metric} --query asked.npy --row 3 --exact --json"));
        assert_eq!(again, hits);
    }
    let sentence = folder.failure("import odd base.npy --metric hamming", 1);
    assert!(sentence.contains("row 0") && sentence.contains("0 or 1"), "{sentence}");
}
