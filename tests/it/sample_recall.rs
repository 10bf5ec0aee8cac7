//! The recall of the default setting on the checked-in sample of real embeddings.

use std::collections::BTreeMap;
use std::path::Path;

use half::f16;
use understory::{Batch, Filter, Metric, Store, field};

use crate::oracle::{Model, Recall};
use crate::support::{Dir, Reader, manual};

const SAMPLE: &str = "examples/data/embeddings.npy";
/// Every so many rows one is held out as a query.
const HELD_OUT: usize = 50;
const FLOOR: f64 = 0.95;

/// The rows of a two-dimensional float16 .npy file in C order.
fn sample() -> Vec<Vec<f32>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(SAMPLE);
    let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00", "expected a .npy file of version 1");
    let end = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = std::str::from_utf8(&bytes[10..end]).unwrap();
    assert!(header.contains("'<f2'") && header.contains("'fortran_order': False"), "{header}");
    let shape = header.split_once('(').and_then(|(_, rest)| rest.split_once(')')).expect("a shape").0;
    let sizes: Vec<usize> = shape.split(',').map(|size| size.trim().parse().unwrap()).collect();
    let [rows, dimension] = sizes[..] else { panic!("expected two dimensions, found {shape}") };
    assert_eq!(bytes.len() - end, rows * dimension * 2, "bytes after the header");
    let component = |pair: &[u8]| f16::from_le_bytes([pair[0], pair[1]]).to_f32();
    bytes[end..].chunks_exact(dimension * 2).map(|row| row.chunks_exact(2).map(component).collect()).collect()
}

fn recall(store: &Store, model: &Model, queries: &[Vec<f32>]) -> f64 {
    let mut recall = Recall::default();
    for query in queries {
        recall.add(model.check_hits(query, 10, &store.nearest(query, 10).unwrap()));
    }
    recall.share()
}

#[test]
fn default_searches_of_the_sample_find_nineteen_of_twenty() {
    let dir = Dir::new();
    let store = Store::open_with(dir.store(), manual(Metric::Cosine)).unwrap();
    let mut model = Model::new(Metric::Cosine);
    let (mut queries, mut batch) = (Vec::new(), Batch::new());
    for (row, vector) in sample().into_iter().enumerate() {
        if row % HELD_OUT == 0 {
            queries.push(vector);
        } else {
            batch.insert(row as u64, &vector);
            model.insert(row as u64, &vector, None);
        }
        // Four parts, each with its segment, so that the ranking across segments is part of the measure.
        if batch.len() == 1250 {
            store.write(std::mem::take(&mut batch)).unwrap();
            store.flush().unwrap();
        }
    }
    store.write(batch).unwrap();

    let apart = recall(&store, &model, &queries);
    store.compact().unwrap();
    let compacted = recall(&store, &model, &queries);
    assert!(apart >= FLOOR, "expected a recall of {FLOOR} before the compaction, found {apart:.4}");
    assert!(compacted >= FLOOR, "expected a recall of {FLOOR} after the compaction, found {compacted:.4}");

    for query in queries.iter().take(10) {
        model.check_exact(query, 10, &store.query(query).unwrap().k(10).exact().run().unwrap());
    }
}

#[test]
fn measured_recall_is_the_share_that_searches_find() {
    let dir = Dir::new();
    let store = Store::open_with(dir.store(), manual(Metric::Cosine)).unwrap();
    let (mut model, mut batch) = (Model::new(Metric::Cosine), Batch::new());
    let rows = sample();
    for (row, vector) in rows.iter().enumerate() {
        batch.insert(row as u64, vector);
        model.insert(row as u64, vector, None);
    }
    store.write(batch).unwrap();
    store.compact().unwrap();
    let snapshot = store.snapshot().unwrap();
    let queries: Vec<Vec<f32>> = rows.chunks_exact(2).step_by(60).map(|pair| between(&pair[0], &pair[1])).collect();
    // So little effort that most searches miss something.
    let mut counted = Recall::default();
    for query in &queries {
        let hits = snapshot.query(query).unwrap().effort(100).run().unwrap();
        counted.add(model.check_hits(query, 10, &hits));
    }
    let measured = snapshot.measure_recall_of(&queries, |query| query.effort(100)).unwrap();
    assert!((measured.recall - counted.share()).abs() < 1e-9, "{measured:?}, counted {}", counted.share());
    assert!(measured.recall < 0.9 && measured.standard_error > 0.0, "{measured:?}");
    assert_eq!((measured.queries, measured.k), (queries.len(), 10));
    // The store's own items: a better effort finds more, exact search finds all.
    let recall = |effort: usize| snapshot.measure_recall(50, |query| query.effort(effort)).unwrap().recall;
    assert!(recall(100) < recall(1000), "{} and {}", recall(100), recall(1000));
    let exact = snapshot.measure_recall(50, |query| query.k(3).exact()).unwrap();
    assert_eq!((exact.recall, exact.standard_error, exact.queries, exact.k), (1.0, 0.0, 50, 3));
    assert!(store.measure_recall(50).unwrap().recall >= FLOOR);
}

