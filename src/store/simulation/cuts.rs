//! Cuts the power at points of a history and checks what is left; and cuts it again while that is recovered.

use std::collections::BTreeSet;
use std::io::ErrorKind;

use rand::RngExt;
use rand::rngs::StdRng;

use super::oracle::{self, recover};
use super::workload::{Failure, History, Life};
use crate::fs::simulated::{Damage, Fault, Image, Mutant, Replay};

/// How often the power fails again while a store recovers, at most.
const NESTED: usize = 2;

/// What was done.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    /// Power cuts, those inside a recovery included.
    pub(super) cuts: u64,
    /// Power cuts inside a recovery.
    pub(super) nested: u64,
    /// Cuts in the middle of a write that was there afterwards.
    pub(super) survived: u64,
}

impl Counts {
    pub(super) fn add(&mut self, other: Counts) {
        self.cuts += other.cuts;
        self.nested += other.nested;
        self.survived += other.survived;
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Counts { cuts, nested, survived } = self;
        write!(f, "{cuts} cuts, {nested} of them inside a recovery, {survived} writes under way kept")
    }
}

/// Where and how the power was cut, for a message.
fn place(operations: usize, history: &History, damage: Damage, nested: usize) -> String {
    let next = match history.log.get(operations) {
        Some(operation) => {
            let text = format!("{operation:?}");
            text.chars().take(90).collect()
        }
        None => "the end".to_owned(),
    };
    format!("cut {operations} of {}, before {next}, {damage:?}, {nested} cuts before it", history.log.len())
}

/// One cut, at which the replay stands, and some of those that may follow inside its recovery.
pub(super) struct Cutter<'r> {
    pub(super) rng: &'r mut StdRng,
    pub(super) mutant: Option<Mutant>,
    /// One recovery in so many is cut itself.
    pub(super) nest_one_in: u32,
    pub(super) counts: &'r mut Counts,
}

impl Cutter<'_> {
    /// Cuts, recovers and checks. Returns the store as it came back.
    pub(super) fn cut(
        &mut self,
        history: &History,
        operations: usize,
        replay: &Replay,
        damage: Damage,
    ) -> Result<Life, Failure> {
        self.cut_at(history, operations, replay, damage, 0)
    }

    fn cut_at(
        &mut self,
        history: &History,
        operations: usize,
        replay: &Replay,
        damage: Damage,
        nested: usize,
    ) -> Result<Life, Failure> {
        let image = replay.cut(damage, self.rng);
        self.counts.cuts += 1;
        self.counts.nested += u64::from(nested > 0);
        let allowed = history.allowed(operations);
        if nested < NESTED && self.rng.random_ratio(1, self.nest_one_in) {
            self.cut_recovery(image.clone(), history, operations, nested)?;
        }
        let life = recover(image, &allowed, self.mutant)
            .map_err(|failure| format!("{}: {failure}", place(operations, history, damage, nested)))?;
        if let [before, after] = &allowed[..]
            && before != after
            && life.is(after)
        {
            self.counts.survived += 1;
        }
        Ok(life)
    }

    /// Opens what a cut left, perhaps after an opening that failed, and cuts the power again, once, anywhere in the
    /// recovery.
    fn cut_recovery(
        &mut self,
        image: Image,
        history: &History,
        operations: usize,
        nested: usize,
    ) -> Result<(), Failure> {
        let mut life = Life::mount(image, history.allowed(operations), self.mutant);
        let recovered = if self.rng.random_bool(0.3) { self.fail_opening(&mut life) } else { Ok(()) };
        let recovery = recovered
            .and_then(|()| oracle::open(life))
            .map_err(|failure| format!("cut {operations} of {}, to be cut again: {failure}", history.log.len()))?
            .end();
        let again = self.rng.random_range(0..=recovery.log.len());
        let mut replay = Replay::new(recovery.start.clone());
        recovery.log[..again].iter().for_each(|operation| replay.step(operation));
        let damage = Damage::random(self.rng);
        self.cut_at(&recovery, again, &replay, damage, nested + 1).map(drop)
    }

    /// Opens a store on a disk that fails meanwhile, which may or may not succeed; the disk is sound afterwards.
    fn fail_opening(&mut self, life: &mut Life) -> Result<(), Failure> {
        let error = if self.rng.random_bool(0.5) { ErrorKind::Other } else { ErrorKind::StorageFull };
        let fault = Fault { after: self.rng.random_range(0..24), is_lasting: self.rng.random_bool(0.5), error };
        life.disk().set_fault(Some(fault));
        let opened = life.open_on_failing_disk();
        life.disk().set_fault(None);
        opened
    }

    /// Cuts at some random points of a history, and returns the store as one of them left it.
    pub(super) fn cut_some(&mut self, history: &History, count: usize) -> Result<Life, Failure> {
        let points: BTreeSet<usize> = (0..count).map(|_| self.rng.random_range(0..=history.log.len())).collect();
        let mut replay = Replay::new(history.start.clone());
        let mut done = 0;
        let mut last = None;
        for point in points {
            history.log[done..point].iter().for_each(|operation| replay.step(operation));
            done = point;
            let damage = Damage::random(self.rng);
            last = Some(self.cut(history, point, &replay, damage)?);
        }
        last.ok_or_else(|| "expected a cut".to_owned())
    }

    /// Cuts at the end of a history in every way, and twice at random after a point of it.
    pub(super) fn cut_since(&mut self, history: &History, point: usize) -> Result<(), Failure> {
        let mut points: Vec<usize> = (0..2).map(|_| self.rng.random_range(point..=history.log.len())).collect();
        points.sort_unstable();
        let mut replay = Replay::new(history.start.clone());
        let mut done = 0;
        for point in points {
            history.log[done..point].iter().for_each(|operation| replay.step(operation));
            done = point;
            let damage = Damage::random(self.rng);
            self.cut(history, point, &replay, damage)?;
        }
        history.log[done..].iter().for_each(|operation| replay.step(operation));
        Damage::ALL.into_iter().try_for_each(|damage| self.cut(history, history.log.len(), &replay, damage).map(drop))
    }

    /// Cuts at every operation of a history's last call, in each of a few ways.
    pub(super) fn cut_everywhere(&mut self, history: &History) -> Result<(), Failure> {
        let first = history.start_of_last_call();
        let mut replay = Replay::new(history.start.clone());
        history.log[..first].iter().for_each(|operation| replay.step(operation));
        for point in first..=history.log.len() {
            for damage in self.ways(history, point, first, &replay) {
                self.cut(history, point, &replay, damage)?;
            }
            if let Some(operation) = history.log.get(point) {
                replay.step(operation);
            }
        }
        Ok(())
    }

    /// The ways that can leave something that no cut before has left, and a random one.
    fn ways(&mut self, history: &History, point: usize, first: usize, replay: &Replay) -> Vec<Damage> {
        if !replay.has_unsynced() {
            return vec![Damage::Kept];
        }
        let mut ways = vec![Damage::Kept, Damage::LastOnly];
        if point == first || history.log[point - 1].is_sync() {
            ways.push(Damage::Dropped);
        }
        if replay.has_unsynced_names() {
            ways.extend([Damage::NamesKept, Damage::DataKept]);
        }
        ways.push([Damage::Some, Damage::Sectors, Damage::Bytes][self.rng.random_range(0..3)]);
        ways
    }
}
