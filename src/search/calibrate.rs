//! How far a search must scan for a recall: measured on the store's own items, over all live segments together.
//!
//! A sample of items is searched over a good part of all leaves, and for each of the neighbours from rank 11 on it is noted
//! what effort had been spent when it was found. The distribution of these numbers is the curve of recall against effort
//! that a caller's `.recall(r)` is read from: one for 1, 10 and 100 neighbours each, for the farther the last of them is, the
//! less a search has spent.
//!
//! Why not the nearest ten: an item is easier to search by than a stranger. It shares its leaf, which was made around it,
//! and its near-duplicates with its nearest neighbours; queries have neither. On a million descriptors of which each has
//! four near-copies, the effort that found .95 of the items' nearest ten found less than .8 of the queries'.

use std::borrow::Cow;

use rayon::prelude::*;

use super::{Reach, Request, guarded, search};
use crate::error::Result;
use crate::items::{Effort, EffortCurve};
use crate::snapshot::View;
use crate::types::Metric;

/// The numbers of neighbours that efforts are measured for.
const NEIGHBOURS: [usize; 3] = [1, 10, 100];

/// Nearer ones that do not count.
const PASSED_OVER: usize = 10;

/// Sampled items.
const SAMPLE: usize = 256;

/// The recalls whose effort is kept.
const RECALLS: [f32; 8] = [0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995];

/// How far a sampled item's search goes: what lies beyond is found by no effort that anybody asks for. Shares of the items,
/// and the least there are: an effort, and the items to scan where all count many times.
const EFFORT_SHARE: u64 = 4;
const LEAST_EFFORT: u64 = 32_768;
const ITEMS_SHARE: u64 = 32;
const LEAST_ITEMS: u64 = 6_144;

