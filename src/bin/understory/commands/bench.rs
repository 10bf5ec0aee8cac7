//! `bench`: recall against speed, one thread, from low effort to exact.

use std::collections::HashSet;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;
use understory::{Filter, Hit, Id, Metric, Store};

use super::{open_to_read, warn_of};
use crate::arguments::{Bench, Truth};
use crate::cpu::Stopwatch;
use crate::failure::{Failure, Result};
use crate::input::{self, RowNumbers};
use crate::output;
use crate::progress::Progress;

/// Efforts of the ladder, evenly spaced on a logarithmic scale.
const LADDER_STEPS: u32 = 14;
const LOWEST_EFFORT: u64 = 250;

/// A setting is repeated this often at least, then until it took enough time or passes, unless the time is up before.
const PASSES: usize = 3;
const ENOUGH_PASSES: usize = 50;
const ENOUGH: Duration = Duration::from_secs(1);
const TIME_IS_UP: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Setting {
    Effort(u64),
    /// What a query does that sets nothing.
    Default(u64),
    Exact(u64),
}

#[derive(Serialize)]
struct Report {
    effort: u64,
    recall: f64,
    qps: f64,
    cpu_qps: Option<f64>,
    p50_us: f64,
    p99_us: f64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    default: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    exact: bool,
}

pub(crate) fn run(bench: &Bench) -> Result<()> {
    let queries = input::read_vectors(&bench.queries)?;
    if queries.is_empty() {
        return Err(Failure::in_file(&bench.queries, "expected at least one query, found none"));
    }
    let rows = match &bench.truth {
        Truth::File(file) => {
            let truth = input::read_row_numbers(file)?;
            check_truth(file, bench.k, queries.len(), &truth)?;
            truth.rows
        }
        Truth::Filtered(_) => Vec::new(),
    };
    let store = open_to_read(&bench.store)?;
    let mut task = match &bench.truth {
        Truth::File(_) => Task::of_rows(store, bench.k, &rows, &queries)?,
        Truth::Filtered(filter) => Task::filtered(store, bench.k, filter, &queries)?,
    };
    task.exact_distances = bench.exact_distances;
    let store = &task.store;
    let stats = store.stats()?;
    let settings = settings(stats.items, stats.default_effort);
    if !bench.json {
        let columns = ["effort", "recall", "qps", "CPU qps", "p50 us", "p99 us"];
        output::line(&columns.map(|name| format!("{name:>9}")).join(" "))?;
    }
    let progress = Progress::counting("measuring", settings.len() as u64);
    for setting in settings {
        let report = measure(&task, setting, &queries)?;
        progress.suspended(|| if bench.json { output::json(&report) } else { output::line(&report.row()) })?;
        progress.advance(1);
    }
    Ok(())
}

fn check_truth(file: &Path, k: usize, queries: usize, truth: &RowNumbers) -> Result<()> {
    if truth.rows.len() != queries {
        let what = format!("expected a row for each of {queries} queries, found {}", truth.rows.len());
        return Err(Failure::in_file(file, what));
    }
    if truth.columns < k {
        let what = format!("expected at least k = {k} neighbours a row, found {}", truth.columns);
        return Err(Failure::in_file(file, what));
    }
    Ok(())
}

/// The first k of each row, as ids.
fn from_rows(rows: &[Vec<u64>], k: usize) -> Vec<HashSet<Id>> {
    rows.iter().map(|row| row.iter().take(k).map(|&number| Id::Number(number)).collect()).collect()
}

/// What is asked, and the right answers.
struct Task {
    store: Store,
    k: usize,
    filter: Option<Filter>,
    exact_distances: bool,
    /// For each query.
    nearest: Vec<HashSet<Id>>,
    /// For each query the distance of the farthest of these, where ties are the rule: whatever is no farther counts as
    /// found there. Empty where the neighbours themselves count.
    limits: Vec<f32>,
}

impl Task {
    /// With the row numbers of the true neighbours.
    fn of_rows(store: Store, k: usize, rows: &[Vec<u64>], queries: &[Vec<f32>]) -> Result<Task> {
        let mut limits = Vec::new();
        if store.metric() == Metric::Hamming && k > 0 {
            for (query, row) in queries.iter().zip(rows) {
                let last = row.get(k - 1).copied().unwrap_or_default();
                let missing = || Failure::Work(format!("expected an item {last}, as in the truth, found none"));
                let item = store.get(last)?.ok_or_else(missing)?;
                limits.push(query.iter().zip(&item.vector).map(|(left, right)| (left - right).abs()).sum());
            }
        }
        Ok(Task { store, k, filter: None, exact_distances: false, nearest: from_rows(rows, k), limits })
    }

