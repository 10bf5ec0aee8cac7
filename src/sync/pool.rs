//! Work on a pool of threads that ends with it.

use crate::error::{Error, Result};

/// Runs work on so many threads, 0 for one a core, which end with it; an idle store has none. The caller waits.
///
/// A caller that is a thread of another pool waits outside of it: there it would begin other work of that pool meanwhile,
/// which may want the lock that the caller holds, or wait in the same way in turn until the stack is used up.
pub(crate) fn on_threads<T: Send>(threads: usize, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let failed = |cause: String| Error::Maintenance { cause };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let pool = pool.map_err(|error| failed(error.to_string()))?;
    if rayon::current_thread_index().is_none() {
        return pool.install(work);
    }
    std::thread::scope(|scope| {
        let waiting = std::thread::Builder::new().spawn_scoped(scope, || pool.install(work));
        let waiting = waiting.map_err(|error| failed(error.to_string()))?;
        waiting.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
