//! What a simulated store is asked to do, and what it must then hold.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::error::Error;
use crate::fs::simulated::{Disk, Image, Mutant, Operation};
use crate::options::{Durability, Maintenance, Options, SegmentVectors};
use crate::store::{Batch, Store};
use crate::types::{Id, Metric};

pub(super) const DIMENSION: usize = 4;

/// Items of a delta beyond which a batch becomes an unbuilt part.
const DELTA_ITEMS: usize = 48;

/// So much unused room makes a compaction write a new row file.
const WASTE: u64 = 64 << 20;

/// What a simulation says of what went wrong.
pub(super) type Failure = String;

/// A vector and a number beside it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) vector: Vec<f32>,
    pub(super) note: Option<i64>,
}

/// What a store holds.
pub(super) type Items = BTreeMap<Id, Entry>;

/// A call of a workload. What it writes depends on the seed, its place in the workload and the items before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Insert,
    Replace,
    Batch,
    Remove,
    /// A batch that becomes an unbuilt part.
    LargeBatch,
    Flush,
    Compact,
    /// A compaction that finds the row file worth rewriting.
    CompactRows,
    Reopen,
}

impl Call {
    pub(super) const ALL: [Call; 9] = [
        Call::Insert,
        Call::Replace,
        Call::Batch,
        Call::Remove,
        Call::LargeBatch,
        Call::Flush,
        Call::Compact,
        Call::CompactRows,
        Call::Reopen,
    ];

    pub(super) fn random(rng: &mut StdRng) -> Call {
        Call::ALL[rng.random_range(0..Call::ALL.len())]
    }

    /// The writes of the call: `None` removes.
    fn writes(self, items: &Items, metric: Metric, rng: &mut StdRng) -> Vec<(Id, Option<Entry>)> {
        let any = |rng: &mut StdRng| items.keys().nth(rng.random_range(0..items.len().max(1))).cloned();
        let new = |rng: &mut StdRng| (new_id(rng), Some(new_entry(metric, rng)));
        match self {
            Call::Insert => vec![new(rng)],
            Call::Replace => vec![(any(rng).unwrap_or(Id::from(1)), Some(new_entry(metric, rng)))],
            Call::Remove => any(rng).map(|id| (id, None)).into_iter().collect(),
            Call::Batch => {
                let mut writes: Vec<_> = (0..14).map(|_| new(rng)).collect();
                writes.extend((0..4).filter_map(|_| Some((any(rng)?, Some(new_entry(metric, rng))))));
                writes.extend((0..2).filter_map(|_| Some((any(rng)?, None))));
                writes
            }
            Call::LargeBatch => (0..DELTA_ITEMS + 4).map(|_| new(rng)).collect(),
            Call::Flush | Call::Compact | Call::CompactRows | Call::Reopen => Vec::new(),
        }
    }
}

fn new_id(rng: &mut StdRng) -> Id {
    let number = rng.random_range(0..400u64);
    if number.is_multiple_of(3) { Id::from(format!("item {number}")) } else { Id::from(number) }
}

/// The metrics of simulated stores, one of each kind of code; distances of whole components come out the same however they
/// are summed.
const METRICS: [Metric; 3] = [Metric::Hamming, Metric::Euclidean, Metric::Manhattan];

pub(super) fn metric_of(seed: u64) -> Metric {
    METRICS[(seed % 3) as usize]
}

pub(super) fn new_vector(metric: Metric, rng: &mut StdRng) -> Vec<f32> {
    let components = if metric == Metric::Hamming { 0..=1i8 } else { -50..=50 };
    (0..DIMENSION).map(|_| rng.random_range(components.clone()).into()).collect()
}

fn new_entry(metric: Metric, rng: &mut StdRng) -> Entry {
    Entry { vector: new_vector(metric, rng), note: rng.random_bool(0.3).then(|| rng.random_range(0..1000)) }
}

/// A call that has returned.
#[derive(Clone)]
struct Step {
    /// How many operations the disk had logged by then.
    ended: usize,
    items: Arc<Items>,
    /// Whether nothing before it can be lost any more.
    is_durable: bool,
}

/// How the store of a life is opened.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Manner {
    pub(super) durability: Durability,
    /// Whether a worker builds and packs beside the calls. Its operations come as its thread runs: a seed does not
    /// repeat them.
    pub(super) has_worker: bool,
    /// Bytes of vectors that builds hold in memory at most, if there is a bound: the rest is in temporary files.
    pub(super) build_memory: Option<usize>,
    pub(super) vectors: SegmentVectors,
    /// Whether flushes leave the small segments beside what they build.
    pub(super) is_unmerged: bool,
}