    /// With what an exact search finds. What it looked at is reported where a field of the filter is unknown.
    fn filtered(store: Store, k: usize, filter: &Filter, queries: &[Vec<f32>]) -> Result<Task> {
        let (_, report) = store.query(&queries[0])?.filter(filter).run_with_report()?;
        warn_of(&report.unknown_fields);
        let ids = |hits: Vec<Hit>| hits.into_iter().map(|hit| hit.id).collect();
        let nearest = |query| Ok(ids(store.query(query)?.filter(filter).k(k).exact().run()?));
        let nearest = queries.iter().map(nearest).collect::<Result<_>>()?;
        Ok(Task { store, k, filter: Some(filter.clone()), exact_distances: false, nearest, limits: Vec::new() })
    }

    fn search(&self, setting: Setting, query: &[f32]) -> Result<Vec<Hit>> {
        let query = self.store.query(query)?.k(self.k).exact_distances(self.exact_distances);
        let query = match &self.filter {
            Some(filter) => query.filter(filter),
            None => query,
        };
        let query = match setting {
            Setting::Effort(items) => query.effort(usize::try_from(items).unwrap_or(usize::MAX)),
            Setting::Default(_) => query,
            Setting::Exact(_) => query.exact(),
        };
        Ok(query.run()?)
    }
}

/// The ladder with the default at its place, and exact search at the end.
fn settings(items: u64, default_effort: u64) -> Vec<Setting> {
    let lowest = LOWEST_EFFORT.min(items).max(1) as f64;
    let ratio = items.max(1) as f64 / lowest;
    let mut efforts: Vec<u64> = (0..LADDER_STEPS)
        .map(|step| (lowest * ratio.powf(f64::from(step) / f64::from(LADDER_STEPS - 1))).round() as u64)
        .collect();
    efforts.dedup();
    let place = efforts.partition_point(|&effort| effort <= default_effort);
    let mut settings: Vec<Setting> = efforts.into_iter().map(Setting::Effort).collect();
    settings.insert(place, Setting::Default(default_effort));
    settings.push(Setting::Exact(items));
    settings
}

fn measure(task: &Task, setting: Setting, queries: &[Vec<f32>]) -> Result<Report> {
    let mut latencies = Vec::with_capacity(queries.len() * PASSES);
    let (mut best_wall, mut best_cpu) = (Duration::MAX, None::<Duration>);
    let (mut found, mut passes) = (0, 0);
    let start = Instant::now();
    while goes_on(passes, start.elapsed()) {
        let watch = Stopwatch::start();
        let mut answers = Vec::with_capacity(queries.len());
        for query in queries {
            let start = Instant::now();
            answers.push(task.search(setting, query)?);
            latencies.push(start.elapsed());
        }
        best_wall = best_wall.min(watch.wall());
        best_cpu = watch.cpu().map(|time| best_cpu.map_or(time, |best| best.min(time)));
        if passes == 0 {
            for (at, (hits, nearest)) in answers.iter().zip(&task.nearest).enumerate() {
                found += match task.limits.get(at) {
                    Some(limit) => hits.iter().filter(|hit| hit.distance <= *limit).count(),
                    None => count_found(hits.iter().map(|hit| &hit.id), nearest, task.filter.is_none())?,
                };
            }
        }
        passes += 1;
    }
    latencies.sort_unstable();
    let there: usize = task.nearest.iter().map(HashSet::len).sum();
    let per_second = |time: Duration| queries.len() as f64 / time.as_secs_f64().max(1e-9);
    let (Setting::Effort(effort) | Setting::Default(effort) | Setting::Exact(effort)) = setting;
    Ok(Report {
        effort,
        recall: if there == 0 { 1.0 } else { found as f64 / there as f64 },
        qps: per_second(best_wall),
        cpu_qps: best_cpu.map(per_second),
        p50_us: percentile_us(&latencies, 0.50),
        p99_us: percentile_us(&latencies, 0.99),
        default: matches!(setting, Setting::Default(_)),
        exact: matches!(setting, Setting::Exact(_)),
    })
}

