//! Every short workload, cut at every operation.

use std::time::Instant;

use rand::SeedableRng;
use rand::rngs::StdRng;

use super::cuts::{Counts, Cutter};
use super::workload::{Call, Failure, History};
use super::{new_store, number, oracle, recover, report, small_store};
use crate::fs::simulated::Mutant;

/// Calls of the longest workload; 3 in the long form.
const CALLS: &str = "UNDERSTORY_SIMULATED_CALLS";

#[test]
fn the_creation_of_a_store_survives_every_cut() {
    let started = Instant::now();
    let mut counts = Counts::default();
    creation(None, &mut counts).unwrap_or_else(|failure| panic!("{failure}"));
    report("creation", counts, started);
}

#[test]
fn every_short_workload_survives_every_cut() {
    let started = Instant::now();
    let mut counts = Counts::default();
    for length in 1..=number(CALLS).unwrap_or(2) {
        for (seed, calls) in (0..).zip(workloads(length)) {
            workload(&calls, seed, None, &mut counts)
                .unwrap_or_else(|failure| panic!("{calls:?}, seed {seed}: {failure}"));
        }
    }
    report("exhaustive", counts, started);
}

/// What a process that was killed had not synced can be seen by the next one, which must not build on it.
#[test]
fn what_follows_a_kill_survives_every_cut() {
    let started = Instant::now();
    let mut counts = Counts::default();
    let creation = new_store(1, None).unwrap().end();
    kill_everywhere(&creation, 0, None, &mut counts).unwrap_or_else(|failure| panic!("creation: {failure}"));
    for (seed, calls) in (0..).zip(workloads(1)) {
        let history = history(&calls, seed, None).unwrap();
        kill_everywhere(&history, seed, None, &mut counts).unwrap_or_else(|failure| panic!("{calls:?}: {failure}"));
    }
    report("kill, then cut", counts, started);
}

/// Kills the process at every operation of the last call, opens the store, writes, and cuts the power.
pub(super) fn kill_everywhere(
    history: &History,
    seed: u64,
    mutant: Option<Mutant>,
    counts: &mut Counts,
) -> Result<(), Failure> {
    let mut rng = StdRng::seed_from_u64(seed);
    for point in history.start_of_last_call()..=history.log.len() {
        let mut life =
            oracle::open(history.kill(point, mutant)).map_err(|failure| format!("kill {point}: {failure}"))?;
        life.call(Call::Insert, seed)?;
        let next = life.end();
        let mut cutter = Cutter { rng: &mut rng, mutant, nest_one_in: 8, counts };
        cutter.cut_since(&next, point).map_err(|failure| format!("cut after kill {point}: {failure}"))?;
    }
    Ok(())
}

/// Every sequence of so many calls.
pub(super) fn workloads(length: u64) -> Vec<Vec<Call>> {
    let mut workloads: Vec<Vec<Call>> = vec![Vec::new()];
    for _ in 0..length {
        workloads = workloads.iter().flat_map(|calls| Call::ALL.map(|call| [&calls[..], &[call]].concat())).collect();
    }
    workloads
}

/// Cuts the first opening of a store, which creates it, everywhere.
pub(super) fn creation(mutant: Option<Mutant>, counts: &mut Counts) -> Result<(), Failure> {
    for seed in 0..4 {
        let history = new_store(seed, mutant)?.end();
        let mut rng = StdRng::seed_from_u64(seed);
        Cutter { rng: &mut rng, mutant, nest_one_in: 4, counts }.cut_everywhere(&history)?;
    }
    Ok(())
}

/// Runs the calls on a small store and cuts the last of them everywhere.
pub(super) fn workload(
    calls: &[Call],
    seed: u64,
    mutant: Option<Mutant>,
    counts: &mut Counts,
) -> Result<(), Failure> {
    let mut rng = StdRng::seed_from_u64(seed);
    Cutter { rng: &mut rng, mutant, nest_one_in: 8, counts }.cut_everywhere(&history(calls, seed, mutant)?)
}

/// Runs the calls on a small store.
pub(super) fn history(calls: &[Call], seed: u64, mutant: Option<Mutant>) -> Result<History, Failure> {
    let (image, items) = small_store(seed);
    let mut life = recover(image, &[items], mutant)?;
    for &call in calls {
        life.call(call, seed)?;
    }
    Ok(life.end())
}
