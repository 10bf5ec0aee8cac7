//! Kill -9 in a loop: a child process writes and acknowledges, the parent kills it at a random moment, reopens the
//! store and compares it with an oracle.
//!
//! Every operation follows from the seed and its number, so the parent knows the state after each. Whatever was
//! acknowledged must be there; the one operation in flight is wholly there or wholly absent. With buffered writes the
//! state may be any earlier one, down to the last flush.
//!
//! `UNDERSTORY_CRASH_CYCLES=10000 cargo test --test crash` makes the long form, `UNDERSTORY_CRASH_SEED` another one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use understory::{Batch, Durability, Id, Item, Maintenance, Metric, Options, Store};

use crate::children::{self, Words};
use crate::oracle::{Entry, Model, bits};
use crate::support::{Note, generator, noise};

const DIMENSION: usize = 24;
const METRIC: Metric = Metric::Euclidean;
const CYCLES: u64 = 60;

#[test]
fn immediate_writes_survive_every_kill() {
    cycles(Durability::Immediate, 1);
}

#[test]
fn buffered_writes_survive_every_kill_from_the_last_flush_on() {
    cycles(Durability::Buffered, 2);
}

/// What the child needs to know to be predictable.
#[derive(Clone, Copy, Debug)]
struct Plan {
    seed: u64,
    first: u64,
    durability: Durability,
    maintenance: Maintenance,
}

impl Plan {
    fn options(self) -> Options {
        Options::new().metric(METRIC).durability(self.durability).maintenance(self.maintenance)
    }

    fn to_text(self) -> String {
        let buffered = u64::from(self.durability == Durability::Buffered);
        let manual = u64::from(self.maintenance == Maintenance::Manual);
        format!("{} {} {buffered} {manual}", self.seed, self.first)
    }

    fn from_text(text: &str) -> Plan {
        let numbers: Vec<u64> = text.split(' ').map(|number| number.parse().unwrap()).collect();
        let [seed, first, buffered, manual] = numbers[..] else { panic!("expected four numbers, found {text}") };
        let durability = if buffered == 1 { Durability::Buffered } else { Durability::Immediate };
        let maintenance = if manual == 1 { Maintenance::Manual } else { Maintenance::Background };
        Plan { seed, first, durability, maintenance }
    }
}

enum Operation {
    /// One call, or with several entries one batch; `None` removes.
    Write(Vec<(Id, Option<Entry>)>),
    Flush,
    Compact,
}

impl Operation {
    /// The operation of this number.
    fn of(seed: u64, number: u64) -> Operation {
        let mut rng = generator(seed.wrapping_mul(1_000_003).wrapping_add(number));
        match rng.random_range(0..100) {
            0..50 => Operation::Write(vec![write(&mut rng)]),
            50..88 => Operation::Write((0..rng.random_range(2..=60)).map(|_| write(&mut rng)).collect()),
            88..95 => Operation::Flush,
            _ => Operation::Compact,
        }
    }

    fn apply(&self, items: &mut BTreeMap<Id, Entry>) {
        let Operation::Write(writes) = self else { return };
        for (id, entry) in writes {
            match entry {
                Some(entry) => items.insert(id.clone(), entry.clone()),
                None => items.remove(id),
            };
        }
    }

    fn run(&self, store: &Store) -> understory::Result<()> {
        match self {
            Operation::Flush => store.flush(),
            Operation::Compact => store.compact(),
            Operation::Write(writes) => match &writes[..] {
                [(id, None)] => store.remove(id.clone()).map(drop),
                [(id, Some(Entry { vector, note: None }))] => store.insert(id.clone(), vector),
                [(id, Some(Entry { vector, note: Some(note) }))] => store.insert_with(id.clone(), vector, note),
                writes => store.write(batch(writes)?),
            },
        }
    }
}

fn write(rng: &mut StdRng) -> (Id, Option<Entry>) {
    let number = rng.random_range(0..600_u64);
    let id = if number.is_multiple_of(3) { Id::from(format!("item {number}")) } else { Id::from(number) };
    if rng.random_bool(0.2) {
        return (id, None);
    }
    let vector = noise(DIMENSION, 1.0, rng);
    let note = rng.random_bool(0.3).then(|| Note::random(rng));
    (id, Some(Entry { vector, note }))
}

fn batch(writes: &[(Id, Option<Entry>)]) -> understory::Result<Batch> {
    let mut batch = Batch::new();
    for (id, entry) in writes {
        match entry {
            None => batch.remove(id.clone()),
            Some(Entry { vector, note: None }) => batch.insert(id.clone(), vector),
            Some(Entry { vector, note: Some(note) }) => batch.insert_with(id.clone(), vector, note)?,
        };
    }
    Ok(batch)
}

/// Child: works through the operations and never ends by itself.
pub(crate) fn work(path: &Path, plan: &str) {
    let plan = Plan::from_text(plan);
    let store = Store::open_with(path, plan.options()).unwrap();
    children::say("open");
    for number in plan.first.. {
        Operation::of(plan.seed, number).run(&store).unwrap();
        children::say(&number.to_string());
    }
}

