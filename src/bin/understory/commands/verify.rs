//! `verify`: every checksum and structure of a store.

use std::path::Path;

use super::open_to_read;
use crate::failure::{Failure, Result};
use crate::output;
use crate::progress::Progress;

pub(crate) fn run(path: &Path) -> Result<()> {
    let store = open_to_read(path)?;
    let report = {
        let _progress = Progress::waiting("verifying");
        store.verify()?
    };
    let mut problems: Vec<String> = report.problems.iter().map(ToString::to_string).collect();
    // A segment that was set aside on opening is a problem too, whether the check met its file or not.
    for segment in &store.open_report().damaged_segments {
        let name = segment.path.display().to_string();
        if !problems.iter().any(|problem| problem.contains(&name)) {
            problems.push(format!("{name}: {}", segment.cause));
        }
    }
    if problems.is_empty() {
        return output::line(&format!(
            "verified {} items and {} segments: nothing is wrong",
            output::grouped(report.items),
            report.segments
        ));
    }
    for problem in &problems {
        eprintln!("{problem}");
    }
    Err(Failure::Work(format!("{}: problems found: {}", path.display(), problems.len())))
}
