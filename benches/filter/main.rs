//! Filtered queries: `cargo bench --bench filter [-- DATA] [columns=ITEMS]`.
//!
//! For each set below DATA (folders with base.npy, queries.npy and meta.json; without it the checked-in sample): recall@10
//! of filtered queries at the default setting and queries a CPU second, beside measuring every match and beside queries
//! without a filter; for filters that are random, that keep what is nearest to the query, and that drop it. Then what
//! columns of so many items (a million unless told) cost on disk, and what filters on them cost to compile.

mod columns;
mod vectors;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use understory::{Batch, Filter, Hit, Maintenance, Metadata, Metric, Options, QueryPlan, Store, Value, field};
use vectors::{Set, Vectors};

const K: usize = 10;
/// Queries of each random filter.
const QUERIES: usize = 100;
/// Queries that filters are correlated with, each with a field of its own.
const ANCHORS: usize = 32;
/// Shares of the items that filters select, one in so many.
const SELECTED_ONE_IN: [usize; 4] = [2, 10, 100, 1000];
/// Each query is timed so many times, the three ways in turn.
const ROUNDS: usize = 3;

fn main() -> understory::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let items = arguments.iter().find_map(|argument| argument.strip_prefix("columns=")?.parse().ok());
    let data = arguments.iter().find(|argument| !argument.contains('='));
    let sets = match data {
        Some(data) => folders(Path::new(data)),
        None => vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data")],
    };
    for set in sets {
        recall_of(&Set::read(&set))?;
    }
    columns::measure(items.unwrap_or(1_000_000))
}

fn folders(data: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(data).expect("a data directory").map(|entry| entry.expect("an entry").path());
    let mut folders: Vec<PathBuf> = entries.filter(|path| path.join("base.npy").is_file()).collect();
    folders.sort();
    folders
}

/// CPU time of this thread.
pub(crate) fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// A filter, and which query it is for.
struct Case {
    query: usize,
    filter: Filter,
}

fn recall_of(set: &Set) -> understory::Result<()> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let options = Options::new().metric(set.metric).maintenance(Maintenance::Manual);
    let store = Store::open_with(dir.path().join("a.understory"), options)?;
    let queries = set.queries.len().min(QUERIES.max(ANCHORS));
    let distances: Vec<Vec<f32>> =
        (0..queries).map(|query| distances(&set.base, set.queries.row(query), set.metric)).collect();
    let metadata = metadata(set, &distances);
    let mut batch = Batch::new();
    for (row, metadata) in metadata.iter().enumerate() {
        batch.insert_with(row as u64, set.base.row(row), metadata)?;
    }
    store.write(batch)?;
    store.compact()?;
    println!("\n{}: {} items of dimension {}", set.name, set.base.len(), set.base.dimension);
    println!(
        "| filter | one in | matches | recall@10 | queries a CPU s | measuring all matches | no filter | scanned | measured | leaves scanned |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    let anchors = ANCHORS.min(set.queries.len());
    for one_in in SELECTED_ONE_IN {
        let (items, selected) = (set.base.len(), set.base.len() / one_in);
        let below = field("random").lt(1000 / one_in as i64);
        let random = (0..set.queries.len().min(QUERIES)).map(|query| Case { query, filter: below.clone() });
        report(&store, set, &metadata, &distances, "random", one_in, &random.collect::<Vec<_>>())?;
        let anchored = |filter: &dyn Fn(String) -> Filter| {
            let case = |anchor| Case { query: anchor, filter: filter(format!("rank{anchor}")) };
            (0..anchors).map(case).collect::<Vec<_>>()
        };
        let near = anchored(&|rank| field(rank).lt(selected as i64));
        report(&store, set, &metadata, &distances, "the nearest", one_in, &near)?;
        let half = anchored(&|rank| field(rank).lt(2 * selected as i64) & field("half").is(true));
        report(&store, set, &metadata, &distances, "half of the nearest", one_in, &half)?;
        let far = anchored(&|rank| field(rank).ge((items - selected) as i64));
        report(&store, set, &metadata, &distances, "the farthest", one_in, &far)?;
    }
    let mut counts = BTreeMap::new();
    set.sections.iter().for_each(|section| *counts.entry(section.as_str()).or_insert(0usize) += 1);
    let mut sections: Vec<_> = counts.into_iter().collect();
    sections.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    for (section, count) in sections.into_iter().step_by(8).take(6) {
        let cases =
            (0..set.queries.len().min(QUERIES)).map(|query| Case { query, filter: field("section").eq(section) });
        let one_in = set.base.len() / count.max(1);
        report(
            &store,
            set,
            &metadata,
            &distances,
            &format!("section = {section}"),
            one_in,
            &cases.collect::<Vec<_>>(),
        )?;
    }
    store.close()
}

