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
