//! Proof that the harnesses can fail: each mistake in the order of writing is made, and must be noticed.

use super::cuts::Counts;
use super::workload::Failure;
use super::{damage, exhaustive, faults, number, random};
use crate::fs::simulated::Mutant;

/// Set to 1, every harness is tried on every mistake, and the table is printed.
const TABLE: &str = "UNDERSTORY_SIMULATED_TABLE";

#[derive(Clone, Copy, Debug, PartialEq)]
enum Harness {
    /// The creation of a store, cut everywhere.
    Creation,
    /// One call on a small store, cut everywhere.
    Exhaustive,
    /// Random lives.
    Random,
    /// The process killed at every operation of one call, then a write, then cuts.
    Kill,
    /// A disk that fails at every operation of a switch of the row file, then a write, then a cut.
    Fault,
    /// A disk that fails at every operation of a call, and a store that works on by itself.
    Reopen,
    /// Bits changed at rest.
    Damage,
}

impl Harness {
    const ALL: [Harness; 7] = [
        Harness::Creation,
        Harness::Exhaustive,
        Harness::Random,
        Harness::Kill,
        Harness::Fault,
        Harness::Reopen,
        Harness::Damage,
    ];
}

/// Each mistake, and the harness that must notice it.
const EXPECTED: [(Mutant, Harness); 16] = [
    (Mutant::RowsUnsynced, Harness::Exhaustive),
    (Mutant::StoreNameUnsynced, Harness::Random),
    (Mutant::RowsCreatedInPlace, Harness::Creation),
    (Mutant::SegmentUnsynced, Harness::Exhaustive),
    (Mutant::SegmentNameUnsynced, Harness::Exhaustive),
    (Mutant::ManifestFirst, Harness::Exhaustive),
    (Mutant::NoSweep, Harness::Exhaustive),
    (Mutant::RowSwitchUnsynced, Harness::Exhaustive),
    (Mutant::OldRowsRemovedFirst, Harness::Exhaustive),
    (Mutant::FailedRowsKept, Harness::Fault),
    (Mutant::NamesTrusted, Harness::Kill),
    (Mutant::OldDeltaKept, Harness::Reopen),
    (Mutant::FormerReadersIgnored, Harness::Reopen),
    (Mutant::FailureUnswept, Harness::Reopen),
    (Mutant::RunsUnchecked, Harness::Damage),
    (Mutant::RecordsUnchecked, Harness::Damage),
];

#[test]
fn every_mistake_is_noticed() {
    for (mutant, harness) in EXPECTED {
        let Caught { tries, failure } = try_harness(harness, mutant)
            .unwrap_or_else(|tries| panic!("{harness:?} did not notice {mutant:?} in {tries} tries"));
        assert!(
            ["cut ", "kill ", "fault ", "flip "].iter().any(|place| failure.starts_with(place)),
            "expected {mutant:?} to be noticed by what happens to the disk, found {failure}"
        );
        println!("{mutant:?}: {harness:?}, {tries}: {failure}");
    }
}

#[test]
fn the_table_of_mistakes_and_harnesses() {
    if number(TABLE).is_none() {
        return;
    }
    for (mutant, _) in EXPECTED {
        let row = Harness::ALL.map(|harness| match try_harness(harness, mutant) {
            Ok(caught) => caught.tries.to_string(),
            Err(tries) => format!("not in {tries}"),
        });
        println!("| {mutant:?} | {} |", row.join(" | "));
    }
}

struct Caught {
    /// Cuts, faults or flips, the one that was noticed included.
    tries: u64,
    failure: Failure,
}

/// Runs a harness until it notices the mistake; how many tries it took, or made in vain.
fn try_harness(harness: Harness, mutant: Mutant) -> Result<Caught, u64> {
    let mut counts = Counts::default();
    let outcome = match harness {
        Harness::Creation => exhaustive::creation(Some(mutant), &mut counts),
        Harness::Exhaustive => (0..)
            .zip(exhaustive::workloads(1))
            .try_for_each(|(seed, calls)| exhaustive::workload(&calls, seed, Some(mutant), &mut counts)),
        Harness::Random => (1..=20).try_for_each(|seed| random::lives(seed, Some(mutant), &mut counts)),
        Harness::Kill => (0..).zip(exhaustive::workloads(1)).try_for_each(|(seed, calls)| {
            let history = exhaustive::history(&calls, seed, Some(mutant))?;
            exhaustive::kill_everywhere(&history, seed, Some(mutant), &mut counts)
        }),
        Harness::Fault => faults::failed_switches(Some(mutant)).map(|faults| counts.cuts = faults as u64),
        Harness::Reopen => faults::reopenings(Some(mutant)).map(|faults| counts.cuts = faults as u64),
        Harness::Damage => damage::flips(Some(mutant), 1).map(|flips| counts.cuts = flips as u64),
    };
    match outcome {
        Ok(()) => Err(counts.cuts),
        Err(failure) => {
            // Faults and flips are numbered from 0 and not counted as cuts.
            let text = failure.strip_prefix("flip ").or(failure.strip_prefix("fault "));
            let number = text.and_then(|text| text.split([',', ':']).next()?.parse::<u64>().ok());
            Ok(Caught { tries: number.map_or(counts.cuts, |number| number + 1), failure })
        }
    }
}