/// A random number below 1000, a coin, the rank of the item's distance from each anchor, the section.
fn metadata(set: &Set, distances: &[Vec<f32>]) -> Vec<Metadata> {
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(7);
    let mut thousandths: Vec<i64> = (0..set.base.len() as i64).map(|item| item % 1000).collect();
    thousandths.shuffle(&mut generator);
    let mut metadata = vec![Metadata::new(); set.base.len()];
    for (row, (metadata, number)) in metadata.iter_mut().zip(thousandths).enumerate() {
        metadata.insert("random", number);
        metadata.insert("half", generator.random::<bool>());
        if let Some(section) = set.sections.get(row) {
            metadata.insert("section", section.as_str());
        }
    }
    for (anchor, distances) in distances.iter().enumerate().take(ANCHORS) {
        let mut order: Vec<usize> = (0..distances.len()).collect();
        order.sort_by(|&a, &b| distances[a].total_cmp(&distances[b]));
        for (rank, item) in order.into_iter().enumerate() {
            metadata[item].insert(format!("rank{anchor}"), Value::Integer(rank as i64));
        }
    }
    metadata
}

fn distances(base: &Vectors, query: &[f32], metric: Metric) -> Vec<f32> {
    let norm = |of: &[f32]| of.iter().map(|x| x * x).sum::<f32>().sqrt();
    let query_norm = norm(query);
    let distance = |row: usize| {
        let vector = base.row(row);
        match metric {
            Metric::Cosine => {
                let product: f32 = vector.iter().zip(query).map(|(a, b)| a * b).sum();
                1.0 - product / (norm(vector) * query_norm)
            }
            _ => vector.iter().zip(query).map(|(a, b)| (a - b) * (a - b)).sum(),
        }
    };
    (0..base.len()).map(distance).collect()
}

fn report(
    store: &Store,
    set: &Set,
    metadata: &[Metadata],
    distances: &[Vec<f32>],
    name: &str,
    one_in: usize,
    cases: &[Case],
) -> understory::Result<()> {
    let (mut found, mut wanted, mut matches) = (0, 0, 0);
    let (mut scanned, mut measured, mut by_leaves) = (0, 0, 0);
    let mut times = [const { Vec::new() }; 3];
    for case in cases {
        let plain = || store.query(set.queries.row(case.query)).map(|query| query.k(K));
        let filtered = || plain().map(|query| query.filter(&case.filter));
        let (hits, report) = filtered()?.run_with_report()?;
        let matching = |row: &usize| case.filter.matches(&(*row as u64).into(), &metadata[*row]);
        let distances = &distances[case.query];
        let mut nearest: Vec<f32> = (0..metadata.len()).filter(matching).map(|row| distances[row]).collect();
        assert_eq!(report.matches as usize, nearest.len(), "matches of {}", case.filter);
        assert_eq!(hits.len(), nearest.len().min(K), "hits of {}", case.filter);
        nearest.sort_by(f32::total_cmp);
        nearest.truncate(K);
        wanted += nearest.len();
        // By distance, so that equally near items count alike.
        let limit = nearest.last().copied().unwrap_or(0.0);
        let is_near = |hit: &&Hit| matches!(hit.id, understory::Id::Number(row) if distances[row as usize] <= limit * 1.000_001);
        found += hits.iter().filter(is_near).count();
        matches += report.matches;
        scanned += report.scanned;
        measured += report.measured;
        by_leaves += usize::from(report.plan == QueryPlan::LeavesScanned);
        let mut fastest = [Duration::MAX; 3];
        for _ in 0..ROUNDS {
            for (way, fastest) in fastest.iter_mut().enumerate() {
                let query = match way {
                    0 => filtered()?,
                    1 => filtered()?.exact(),
                    _ => plain()?,
                };
                // Once before, so that each way finds in the caches what it left there itself, not what another did.
                std::hint::black_box(query.run()?);
                let start = cpu_time();
                std::hint::black_box(query.run()?);
                *fastest = (*fastest).min(cpu_time() - start);
            }
        }
        times.iter_mut().zip(fastest).for_each(|(times, time)| times.push(time));
    }
    let count = cases.len() as u64;
    let speed = |times: &[Duration]| times.len() as f64 / times.iter().sum::<Duration>().as_secs_f64();
    println!(
        "| {name} | {one_in} | {} | {:.4} | {:.0} | {:.0} | {:.0} | {} | {} | {:.0} % |",
        matches / count,
        found as f64 / wanted.max(1) as f64,
        speed(&times[0]),
        speed(&times[1]),
        speed(&times[2]),
        scanned / count,
        measured / count,
        100.0 * by_leaves as f64 / count as f64,
    );
    Ok(())
}
