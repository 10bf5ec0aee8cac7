//! What tests may make of the code at named points: an end of the process, or a check left out. Nothing outside of tests.

use std::path::Path;

/// Ends the process here if a test asked for it with `UNDERSTORY_CRASH_AT`.
#[cfg(test)]
pub(crate) fn crash_point(name: &str) {
    if std::env::var("UNDERSTORY_CRASH_AT").is_ok_and(|wanted| wanted == name) {
        std::process::abort();
    }
}

/// Does nothing outside of tests.
#[cfg(not(test))]
pub(crate) fn crash_point(_name: &str) {}

/// Whether a test wants the checksums of a segment's runs ignored.
#[cfg(test)]
pub(crate) fn skips_runs(segment: &Path) -> bool {
    super::simulated::has_mutant(segment, super::simulated::Mutant::RunsUnchecked)
}

/// Never, outside of tests.
#[cfg(not(test))]
pub(crate) fn skips_runs(_segment: &Path) -> bool {
    false
}

/// Whether a test wants the checksums of a segment's records ignored.
#[cfg(test)]
pub(crate) fn skips_records(segment: &Path) -> bool {
    super::simulated::has_mutant(segment, super::simulated::Mutant::RecordsUnchecked)
}

/// Never, outside of tests.
#[cfg(not(test))]
pub(crate) fn skips_records(_segment: &Path) -> bool {
    false
}

/// Whether a test wants the delta to stay what it was when the rows are opened anew.
#[cfg(test)]
pub(crate) fn keeps_old_delta(store: &Path) -> bool {
    super::simulated::has_mutant(store, super::simulated::Mutant::OldDeltaKept)
}

/// Never, outside of tests.
#[cfg(not(test))]
pub(crate) fn keeps_old_delta(_store: &Path) -> bool {
    false
}

/// Whether a test wants commits while somebody reads the row file as it was before it was opened anew.
#[cfg(test)]
pub(crate) fn ignores_former_readers(store: &Path) -> bool {
    super::simulated::has_mutant(store, super::simulated::Mutant::FormerReadersIgnored)
}

/// Never, outside of tests.
#[cfg(not(test))]
pub(crate) fn ignores_former_readers(_store: &Path) -> bool {
    false
}

/// Whether a test wants what a failure left among the segments to stay until the store is opened again.
#[cfg(test)]
pub(crate) fn skips_sweep(store: &Path) -> bool {
    super::simulated::has_mutant(store, super::simulated::Mutant::FailureUnswept)
}

/// Never, outside of tests.
#[cfg(not(test))]
pub(crate) fn skips_sweep(_store: &Path) -> bool {
    false
}
