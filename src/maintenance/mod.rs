//! What keeps a store in shape: flushes, compactions, packing, and giving disk space back.
//!
//! One job at a time, on the worker's thread or on that of whoever calls `flush` or `compact`. A job reads from a view,
//! works without the writer's lock, and takes it only to commit. A failure changes nothing and is reported.

mod build;
mod policy;
mod tidy;
mod worker;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use policy::{DeltaState, Demand, PartState};
pub(crate) use policy::{FLUSH_BYTES, FLUSH_ITEMS};
pub(crate) use worker::Worker;

use crate::error::{Error, Result};
use crate::options::Options;
use crate::snapshot::{Shared, View};
use crate::sync::{AtomicBool, Mistake, Mutex, cores, is_modelled, makes, on_threads};

/// What a compaction is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stage {
    /// Building a segment.
    Building,
    /// Measuring how far searches must scan.
    Measuring,
    /// Moving rows into blocks.
    Packing,
    /// Giving unused disk space back.
    Reclaiming,
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Stage::Building => "building a segment",
            Stage::Measuring => "measuring searches",
            Stage::Packing => "packing rows",
            Stage::Reclaiming => "giving disk space back",
        })
    }
}

/// Called with what is being done and how far it is; returns whether to go on.
pub(crate) type Progress<'a> = &'a (dyn Fn(Stage, f32) -> bool + Sync);

/// Runs maintenance jobs.
pub(crate) struct Maintainer {
    shared: Arc<Shared>,
    options: Options,
    /// Held by the job that runs.
    job: Mutex<()>,
    stopping: AtomicBool,
    last_error: Mutex<Option<String>>,
}

impl Maintainer {
    pub(crate) fn new(shared: Arc<Shared>, options: Options) -> Maintainer {
        Maintainer {
            shared,
            options,
            job: Mutex::new(()),
            stopping: AtomicBool::new(false),
            last_error: Mutex::new(None),
        }
    }

    /// Builds what is worth its cost. Called by the worker.
    fn upkeep(&self) -> Result<()> {
        self.job(&|| {
            if self.build_all(Demand::Upkeep, &|_, _| true)? {
                self.pack(false)?;
            }
            Ok(())
        })
    }

    /// Everything into segments.
    pub(crate) fn flush(&self) -> Result<()> {
        self.job(&|| self.build_all(Demand::Flush, &|_, _| true).and_then(|_| self.make_durable()))
    }

    /// Everything into one segment, rows packed, unused disk space given back.
    pub(crate) fn compact(&self, progress: Progress<'_>) -> Result<()> {
        self.job(&|| self.compact_all(progress))
    }

    /// Runs the one job at a time, again from its beginning where the rows were opened anew under it.
    fn job(&self, work: &dyn Fn() -> Result<()>) -> Result<()> {
        let _job = self.job.lock();
        loop {
            let is_done = self.begin().and_then(|reloads| match work() {
                Err(_) if !self.is_stopping() && self.shared.view()?.reloads != reloads => Ok(false),
                outcome => outcome.map(|()| true),
            });
            match is_done {
                Ok(false) => {}
                outcome => return self.closed_if_stopping(outcome.map(drop)),
            }
        }
    }

    /// Makes commits possible after a failure, and removes what failures left. How often the rows were opened anew so far.
    fn begin(&self) -> Result<u64> {
        self.shared.recover(&mut self.shared.writer())?;
        self.shared.sweep()?;
        Ok(self.shared.view()?.reloads)
    }

    fn compact_all(&self, progress: Progress<'_>) -> Result<()> {
        self.build_all(Demand::Compact, progress)?;
        go_on(progress, Stage::Packing)?;
        self.pack(true)?;
        go_on(progress, Stage::Reclaiming)?;
        self.reclaim()?;
        self.make_durable()
    }

    /// A job that a close has cancelled failed because the store is closed.
    fn closed_if_stopping(&self, outcome: Result<()>) -> Result<()> {
        outcome.map_err(|error| if self.is_stopping() { Error::Closed } else { error })
    }

    /// Builds until the policy has no plan, or, where a caller waits, until what was there when it called is built:
    /// beside a busy writer there would always be a plan. Whether there was one.
    fn build_all(&self, demand: Demand, progress: Progress<'_>) -> Result<bool> {
        let end = self.shared.view()?.counters.next_sequence;
        let mut built = false;
        loop {
            let view = self.shared.view()?;
            if built && demand != Demand::Upkeep && is_built_below(&view, end) {
                break;
            }
            let Some(plan) = policy::plan(&self.part_states(&view), delta_state(&view), demand) else { break };
            // What is built from rows as they were before they were opened anew is not published.
            let goes_on = || !self.is_stopping() && !self.shared.has_reloaded_since(&view);
            let report = |fraction: f32| goes_on() && progress(Stage::Building, fraction);
            self.build(&view, &plan, demand, &report)?;
            go_on(progress, Stage::Measuring)?;
            self.calibrate(demand)?;
            if demand == Demand::Upkeep {
                // Here, since beside a busy writer there always is a further plan.
                self.make_room()?;
            }
            built = true;
        }
        Ok(built)
    }

    fn part_states(&self, view: &View) -> Vec<PartState> {
        let state = |part: &crate::snapshot::Part| PartState {
            items: part.items,
            dead: part.dead,
            searchable: part.intact_segment().is_some(),
            stays_apart: !self.options.merges,
        };
        view.parts.iter().map(state).collect()
    }

    /// Whether upkeep of this view would build something.
    pub(crate) fn has_work(&self, view: &View) -> bool {
        policy::plan(&self.part_states(view), delta_state(view), Demand::Upkeep).is_some()
    }

    /// Ends the job that runs, and waits until it has ended.
    pub(crate) fn stop_and_wait(&self) {
        self.stop();
        if !makes(Mistake::JobNotAwaited) {
            drop(self.job.lock());
        }
    }

    /// Ends the job that runs, as soon as it looks.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Why the last background job failed, if it did.
    pub(crate) fn last_error(&self) -> Option<String> {
        self.last_error.lock().clone()
    }

    /// The same, told once.
    pub(crate) fn take_last_error(&self) -> Option<String> {
        self.last_error.lock().take()
    }

    /// Runs on as many threads as the options say. What nobody waits for leaves a core to searches, if it is not told
    /// otherwise.
    fn with_threads<T: Send>(&self, demand: Demand, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        if is_modelled() {
            return work();
        }
        let threads = match (self.options.threads, demand) {
            (0, Demand::Upkeep) => cores().max(2) - 1,
            (threads, _) => threads,
        };
        on_threads(threads, work)
    }
}

/// Whether segments answer for every item below a sequence number.
fn is_built_below(view: &View, end: u64) -> bool {
    let mut below = view.parts.iter().filter(|part| part.range.start < end);
    view.counters.flushed >= end && below.all(|part| part.intact_segment().is_some())
}

/// Begins a stage, unless the caller ends the job.
fn go_on(progress: Progress<'_>, stage: Stage) -> Result<()> {
    if progress(stage, 0.0) { Ok(()) } else { Err(Error::Maintenance { cause: "cancelled".into() }) }
}

fn delta_state(view: &View) -> DeltaState {
    DeltaState { items: view.delta.len(), bytes: view.delta.bytes() }
}
