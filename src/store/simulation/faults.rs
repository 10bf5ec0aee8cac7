//! A disk that fails at any operation of a call, once or from then on, and is sound again afterwards: the open store
//! works on by itself, or is opened again; then the power is cut.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Instant;

use rand::SeedableRng;
use rand::rngs::StdRng;

use super::cuts::{Counts, Cutter};
use super::oracle::{check, check_searches, read, read_items};
use super::workload::{Call, Failure, Items, Life, Manner, expect_disk_error};
use super::{recover, small_store};
use crate::error::Error;
use crate::fs::simulated::{Damage, Fault, Mutant, Replay};

const FAULTS: [(bool, ErrorKind); 3] =
    [(false, ErrorKind::Other), (true, ErrorKind::Other), (true, ErrorKind::StorageFull)];

/// What becomes of the store when the disk is sound again.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Sequel {
    /// It works on.
    WorksOn,
    /// The same, while a snapshot is held that was taken before.
    WorksOnBesideSnapshot,
    /// It is dropped and opened again.
    OpensAgain,
}

const SEQUELS: [Sequel; 3] = [Sequel::WorksOn, Sequel::WorksOnBesideSnapshot, Sequel::OpensAgain];

#[test]
fn a_failing_disk_is_reported_and_loses_nothing() {
    let started = Instant::now();
    let (mut counts, mut faults) = (Counts::default(), 0);
    for (seed, call) in (0..).zip(Call::ALL) {
        for ((is_lasting, error), sequel) in
            FAULTS.into_iter().flat_map(|fault| SEQUELS.map(|sequel| (fault, sequel)))
        {
            faults += fail_everywhere(call, seed, (is_lasting, error), sequel, None, &mut counts)
                .unwrap_or_else(|failure| panic!("{call:?}, {error}, lasting: {is_lasting}, {sequel:?}: {failure}"));
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
    let fault = (false, ErrorKind::Other);
    fail_everywhere(Call::CompactRows, 7, fault, Sequel::OpensAgain, mutant, &mut Counts::default())
}

/// Faults of a store that works on by itself afterwards; how many there were.
pub(super) fn reopenings(mutant: Option<Mutant>) -> Result<usize, Failure> {
    let mut faults = 0;
    for call in [Call::Insert, Call::Flush] {
        for sequel in [Sequel::WorksOn, Sequel::WorksOnBesideSnapshot] {
            faults += fail_everywhere(call, 3, (false, ErrorKind::Other), sequel, mutant, &mut Counts::default())?;
        }
    }
    Ok(faults)
}

/// Makes a call again and again, each time with a later operation failing. How many faults there were.
fn fail_everywhere(
    call: Call,
    seed: u64,
    (is_lasting, error): (bool, ErrorKind),
    sequel: Sequel,
    mutant: Option<Mutant>,
    counts: &mut Counts,
) -> Result<usize, Failure> {
    let (image, items) = small_store(seed);
    for after in 0.. {
        let mut life = recover(image.clone(), std::slice::from_ref(&items), mutant)?;
        if sequel == Sequel::OpensAgain {
            life.reopen(Manner::spilling())?;
        }
        life.disk().set_fault(Some(Fault { after, is_lasting, error }));
        let was_met = fail(&mut life, call, seed, sequel)
            .and_then(|was_met| cut(life, seed, mutant, counts).map(|()| was_met))
            .map_err(|failure| format!("fault {after}: {failure}"))?;
        if !was_met {
            return Ok(after);
        }
    }
    unreachable!("a call has an end")
}

/// Makes a call on a disk that is about to fail, and goes on when it is sound. Whether it failed.
fn fail(life: &mut Life, call: Call, seed: u64, sequel: Sequel) -> Result<bool, Failure> {
    let before = life.items();
    let holds_snapshot = sequel == Sequel::WorksOnBesideSnapshot && call != Call::Reopen;
    let snapshot = holds_snapshot.then(|| life.store().snapshot().expect("a snapshot of an open store"));
    let (outcome, after) = life.attempt(call, seed);
    let was_met = life.disk().has_failed();
    let mut may_hold = match &outcome {
        Ok(()) => vec![after],
        Err(error) => {
            expect_disk_error(error)?;
            vec![before.clone(), after]
        }
    };
    if call == Call::Reopen {
        life.disk().set_fault(None);
        life.recover_in_place(may_hold)?;
        life.settle(check(life)?);
        return Ok(was_met);
    }
    check_open(life, &may_hold)?;
    // Where the disk goes on failing, this is a write on a store that cannot open its rows again.
    if outcome.is_err() {
        write(life, seed, &mut may_hold)?;
        check_open(life, &may_hold)?;
    }
    life.disk().set_fault(None);
    if let Some(snapshot) = snapshot {
        write_beside(life, call, seed, &mut may_hold)?;
        if read_items(snapshot.scan())? != *before {
            return Err("expected a snapshot to stay what it was".to_owned());
        }
    }
    if sequel == Sequel::OpensAgain {
        write(life, seed, &mut may_hold)?;
        life.recover_in_place(may_hold)?;
        life.settle(check(life)?);
    } else {
        if let Some(error) = write(life, seed, &mut may_hold)? {
            return Err(format!("expected the store to work on by itself, found {error}"));
        }
        check_open(life, &may_hold)?;
        life.settle(Arc::new(read(life.store())?));
        life.call(Call::Flush, seed)?;
        life.expect(vec![life.items()]);
        check(life)?;
    }
    life.call(Call::Insert, seed)?;
    Ok(was_met)
}

/// Cuts the power at the end of a life.
fn cut(life: Life, seed: u64, mutant: Option<Mutant>, counts: &mut Counts) -> Result<(), Failure> {
    let history = life.end();
    let mut replay = Replay::new(history.start.clone());
    history.log.iter().for_each(|operation| replay.step(operation));
    let mut rng = StdRng::seed_from_u64(seed);
    let damage = Damage::random(&mut rng);
    Cutter { rng: &mut rng, mutant, nest_one_in: 8, counts }.cut(&history, history.log.len(), &replay, damage)?;
    Ok(())
}

/// Reads go on, of a whole state.
fn check_open(life: &Life, may_hold: &[Arc<Items>]) -> Result<(), Failure> {
    let items = read(life.store())?;
    if !may_hold.iter().any(|expected| **expected == items) {
        return Err(format!("while open: expected a whole state, found {} items", items.len()));
    }
    check_searches(life.store(), &items).map_err(|failure| format!("while open: {failure}"))
}

/// Writes on the store that met the fault, if it lets one; the error if it does not. A failed commit before may or may
/// not be there, and so may this one.
fn write(life: &mut Life, seed: u64, may_hold: &mut Vec<Arc<Items>>) -> Result<Option<Error>, Failure> {
    let before = life.items();
    // Another seed than that of the store's own items.
    let (outcome, after) = life.attempt(Call::Insert, seed + 100);
    let written = after.iter().find(|(id, entry)| before.get(*id) != Some(entry)).ok_or("expected a write")?;
    let with_it = may_hold.iter().map(|items| {
        let mut items = Items::clone(items);
        items.insert(written.0.clone(), written.1.clone());
        Arc::new(items)
    });
    let with_it: Vec<_> = with_it.collect();
    match outcome {
        Ok(()) => *may_hold = with_it,
        Err(ref error) => {
            expect_disk_error(error)?;
            may_hold.extend(with_it);
        }
    }
    Ok(outcome.err())
}

/// Writes while a snapshot is held that was taken before the fault: refused exactly if the rows had to be opened anew
/// beside it.
fn write_beside(life: &mut Life, call: Call, seed: u64, may_hold: &mut Vec<Arc<Items>>) -> Result<(), Failure> {
    let stats = life.store().stats().map_err(|error| format!("stats failed: {error}"))?;
    // A compaction may have left another row file to go on with.
    let is_refused = stats.writes_stopped.is_some() && call != Call::CompactRows;
    match write(life, seed, may_hold)? {
        Some(Error::SnapshotsHeld { views: 1, .. }) if stats.writes_stopped.is_some() => Ok(()),
        None if !is_refused => Ok(()),
        other => Err(format!("expected a write to be refused: {is_refused}, found {other:?}")),
    }
}