#[test]
fn the_recall_of_as_many_neighbours_as_there_may_be() {
    let dir = Dir::new();
    let store = Store::open_with(dir.store(), manual(Metric::Cosine)).unwrap();
    (0..5u64).for_each(|id| store.insert(id, [1.0, id as f32]).unwrap());
    let report = store.snapshot().unwrap().measure_recall(5, |query| query.k(usize::MAX)).unwrap();
    assert_eq!((report.recall, report.k), (1.0, usize::MAX));
}

fn between(a: &[f32], b: &[f32]) -> Vec<f32> {
    a.iter().zip(b).map(|(a, b)| (a + b) / 2.0).collect()
}

/// The ids of the nearest ten that match, found exactly, and how many of them the default setting finds.
fn filtered_recall(store: &Store, query: &[f32], filter: &Filter) -> (usize, usize) {
    let about = store.query(query).unwrap().filter(filter);
    let exact = about.clone().exact().run().unwrap();
    let hits = about.run().unwrap();
    assert_eq!(hits.len(), exact.len(), "{filter}");
    let limit = exact.last().map_or(0.0, |hit| hit.distance);
    (hits.iter().filter(|hit| hit.distance <= limit).count(), exact.len())
}

#[test]
fn filters_that_keep_or_drop_what_is_near_lose_nothing() {
    let dir = Dir::in_memory();
    let store = Store::open_with(dir.store(), manual(Metric::Cosine)).unwrap();
    let vectors = sample();
    let anchors: Vec<&Vec<f32>> = vectors.iter().step_by(vectors.len() / 16).collect();
    let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let mut metadata: Vec<BTreeMap<String, usize>> = vec![BTreeMap::new(); vectors.len()];
    for (number, anchor) in anchors.iter().enumerate() {
        let mut order: Vec<usize> = (0..vectors.len()).collect();
        order.sort_by(|&a, &b| product(&vectors[b], anchor).total_cmp(&product(&vectors[a], anchor)));
        for (rank, row) in order.into_iter().enumerate() {
            metadata[row].insert(format!("rank{number}"), rank);
            metadata[row].insert("random".into(), row * 7919 % 1000);
        }
    }
    let mut batch = Batch::new();
    for (row, (vector, metadata)) in vectors.iter().zip(&metadata).enumerate() {
        batch.insert_with(row as u64, vector, metadata).unwrap();
    }
    store.write(batch).unwrap();
    store.compact().unwrap();
    let items = vectors.len() as i64;
    for one_in in [2, 5, 20, 100] {
        let (mut found, mut wanted) = ([0; 3], [0; 3]);
        for (number, anchor) in anchors.iter().enumerate() {
            let rank = || field(format!("rank{number}"));
            let filters =
                [field("random").lt(1000 / one_in), rank().lt(items / one_in), rank().ge(items - items / one_in)];
            for (way, filter) in filters.iter().enumerate() {
                let (hits, all) = filtered_recall(&store, anchor, filter);
                found[way] += hits;
                wanted[way] += all;
            }
        }
        let recalls = [0, 1, 2].map(|way| found[way] as f64 / wanted[way] as f64);
        assert!(recalls.iter().all(|&recall| recall >= FLOOR), "one in {one_in}: random, near, far: {recalls:?}");
    }
}
