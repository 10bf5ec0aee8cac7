//! What to build next: a pure function from what there is to a plan.
//!
//! Segments partition the line of sequence numbers, so only neighbours merge. A segment is merged into what lies after
//! it as soon as it is less than [`RATIO`] times as large; so segments grow geometrically towards the oldest, an item is
//! rewritten a logarithmic number of times, and most items are in one or two segments.

use std::ops::Range;

/// A part stays unmerged if it has at least this many times the live items of what is built after it. With 4 a trickle
/// builds an item eight times on its way to a million, and leaves at worst segments like 142 : 32 : 8 : 2; with 2 four
/// times, and at worst halves of halves, which search at less speed than four fifths of one segment (`docs/scale.md`).
const RATIO: u64 = 4;

/// A delta of this many items is flushed.
pub(crate) const FLUSH_ITEMS: usize = 4096;

/// A delta of this many bytes is flushed.
pub(crate) const FLUSH_BYTES: usize = 8 << 20;

/// A segment is rebuilt when one in this many of its items is dead.
const DEAD_SHARE: u64 = 4;

/// What the policy knows of a part.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PartState {
    /// Items when it was made.
    pub(crate) items: u64,
    /// How many of them are dead.
    pub(crate) dead: u64,
    /// Whether a segment answers for it.
    pub(crate) searchable: bool,
    /// Whether its segment stays apart, however small it is, until everything is compacted.
    pub(crate) stays_apart: bool,
}

impl PartState {
    fn live(self) -> u64 {
        self.items.saturating_sub(self.dead)
    }
}

/// What the policy knows of the delta.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DeltaState {
    pub(crate) items: usize,
    pub(crate) bytes: usize,
}

/// How eagerly to build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Demand {
    /// Only what is worth its cost.
    Upkeep,
    /// Everything is to be in segments.
    Flush,
    /// Everything is to be in one segment without dead items.
    Compact,
}

/// A segment to build, from the live items of neighbouring parts and perhaps of the delta after them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) parts: Range<usize>,
    pub(crate) delta: bool,
}

/// The next segment to build, if any.
pub(crate) fn plan(parts: &[PartState], delta: DeltaState, demand: Demand) -> Option<Plan> {
    let everything = Plan { parts: 0..parts.len(), delta: delta.items > 0 };
    match demand {
        Demand::Compact => {
            let settled = match parts {
                [] => true,
                [part] => part.searchable && part.dead == 0,
                _ => false,
            };
            (!settled || everything.delta).then_some(everything)
        }
        Demand::Flush if delta.items > 0 => Some(widen(parts, parts.len()..parts.len(), true, delta)),
        Demand::Upkeep if delta.items >= FLUSH_ITEMS || delta.bytes >= FLUSH_BYTES => {
            Some(widen(parts, parts.len()..parts.len(), true, delta))
        }
        Demand::Flush | Demand::Upkeep => {
            let worst = parts
                .iter()
                .position(|part| !part.searchable)
                .or_else(|| parts.iter().position(|part| part.dead > 0 && part.dead * DEAD_SHARE >= part.items))?;
            Some(widen(parts, worst..worst + 1, false, delta))
        }
    }
}

