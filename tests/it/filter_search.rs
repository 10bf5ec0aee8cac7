//! Searches of what matches a filter, in groups, diverse, and by examples, against brute force. The vectors are multiples
//! of a quarter in few dimensions, so that every distance here is exact and ties are many.

use std::collections::BTreeMap;

use rand::RngExt;
use rand::rngs::StdRng;
use understory::{Example, Filter, Hit, Id, Metadata, Store, Value};

use crate::filter_model::{order, scalars};

type Items = BTreeMap<Id, (Vec<f32>, Metadata)>;

/// The matches, nearest first.
fn ranked<'a>(items: &'a Items, query: &[f32], filter: &Filter) -> Vec<(f32, &'a Id)> {
    let matching = items.iter().filter(|(id, (_, metadata))| filter.matches(id, metadata));
    let mut ranked: Vec<(f32, &Id)> = matching.map(|(id, (vector, _))| (distance(query, vector), id)).collect();
    ranked.sort_by(|one, other| one.0.total_cmp(&other.0).then_with(|| one.1.cmp(other.1)));
    ranked
}

fn distance(one: &[f32], other: &[f32]) -> f32 {
    one.iter().zip(other).map(|(a, b)| (a - b) * (a - b)).sum::<f32>().sqrt()
}

fn same(hits: &[Hit], expected: &[(f32, &Id)]) -> bool {
    hits.iter().map(|hit| (hit.distance, &hit.id)).eq(expected.iter().copied())
}

pub(crate) fn check(store: &Store, items: &Items, filter: &Filter, path: &str, rng: &mut StdRng) {
    let query: Vec<f32> = (0..store.dimension().unwrap_or(4)).map(|_| rng.random_range(-8..8) as f32 / 4.0).collect();
    let ranked = ranked(items, &query, filter);
    let searched = || store.query(&query).unwrap().filter(filter);
    for k in [1, 10, 1000] {
        let expected = &ranked[..k.min(ranked.len())];
        let hits = searched().k(k).exact().run().unwrap();
        assert!(same(&hits, expected), "{k} where {filter}: expected {expected:?}, found {hits:?}");
        let hits = searched().k(k).with_metadata().run().unwrap();
        assert_eq!(hits.len(), expected.len(), "{k} where {filter}");
        assert!(hits.iter().all(|hit| filter.matches(&hit.id, hit.metadata.as_ref().unwrap())), "{filter}");
    }
    if let Some((limit, _)) = ranked.get(ranked.len() / 3) {
        let expected: Vec<_> = ranked.iter().copied().take_while(|(distance, _)| distance <= limit).collect();
        let hits = searched().k(ranked.len()).max_distance(*limit).exact().run().unwrap();
        assert!(same(&hits, &expected), "within {limit} where {filter}: expected {expected:?}, found {hits:?}");
    }
    check_groups(store, items, &query, filter, path, rng);
    check_diverse(store, items, &query, &ranked, filter, rng);
    check_examples(store, items, filter, rng);
}

fn check_groups(store: &Store, items: &Items, query: &[f32], filter: &Filter, path: &str, rng: &mut StdRng) {
    let (groups, hits) = (rng.random_range(1..12), rng.random_range(1..6));
    let mut expected: Vec<(Value, Vec<(f32, &Id)>)> = Vec::new();
    for (distance, id) in ranked(items, query, filter) {
        let mut values = scalars(&items[id].1, path);
        values.sort_by(order);
        values.dedup_by(|one, other| order(one, other).is_eq());
        for value in values.into_iter().filter(|value| !matches!(value, Value::Float(number) if number.is_nan())) {
            match expected.iter_mut().find(|(known, _)| order(known, &value).is_eq()) {
                Some((_, found)) if found.len() < hits => found.push((distance, id)),
                Some(_) => {}
                None => expected.push((value, vec![(distance, id)])),
            }
        }
    }
    expected.truncate(groups);
    let found = store.query(query).unwrap().filter(filter).exact().group_by(path, groups, hits).unwrap();
    assert_eq!(found.len(), expected.len(), "groups of {path} where {filter}");
    for (group, (value, nearest)) in found.iter().zip(&expected) {
        let fits = order(&group.value, value).is_eq() && same(&group.hits, nearest);
        assert!(fits, "{path} where {filter}: expected {value:?} with {nearest:?}, found {group:?}");
    }
    // Without exactness the answer is as full.
    let found = store.query(query).unwrap().filter(filter).group_by(path, groups, hits).unwrap();
    assert_eq!(found.len(), expected.len(), "groups of {path} where {filter}");
    assert!(found.is_sorted_by(|one, other| one.hits[0].distance <= other.hits[0].distance));
}

fn check_diverse(
    store: &Store,
    items: &Items,
    query: &[f32],
    ranked: &[(f32, &Id)],
    filter: &Filter,
    rng: &mut StdRng,
) {
    let (k, lambda) = (rng.random_range(1..12), [0.0, 0.5, 0.7, 1.0][rng.random_range(0..4)]);
    let pool = rng.random_bool(0.5).then(|| rng.random_range(0..60));
    let mut left: Vec<(f32, &Id)> = ranked[..pool.unwrap_or(32.max(4 * k)).max(k).min(ranked.len())].to_vec();
    let mut expected: Vec<(f32, &Id)> = Vec::new();
    while expected.len() < k && !left.is_empty() {
        let apart = |id: &Id| {
            let to = expected.iter().map(|(_, hit)| distance(&items[*hit].0, &items[id].0));
            to.fold(f32::INFINITY, f32::min)
        };
        let cost = |entry: &(f32, &Id)| match expected.is_empty() || lambda == 1.0 {
            true => entry.0,
            false => lambda * entry.0 - (1.0 - lambda) * apart(entry.1),
        };
        let best = (0..left.len()).min_by(|&one, &other| cost(&left[one]).total_cmp(&cost(&left[other]))).unwrap();
        expected.push(left.remove(best));
    }
    let query = store.query(query).unwrap().filter(filter).k(k).exact().diverse(lambda);
    let query = pool.map_or(query.clone(), |pool| query.pool(pool));
    let hits = query.run().unwrap();
    assert!(same(&hits, &expected), "{lambda} of {pool:?} where {filter}: expected {expected:?}, found {hits:?}");
}

/// Two stored items and a vector: their arithmetic is exact, too.
fn check_examples(store: &Store, items: &Items, filter: &Filter, rng: &mut StdRng) {
    if items.len() < 2 {
        return;
    }
    let mut pick = || items.iter().nth(rng.random_range(0..items.len())).unwrap();
    let (one, other, away) = (pick(), pick(), pick());
    let vector: Vec<f32> = (0..away.1.0.len()).map(|at| one.1.0[at] + other.1.0[at] - away.1.0[at]).collect();
    let positive: [Example; 2] = [one.0.clone().into(), other.0.clone().into()];
    for negative in [Example::from(&away.1.0), Example::from(away.0.clone())] {
        let named = |id: &Id| id == one.0 || id == other.0 || (matches!(negative, Example::Item(_)) && id == away.0);
        let expected: Vec<_> =
            ranked(items, &vector, filter).into_iter().filter(|(_, id)| !named(id)).take(9).collect();
        let negative = [negative.clone()];
        let hits = store.query_like(&positive, &negative).unwrap().filter(filter).k(9).exact().run().unwrap();
        assert!(same(&hits, &expected), "like {positive:?} where {filter}: expected {expected:?}, found {hits:?}");
    }
}