/// Measures the effort of a view, on the current thread pool. Costs three searches of that reach for each sampled item.
pub(crate) fn calibrate(view: &View) -> Result<Effort> {
    let (segments, _) = view.sources();
    let items: u64 = segments.iter().map(|segment| segment.items() as u64).sum();
    let dimension = view.store.dimension.unwrap_or(0);
    let mut sample = Vec::new();
    for segment in segments {
        let share = (SAMPLE as u64 * segment.items() as u64).div_ceil(items.max(1)).max(1);
        let step = (segment.items() as u64 / share).max(1);
        for position in (0..segment.items() as u64).step_by(step as usize) {
            let record = guarded(segment, |segment| segment.record(position as u32))?;
            if !view.dead.contains(record.sequence) {
                sample.push((record.vector.to_floats(dimension), record.sequence));
            }
        }
    }
    let reach = Reach::Effort {
        effort: (items / EFFORT_SHARE).max(LEAST_EFFORT),
        items: (items / ITEMS_SHARE).max(LEAST_ITEMS),
    };
    let curve_for = |neighbours| {
        let efforts_of =
            |(vector, sequence): &(Cow<'_, [f32]>, u64)| efforts_of(view, (reach, neighbours), vector, *sequence);
        Ok(curve(sample.par_iter().map(efforts_of).collect::<Result<Vec<_>>>()?.concat(), neighbours))
    };
    let curves = NEIGHBOURS.into_iter().map(curve_for).collect::<Result<_>>()?;
    Ok(Effort { items, sequence: view.counters.next_sequence, curves })
}

/// The effort spent when each of the neighbours that count was found, but for what is in no leaf, which costs none.
fn efforts_of(
    view: &View,
    (reach, neighbours): (Reach, usize),
    vector: &[f32],
    own_sequence: u64,
) -> Result<Vec<u32>> {
    let k = 1 + PASSED_OVER + neighbours;
    // Where ties are the rule, whichever of them is found counts as found: of thousands at one distance, those of the
    // smallest ids may be anywhere.
    let first_found = view.store.metric == Metric::Hamming;
    let request = Request { vector, k, reach, max_distance: f32::INFINITY, filter: None, first_found };
    let answer = search(view, &request)?;
    let others = answer.found.iter().filter(|found| found.sequence != own_sequence).skip(PASSED_OVER);
    Ok(others.take(neighbours).filter_map(|found| found.found_at).collect())
}

/// The distribution of the efforts of the nearest neighbours of all sampled items.
fn curve(mut efforts: Vec<u32>, neighbours: usize) -> EffortCurve {
    efforts.sort_unstable();
    let points = RECALLS.iter().filter_map(|&recall| {
        let rank = (recall * efforts.len() as f32).ceil() as usize;
        efforts.get(rank.max(1) - 1).map(|&effort| (recall, u64::from(effort)))
    });
    EffortCurve { neighbours: neighbours as u32, points: points.collect() }
}

/// The effort for a recall of the k nearest. Without a measurement yet: as much as is surely enough for small stores, and
/// every leaf where the caller wants every neighbour.
pub(crate) fn reach_for(view: &View, recall: f32, k: usize) -> Reach {
    let (segments, _) = view.sources();
    let items: u64 = segments.iter().map(|segment| segment.items() as u64).sum();
    if recall >= 1.0 {
        return Reach::EveryLeaf;
    }
    let measured = effort_for(&view.effort.curves, recall, k);
    // Effort grows more slowly than the store, so that a store that has grown since gets at least what it needs.
    let growth = (items as f64 / view.effort.items.max(1) as f64).max(1.0);
    let ties = if view.store.metric == Metric::Hamming { LEAST_OF_TIES } else { 0.0 };
    let least = least(recall, segments.iter().map(|segment| segment.items())).max(ties);
    let effort = (measured * growth * HEADROOM).max(least);
    Reach::Effort { effort: effort.ceil() as u64, items: (least * LEAST_SHARE).ceil() as u64 }
}

/// The effort that is spent for a recall whatever was measured: `LEAST_ROOTS` times the root of each segment's items, for
/// each has its own nearest leaves; and less below `USUAL_RECALL`, in the inverse of what may be missed.
fn least(recall: f32, segments: impl Iterator<Item = usize>) -> f64 {
    let share = f64::from(1.0 - USUAL_RECALL) / f64::from(1.0 - recall);
    LEAST_ROOTS * segments.map(|items| (items as f64).sqrt()).sum::<f64>() * share.min(1.0)
}

/// The effort between the curves that were measured, along a straight line on logarithmic scales.
fn effort_for(curves: &[EffortCurve], recall: f32, k: usize) -> f64 {
    let at = |curve: &EffortCurve| Some((f64::from(curve.neighbours), interpolate(&curve.points, recall)?));
    let mut measured = curves.iter().filter_map(at);
    let k = k.max(1) as f64;
    let Some(mut below) = measured.next() else { return UNMEASURED * (k / USUAL_NEIGHBOURS).max(1.0).sqrt() };
    for above in measured {
        if k <= above.0 {
            let share = ((k / below.0).ln() / (above.0 / below.0).ln()).max(0.0);
            return below.1.powf(1.0 - share) * above.1.powf(share);
        }
        below = above;
    }
    // More neighbours lie farther apart: beyond what was measured the effort is taken to grow with the root of k.
    below.1 * (k / below.0).max(1.0).sqrt()
}

/// The effort for the usual number of neighbours where nothing was measured yet.
const UNMEASURED: f64 = 12_288.0;
const USUAL_NEIGHBOURS: f64 = 10.0;

/// The least effort under hamming. Where all the nearest tie, the measured effort may be a leaf or two; for so
/// few a search ranks too few groups, and misses leaves that the measurement, which ranks them all, found at once.
const LEAST_OF_TIES: f64 = 1024.0;

/// Queries may be harder than any of the store's own items.
const HEADROOM: f64 = 2.0;

/// Where items lie in dense clouds, as near-copies and passages that overlap do, all of them are easy to search by, however
/// many of the nearest do not count; and queries from outside are not. What real queries needed for a recall of .95 was 3 to
/// 18 roots of the number of items, on real sets and on such clouds (`docs/scale.md`), and a third more for some seeds.
const LEAST_ROOTS: f64 = 24.0;
const USUAL_RECALL: f32 = 0.95;

/// The share of the least effort that is scanned as items, six roots, however many times they count: where leaves hold
/// several such clouds each, the centroids of all are far compared with what is found first.
const LEAST_SHARE: f64 = 1.0 / 4.0;

/// The effort at a recall, linear in the share of neighbours missed (on a logarithmic scale).
fn interpolate(points: &[(f32, u64)], recall: f32) -> Option<f64> {
    let missed = |recall: f32| f64::from(1.0 - recall.min(0.9999)).ln();
    let after = points.iter().position(|point| point.0 >= recall);
    match after {
        Some(0) => Some(points[0].1 as f64),
        Some(after) => {
            let (low, high) = (points[after - 1], points[after]);
            let share = (missed(recall) - missed(low.0)) / (missed(high.0) - missed(low.0));
            Some(low.1 as f64 + share * (high.1 as f64 - low.1 as f64))
        }
        // Beyond the last point: twice the effort for each halving of what is missed.
        None => points.last().map(|last| last.1 as f64 * 2f64.powf((missed(last.0) - missed(recall)) / 2f64.ln())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn effort_between_two_numbers_of_neighbours_lies_between_theirs() {
        let curve = |neighbours, effort| EffortCurve { neighbours, points: vec![(0.95, effort)] };
        let curves = [curve(1, 100), curve(10, 200), curve(100, 800)];
        let effort = |k| effort_for(&curves, 0.95, k).round() as u64;
        assert_eq!([0, 1, 10, 100, 400].map(effort), [100, 100, 200, 800, 1600]);
        assert!((200..800).contains(&effort(30)) && (100..200).contains(&effort(3)));
        // A store written before has a curve for ten alone.
        assert_eq!([1, 10, 40].map(|k| effort_for(&curves[1..2], 0.95, k).round()), [200.0, 200.0, 400.0]);
        assert_eq!(effort_for(&[], 0.95, 40), 2.0 * UNMEASURED);
    }

    #[test]
    fn the_least_effort_grows_with_the_root_of_the_items_and_with_recall() {
        let at = |recall, items| least(recall, [items].into_iter()).round() as u64;
        assert_eq!([0, 100, 10_000, 1_000_000].map(|items| at(0.95, items)), [0, 240, 2400, 24_000]);
        assert_eq!(least(0.95, [10_000, 100, 100].into_iter()).round(), 2880.0);
        assert_eq!([0.5, 0.9, 0.99, 0.9999].map(|recall| at(recall, 1_000_000)), [2400, 12_000, 24_000, 24_000]);
    }

    #[test]
    fn effort_ascends_with_recall_and_passes_through_the_points() {
        let points = [(0.9, 100), (0.95, 200), (0.99, 1000)];
        for (recall, effort) in points {
            assert_eq!(interpolate(&points, recall), Some(effort as f64));
        }
        let between = interpolate(&points, 0.97).unwrap();
        assert!((200.0..1000.0).contains(&between), "{between}");
        let beyond = interpolate(&points, 0.995).unwrap();
        assert!((1900.0..2100.0).contains(&beyond), "{beyond}");
        assert_eq!(interpolate(&points, 0.5), Some(100.0));
        assert_eq!(interpolate(&[], 0.5), None);
    }
}
