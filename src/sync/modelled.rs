//! The same locks, flags and threads for tests. One that is made while a model checker runs belongs to its model: who
//! waits for it, waits in the model, and each use of it is a point where another thread may go on. Else it is real.
//!
//! The checker runs all threads of a model on one thread of the system, one at a time; so the real lock inside a
//! modelled one is always free when its turn comes. It does not model weak memory: every flag behaves as if all threads
//! saw the same order.

use std::cell::Cell;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::Ordering;
use std::sync::{PoisonError, atomic};
use std::time::Duration;

use shuttle::rand::Rng;

use super::Mistake;

thread_local! {
    static MISTAKE: Cell<Option<Mistake>> = const { Cell::new(None) };
}

/// Whether a model checker runs this thread.
pub(crate) fn is_modelled() -> bool {
    shuttle::current::try_get_current_task().is_some()
}

/// Whether this mistake is to be made.
pub(crate) fn makes(mistake: Mistake) -> bool {
    is_modelled() && MISTAKE.get() == Some(mistake)
}

/// The mistake that models on this thread make from now on.
pub(crate) fn make(mistake: Option<Mistake>) {
    MISTAKE.set(mistake);
}

fn sound<T>(taken: Result<T, PoisonError<T>>) -> T {
    taken.unwrap_or_else(PoisonError::into_inner)
}

pub(crate) struct Mutex<T> {
    turn: Option<shuttle::sync::Mutex<()>>,
    real: parking_lot::Mutex<T>,
}

/// The real lock is given back before the turn, so it is the first field.
pub(crate) struct MutexGuard<'a, T> {
    real: parking_lot::MutexGuard<'a, T>,
    turn: Option<shuttle::sync::MutexGuard<'a, ()>>,
}

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Mutex<T> {
        let turn = is_modelled().then(|| shuttle::sync::Mutex::new(()));
        Mutex { turn, real: parking_lot::Mutex::new(value) }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        let turn = self.turn.as_ref().map(|turn| sound(turn.lock()));
        MutexGuard { real: self.real.lock(), turn }
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Mutex<T> {
        Mutex::new(T::default())
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.real
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.real
    }
}

pub(crate) struct Condvar {
    turn: Option<shuttle::sync::Condvar>,
    real: parking_lot::Condvar,
}

impl Default for Condvar {
    fn default() -> Condvar {
        Condvar { turn: is_modelled().then(shuttle::sync::Condvar::new), real: parking_lot::Condvar::new() }
    }
}

impl Condvar {
    pub(crate) fn notify_one(&self) {
        match &self.turn {
            Some(turn) => turn.notify_one(),
            None => drop(self.real.notify_one()),
        }
    }

    pub(crate) fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        let (Some(condvar), Some(turn)) = (&self.turn, guard.turn.take()) else {
            return self.real.wait(&mut guard.real);
        };
        let wait = || sound(condvar.wait(turn));
        guard.turn = Some(parking_lot::MutexGuard::unlocked(&mut guard.real, wait));
    }

    /// In a model the time may be over at any moment.
    pub(crate) fn wait_while_for<T>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        condition: impl Fn(&mut T) -> bool,
        timeout: Duration,
    ) {
        if self.turn.is_none() {
            self.real.wait_while_for(&mut guard.real, condition, timeout);
            return;
        }
        while condition(&mut guard.real) && shuttle::rand::thread_rng().gen_bool(0.5) {
            self.wait(guard);
        }
    }
}

pub(crate) struct RwLock<T> {
    turn: Option<shuttle::sync::RwLock<()>>,
    real: parking_lot::RwLock<T>,
}

pub(crate) struct RwLockReadGuard<'a, T> {
    real: parking_lot::RwLockReadGuard<'a, T>,
    _turn: Option<shuttle::sync::RwLockReadGuard<'a, ()>>,
}

pub(crate) struct RwLockWriteGuard<'a, T> {
    real: parking_lot::RwLockWriteGuard<'a, T>,
    _turn: Option<shuttle::sync::RwLockWriteGuard<'a, ()>>,
}

impl<T> RwLock<T> {
    pub(crate) fn new(value: T) -> RwLock<T> {
        let turn = is_modelled().then(|| shuttle::sync::RwLock::new(()));
        RwLock { turn, real: parking_lot::RwLock::new(value) }
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, T> {
        let turn = self.turn.as_ref().map(|turn| sound(turn.read()));
        RwLockReadGuard { real: self.real.read(), _turn: turn }
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, T> {
        let turn = self.turn.as_ref().map(|turn| sound(turn.write()));
        RwLockWriteGuard { real: self.real.write(), _turn: turn }
    }
}

impl<T> Deref for RwLockReadGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.real
    }
}

impl<T> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.real
    }
}

impl<T> DerefMut for RwLockWriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.real
    }
}

/// A point of a flag where another thread of the model may go on.
#[derive(Debug)]
struct Point(Option<shuttle::sync::atomic::AtomicBool>);

impl Point {
    fn new() -> Point {
        Point(is_modelled().then(|| shuttle::sync::atomic::AtomicBool::new(false)))
    }

    fn pass(&self) {
        if let Some(point) = &self.0 {
            point.load(Ordering::SeqCst);
        }
    }
}

#[derive(Debug)]
pub(crate) struct AtomicBool {
    point: Point,
    real: atomic::AtomicBool,
}

impl AtomicBool {
    pub(crate) fn new(value: bool) -> AtomicBool {
        AtomicBool { point: Point::new(), real: atomic::AtomicBool::new(value) }
    }

    pub(crate) fn load(&self, ordering: Ordering) -> bool {
        self.point.pass();
        self.real.load(ordering)
    }

    pub(crate) fn store(&self, value: bool, ordering: Ordering) {
        self.point.pass();
        self.real.store(value, ordering);
    }
}

#[derive(Debug)]
pub(crate) struct AtomicU64 {
    point: Point,
    real: atomic::AtomicU64,
}

impl Default for AtomicU64 {
    fn default() -> AtomicU64 {
        AtomicU64::new(0)
    }
}

impl AtomicU64 {
    pub(crate) fn new(value: u64) -> AtomicU64 {
        AtomicU64 { point: Point::new(), real: atomic::AtomicU64::new(value) }
    }

    pub(crate) fn load(&self, ordering: Ordering) -> u64 {
        self.point.pass();
        self.real.load(ordering)
    }

    pub(crate) fn fetch_max(&self, value: u64, ordering: Ordering) -> u64 {
        self.point.pass();
        self.real.fetch_max(value, ordering)
    }

    pub(crate) fn fetch_add(&self, value: u64, ordering: Ordering) -> u64 {
        self.point.pass();
        self.real.fetch_add(value, ordering)
    }
}

pub(crate) enum JoinHandle<T> {
    Real(std::thread::JoinHandle<T>),
    Modelled(shuttle::thread::JoinHandle<T>),
}

impl<T> JoinHandle<T> {
    pub(crate) fn join(self) -> std::thread::Result<T> {
        match self {
            JoinHandle::Real(thread) => thread.join(),
            JoinHandle::Modelled(thread) => thread.join(),
        }
    }
}

/// Waits a while; in a model others go on meanwhile.
pub(crate) fn sleep(time: Duration) {
    if is_modelled() { shuttle::thread::yield_now() } else { std::thread::sleep(time) }
}

/// Starts a thread of this name.
pub(crate) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    if is_modelled() {
        return shuttle::thread::Builder::new().name(name.to_owned()).spawn(work).map(JoinHandle::Modelled);
    }
    std::thread::Builder::new().name(name.to_owned()).spawn(work).map(JoinHandle::Real)
}