fn goes_on(passes: usize, elapsed: Duration) -> bool {
    match passes {
        0 => true,
        _ if elapsed >= TIME_IS_UP => false,
        passes => passes < PASSES || passes < ENOUGH_PASSES && elapsed < ENOUGH,
    }
}

/// How many of the true neighbours were found. A truth of rows knows no ids that are texts.
fn count_found<'a>(ids: impl IntoIterator<Item = &'a Id>, nearest: &HashSet<Id>, rows: bool) -> Result<usize> {
    let mut found = 0;
    for id in ids {
        match id {
            Id::Text(text) if rows => {
                let what = format!("expected ids that are row numbers, as in the truth, found the text {text:?}");
                return Err(Failure::Work(what));
            }
            id => found += usize::from(nearest.contains(id)),
        }
    }
    Ok(found)
}

/// The smallest latency that this share of all does not exceed.
fn percentile_us(sorted: &[Duration], share: f64) -> f64 {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.max(1) - 1).map_or(0.0, |latency| latency.as_secs_f64() * 1e6)
}

impl Report {
    fn row(&self) -> String {
        let cpu_qps = self.cpu_qps.map_or("-".to_owned(), |qps| format!("{qps:.0}"));
        let note = if self.default {
            "  default"
        } else if self.exact {
            "  exact"
        } else {
            ""
        };
        format!(
            "{:>9} {:>9.4} {:>9.0} {cpu_qps:>9} {:>9.1} {:>9.1}{note}",
            self.effort, self.recall, self.qps, self.p50_us, self.p99_us
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ladder_ascends_to_all_items_and_holds_the_default_and_exact() {
        let settings = settings(62_666, 4_000);
        assert_eq!(settings.len(), 16);
        assert_eq!(settings.first(), Some(&Setting::Effort(250)));
        assert_eq!(settings[14..], [Setting::Effort(62_666), Setting::Exact(62_666)]);
        assert!(settings.contains(&Setting::Default(4_000)));
        let efforts: Vec<u64> = settings
            .iter()
            .map(|setting| match *setting {
                Setting::Effort(effort) | Setting::Default(effort) | Setting::Exact(effort) => effort,
            })
            .collect();
        assert!(efforts.is_sorted(), "{efforts:?}");
    }

    #[test]
    fn the_ladder_of_a_tiny_store_repeats_nothing() {
        let tiny = [Setting::Effort(3), Setting::Default(100), Setting::Exact(3)];
        assert_eq!(settings(3, 100), tiny);
        assert_eq!(settings(0, 0), [Setting::Default(0), Setting::Effort(1), Setting::Exact(0)]);
    }

    #[test]
    fn a_setting_is_repeated_until_it_is_enough() {
        let seconds = Duration::from_secs;
        assert!(goes_on(0, seconds(9)) && goes_on(2, seconds(4)) && goes_on(49, seconds(0)));
        assert!(!goes_on(1, seconds(5)) && !goes_on(3, seconds(1)) && !goes_on(50, seconds(0)));
    }

    #[test]
    fn recall_counts_the_first_k_of_the_truth_only() {
        let ids: Vec<Id> = [4, 9, 1].map(Id::Number).to_vec();
        let nearest = |k| from_rows(&[vec![9, 8, 4, 1]], k).remove(0);
        assert_eq!(count_found(&ids, &nearest(3), true), Ok(2));
        assert_eq!(count_found(&ids[..1], &nearest(2), true), Ok(0));
        assert_eq!(count_found(&[Id::from("a")], &nearest(1), false), Ok(0));
        let error = count_found(&[Id::from("a")], &nearest(1), true);
        assert!(matches!(error, Err(Failure::Work(what)) if what.contains("row numbers")));
    }

    #[test]
    fn percentiles_are_latencies_that_occurred() {
        let latencies: Vec<Duration> = (1..=200).map(Duration::from_micros).collect();
        assert_eq!(percentile_us(&latencies, 0.50).round(), 100.0);
        assert_eq!(percentile_us(&latencies, 0.99).round(), 198.0);
        assert_eq!(percentile_us(&latencies[..1], 0.99).round(), 1.0);
    }
}
