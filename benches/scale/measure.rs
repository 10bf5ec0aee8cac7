//! What is measured of a store: the effort for a recall, time at that effort, latency, memory.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use understory::{Hit, Id, Result, Store};

pub(crate) const K: usize = 10;
pub(crate) const RECALL: f64 = 0.95;
const ROUNDS: usize = 7;

/// Queries and their true neighbours.
pub(crate) struct Task {
    pub(crate) queries: Vec<Vec<f32>>,
    truth: Vec<HashSet<Id>>,
}

impl Task {
    /// Finds the truth by comparing with every vector.
    pub(crate) fn new(store: &Store, queries: Vec<Vec<f32>>) -> Result<Task> {
        let snapshot = store.snapshot()?;
        let ids =
            |query: &Vec<f32>| Ok(snapshot.query(query)?.k(K).exact().run()?.into_iter().map(|hit| hit.id).collect());
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let chunks = queries.chunks(queries.len().div_ceil(threads));
        let truth = std::thread::scope(|scope| {
            let search = |chunk: &[Vec<f32>]| chunk.iter().map(ids).collect::<Result<Vec<HashSet<Id>>>>();
            let threads: Vec<_> = chunks.map(|chunk| scope.spawn(move || search(chunk))).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect::<Result<Vec<_>>>()
        })?;
        Ok(Task { queries, truth: truth.concat() })
    }

    fn recall(&self, search: impl Fn(&Vec<f32>) -> Result<Vec<Hit>>) -> Result<f64> {
        let mut found = 0;
        for (query, truth) in self.queries.iter().zip(&self.truth) {
            found += search(query)?.iter().filter(|hit| truth.contains(&hit.id)).count();
        }
        Ok(found as f64 / (K * self.queries.len()) as f64)
    }

    pub(crate) fn default_recall(&self, store: &Store) -> Result<f64> {
        let snapshot = store.snapshot()?;
        self.recall(|query| snapshot.search(query, K))
    }

    /// The least effort, within two in a hundred, that finds the recall.
    fn effort(&self, store: &Store) -> Result<usize> {
        let snapshot = store.snapshot()?;
        let (mut low, mut high) = (32.0, store.len()? as f64);
        while high / low > 1.02 {
            let middle = (low * high).sqrt();
            let recall = self.recall(|query| snapshot.query(query)?.k(K).effort(middle as usize).run())?;
            if recall >= RECALL { high = middle } else { low = middle }
        }
        Ok(high as usize)
    }

    /// For each store the effort for the recall, and CPU microseconds a query at it: the median of rounds in which the
    /// stores take turns.
    pub(crate) fn speeds(&self, stores: &[&Store]) -> Result<Vec<Speed>> {
        let efforts = stores.iter().map(|store| self.effort(store)).collect::<Result<Vec<_>>>()?;
        let mut times = vec![Vec::new(); stores.len()];
        for _ in 0..ROUNDS {
            for ((store, &effort), times) in stores.iter().zip(&efforts).zip(&mut times) {
                let snapshot = store.snapshot()?;
                let start = thread_time();
                for query in &self.queries {
                    std::hint::black_box(snapshot.query(query)?.k(K).effort(effort).run()?);
                }
                times.push((thread_time() - start).as_secs_f64() * 1e6 / self.queries.len() as f64);
            }
        }
        let speed = |(effort, mut times): (usize, Vec<f64>)| {
            times.sort_by(f64::total_cmp);
            Speed { effort, micros: times[ROUNDS / 2] }
        };
        Ok(efforts.into_iter().zip(times).map(speed).collect())
    }
}

/// What a query costs at the recall.
#[derive(Clone, Copy)]
pub(crate) struct Speed {
    pub(crate) effort: usize,
    pub(crate) micros: f64,
}

/// Latencies of searches at the default setting.
pub(crate) struct Latency {
    pub(crate) queries: usize,
    pub(crate) median: Duration,
    pub(crate) p99: Duration,
}

/// Searches again and again for as long as is said.
pub(crate) fn latency(store: &Store, queries: &[Vec<f32>], goes_on: impl Fn(usize) -> bool) -> Result<Latency> {
    let mut times = Vec::new();
    while goes_on(times.len()) {
        let query = &queries[times.len() % queries.len()];
        let start = Instant::now();
        std::hint::black_box(store.search(query, K)?);
        times.push(start.elapsed());
    }
    times.sort_unstable();
    let at = |share: f64| times.get((times.len() as f64 * share) as usize).copied().unwrap_or_default();
    Ok(Latency { queries: times.len(), median: at(0.5), p99: at(0.99) })
}

fn time(clock: rustix::time::ClockId) -> Duration {
    let time = rustix::time::clock_gettime(clock);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

pub(crate) fn thread_time() -> Duration {
    time(rustix::time::ClockId::ThreadCPUTime)
}

/// CPU time of this process.
pub(crate) fn process_time() -> Duration {
    time(rustix::time::ClockId::ProcessCPUTime)
}

/// MiB of memory of this process that no file backs; 0 where the system does not say.
pub(crate) fn anonymous_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}
