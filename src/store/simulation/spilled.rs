//! Builds that have no memory for vectors: their temporary files are gone whatever ends the build.

use std::time::Instant;

use rand::SeedableRng;
use rand::rngs::StdRng;

use super::cuts::{Counts, Cutter};
use super::exhaustive::kill_everywhere;
use super::workload::{Call, Failure, Manner};
use super::{recover, report, small_store};
use crate::fs::simulated::Operation;

#[test]
fn a_build_with_spilled_vectors_survives_every_kill_and_cut() {
    let started = Instant::now();
    let mut counts = Counts::default();
    for (seed, call) in (0..).zip([Call::Flush, Call::Compact]) {
        spilled(call, seed, &mut counts).unwrap_or_else(|failure| panic!("{call:?}: {failure}"));
    }
    report("spilled vectors", counts, started);
}

fn spilled(call: Call, seed: u64, counts: &mut Counts) -> Result<(), Failure> {
    let (image, items) = small_store(seed);
    let mut life = recover(image, &[items], None)?;
    life.reopen(Manner::spilling())?;
    life.call(call, seed)?;
    let history = life.end();
    for ending in [".given.tmp", ".placed.tmp"] {
        let creates =
            |operation: &_| matches!(operation, Operation::CreateFile { name, .. } if name.ends_with(ending));
        assert!(history.log.iter().any(creates), "no file {ending} was written");
    }
    let mut rng = StdRng::seed_from_u64(seed);
    Cutter { rng: &mut rng, mutant: None, nest_one_in: 8, counts }.cut_everywhere(&history)?;
    kill_everywhere(&history, seed, None, counts)
}
