//! The module `annoy` against Annoy 1.17.3: CPU seconds of a build, and queries a CPU second on the same file with the
//! same `search_k`, one thread each, in turns.
//!
//! ```text
//! pip download annoy==1.17.3 --no-deps --no-binary :all: && tar xzf annoy-1.17.3.tar.gz
//! g++ -std=c++14 -O3 -march=native -ffast-math -fno-associative-math -Iannoy-1.17.3/src \
//!     benches/annoy/annoy.cpp -o /tmp/annoy
//! cargo bench --bench annoy -- /tmp/annoy FOLDER[:METRIC]...
//! ```
//!
//! `FOLDER` holds `base.npy`, `queries.npy` and `gt.npy` (row numbers of the true nearest), and its name ends with the
//! metric: angular, euclidean, manhattan or dot. Under another `METRIC` the truth is computed, of fewer queries. Annoy
//! gets the vectors as C++ does, without Python's conversion of lists. `ANNOY_TREES`, `ANNOY_ROWS`, `ANNOY_QUERIES`,
//! `ANNOY_TURNS` and `ANNOY_SEARCH_K` (by commas) change what is measured.
//!
//! Annoy is always loaded with `prefault`, and its figure is the second pass over the queries. Of searches here there are
//! three figures: with codes made when the file was loaded, which `prefault` asks for, the second pass as well; and
//! without, the first pass, which makes some of them, and the second.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use understory::annoy::{AnnoyIndex, Metric};

const N: usize = 10;
const TREES: usize = 10;
const BUDGETS: &str = "100,1000,4000,10000";
const QUERIES: usize = 500;
/// Queries whose truth is computed.
const COMPUTED: usize = 100;
/// The median of so many turns counts.
const TURNS: usize = 3;

fn thread_seconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32).as_secs_f64()
}

/// A table of an .npy file, as float32.
fn read_npy(path: &Path) -> (Vec<f32>, usize) {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let start = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = String::from_utf8_lossy(&bytes[10..start]).into_owned();
    let shape = header.split_once("'shape': (").unwrap().1.split_once(')').unwrap().0;
    let columns = shape.split(',').nth(1).unwrap().trim().parse().unwrap();
    let data = &bytes[start..];
    let values = if header.contains("<f4") {
        data.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
    } else if header.contains("<i4") {
        data.as_chunks().0.iter().map(|bytes| i32::from_le_bytes(*bytes) as f32).collect()
    } else if header.contains("<f2") {
        data.as_chunks().0.iter().map(|bytes| half::f16::from_le_bytes(*bytes).to_f32()).collect()
    } else {
        data.iter().map(|&byte| f32::from(byte)).collect()
    };
    (values, columns)
}

fn write_rows(path: &Path, values: &[f32]) {
    std::fs::write(path, values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>()).unwrap();
}

/// Runs Annoy's program and returns the seconds it prints.
fn annoy<const COUNT: usize>(program: &str, arguments: &[&str]) -> [f64; COUNT] {
    let run = Command::new(program).args(arguments).output().unwrap();
    assert!(run.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&run.stderr));
    let printed = String::from_utf8(run.stdout).unwrap();
    let seconds: Vec<f64> = printed.split_whitespace().map(|seconds| seconds.parse().unwrap()).collect();
    seconds.try_into().unwrap()
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// The seconds of adding, building and saving.
fn build(base: &[f32], f: usize, metric: Metric, trees: i32, path: &Path) -> [f64; 3] {
    let start = thread_seconds();
    let mut index = AnnoyIndex::new(f, metric).unwrap();
    for (item, vector) in base.chunks_exact(f).enumerate() {
        index.add_item(item, vector).unwrap();
    }
    let added = thread_seconds();
    index.build(trees, 1).unwrap();
    let built = thread_seconds();
    index.save(path, false).unwrap();
    [added - start, built - added, thread_seconds() - built]
}

