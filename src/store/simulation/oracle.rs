//! What must hold after every power cut.

use std::collections::BTreeSet;
use std::sync::Arc;

use rand::SeedableRng;
use rand::rngs::StdRng;

use super::workload::{Entry, Failure, Items, Life, new_vector};
use crate::error::Error;
use crate::fs::simulated::{Image, Mutant};
use crate::metadata::Value;
use crate::search::has_rounded;
use crate::store::{Hit, Store};
use crate::types::{Id, Metric};

/// Mounts what a cut left, opens the store and checks it.
pub(super) fn recover(image: Image, allowed: &[Arc<Items>], mutant: Option<Mutant>) -> Result<Life, Failure> {
    open(Life::mount(image, allowed.to_vec(), mutant))
}

/// Opens the store of a mounted disk and checks it.
pub(super) fn open(mut life: Life) -> Result<Life, Failure> {
    life.open()?;
    let items = check(&life)?;
    life.settle(items);
    Ok(life)
}

/// Checks an open store, and returns which of the states it may be in it is in.
pub(super) fn check(life: &Life) -> Result<Arc<Items>, Failure> {
    let store = life.store();
    let damaged = &store.open_report().damaged_segments;
    if !damaged.is_empty() {
        return Err(format!("expected whole segments, found {damaged:?}"));
    }
    let items = read(store)?;
    let Some(items) = life.may_hold().iter().find(|allowed| ***allowed == items) else {
        let expected: Vec<usize> = life.may_hold().iter().map(|allowed| allowed.len()).collect();
        return Err(format!("expected a state of {expected:?} items, found {} other items", items.len()));
    };
    check_searches(store, items)?;
    let report = store.verify().map_err(|error| format!("verify failed: {error}"))?;
    if let Some(problem) = report.problems.first() {
        return Err(format!("verify reports: {problem}"));
    }
    check_files(life)?;
    Ok(items.clone())
}

pub(super) fn read(store: &Store) -> Result<Items, Failure> {
    read_items(store.scan().map_err(|error| format!("scan failed: {error}"))?)
}

pub(super) fn read_items(scan: crate::store::Items) -> Result<Items, Failure> {
    let mut items = Items::new();
    for item in scan {
        let item = item.map_err(|error| format!("scan failed: {error}"))?;
        let note = match item.metadata.get("note") {
            Some(Value::Integer(note)) => Some(*note),
            _ => None,
        };
        items.insert(item.id, Entry { vector: item.vector, note });
    }
    Ok(items)
}

/// Exact and default searches for all items give what ranking the rows gives, distances bit for bit; but for those that
/// segments have rounded, which are near enough.
pub(super) fn check_searches(store: &Store, items: &Items) -> Result<(), Failure> {
    if store.dimension().is_none() {
        return Ok(());
    }
    let query = new_vector(store.metric(), &mut StdRng::seed_from_u64(items.len() as u64));
    let mut expected: Vec<(f32, Id)> =
        items.iter().map(|(id, entry)| (distance(store.metric(), &query, &entry.vector), id.clone())).collect();
    expected.sort_by(|left, right| left.0.total_cmp(&right.0).then(left.1.cmp(&right.1)));
    let search = |name: &str, hits: Result<Vec<Hit>, Error>| {
        let hits = hits.map_err(|error| format!("the {name} search failed: {error}"))?;
        let found: Vec<(f32, Id)> = hits.into_iter().map(|hit| (hit.distance, hit.id)).collect();
        if found == expected {
            Ok(())
        } else {
            Err(format!("the {name} search expected {expected:?}, found {found:?}"))
        }
    };
    let k = items.len() + 1;
    search("exact", store.query(&query).and_then(|query| query.k(k).exact().run()))?;
    let view = store.inner.shared.view().map_err(|error| format!("a view failed: {error}"))?;
    if !has_rounded(&view) {
        return search("default", store.search(&query, k));
    }
    search("exactly measured", store.query(&query).and_then(|query| query.k(k).exact_distances(true).run()))?;
    let hits = store.search(&query, k).map_err(|error| format!("the default search failed: {error}"))?;
    check_rounded(store.metric(), &query, items, &hits)
}

/// Every item is found once, in the order of rounded distances.
fn check_rounded(metric: Metric, query: &[f32], items: &Items, hits: &[Hit]) -> Result<(), Failure> {
    let is_ordered = hits.is_sorted_by(|left, right| {
        left.distance.total_cmp(&right.distance).then_with(|| left.id.cmp(&right.id)).is_le()
    });
    let found: BTreeSet<&Id> = hits.iter().map(|hit| &hit.id).collect();
    if !is_ordered || hits.len() != items.len() || !found.into_iter().eq(items.keys()) {
        return Err(format!("the default search expected {} items in order, found {hits:?}", items.len()));
    }
    hits.iter().try_for_each(|hit| {
        let vector = &items[&hit.id].vector;
        let expected = distance(metric, query, vector);
        let (least, most) = vector.iter().fold((f32::MAX, f32::MIN), |(l, m), &value| (l.min(value), m.max(value)));
        // Bytes round each component by half of one in 255 steps at most.
        let bound = vector.len() as f32 * (most - least) / 510.0 + expected * 1e-5 + 1e-5;
        match hit.distance {
            rounded if (rounded - expected).abs() <= bound => Ok(()),
            rounded => Err(format!("{}: expected the distance {expected} within {bound}, found {rounded}", hit.id)),
        }
    })
}

fn distance(metric: Metric, left: &[f32], right: &[f32]) -> f32 {
    let differences = left.iter().zip(right).map(|(l, r)| (l - r).abs());
    match metric {
        Metric::Manhattan | Metric::Hamming => differences.sum(),
        _ => differences.map(|difference| difference * difference).sum::<f32>().sqrt(),
    }
}

/// The files a store needs, and no others.
fn check_files(life: &Life) -> Result<(), Failure> {
    let (files, segments) = life.disk().names();
    let is_whole = matches!(&files[..], [lock, directory, rows]
        if lock == "LOCK" && directory == "segments" && rows.starts_with("store-") && rows.ends_with(".redb"));
    let stats = life.store().stats().map_err(|error| format!("stats failed: {error}"))?;
    if !is_whole || segments.len() != stats.segments.len() || !segments.iter().all(|name| name.ends_with(".seg")) {
        return Err(format!(
            "expected {} segments and no other files, found {files:?} and {segments:?}",
            stats.segments.len()
        ));
    }
    Ok(())
}

/// The store holds the items, answers with all of them, and says that its segment is damaged.
pub(super) fn check_damaged(store: &Store, items: &Items) -> Result<(), Failure> {
    check_searches(store, items)?;
    if read(store)? != *items {
        return Err(format!("expected {} items, found others", items.len()));
    }
    let report = store.verify().map_err(|error| format!("verify failed: {error}"))?;
    if report.problems.is_empty() {
        return Err("expected the damage to be reported".to_owned());
    }
    Ok(())
}