impl Manner {
    /// Builds have no memory for vectors.
    pub(super) fn spilling() -> Manner {
        Manner { build_memory: Some(0), ..Manner::default() }
    }

    pub(super) fn random(rng: &mut StdRng) -> Manner {
        let vectors = [SegmentVectors::Float32, SegmentVectors::Float16, SegmentVectors::Int8];
        Manner {
            durability: if rng.random_bool(0.3) { Durability::Buffered } else { Durability::Immediate },
            has_worker: rng.random_bool(0.25),
            // The vectors of 15 to 150 items fit: small builds stay in memory, and large ones do not.
            build_memory: [None, Some(0), Some(rng.random_range(4_000..40_000))][rng.random_range(0..3)],
            vectors: vectors[rng.random_range(0..vectors.len())],
            is_unmerged: rng.random_bool(0.3),
        }
    }
}

/// A disk from one mounting to the next power cut, and the store on it.
pub(super) struct Life {
    disk: Disk,
    start: Image,
    /// What the store may hold if the power fails before the first step.
    before: Vec<Arc<Items>>,
    /// What it may hold when it is opened.
    may_hold: Vec<Arc<Items>>,
    steps: Vec<Step>,
    store: Option<Store>,
    manner: Manner,
    /// What a store that is created measures by.
    metric: Metric,
}

impl Life {
    /// Mounts a disk. Nothing on it is opened.
    pub(super) fn mount(start: Image, before: Vec<Arc<Items>>, mutant: Option<Mutant>) -> Life {
        let disk = Disk::mount(start.clone(), mutant);
        let may_hold = before.clone();
        let (steps, store, manner, metric) = (Vec::new(), None, Manner::default(), Metric::Euclidean);
        Life { disk, start, before, may_hold, steps, store, manner, metric }
    }

    /// The metric of the store, if it is yet to be created.
    pub(super) fn with_metric(self, metric: Metric) -> Life {
        Life { metric, ..self }
    }

    fn options(&self) -> Options {
        let Manner { durability, has_worker, build_memory, vectors, is_unmerged } = self.manner;
        let maintenance = if has_worker { Maintenance::Background } else { Maintenance::Manual };
        let mut options = Options::new().maintenance(maintenance);
        if !self.disk.names().0.iter().any(|name| name.starts_with("store-") && name.ends_with(".redb")) {
            options = options.metric(self.metric);
        }
        options = options.threads(1).cache_size(1 << 20).durability(durability);
        options.delta_items = Some(DELTA_ITEMS);
        options = options.segment_vectors(vectors).merges(!is_unmerged);
        build_memory.into_iter().fold(options, Options::build_memory)
    }

    /// Opens the store.
    pub(super) fn open(&mut self) -> Result<(), Failure> {
        let opened = Store::open_with(self.disk.store_path(), self.options());
        self.store = Some(opened.map_err(|error| format!("open failed: {error}"))?);
        Ok(())
    }

    /// Opens the store and drops it, or is told that the disk failed.
    pub(super) fn open_on_failing_disk(&mut self) -> Result<(), Failure> {
        let opened = Store::open_with(self.disk.store_path(), self.options());
        opened.map(drop).or_else(|error| expect_disk_error(&error))
    }

    pub(super) fn store(&self) -> &Store {
        self.store.as_ref().expect("the store is open")
    }

    pub(super) fn disk(&self) -> &Disk {
        &self.disk
    }

    /// What the store may hold when it is opened.
    pub(super) fn may_hold(&self) -> &[Arc<Items>] {
        &self.may_hold
    }

    /// Opens the store again, in another manner.
    pub(super) fn reopen(&mut self, manner: Manner) -> Result<(), Failure> {
        self.manner = manner;
        self.call(Call::Reopen, 0)
    }

    /// The open store holds exactly this, durably.
    pub(super) fn settle(&mut self, items: Arc<Items>) {
        self.steps.push(Step { ended: self.disk.operations(), items, is_durable: true });
    }

    /// Whether the store was found to hold this.
    pub(super) fn is(&self, items: &Items) -> bool {
        *self.items() == *items
    }

    pub(super) fn items(&self) -> Arc<Items> {
        self.steps.last().expect("the store was opened and checked").items.clone()
    }

    /// Makes a call.
    pub(super) fn call(&mut self, call: Call, seed: u64) -> Result<(), Failure> {
        let (outcome, items) = self.attempt(call, seed);
        outcome.map_err(|error| format!("{call:?} failed: {error}"))?;
        let is_write = !matches!(call, Call::Flush | Call::Compact | Call::CompactRows | Call::Reopen);
        let is_durable = !is_write || self.manner.durability == Durability::Immediate;
        self.steps.push(Step { ended: self.disk.operations(), items, is_durable });
        Ok(())
    }

