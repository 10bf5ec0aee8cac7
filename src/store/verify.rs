//! The full check: every checksum and every structure.

use super::Inner;
use crate::error::{Error, Result};
use crate::search;

/// What a full check found. See [`Store::verify`](crate::Store::verify).
#[derive(Debug)]
#[non_exhaustive]
pub struct VerifyReport {
    /// Live items whose rows are intact.
    pub items: u64,
    /// Segments that were read.
    pub segments: usize,
    /// What is wrong, each with its place; empty if nothing is.
    pub problems: Vec<Error>,
}

impl Inner {
    pub(super) fn verify(&self) -> Result<VerifyReport> {
        let view = self.shared.view()?;
        let mut report = VerifyReport { items: 0, segments: 0, problems: Vec::new() };
        match view.rows.verify() {
            Ok(check) => report.items = check.items,
            Err(error) if error.is_corruption() => report.problems.push(error),
            Err(error) => return Err(error),
        }
        for part in &view.parts {
            match part.intact_segment() {
                Some(segment) => {
                    report.segments += 1;
                    let checked = segment.verify().and_then(|()| search::verify_columns(&view, segment));
                    if let Err(error) = checked {
                        segment.set_aside();
                        self.wake_if_needed();
                        report.problems.push(error);
                    }
                }
                None if part.is_damaged() => report.problems.push(Error::corrupt(
                    self.shared.path(),
                    format!("segment {}", part.id),
                    "an intact segment",
                    "one that was set aside; its items are answered from the rows until it is built again",
                )),
                None => {}
            }
        }
        Ok(report)
    }
}
