//! Long random lives by seed: a store works, the power fails anywhere, what is left works on.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::cuts::{Counts, Cutter};
use super::workload::{Call, Failure, Manner};
use super::{new_store, number, oracle, report};
use crate::fs::simulated::Mutant;

/// How many seeds to run in the long form, and the first of them.
const SEEDS: &str = "UNDERSTORY_SIMULATED_SEEDS";
const FIRST_SEED: &str = "UNDERSTORY_SIMULATED_FIRST_SEED";

/// Power cuts that a store lives through, one after the other.
const LIVES: usize = 5;

/// Cuts of one life, each on its own.
const CUTS_OF_A_LIFE: usize = 6;

#[test]
fn random_workloads_survive_random_cuts() {
    let started = Instant::now();
    let first = number(FIRST_SEED).unwrap_or(1);
    let seeds = number(SEEDS);
    let end = first + seeds.unwrap_or(60);
    let threads = if seeds.is_some() { std::thread::available_parallelism().map_or(1, usize::from) } else { 1 };
    let (next, total) = (AtomicU64::new(first), Mutex::new(Counts::default()));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    let mut counts = Counts::default();
                    lives(seed, None, &mut counts).unwrap_or_else(|failure| panic!("seed {seed}: {failure}"));
                    total.lock().add(counts);
                }
            });
        }
    });
    report(&format!("random, seeds {first} to {}", end - 1), *total.lock(), started);
}

/// The lives of one store.
pub(super) fn lives(seed: u64, mutant: Option<Mutant>, counts: &mut Counts) -> Result<(), Failure> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut life = new_store(seed, mutant)?;
    for number in 0..LIVES {
        life.reopen(Manner::random(&mut rng))?;
        for _ in 0..rng.random_range(1..=8) {
            life.call(Call::random(&mut rng), seed * 100 + number as u64)?;
        }
        if rng.random_bool(0.3) {
            let history = life.end();
            life = oracle::open(history.kill(rng.random_range(0..=history.log.len()), mutant))?;
            life.call(Call::random(&mut rng), seed)?;
        }
        let mut cutter = Cutter { rng: &mut rng, mutant, nest_one_in: 2, counts };
        life = cutter.cut_some(&life.end(), CUTS_OF_A_LIFE)?;
    }
    Ok(())
}
