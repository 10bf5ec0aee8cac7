//! A disk that fails at any operation of a call, once or from then on, and is sound again when the store is opened
//! again; then the power is cut.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Instant;

use rand::SeedableRng;
use rand::rngs::StdRng;

use super::cuts::{Counts, Cutter};
use super::oracle::{check, check_searches, read};
use super::workload::{Call, Failure, Items, Life, expect_disk_error};
use super::{recover, small_store};
use crate::fs::simulated::{Damage, Fault, Mutant, Replay};

const FAULTS: [(bool, ErrorKind); 3] =
    [(false, ErrorKind::Other), (true, ErrorKind::Other), (true, ErrorKind::StorageFull)];

#[test]
fn a_failing_disk_is_reported_and_loses_nothing() {
    let started = Instant::now();
    let (mut counts, mut faults) = (Counts::default(), 0);
    for (seed, call) in (0..).zip(Call::ALL) {
        for (is_lasting, error) in FAULTS {
            faults += fail_everywhere(call, seed, is_lasting, error, None, &mut counts)
                .unwrap_or_else(|failure| panic!("{call:?}, {error}, lasting: {is_lasting}: {failure}"));
        }
    }
    let rate = faults as f64 / started.elapsed().as_secs_f64();
    println!("failing disk: {faults} faults, {counts}, 0 losses, {rate:.0} faults a second");
}

/// The new row file had its name when the sync of the directory failed; the store went on with the old one, which the
/// next open removed.
#[test]
fn writes_after_a_failed_switch_of_the_row_file_are_kept() {
    failed_switches(None).unwrap_or_else(|failure| panic!("{failure}"));
}

/// Faults of a switch of the row file; how many there were.
pub(super) fn failed_switches(mutant: Option<Mutant>) -> Result<usize, Failure> {
    fail_everywhere(Call::CompactRows, 7, false, ErrorKind::Other, mutant, &mut Counts::default())
}

/// Makes a call again and again, each time with a later operation failing. How many faults there were.
fn fail_everywhere(
    call: Call,
    seed: u64,
    is_lasting: bool,
    error: ErrorKind,
    mutant: Option<Mutant>,
    counts: &mut Counts,
) -> Result<usize, Failure> {
    let (image, items) = small_store(seed);
    for after in 0.. {
        let life = recover(image.clone(), std::slice::from_ref(&items), mutant)?;
        life.disk().set_fault(Some(Fault { after, is_lasting, error }));
        let was_met =
            fail(life, call, seed, mutant, counts).map_err(|failure| format!("fault {after}: {failure}"))?;
        if !was_met {
            return Ok(after);
        }
    }
    unreachable!("a call has an end")
}

/// Makes a call on a disk that is about to fail. Whether it did.
fn fail(mut life: Life, call: Call, seed: u64, mutant: Option<Mutant>, counts: &mut Counts) -> Result<bool, Failure> {
    let before = life.items();
    let (outcome, after) = life.attempt(call, seed);
    let was_met = life.disk().has_failed();
    let mut may_hold = match &outcome {
        Ok(()) => vec![after],
        Err(error) => {
            expect_disk_error(error)?;
            vec![before, after]
        }
    };
    if !matches!(call, Call::Reopen) {
        check_open(&life, &may_hold)?;
        life.disk().set_fault(None);
        write_on(&mut life, seed, &mut may_hold)?;
    }
    life.disk().set_fault(None);
    life.recover_in_place(may_hold)?;
    let items = check(&life)?;
    life.settle(items);
    life.call(Call::Insert, seed)?;
    let history = life.end();
    let mut replay = Replay::new(history.start.clone());
    history.log.iter().for_each(|operation| replay.step(operation));
    let mut rng = StdRng::seed_from_u64(seed);
    let damage = Damage::random(&mut rng);
    Cutter { rng: &mut rng, mutant, nest_one_in: 8, counts }.cut(&history, history.log.len(), &replay, damage)?;
    Ok(was_met)
}

/// Reads go on, of a whole state.
fn check_open(life: &Life, may_hold: &[Arc<Items>]) -> Result<(), Failure> {
    let items = read(life.store())?;
    if !may_hold.iter().any(|expected| **expected == items) {
        return Err(format!("while open: expected a whole state, found {} items", items.len()));
    }
    check_searches(life.store(), &items).map_err(|failure| format!("while open: {failure}"))
}

/// Writes on the store that met the fault, if it lets one.
fn write_on(life: &mut Life, seed: u64, may_hold: &mut Vec<Arc<Items>>) -> Result<(), Failure> {
    life.settle(Arc::new(read(life.store())?));
    let (outcome, written) = life.attempt(Call::Insert, seed);
    match outcome {
        Ok(()) => *may_hold = vec![written],
        Err(error) => {
            expect_disk_error(&error)?;
            may_hold.push(written);
        }
    }
    Ok(())
}