    /// Makes a call that may fail; what came of it, and what the store holds if it did not.
    pub(super) fn attempt(&mut self, call: Call, seed: u64) -> (Result<(), Error>, Arc<Items>) {
        let mut rng = StdRng::seed_from_u64(seed.wrapping_mul(1_000_003).wrapping_add(self.steps.len() as u64));
        let mut items = self.items();
        let writes = call.writes(&items, self.store().metric(), &mut rng);
        let outcome = self.run(call, &writes);
        let changed = Arc::make_mut(&mut items);
        for (id, entry) in writes {
            match entry {
                Some(entry) => changed.insert(id, entry),
                None => changed.remove(&id),
            };
        }
        (outcome, items)
    }

    /// The open store may hold one of these.
    pub(super) fn expect(&mut self, may_hold: Vec<Arc<Items>>) {
        self.may_hold = may_hold;
    }

    /// Drops the store, whatever state it is in, and opens it again.
    pub(super) fn recover_in_place(&mut self, may_hold: Vec<Arc<Items>>) -> Result<(), Failure> {
        self.store = None;
        self.may_hold = may_hold;
        self.open()
    }

    fn run(&mut self, call: Call, writes: &[(Id, Option<Entry>)]) -> Result<(), Error> {
        self.disk.set_waste(if call == Call::CompactRows { WASTE } else { 0 });
        match (call, writes) {
            (Call::Flush, _) => self.store().flush(),
            (Call::Compact | Call::CompactRows, _) => self.store().compact(),
            (Call::Reopen, _) => {
                self.store().close()?;
                self.store = None;
                self.store = Some(Store::open_with(self.disk.store_path(), self.options())?);
                Ok(())
            }
            (_, [(id, None)]) => self.store().remove(id.clone()).map(drop),
            (_, [(id, Some(Entry { vector, note: None }))]) => self.store().insert(id.clone(), vector),
            (_, writes) => {
                let mut batch = Batch::new();
                for (id, entry) in writes {
                    match entry {
                        None => batch.remove(id.clone()),
                        Some(Entry { vector, note: None }) => batch.insert(id.clone(), vector),
                        Some(Entry { vector, note: Some(note) }) => {
                            batch.insert_with(id.clone(), vector, &BTreeMap::from([("note", note)]))?
                        }
                    };
                }
                self.store().write(batch)
            }
        }
    }

    /// Ends the life, without a word to the store, and returns what happened in it.
    pub(super) fn end(self) -> History {
        let log = self.disk.log();
        History { start: self.start, log, before: self.before, steps: self.steps }
    }
}

/// What happened between mounting and power cut.
pub(super) struct History {
    pub(super) start: Image,
    pub(super) log: Vec<Operation>,
    before: Vec<Arc<Items>>,
    steps: Vec<Step>,
}

impl History {
    /// What the store may hold if the power fails after so many operations: everything that was acknowledged as
    /// durable, whole writes after that, and of the call under way all or nothing.
    pub(super) fn allowed(&self, operations: usize) -> Vec<Arc<Items>> {
        let ended = self.steps.partition_point(|step| step.ended <= operations);
        let Some(durable) = self.steps[..ended].iter().rposition(|step| step.is_durable) else {
            return self.before.clone();
        };
        let begun = if operations > self.steps[ended - 1].ended { self.steps.len().min(ended + 1) } else { ended };
        self.steps[durable..begun].iter().map(|step| step.items.clone()).collect()
    }

    /// The disk after a kill of the process, at which nothing is lost that the system was told; nothing on it is opened.
    pub(super) fn kill(&self, operations: usize, mutant: Option<Mutant>) -> Life {
        let disk = Disk::after_kill(self.start.clone(), self.log[..operations].to_vec(), mutant);
        let ended = self.steps.partition_point(|step| step.ended <= operations);
        Life {
            disk,
            start: self.start.clone(),
            before: self.before.clone(),
            may_hold: self.allowed(operations),
            steps: self.steps[..ended].to_vec(),
            store: None,
            manner: Manner::default(),
            metric: Metric::Euclidean,
        }
    }

    /// Where the last call began.
    pub(super) fn start_of_last_call(&self) -> usize {
        self.steps.len().checked_sub(2).map_or(0, |before| self.steps[before].ended)
    }
}

/// The error of a failing disk is reported as that.
pub(super) fn expect_disk_error(error: &Error) -> Result<(), Failure> {
    match error {
        Error::Io { .. }
        | Error::CommitUnknown { .. }
        | Error::WritesStopped { .. }
        | Error::SnapshotsHeld { .. }
        | Error::Storage { .. }
        | Error::Maintenance { .. } => Ok(()),
        other => Err(format!("expected an error of the disk, found {other:?}")),
    }
}