/// What was found, and the seconds it took: to load with codes, and to search with them; then to search without in a
/// first and a second pass.
fn search(path: &str, f: usize, metric: Metric, queries: &[f32], budget: usize) -> (Vec<Vec<usize>>, [f64; 4]) {
    let start = thread_seconds();
    let mut index = AnnoyIndex::new(f, metric).unwrap();
    index.load(path, true).unwrap();
    let loaded = thread_seconds() - start;
    let (found, _) = pass(&index, queries, budget);
    let (_, coded) = pass(&index, queries, budget);
    let mut index = AnnoyIndex::new(f, metric).unwrap();
    index.candidate_codes(false);
    index.load(path, true).unwrap();
    index.candidate_codes(true);
    let [first, second] = [0, 1].map(|_| {
        let (again, seconds) = pass(&index, queries, budget);
        assert_eq!(again, found, "codes change no answer");
        seconds
    });
    (found, [loaded, coded, first, second])
}

fn pass(index: &AnnoyIndex, queries: &[f32], budget: usize) -> (Vec<Vec<usize>>, f64) {
    let start = thread_seconds();
    let find = |query: &[f32]| index.get_nns_by_vector(query, N, budget as i64).unwrap();
    let answers: Vec<_> = queries.chunks_exact(index.f()).map(find).collect();
    let seconds = thread_seconds() - start;
    (answers.iter().map(|found| found.iter().map(|hit| hit.0).collect()).collect(), seconds)
}

/// The rows of the nearest, by arithmetic as plain as can be.
fn truth(base: &[f32], f: usize, metric: Metric, queries: &[f32]) -> Vec<f32> {
    let far = |query: &[f32], row: &[f32]| {
        let pairs = || query.iter().zip(row);
        match metric {
            Metric::Manhattan => pairs().map(|(a, b)| (a - b).abs()).sum(),
            Metric::Euclidean => pairs().map(|(a, b)| (a - b) * (a - b)).sum(),
            Metric::Dot => -pairs().map(|(a, b)| a * b).sum::<f32>(),
            _ => -pairs().map(|(a, b)| a * b).sum::<f32>() / row.iter().map(|a| a * a).sum::<f32>().sqrt(),
        }
    };
    let nearest = queries.chunks_exact(f).take(COMPUTED).flat_map(|query| {
        let mut rows: Vec<(f32, usize)> =
            base.chunks_exact(f).enumerate().map(|(at, row)| (far(query, row), at)).collect();
        rows.select_nth_unstable_by(N, |a, b| a.0.total_cmp(&b.0));
        rows.into_iter().take(N).map(|(_, at)| at as f32)
    });
    nearest.collect()
}

fn recall<'a>(found: impl Iterator<Item = &'a [usize]>, truth: &[f32], width: usize) -> f64 {
    let shares = found.zip(truth.chunks_exact(width)).map(|(found, truth)| {
        truth[..N].iter().filter(|&&row| found.contains(&(row as usize))).count() as f64 / N as f64
    });
    let shares: Vec<f64> = shares.collect();
    shares.iter().sum::<f64>() / shares.len() as f64
}

/// A number from the environment.
fn setting(name: &str, otherwise: usize) -> usize {
    std::env::var(name).map_or(otherwise, |number| number.parse().unwrap())
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [program, folders @ ..] = arguments.as_slice() else {
        eprintln!("skipped: expected -- ANNOY_PROGRAM FOLDER[:METRIC]...; see the head of benches/annoy/main.rs");
        return;
    };
    for folder in folders {
        compare(program, folder);
    }
}

