//! Whether the models can fail: each mistake is made on purpose, and must be noticed.

use super::{Model, closing, explore, views, waking, writers};
use crate::sync::Mistake;

/// Each mistake, the model that must notice it, and what that says.
const EXPECTED: [(Mistake, Model, &str); 6] = [
    (Mistake::GroupTakenEarly, writers::model, "committed by whoever takes it"),
    (Mistake::ViewBeforeRows, views::model, "expected the counters of the rows"),
    (Mistake::SignalledFirst, waking::model, "max_steps"),
    (Mistake::DoomedAtOnce, views::model, "expected the file to be there"),
    (Mistake::DoomForgotten, views::model, "expected the files that the manifest names"),
    (Mistake::JobNotAwaited, closing::beside_jobs, "expected no "),
];

/// Schedules of each kind after which a mistake counts as missed.
const ENOUGH: usize = 2000;

#[test]
fn every_mistake_is_noticed() {
    for (mistake, model, expected) in EXPECTED {
        let failure = explore(model, ENOUGH, Some(mistake))
            .err()
            .unwrap_or_else(|| panic!("expected {mistake:?} to be noticed"));
        assert!(failure.contains(expected), "{mistake:?}: expected {expected:?}, found {failure}");
        println!("{mistake:?}: {failure}");
    }
}
