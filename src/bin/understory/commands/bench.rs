//! `bench`: recall against speed, one thread, from low effort to exact.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use serde::Serialize;
use understory::{Hit, Id, Store};

use super::open_to_read;
use crate::arguments::Bench;
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
    let truth = input::read_row_numbers(&bench.truth)?;
    check_truth(bench, &queries, &truth)?;
    let store = open_to_read(&bench.store)?;
    let stats = store.stats()?;
    let settings = settings(stats.items, stats.default_effort);
    if !bench.json {
        let columns = ["effort", "recall", "qps", "CPU qps", "p50 us", "p99 us"];
        output::line(&columns.map(|name| format!("{name:>9}")).join(" "))?;
    }
    let progress = Progress::counting("measuring", settings.len() as u64);
    for setting in settings {
        let report = measure(&store, setting, &queries, &truth, bench.k)?;
        progress.suspended(|| if bench.json { output::json(&report) } else { output::line(&report.row()) })?;
        progress.advance(1);
    }
    Ok(())
}

fn check_truth(bench: &Bench, queries: &[Vec<f32>], truth: &RowNumbers) -> Result<()> {
    if queries.is_empty() {
        return Err(Failure::in_file(&bench.queries, "expected at least one query, found none"));
    }
    if truth.rows.len() != queries.len() {
        let what = format!("expected a row for each of {} queries, found {}", queries.len(), truth.rows.len());
        return Err(Failure::in_file(&bench.truth, what));
    }
    if truth.columns < bench.k {
        let what = format!("expected at least k = {} neighbours a row, found {}", bench.k, truth.columns);
        return Err(Failure::in_file(&bench.truth, what));
    }
    Ok(())
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

fn measure(store: &Store, setting: Setting, queries: &[Vec<f32>], truth: &RowNumbers, k: usize) -> Result<Report> {
    let mut latencies = Vec::with_capacity(queries.len() * PASSES);
    let (mut best_wall, mut best_cpu) = (Duration::MAX, None::<Duration>);
    let (mut found, mut passes) = (0, 0);
    let start = Instant::now();
    while goes_on(passes, start.elapsed()) {
        let watch = Stopwatch::start();
        let mut answers = Vec::with_capacity(queries.len());
        for query in queries {
            let start = Instant::now();
            answers.push(search(store, setting, query, k)?);
            latencies.push(start.elapsed());
        }
        best_wall = best_wall.min(watch.wall());
        best_cpu = watch.cpu().map(|time| best_cpu.map_or(time, |best| best.min(time)));
        if passes == 0 {
            for (hits, nearest) in answers.iter().zip(&truth.rows) {
                found += count_found(hits.iter().map(|hit| &hit.id), nearest, k)?;
            }
        }
        passes += 1;
    }
    latencies.sort_unstable();
    let per_second = |time: Duration| queries.len() as f64 / time.as_secs_f64().max(1e-9);
    let (Setting::Effort(effort) | Setting::Default(effort) | Setting::Exact(effort)) = setting;
    Ok(Report {
        effort,
        recall: found as f64 / (queries.len() * k) as f64,
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

fn search(store: &Store, setting: Setting, query: &[f32], k: usize) -> Result<Vec<Hit>> {
    let query = store.query(query)?.k(k);
    let query = match setting {
        Setting::Effort(items) => query.effort(usize::try_from(items).unwrap_or(usize::MAX)),
        Setting::Default(_) => query,
        Setting::Exact(_) => query.exact(),
    };
    Ok(query.run()?)
}

/// How many of the k true neighbours were found.
fn count_found<'a>(ids: impl IntoIterator<Item = &'a Id>, nearest: &[u64], k: usize) -> Result<usize> {
    let nearest: HashSet<u64> = nearest.iter().take(k).copied().collect();
    let mut found = 0;
    for id in ids {
        match id {
            Id::Number(number) => found += usize::from(nearest.contains(number)),
            Id::Text(text) => {
                let what = format!("expected ids that are row numbers, as in the truth, found the text {text:?}");
                return Err(Failure::Work(what));
            }
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
        assert_eq!(count_found(&ids, &[9, 8, 4, 1], 3), Ok(2));
        assert_eq!(count_found(&ids[..1], &[9, 8, 4, 1], 2), Ok(0));
        let error = count_found(&[Id::from("a")], &[1], 1);
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
