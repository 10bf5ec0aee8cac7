//! Named points at which a test ends the process, to see what the next open makes of it. Nothing outside of tests.

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
