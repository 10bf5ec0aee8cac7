//! Segments of rounded vectors: what is rounded, what is not, and that the form can be changed.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use understory::{Batch, Hit, Metric, SegmentVectors, Store};

use crate::oracle::Model;
use crate::support::{Dir, manual};

const ITEMS: u64 = 2000;
const DIMENSION: usize = 21;

/// A store of one segment and a few items in the delta, and its model.
fn filled(dir: &Dir, metric: Metric, vectors: SegmentVectors) -> (Store, Model) {
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(5);
    let store = Store::open_with(dir.store(), manual(metric).segment_vectors(vectors)).unwrap();
    let (mut model, mut batch) = (Model::new(metric), Batch::new());
    for id in 0..ITEMS + 20 {
        let vector: Vec<f32> = (0..DIMENSION).map(|_| generator.random_range(-3.0f32..5.0)).collect();
        model.insert(id, &vector, None);
        batch.insert(id, vector);
        if id + 1 == ITEMS {
            store.write(std::mem::take(&mut batch)).unwrap();
            store.flush().unwrap();
        }
    }
    store.write(batch).unwrap();
    (store, model)
}

/// The largest difference of a hit's distance from the true one, relative to that of the farthest.
fn off(model: &Model, query: &[f32], hits: &[Hit]) -> f64 {
    let distance = |hit: &Hit| model.distance(query, &model.items[&hit.id].vector);
    let largest = hits.iter().map(|hit| distance(hit).abs()).fold(0.0, f64::max);
    hits.iter().map(|hit| (f64::from(hit.distance) - distance(hit)).abs() / largest).fold(0.0, f64::max)
}

/// The largest `off` of some searches, as they are and with exact distances. Exact searches always are exact.
fn searched(store: &Store, model: &Model) -> (f64, f64) {
    let (mut rounded, mut exact) = (0.0f64, 0.0f64);
    for id in (0..ITEMS).step_by(150) {
        let query = model.items[&id.into()].vector.clone();
        model.check_exact(&query, 10, &store.query(&query).unwrap().exact().run().unwrap());
        let everything = || store.query(&query).unwrap().recall(1.0);
        let hits = everything().run().unwrap();
        assert_eq!(hits.len(), 10);
        rounded = rounded.max(off(model, &query, &hits));
        let hits = everything().exact_distances(true).run().unwrap();
        model.check_exact(&query, 10, &hits);
        exact = exact.max(off(model, &query, &hits));
        let near = everything().exact_distances(true).max_distance(hits[4].distance).run().unwrap();
        assert_eq!(near, hits[..5]);
    }
    (rounded, exact)
}

fn segment_bytes(dir: &Dir) -> u64 {
    let files = std::fs::read_dir(dir.store().join("segments")).unwrap();
    files.map(|file| file.unwrap().metadata().unwrap().len()).sum()
}

#[test]
fn rounded_segments_are_smaller_and_exact_where_asked() {
    for metric in [Metric::Cosine, Metric::Euclidean, Metric::Dot, Metric::Manhattan] {
        let plain = Dir::new();
        let (store, model) = filled(&plain, metric, SegmentVectors::Float32);
        assert!(searched(&store, &model).0 < 1e-5, "{metric}");
        for (vectors, tolerance, saved) in
            [(SegmentVectors::Float16, 1e-3, 2 * DIMENSION - 8), (SegmentVectors::Int8, 3e-2, 3 * DIMENSION - 12)]
        {
            let dir = Dir::new();
            let (store, model) = filled(&dir, metric, vectors);
            let (rounded, exact) = searched(&store, &model);
            assert!(rounded > 1e-5 && rounded < tolerance, "{metric} {vectors:?}: {rounded}");
            assert!(exact < 1e-5, "{metric} {vectors:?}: {exact}");
            // Leaves are others each time, and so are some bytes of the directory.
            let bytes = segment_bytes(&dir) + ITEMS * saved as u64;
            assert!(bytes <= segment_bytes(&plain) + 8192, "{metric} {vectors:?}");
            let vector = store.get(7).unwrap().unwrap().vector;
            assert_eq!(vector, model.items[&7.into()].vector, "rows are not rounded");
            assert!(store.verify().unwrap().problems.is_empty());
        }
    }
}

#[test]
fn the_form_of_segments_can_be_changed_by_compacting() {
    let dir = Dir::new();
    let (store, model) = filled(&dir, Metric::Euclidean, SegmentVectors::Int8);
    store.flush().unwrap();
    store.close().unwrap();
    let store = Store::open_with(dir.store(), manual(Metric::Euclidean)).unwrap();
    assert!(searched(&store, &model).0 > 1e-5, "the segment is as it was");
    store.compact().unwrap();
    assert!(searched(&store, &model).0 < 1e-5);
}
