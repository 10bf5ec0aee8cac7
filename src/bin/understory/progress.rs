//! Progress of long work, on standard error, and only where that is a terminal.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Steps of a bar that follows a fraction.
const FRACTION_STEPS: u64 = 1_000;

pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// Counts up to a total.
    pub(crate) fn counting(what: &'static str, total: u64) -> Progress {
        Progress::styled(ProgressBar::new(total), "{msg} [{bar:40}] {human_pos}/{human_len} {eta}", what)
    }

    /// Follows a fraction that somebody else reports.
    pub(crate) fn following(what: &'static str) -> Progress {
        Progress::styled(ProgressBar::new(FRACTION_STEPS), "{msg} [{bar:40}] {percent}% {eta}", what)
    }

    /// Shows that work of unknown length goes on.
    pub(crate) fn waiting(what: &'static str) -> Progress {
        let progress = Progress::styled(ProgressBar::new_spinner(), "{spinner} {msg} {elapsed}", what);
        progress.0.enable_steady_tick(Duration::from_millis(100));
        progress
    }

    fn styled(bar: ProgressBar, template: &str, what: &'static str) -> Progress {
        if !std::io::stderr().is_terminal() {
            return Progress(ProgressBar::hidden());
        }
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        Progress(bar.with_style(style.progress_chars("=> ")).with_message(what))
    }

    pub(crate) fn advance(&self, count: u64) {
        self.0.inc(count);
    }

    pub(crate) fn follow(&self, what: &str, fraction: f32) {
        self.0.set_message(what.to_owned());
        self.0.set_position((f64::from(fraction.clamp(0.0, 1.0)) * FRACTION_STEPS as f64) as u64);
    }

    /// Hides the bar while something is written to the same terminal.
    pub(crate) fn suspended<T>(&self, write: impl FnOnce() -> T) -> T {
        self.0.suspend(write)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
