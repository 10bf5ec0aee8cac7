//! The recall of the default setting on the checked-in sample of real embeddings.

use std::path::Path;

use half::f16;
use understory::{Batch, Metric, Store};

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

fn between(a: &[f32], b: &[f32]) -> Vec<f32> {
    a.iter().zip(b).map(|(a, b)| (a + b) / 2.0).collect()
}
