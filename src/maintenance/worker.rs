//! The background thread: sleeps until a write or a damaged segment gives it a reason to look.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::Maintainer;
use crate::error::{Error, Result};
use crate::sync::{self, Condvar, JoinHandle, Mistake, Mutex, makes};

/// After a failure nothing is tried for this long, after the next for twice as long and so on, so that a full disk is
/// not hammered and is used again soon after it has room.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

#[derive(Default)]
struct Signal {
    wanted: Mutex<Wanted>,
    changed: Condvar,
}

#[derive(Default)]
struct Wanted {
    look: bool,
    end: bool,
}

impl Signal {
    /// Changes what is wanted, then tells the worker, who looks before it sleeps.
    fn give(&self, change: impl FnOnce(&mut Wanted)) {
        if makes(Mistake::SignalledFirst) {
            self.changed.notify_one();
            return change(&mut self.wanted.lock());
        }
        change(&mut self.wanted.lock());
        self.changed.notify_one();
    }
}

/// A handle on the background thread.
pub(crate) struct Worker {
    maintainer: Arc<Maintainer>,
    signal: Arc<Signal>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Worker {
    pub(crate) fn start(maintainer: Arc<Maintainer>) -> Result<Worker> {
        let signal = Arc::new(Signal::default());
        let (its_maintainer, its_signal) = (maintainer.clone(), signal.clone());
        let thread = sync::spawn("understory-maintenance", move || run(&its_maintainer, &its_signal))
            .map_err(|error| Error::Maintenance { cause: format!("the worker did not start: {error}") })?;
        Ok(Worker { maintainer, signal, thread: Mutex::new(Some(thread)) })
    }

    /// There may be something to do.
    pub(crate) fn wake(&self) {
        self.signal.give(|wanted| wanted.look = true);
    }

    /// Ends the job under way and the thread, and waits for both.
    pub(crate) fn end(&self) {
        self.maintainer.stop();
        self.signal.give(|wanted| wanted.end = true);
        if let Some(thread) = self.thread.lock().take() {
            // A panic was caught and reported inside.
            let _ = thread.join();
        }
    }
}

fn run(maintainer: &Maintainer, signal: &Signal) {
    let mut pause = FIRST_PAUSE;
    loop {
        let mut wanted = signal.wanted.lock();
        while !wanted.look && !wanted.end {
            signal.changed.wait(&mut wanted);
        }
        if wanted.end {
            return;
        }
        wanted.look = false;
        drop(wanted);
        let outcome = catch_unwind(AssertUnwindSafe(|| maintainer.upkeep()));
        let failure = match outcome {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(panic) => Some(format!("panic: {}", message(&*panic))),
        };
        let failed = failure.is_some();
        if !maintainer.is_stopping() {
            *maintainer.last_error.lock() = failure;
        }
        if failed {
            let mut wanted = signal.wanted.lock();
            signal.changed.wait_while_for(&mut wanted, |wanted| !wanted.end, pause);
            wanted.look = true;
            pause = (pause * 2).min(LONGEST_PAUSE);
        } else {
            pause = FIRST_PAUSE;
        }
    }
}

fn message(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("without a message")
}
