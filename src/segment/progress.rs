//! How far a build is, and whether it is to go on.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::error::Result;
use crate::segment::refused;

/// Called with the fraction done; returns whether to go on.
pub(crate) type Report<'a> = &'a (dyn Fn(f32) -> bool + Sync);

/// Counts units of work, phase after phase, from any thread.
pub(super) struct Progress<'a> {
    report: Report<'a>,
    stopped: AtomicBool,
    done: AtomicUsize,
}

/// One part of a build: where it lies between 0 and 1, and its units.
#[derive(Clone, Copy, Debug)]
pub(super) struct Phase {
    pub(super) start: f32,
    pub(super) end: f32,
    pub(super) units: usize,
}

impl<'a> Progress<'a> {
    pub(super) fn new(report: Report<'a>) -> Progress<'a> {
        Progress { report, stopped: AtomicBool::new(false), done: AtomicUsize::new(0) }
    }

    /// Begins a phase, unless the build is to stop.
    pub(super) fn begin(&self, phase: Phase) -> Result<()> {
        self.done.store(0, Ordering::Relaxed);
        self.advance(phase, 0);
        if self.is_stopped() { Err(refused("cancelled")) } else { Ok(()) }
    }

    /// Counts units of a phase. What is called a few times a millisecond at most may call this.
    pub(super) fn advance(&self, phase: Phase, units: usize) {
        let done = self.done.fetch_add(units, Ordering::Relaxed) + units;
        let part = (done as f32 / phase.units.max(1) as f32).min(1.0);
        if !(self.report)(phase.start + (phase.end - phase.start) * part) {
            self.stopped.store(true, Ordering::Relaxed);
        }
    }

    /// Whether loops may end early: their results will not be used.
    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }
}