/// One set under one metric.
fn compare(program: &str, folder: &str) {
    let name = |folder: &str| folder.trim_end_matches('/').rsplit('-').next().unwrap().to_owned();
    let (folder, metric) =
        folder.split_once(':').map_or((folder, name(folder)), |(folder, metric)| (folder, metric.into()));
    let known = name(folder) == metric;
    let (metric, folder): (Metric, _) = (metric.parse().unwrap(), Path::new(folder));
    let (mut base, f) = read_npy(&folder.join("base.npy"));
    base.truncate(setting("ANNOY_ROWS", usize::MAX).saturating_mul(f));
    let (mut queries, _) = read_npy(&folder.join("queries.npy"));
    queries.truncate(setting("ANNOY_QUERIES", QUERIES) * f);
    let (truth, width) =
        if known { read_npy(&folder.join("gt.npy")) } else { (truth(&base, f, metric, &queries), N) };
    let work = tempfile::tempdir().unwrap();
    let name = |file: &str| work.path().join(file).to_str().unwrap().to_owned();
    let [rows, asked, theirs, ours, found] = ["rows", "asked", "theirs.ann", "ours.ann", "found"].map(name);
    write_rows(Path::new(&rows), &base);
    write_rows(Path::new(&asked), &queries);
    let (trees, turns) = (setting("ANNOY_TREES", TREES), setting("ANNOY_TURNS", TURNS));
    let (f_text, trees_text) = (f.to_string(), trees.to_string());

    println!("\n{}: {} x {f} {metric}, {trees} trees, one thread, CPU time\n", folder.display(), base.len() / f);
    let build_theirs = || annoy::<3>(program, &["build", metric.name(), &f_text, &rows, &theirs, &trees_text]);
    let times = (0..turns).map(|_| (build_theirs(), build(&base, f, metric, trees as i32, Path::new(&ours))));
    let (their, our): (Vec<_>, Vec<_>) = times.unzip();
    println!("| part | Annoy, s | here, s | times as fast |\n| --- | --- | --- | --- |");
    for (part, name) in ["add", "build", "save"].iter().enumerate() {
        let [their, our] = [&their, &our].map(|turns| median(turns.iter().map(|turn| turn[part]).collect()));
        println!("| {name} | {their:.2} | {our:.2} | {:.2} |", their / our);
    }

    println!(
        "\n| search_k | recall: Annoy, here, on a file built here | same answers | load, s: Annoy, here | q/s: Annoy | here: codes made at load | in a first pass | in a second |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    let budgets = std::env::var("ANNOY_SEARCH_K").unwrap_or_else(|_| BUDGETS.to_owned());
    for budget in budgets.split(',') {
        let search_theirs = || {
            annoy::<3>(program, &["search", metric.name(), &f_text, &asked, &theirs, &N.to_string(), budget, &found])
        };
        let budget = budget.parse().unwrap();
        let times = (0..turns).map(|_| (search_theirs(), search(&theirs, f, metric, &queries, budget)));
        let (their, our): (Vec<_>, Vec<_>) = times.unzip();
        let (mut our_found, our): (Vec<_>, Vec<_>) = our.into_iter().unzip();
        let our_found = our_found.remove(0);
        let bytes = std::fs::read(&found).unwrap();
        let their_found: Vec<usize> =
            bytes.as_chunks().0.iter().map(|bytes| i32::from_le_bytes(*bytes) as usize).collect();
        let same = our_found.iter().zip(their_found.chunks_exact(N)).filter(|(ours, theirs)| ours == theirs);
        let count = our_found.len() as f64;
        let their = [0, 2].map(|part| median(their.iter().map(|turn: &[f64; 3]| turn[part]).collect()));
        let our = [0, 1, 2, 3].map(|part| median(our.iter().map(|turn: &[f64; 4]| turn[part]).collect()));
        let (own_found, _) = search(&ours, f, metric, &queries, budget);
        let speed = |seconds: f64| format!("{:.0} ({:.2} x)", count / seconds, their[1] / seconds);
        println!(
            "| {budget} | {:.3}, {:.3}, {:.3} | {:.1} % | {:.2}, {:.2} | {:.0} | {} | {} | {} |",
            recall(their_found.chunks_exact(N), &truth, width),
            recall(our_found.iter().map(Vec::as_slice), &truth, width),
            recall(own_found.iter().map(Vec::as_slice), &truth, width),
            100.0 * same.count() as f64 / count,
            their[0],
            our[0],
            count / their[1],
            speed(our[1]),
            speed(our[2]),
            speed(our[3]),
        );
    }
}
