//! The threads of a store under a model checker: the real queue, views, worker and segments on a simulated disk, run
//! under many schedules that the checker chooses, at random and by priorities that change at a few points (PCT).
//!
//! Every lock, flag and thread that these parts use comes from `crate::sync`, and so is a point where the checker may
//! let another thread go on. Between two points a thread is alone: the row database and the simulated disk are not
//! looked into. A deadlock, a thread that never ends and a loop that never ends are failures of every model.
//!
//! `UNDERSTORY_MODEL_SCHEDULES=10000` runs so many schedules of each model and kind, `UNDERSTORY_MODEL_SEED` others.

mod closing;
mod mistakes;
mod views;
mod waking;
mod writers;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::thread::JoinHandle;
use shuttle::{Config, FailurePersistence, MaxSteps, Runner};

use super::simulation::number;
use super::{Batch, Store};
use crate::fs::simulated::{Disk, Image};
use crate::options::{Maintenance, Options};
use crate::snapshot::{ManifestRow, Source, State, View, segment_path};
use crate::sync::Mistake;
use crate::sync::modelled::make;
use crate::types::Metric;

/// Schedules of each model and kind.
const SCHEDULES: usize = 200;

/// Points at which PCT changes who comes first.
const PCT_DEPTH: usize = 4;

/// More points than this in one schedule are a loop that never ends.
const STEPS: usize = 200_000;

/// Room for a search and a commit on the stack of a modelled thread.
const STACK_BYTES: usize = 1 << 20;

/// Items that are written together, so that a reader sees whether it has all of one commit.
const TOGETHER: u64 = 6;

/// A delta of more items becomes a part that the worker is to build.
const DELTA_ITEMS: usize = 8;

/// The vector of an item in a generation, which its first component names.
fn marked(generation: u64, item: u64) -> [f32; 4] {
    [generation as f32, item as f32, 1.0, 0.0]
}

/// All items of a generation as one commit.
fn generation(generation: u64) -> Batch {
    let mut batch = Batch::new();
    for item in 0..TOGETHER {
        batch.insert(item, marked(generation, item));
    }
    batch
}

fn options(maintenance: Maintenance) -> Options {
    let mut options =
        Options::new().metric(Metric::Euclidean).maintenance(maintenance).threads(1).cache_size(1 << 20);
    options.delta_items = Some(DELTA_ITEMS);
    options
}

/// A closed store of generation 0 in a segment.
fn prepared() -> Image {
    let disk = Disk::mount(Image::empty(), None);
    let store = Store::open_with(disk.store_path(), options(Maintenance::Manual)).expect("a sound disk");
    store.write(generation(0)).expect("a sound disk");
    store.flush().expect("a sound disk");
    store.close().expect("a sound disk");
    disk.image()
}

/// One execution of a model: its disk, and what its threads found wrong.
struct Scene {
    disk: Disk,
    failures: parking_lot::Mutex<Vec<String>>,
}

impl Scene {
    fn open(&self, maintenance: Maintenance) -> Store {
        Store::open_with(self.disk.store_path(), options(maintenance)).expect("a store on a sound disk opens")
    }

    /// Runs a part of the model; its panic is a failure of the model, not of the checker.
    fn watch(&self, part: impl FnOnce()) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(part)) {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            // The checker ends an execution by a panic of its own.
            let Some(text) = text else { resume_unwind(panic) };
            self.failures.lock().push(text);
        }
    }

    fn spawn(self: &Arc<Scene>, part: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
        let scene = self.clone();
        shuttle::thread::spawn(move || scene.watch(part))
    }

    /// The names of the segment files that there are.
    fn segment_names(&self) -> BTreeSet<String> {
        self.disk.names().1.into_iter().collect()
    }

    /// When nobody reads, there are the files that the manifest names and no others.
    fn check_files(&self, store: &Store) {
        let view = store.inner.shared.view().expect("an open store");
        let named: BTreeSet<String> = named_files(&view).collect();
        assert_eq!(self.segment_names(), named, "expected the files that the manifest names");
    }
}