/// Takes in the neighbours that are unbuilt or too small to stay apart.
fn widen(parts: &[PartState], mut range: Range<usize>, with_delta: bool, delta: DeltaState) -> Plan {
    let mut live: u64 = parts[range.clone()].iter().map(|part| part.live()).sum();
    if with_delta {
        live += delta.items as u64;
    }
    while let Some(next) = parts.get(range.end) {
        if next.searchable && (next.stays_apart || next.live() > live) {
            break;
        }
        live += next.live();
        range.end += 1;
    }
    while let Some(before) = range.start.checked_sub(1) {
        let part = parts[before];
        if part.searchable && (part.stays_apart || part.live() >= RATIO * live) {
            break;
        }
        live += part.live();
        range.start = before;
    }
    Plan { parts: range, delta: with_delta }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: DeltaState = DeltaState { items: 0, bytes: 0 };
    const FULL: DeltaState = DeltaState { items: FLUSH_ITEMS, bytes: 0 };

    fn built(items: u64) -> PartState {
        PartState { items, dead: 0, searchable: true, stays_apart: false }
    }

    fn unbuilt(items: u64) -> PartState {
        PartState { items, dead: 0, searchable: false, stays_apart: false }
    }

    #[test]
    fn nothing_to_do_is_no_plan() {
        for demand in [Demand::Upkeep, Demand::Flush, Demand::Compact] {
            assert_eq!(plan(&[], EMPTY, demand), None);
            assert_eq!(plan(&[built(10_000)], EMPTY, demand), None);
        }
        assert_eq!(plan(&[built(9_000), built(4_000)], EMPTY, Demand::Upkeep), None);
    }

    #[test]
    fn a_delta_is_flushed_when_it_is_full_or_asked_for() {
        let few = DeltaState { items: 1, bytes: 4 };
        assert_eq!(plan(&[], few, Demand::Upkeep), None);
        assert_eq!(plan(&[], few, Demand::Flush), Some(Plan { parts: 0..0, delta: true }));
        assert_eq!(plan(&[], FULL, Demand::Upkeep), Some(Plan { parts: 0..0, delta: true }));
        let large = DeltaState { items: 10, bytes: FLUSH_BYTES };
        assert_eq!(plan(&[], large, Demand::Upkeep), Some(Plan { parts: 0..0, delta: true }));
    }

    #[test]
    fn small_neighbours_are_merged_and_large_ones_left() {
        let parts = [built(1_000_000), built(9_000), built(5_000)];
        assert_eq!(plan(&parts, FULL, Demand::Upkeep), Some(Plan { parts: 1..3, delta: true }));
    }

    #[test]
    fn segments_that_stay_apart_are_merged_by_a_compaction_alone() {
        let apart = |part| PartState { stays_apart: true, ..part };
        let parts = [apart(built(9_000)), apart(built(100)), apart(unbuilt(50))];
        assert_eq!(plan(&parts, FULL, Demand::Flush), Some(Plan { parts: 2..3, delta: true }));
        assert_eq!(plan(&parts, EMPTY, Demand::Upkeep), Some(Plan { parts: 2..3, delta: false }));
        assert_eq!(plan(&parts[..2], EMPTY, Demand::Flush), None);
        assert_eq!(plan(&parts[..2], EMPTY, Demand::Compact), Some(Plan { parts: 0..2, delta: false }));
    }

    #[test]
    fn unbuilt_and_damaged_parts_are_built_with_what_is_unbuilt_beside_them() {
        let parts = [built(1_000_000), unbuilt(4_000), unbuilt(4_000), built(500)];
        assert_eq!(plan(&parts, EMPTY, Demand::Upkeep), Some(Plan { parts: 1..4, delta: false }));
        let parts = [unbuilt(1_000_000), built(9_000)];
        assert_eq!(plan(&parts, EMPTY, Demand::Upkeep), Some(Plan { parts: 0..2, delta: false }));
    }

    #[test]
    fn a_segment_with_many_dead_items_is_rebuilt() {
        let part = |dead| PartState { dead, ..built(1000) };
        assert_eq!(plan(&[part(249)], EMPTY, Demand::Upkeep), None);
        assert_eq!(plan(&[part(250)], EMPTY, Demand::Upkeep), Some(Plan { parts: 0..1, delta: false }));
        assert_eq!(plan(&[part(1)], EMPTY, Demand::Compact), Some(Plan { parts: 0..1, delta: false }));
    }

    #[test]
    fn compaction_takes_everything() {
        let parts = [built(1_000_000), built(10)];
        assert_eq!(plan(&parts, FULL, Demand::Compact), Some(Plan { parts: 0..2, delta: true }));
    }

    /// The promise of the ratio: a trickle of a million items leaves few segments and rewrites each item few times.
    #[test]
    fn a_trickle_leaves_few_segments_and_rewrites_little() {
        let mut parts: Vec<PartState> = Vec::new();
        let (mut inserted, mut written) = (0, 0);
        while inserted < 1_000_000 {
            inserted += FLUSH_ITEMS as u64;
            let mut delta = FULL;
            while let Some(plan) = plan(&parts, delta, Demand::Upkeep) {
                let merged: u64 = parts.drain(plan.parts.clone()).map(PartState::live).sum();
                let items = merged + if plan.delta { delta.items as u64 } else { 0 };
                parts.insert(plan.parts.start, built(items));
                written += items;
                if plan.delta {
                    delta = EMPTY;
                }
            }
            assert!(parts.len() <= 5, "{} segments", parts.len());
        }
        assert!(written <= 9 * inserted, "every item written {} times", written / inserted);
    }
}
