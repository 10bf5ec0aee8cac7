//! Simulated power cuts: the store runs on a disk in memory, the power fails at any operation, what was not synced is
//! lost in every way a disk may lose it, and the store must open with all that was acknowledged. `docs/durability.md`
//! says what is promised and how to run the long forms.

mod background;
mod cuts;
mod damage;
mod exhaustive;
mod faults;
mod mutants;
mod oracle;
mod random;
mod spilled;
mod workload;

use std::sync::Arc;

use cuts::Counts;
use oracle::recover;
use workload::{Call, Failure, Items, Life, metric_of};

use crate::fs::simulated::{Image, Mutant};

/// A number from the environment, which chooses the long form.
pub(super) fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}: expected a number, found {text}")))
}

/// An empty disk with an open, empty store, whose metric the seed tells.
fn new_store(seed: u64, mutant: Option<Mutant>) -> Result<Life, Failure> {
    let life = Life::mount(Image::empty(), vec![Arc::new(Items::new())], mutant);
    oracle::open(life.with_metric(metric_of(seed)))
}

/// A store that was closed, with a segment that has dead items, and items outside of it.
fn small_store(seed: u64) -> (Image, Arc<Items>) {
    let mut life = new_store(seed, None).expect("a new store");
    for call in [Call::Batch, Call::Flush, Call::Replace, Call::Insert, Call::Reopen] {
        life.call(call, seed).expect("a call on a sound disk");
    }
    life.store().close().expect("a close on a sound disk");
    (life.disk().image(), life.items())
}

fn report(name: &str, counts: Counts, started: std::time::Instant) {
    let rate = counts.cuts as f64 / started.elapsed().as_secs_f64();
    println!("{name}: {counts}, 0 losses, {rate:.0} cuts a second");
}