/// The names of the files that the manifest of a view names.
fn named_files(view: &View) -> impl Iterator<Item = String> {
    let files = view.parts.iter().filter_map(|part| match &part.source {
        Source::Segment(segment) => segment.path().file_name(),
        Source::Rows { .. } => None,
    });
    files.map(|name| name.to_string_lossy().into_owned())
}

/// Rows, manifest, segments, delta and dead set of a view belong to one commit, and its files are there.
fn check_view(view: &View) {
    assert_eq!(view.rows.counters().expect("counters"), view.counters, "expected the counters of the rows");
    assert_eq!(view.rows.len().expect("ids"), view.len, "expected the length of the rows");
    let dead = view.rows.dead().expect("dead rows");
    let everything = crate::types::SequenceRange { start: 0, end: view.counters.next_sequence };
    assert!(dead.iter_in(everything).eq(view.dead.iter_in(everything)), "expected the dead set of the rows");
    let manifest = view.rows.segments().expect("a manifest");
    let mut parts: Vec<_> = view.parts.iter().collect();
    parts.sort_by_key(|part| part.id);
    assert_eq!(manifest.len(), parts.len(), "expected the manifest's parts");
    for ((id, row), part) in manifest.iter().zip(parts) {
        let row = ManifestRow::decode(row).expect("a manifest row");
        assert_eq!((*id, row.range, row.items), (part.id, part.range, part.items), "expected the manifest's part");
        match (&part.source, row.state) {
            (Source::Segment(segment), State::Built { nonce, .. }) => {
                let store = view.rows.path().parent().expect("a row file in a store");
                assert_eq!(segment.path(), segment_path(store, *id, nonce), "expected the manifest's file");
                assert_eq!(
                    crate::fs::is_dir(segment.path()).ok(),
                    Some(Some(false)),
                    "expected the file to be there"
                );
            }
            (Source::Rows { .. }, State::Unbuilt) => {}
            _ => panic!("expected part {id} to be what the manifest says: {row:?}"),
        }
    }
    let mut delta = view.delta.items().map(|item| item.sequence);
    let above = view.counters.flushed..view.counters.next_sequence;
    assert!(delta.all(|sequence| above.contains(&sequence)), "expected a delta above the segments");
}

/// A model is set up once for each schedule, and runs its threads to their ends.
type Model = fn(&Arc<Scene>);

/// Runs a model under so many schedules of each kind. The first failure, if there is one.
fn explore(model: Model, schedules: usize, mistake: Option<Mistake>) -> Result<(), String> {
    let seed = number("UNDERSTORY_MODEL_SEED").unwrap_or(1);
    let explorer = std::thread::spawn(move || {
        // The pool is this thread itself: what a build runs in parallel must not leave the checker's thread.
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build().expect("a pool");
        pool.install(|| {
            run(RandomScheduler::new_from_seed(seed, schedules), model, mistake)?;
            run(PctScheduler::new_from_seed(seed, PCT_DEPTH, schedules), model, mistake)
        })
    });
    explorer.join().expect("failures are caught")
}

fn run(scheduler: impl Scheduler + 'static, model: Model, mistake: Option<Mistake>) -> Result<(), String> {
    let mut config = Config::new();
    config.stack_size = STACK_BYTES;
    config.max_steps = MaxSteps::FailAfter(STEPS);
    config.failure_persistence = FailurePersistence::None;
    config.silence_warnings = true;
    let image = prepared();
    make(mistake);
    let execution = move || {
        let disk = Disk::mount(image.clone(), None);
        let scene = Arc::new(Scene { disk, failures: parking_lot::Mutex::default() });
        scene.watch(|| model(&scene));
        let failures = scene.failures.lock().clone();
        assert!(failures.is_empty(), "{}", failures.join("; "));
    };
    let outcome = catch_unwind(AssertUnwindSafe(|| Runner::new(scheduler, config).run(execution)));
    make(None);
    outcome.map(drop).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
    })
}

/// Runs a model that must hold.
fn holds(model: Model) {
    let started = std::time::Instant::now();
    let schedules = number("UNDERSTORY_MODEL_SCHEDULES").map_or(SCHEDULES, |number| number as usize);
    explore(model, schedules, None).unwrap_or_else(|failure| panic!("{failure}"));
    println!("{schedules} schedules of each kind, {:.1} s", started.elapsed().as_secs_f64());
}