/// Runs a child until it is killed and returns the number of the first operation that it did not acknowledge.
fn run_and_kill(plan: Plan, path: &Path, rng: &mut StdRng) -> u64 {
    let started = children::alone();
    let mut child = children::spawn(&format!("work {}", plan.to_text()), path);
    drop(started);
    let words = Words::of(&mut child);
    let (opened, is_open) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut next = plan.first;
        for word in words {
            match word.as_str() {
                "open" => opened.send(()).expect("the parent waits"),
                number => next = 1 + number.parse::<u64>().expect("the number of an operation"),
            }
        }
        next
    });
    // One kill in four may meet the opening, which may be a recovery itself.
    if !rng.random_bool(0.25) {
        let _ended_early = is_open.recv_timeout(Duration::from_secs(60));
    }
    std::thread::sleep(Duration::from_micros(rng.random_range(0..150_000)));
    if let Some(status) = child.try_wait().unwrap() {
        panic!("expected the child to run until it is killed, found {status}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().expect("the child's output is numbers")
}

fn equal(items: &[Item], expected: &BTreeMap<Id, Entry>) -> bool {
    items.len() == expected.len()
        && items.iter().zip(expected).all(|(item, (id, entry))| {
            item.id == *id
                && bits(&item.vector) == bits(&entry.vector)
                && match &entry.note {
                    Some(note) => item.metadata.to_serde::<Note>().is_ok_and(|found| found == *note),
                    None => item.metadata.iter().count() == 0,
                }
        })
}

/// Where a store stands: the state that is durable, and the number of the next operation.
struct Oracle {
    seed: u64,
    model: Model,
    next: u64,
}

impl Oracle {
    /// Finds the state the store is in, the latest first, and stands there afterwards. `end` is the number of the
    /// first operation without an acknowledgement.
    fn settle(&mut self, items: &[Item], end: u64, durability: Durability) {
        let mut state = self.model.items.clone();
        let mut possible = vec![(self.next, state.clone())];
        for number in self.next..=end {
            let operation = Operation::of(self.seed, number);
            operation.apply(&mut state);
            let synced = durability == Durability::Immediate || !matches!(operation, Operation::Write(_));
            if synced && number < end {
                possible.clear();
            }
            possible.push((number + 1, state.clone()));
        }
        let Some((next, state)) = possible.iter().rev().find(|(_, state)| equal(items, state)) else {
            panic!(
                "expected the state before operation {} to {}, found {} items, {}",
                possible[0].0,
                end + 1,
                items.len(),
                self.earlier_state(items, end)
            );
        };
        self.next = *next;
        self.model.items.clone_from(state);
    }

    /// For a failure's message: whether writes were lost, or something is there that never was.
    fn earlier_state(&self, items: &[Item], end: u64) -> String {
        let mut state = self.model.items.clone();
        for number in self.next..=end {
            if equal(items, &state) {
                return format!("those before operation {number}");
            }
            Operation::of(self.seed, number).apply(&mut state);
        }
        "which never were together".to_owned()
    }
}

/// Reopens after the kill and checks everything.
fn check(path: &Path, plan: Plan, end: u64, oracle: &mut Oracle) {
    let _alone = children::alone();
    // Without a worker, so that a temporary file is what the child left and not one being written.
    let plan = Plan { maintenance: Maintenance::Manual, ..plan };
    let store = Store::open_with(path, plan.options()).expect("a killed store opens");
    let items: Vec<Item> = store.scan().unwrap().map(Result::unwrap).collect();
    oracle.settle(&items, end, plan.durability);
    let damaged = &store.open_report().damaged_segments;
    assert!(damaged.is_empty(), "expected whole segments, found {damaged:?}");
    let report = store.verify().unwrap();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    let temporary: Vec<PathBuf> =
        files(path).into_iter().filter(|file| file.extension().is_some_and(|extension| extension == "tmp")).collect();
    assert!(temporary.is_empty(), "expected no temporary file, found {temporary:?}");
    let queries: Vec<Vec<f32>> = (0..3).map(|query| noise(DIMENSION, 1.0, &mut generator(end + query))).collect();
    oracle.model.check_reader(&store, &queries);
    store.close().unwrap();
}

fn files(path: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|entry| if entry.is_dir() { files(&entry) } else { vec![entry] }).collect()
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}: expected a number")))
}

fn cycles(durability: Durability, salt: u64) {
    let seed = number("UNDERSTORY_CRASH_SEED", 7) * 2 + salt;
    let mut rng = generator(seed);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.understory");
    let mut oracle = Oracle { seed, model: Model::new(METRIC), next: 0 };
    for cycle in 0..number("UNDERSTORY_CRASH_CYCLES", CYCLES) {
        let maintenance = [Maintenance::Manual, Maintenance::Background][cycle as usize % 2];
        let plan = Plan { seed, first: oracle.next, durability, maintenance };
        let end = run_and_kill(plan, &path, &mut rng);
        let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(&path, plan, end, &mut oracle)));
        if let Err(panic) = checked {
            let kept = dir.keep();
            eprintln!("cycle {cycle}, {plan:?}, acknowledged up to {end}; the store is kept in {}", kept.display());
            std::panic::resume_unwind(panic);
        }
    }
}
