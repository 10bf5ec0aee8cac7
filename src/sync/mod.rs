//! The locks, flags and threads by which the threads of a store work together: those of `parking_lot` and of the
//! standard library.
//!
//! In tests they can be run by a model checker instead, which decides at each of them who goes on: see
//! `src/store/models`. So what is modelled is the product's own code. Counters and caches whose order nobody relies on
//! need not come from here.

#[cfg(test)]
pub(crate) mod modelled;
mod pool;

pub(crate) use pool::on_threads;

#[cfg(not(test))]
mod real {
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64};
    pub(crate) use std::thread::{JoinHandle, sleep};

    pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard, RwLock};

    /// Starts a thread of this name.
    pub(crate) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
        std::thread::Builder::new().name(name.to_owned()).spawn(work)
    }

    /// Whether a model checker runs this thread.
    pub(crate) fn is_modelled() -> bool {
        false
    }

    /// Whether a test wants this mistake to be made.
    pub(crate) fn makes(_mistake: super::Mistake) -> bool {
        false
    }
}

#[cfg(test)]
use modelled as real;

pub(crate) use real::{
    AtomicBool, AtomicU64, Condvar, JoinHandle, Mutex, MutexGuard, RwLock, is_modelled, makes, sleep, spawn,
};

/// Threads that can run at once; 1 where the system does not say.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// What tests have the code do wrong, to see whether the models notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mistake {
    /// A writer takes what waits in the queue before it has the writer's lock.
    GroupTakenEarly,
    /// A commit shows its segments and delta before its rows.
    ViewBeforeRows,
    /// A signal is given before what it tells of is written.
    SignalledFirst,
    /// A file is removed though it is read.
    DoomedAtOnce,
    /// A file is not removed when its last reader is gone.
    DoomForgotten,
    /// Closing does not wait for the job that runs.
    JobNotAwaited,
}
