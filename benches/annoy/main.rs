//! The module `annoy` against Annoy 1.17.3: CPU seconds of a build, and queries a CPU second on the same file with the
//! same `search_k`, one thread each, in turns.
//!
//! ```text
//! pip download annoy==1.17.3 --no-deps --no-binary :all: && tar xzf annoy-1.17.3.tar.gz
//! g++ -std=c++14 -O3 -march=native -ffast-math -fno-associative-math -Iannoy-1.17.3/src \
//!     benches/annoy/annoy.cpp -o /tmp/annoy
//! cargo bench --bench annoy -- /tmp/annoy FOLDER [TREES [ROWS [SEARCH_K,...]]]
//! ```
//!
//! `FOLDER` holds `base.npy`, `queries.npy` and `gt.npy` (row numbers of the true nearest), and its name ends with the
//! metric: angular, euclidean, manhattan or dot. Annoy gets the vectors as C++ does, without Python's conversion of lists.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use understory::annoy::{AnnoyIndex, Metric};

const N: usize = 10;
const BUDGETS: &str = "1000,4000,10000,40000";
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

/// The median of one part of several turns.
fn parts(turns: &[[f64; 3]], part: usize) -> f64 {
    median(turns.iter().map(|turn| turn[part]).collect())
}

/// The seconds of the first pass over the queries, which makes the codes of candidates, and of the second; and what
/// was found.
fn search(path: &str, f: usize, metric: Metric, queries: &[f32], budget: usize) -> ([f64; 2], Vec<Vec<usize>>) {
    let mut index = AnnoyIndex::new(f, metric).unwrap();
    index.load(path, true).unwrap();
    let mut found = Vec::new();
    let seconds = [0, 1].map(|_| {
        let start = thread_seconds();
        let find = |query: &[f32]| index.get_nns_by_vector(query, N, budget as i64).unwrap();
        let answers: Vec<_> = queries.chunks_exact(f).map(find).collect();
        let seconds = thread_seconds() - start;
        found = answers.iter().map(|found| found.iter().map(|hit| hit.0).collect()).collect();
        seconds
    });
    (seconds, found)
}

fn recall<'a>(found: impl Iterator<Item = &'a [usize]>, truth: &[f32], width: usize) -> f64 {
    let shares = found.zip(truth.chunks_exact(width)).map(|(found, truth)| {
        truth[..N].iter().filter(|&&row| found.contains(&(row as usize))).count() as f64 / N as f64
    });
    let shares: Vec<f64> = shares.collect();
    shares.iter().sum::<f64>() / shares.len() as f64
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [program, folder, rest @ ..] = arguments.as_slice() else {
        eprintln!(
            "skipped: expected -- ANNOY_PROGRAM FOLDER [TREES [ROWS [SEARCH_K,...]]]; see the head of benches/annoy/main.rs"
        );
        return;
    };
    let number = |at: usize, otherwise: usize| rest.get(at).map_or(otherwise, |number| number.parse().unwrap());
    let (trees, folder) = (number(0, 10), Path::new(folder));
    let metric: Metric = folder.to_str().unwrap().rsplit('-').next().unwrap().trim_end_matches('/').parse().unwrap();
    let budgets = rest.get(2).map_or(BUDGETS, String::as_str).split(',');
    let budgets: Vec<usize> = budgets.map(|budget| budget.parse().unwrap()).collect();
    let (mut base, f) = read_npy(&folder.join("base.npy"));
    base.truncate(number(1, usize::MAX).saturating_mul(f));
    let (queries, _) = read_npy(&folder.join("queries.npy"));
    let (truth, width) = read_npy(&folder.join("gt.npy"));
    let work = tempfile::tempdir().unwrap();
    let name = |file: &str| work.path().join(file).to_str().unwrap().to_owned();
    let [rows, asked, theirs, ours, found] = ["rows", "asked", "theirs.ann", "ours.ann", "found"].map(name);
    write_rows(Path::new(&rows), &base);
    write_rows(Path::new(&asked), &queries);
    let (f_text, trees_text) = (f.to_string(), trees.to_string());

    println!("{} x {f} {metric}, {trees} trees, one thread, CPU time", base.len() / f);
    let build_theirs = || annoy::<3>(program, &["build", metric.name(), &f_text, &rows, &theirs, &trees_text]);
    let times = (0..TURNS).map(|_| (build_theirs(), build(&base, f, metric, trees as i32, Path::new(&ours))));
    let (their, our): (Vec<_>, Vec<_>) = times.unzip();
    let [their, our] = [[0, 1, 2].map(|part| parts(&their, part)), [0, 1, 2].map(|part| parts(&our, part))];
    for (part, name) in ["add", "build", "save"].iter().enumerate() {
        println!(
            "{name}: annoy {:.2} s, here {:.2} s, {:.2} times as fast",
            their[part],
            our[part],
            their[part] / our[part]
        );
    }

    println!(
        "| file | search_k | recall annoy / here | same answers | q/s annoy | q/s here: first pass, then | ratios |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for (file, path) in [("annoy's", &theirs), ("ours", &ours)] {
        for &budget in &budgets {
            let (budget_text, n_text) = (budget.to_string(), N.to_string());
            let search_theirs = || {
                annoy::<1>(program, &["search", metric.name(), &f_text, &asked, path, &n_text, &budget_text, &found])
            };
            let times = (0..TURNS).map(|_| (search_theirs()[0], search(path, f, metric, &queries, budget)));
            let (their, our): (Vec<_>, Vec<_>) = times.unzip();
            let (our, mut our_found): (Vec<_>, Vec<_>) = our.into_iter().unzip();
            let our_found = our_found.remove(0);
            let bytes = std::fs::read(&found).unwrap();
            let their_found: Vec<usize> =
                bytes.as_chunks().0.iter().map(|bytes| i32::from_le_bytes(*bytes) as usize).collect();
            let same = our_found.iter().zip(their_found.chunks_exact(N)).filter(|(ours, theirs)| ours == theirs);
            let (count, their) = (our_found.len() as f64, median(their));
            let [first, then] =
                [0, 1].map(|pass| median(our.iter().map(|seconds: &[f64; 2]| seconds[pass]).collect()));
            println!(
                "| {file} | {budget} | {:.4} / {:.4} | {:.1} % | {:.0} | {:.0}, {:.0} | {:.2}, {:.2} |",
                recall(their_found.chunks_exact(N), &truth, width),
                recall(our_found.iter().map(Vec::as_slice), &truth, width),
                100.0 * same.count() as f64 / count,
                count / their,
                count / first,
                count / then,
                their / first,
                their / then
            );
        }
    }
}
