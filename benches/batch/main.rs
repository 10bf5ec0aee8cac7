//! `search_batch` beside one search after the other: `cargo bench --bench batch -- DATA`.
//!
//! For each set below DATA (folders with base.npy, queries.npy and meta.json), and for batches of 1,000 and 10,000
//! queries on one thread: CPU time a query of both ways, the median of interleaved rounds. Where a set has fewer queries,
//! others are made half way between two of its own.

#[path = "../filter/vectors.rs"]
#[allow(dead_code, reason = "another bench reads the fields as well")]
mod vectors;

use std::path::Path;
use std::time::Duration;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use understory::{Batch, Maintenance, Options, Store};
use vectors::{Set, Vectors};

const K: usize = 10;
const SIZES: [usize; 2] = [1_000, 10_000];
const ROUNDS: usize = 7;

fn main() -> understory::Result<()> {
    let data = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let data = data.unwrap_or_else(|| concat!(env!("CARGO_MANIFEST_DIR"), "/examples").to_owned());
    let entries = std::fs::read_dir(data).expect("a data directory").map(|entry| entry.expect("an entry").path());
    let mut folders: Vec<_> = entries.filter(|path| path.join("queries.npy").is_file()).collect();
    folders.sort();
    println!("| set | items | batch | one by one, us a query | `search_batch`, us a query | speed |");
    println!("| --- | ---: | ---: | ---: | ---: | ---: |");
    folders.iter().try_for_each(|folder| measure(folder))
}

fn measure(folder: &Path) -> understory::Result<()> {
    let set = Set::read(folder);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let options = Options::new().metric(set.metric).maintenance(Maintenance::Manual).threads(1);
    let store = Store::open_with(dir.path().join("a.understory"), options)?;
    let mut batch = Batch::new();
    (0..set.base.len()).for_each(|row| _ = batch.insert(row as u64, set.base.row(row)));
    store.write(batch)?;
    store.compact()?;
    for size in SIZES {
        let queries = queries(&set.queries, size);
        let mut times = [Vec::new(), Vec::new()];
        for _ in 0..ROUNDS {
            times[0].push(timed(|| {
                let snapshot = store.snapshot()?;
                queries.iter().map(|query| snapshot.search(query, K)).collect()
            })?);
            times[1].push(timed(|| store.search_batch(&queries, K))?);
        }
        let [single, batched] = times.map(|mut times| {
            times.sort();
            times[ROUNDS / 2].as_secs_f64() * 1e6 / size as f64
        });
        let speed = single / batched;
        println!("| {} | {} | {size} | {single:.1} | {batched:.1} | {speed:.2} |", set.name, set.base.len());
    }
    Ok(())
}

/// The queries of a set in an order of no meaning, and as many half way between two of them as are missing.
fn queries(own: &Vectors, count: usize) -> Vec<Vec<f32>> {
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(1);
    let mut any = || own.row(generator.random_range(0..own.len()));
    let between = |(a, b): (&[f32], &[f32])| a.iter().zip(b).map(|(a, b)| (a + b) / 2.0).collect();
    let given = (0..own.len().min(count)).map(|row| own.row(row).to_vec());
    given.chain(std::iter::repeat_with(|| between((any(), any())))).take(count).collect()
}

/// CPU time of this thread.
fn timed<T>(work: impl FnOnce() -> understory::Result<Vec<T>>) -> understory::Result<Duration> {
    let now = || rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let start = now();
    std::hint::black_box(work()?);
    let end = now();
    Ok(Duration::new(end.tv_sec as u64, end.tv_nsec as u32)
        - Duration::new(start.tv_sec as u64, start.tv_nsec as u32))
}
