//! Shapes and values that break vector indexes: every kind of dimension, a few items, identical items, data far from
//! the origin, many trees; and the settings of a query.

use rand::RngExt;
use understory::{Batch, Error, Id, Maintenance, Metric, Options, Stage, Store};

use crate::oracle::{Model, Recall};
use crate::support::{Dir, generator, manual, refused, to_bits};

const METRICS: [Metric; 5] = [Metric::Cosine, Metric::Euclidean, Metric::Dot, Metric::Manhattan, Metric::Hamming];

/// Random items around a few centres that the metric accepts.
fn clustered_for(metric: Metric, items: usize, dimension: usize) -> Vec<Vec<f32>> {
    let vectors = clustered(items, dimension, 0.0);
    if metric == Metric::Hamming { vectors.into_iter().map(to_bits).collect() } else { vectors }
}

/// Random items around a few centres, all moved by `offset`.
fn clustered(items: usize, dimension: usize, offset: f32) -> Vec<Vec<f32>> {
    let mut rng = generator(items as u64 * 31 + dimension as u64);
    let mut noise = move || rng.random_range(-1.0..1.0f32);
    let centres: Vec<Vec<f32>> = (0..20).map(|_| (0..dimension).map(|_| 3.0 * noise()).collect()).collect();
    (0..items).map(|item| centres[item % 20].iter().map(|component| component + noise() + offset).collect()).collect()
}

fn filled(dir: &Dir, options: Options, metric: Metric, vectors: &[Vec<f32>]) -> (Store, Model) {
    let store = Store::open_with(dir.store(), options.metric(metric).maintenance(Maintenance::Manual)).unwrap();
    let mut model = Model::new(metric);
    let mut batch = Batch::new();
    for (number, vector) in vectors.iter().enumerate() {
        batch.insert(number as u64, vector);
        model.insert(number as u64, vector, None);
    }
    store.write(batch).unwrap();
    store.flush().unwrap();
    (store, model)
}

#[test]
fn every_kind_of_dimension_is_stored_and_searched() {
    for metric in METRICS {
        for dimension in [1, 2, 3, 5, 8, 17, 63, 64, 65, 100, 1025, 4096, 16_384] {
            let dir = Dir::in_memory();
            let items = if dimension > 1000 { 40 } else { 150 };
            let vectors = clustered_for(metric, items, dimension);
            let (store, model) = filled(&dir, Options::new(), metric, &vectors);
            for query in vectors.iter().step_by(13) {
                model.check_exact(query, 10, &store.query(query).unwrap().exact().run().unwrap());
                // As many items as are scanned by the default effort: nothing may be missing.
                model.check_exact(query, items, &store.search(query, items).unwrap());
                if metric != Metric::Dot {
                    let nearest = store.search(query, 1).unwrap()[0].distance;
                    let limit = if metric == Metric::Cosine { 1e-6 } else { 0.0 };
                    assert!(nearest <= limit, "{metric} {dimension}: an item is {nearest} from itself");
                }
            }
            assert_eq!(store.get(7).unwrap().unwrap().vector, vectors[7]);
            assert!(store.verify().unwrap().problems.is_empty());
        }
    }
}

#[test]
fn segments_of_one_to_twenty_items_are_complete() {
    for metric in METRICS {
        for items in 1..=20 {
            let dir = Dir::in_memory();
            let vectors = clustered_for(metric, items, 8);
            let (store, model) = filled(&dir, Options::new(), metric, &vectors);
            model.check_exact(&vectors[0], items, &store.search(&vectors[0], items + 5).unwrap());
        }
    }
}

#[test]
fn a_thousand_identical_items_are_found_in_the_order_of_their_ids() {
    for metric in METRICS {
        let dir = Dir::in_memory();
        let same = vec![if metric == Metric::Hamming { 1.0 } else { 0.25 }; 24];
        let (store, _) = filled(&dir, Options::new(), metric, &vec![same.clone(); 1000]);
        let expected: Vec<_> = (0..30).map(Id::from).collect();
        // Every leaf is searched: of equal distances the smallest ids are the nearest.
        let hits = store.query(&same).unwrap().k(30).recall(1.0).run().unwrap();
        assert_eq!(hits.iter().map(|hit| hit.id.clone()).collect::<Vec<_>>(), expected);
        assert_eq!(store.search(&same, 2000).unwrap().len(), 1000);
    }
}

/// Without a mean subtracted, sums of squares near 1e8 leave no digits for distances near 10.
#[test]
fn data_far_from_the_origin_lose_no_neighbours() {
    for metric in [Metric::Euclidean, Metric::Manhattan] {
        let dir = Dir::in_memory();
        let vectors = clustered(4000, 100, 1000.0);
        let (store, model) = filled(&dir, Options::new(), metric, &vectors);
        let (mut all, mut some) = (Recall::default(), Recall::default());
        for query in vectors.iter().step_by(40) {
            let hits = store.query(query).unwrap().recall(1.0).run().unwrap();
            all.add(model.check_hits(query, 10, &hits));
            some.add(model.check_hits(query, 10, &store.query(query).unwrap().effort(1000).run().unwrap()));
        }
        assert!(all.share() >= 0.999, "{metric}: expected .999 by scanning every leaf, found {:.4}", all.share());
        assert!(some.share() >= 0.9, "{metric}: expected .9 by scanning a quarter, found {:.4}", some.share());
    }
}

/// Where thousands tie, the answer is of the right distances in the order of ids, and the measured effort stays small.
#[test]
fn ties_by_the_thousand_do_not_spoil_the_effort_of_hamming() {
    let dir = Dir::in_memory();
    let mut rng = generator(5);
    // Ten bits of 64 ever differ: each vector has about twenty twins, and two hundred at a distance of 1.
    let draw =
        |rng: &mut rand::rngs::StdRng| (0..64).map(|at| f32::from(u8::from(at < 10 && rng.random()))).collect();
    let vectors: Vec<Vec<f32>> = (0..20_000).map(|_| draw(&mut rng)).collect();
    let (store, model) = filled(&dir, Options::new(), Metric::Hamming, &vectors);
    store.compact().unwrap();
    let effort = store.stats().unwrap().default_effort;
    assert!(effort <= 5000, "expected an effort far below the 20,000 items, found {effort}");
    let mut recall = Recall::default();
    for query in vectors.iter().step_by(97) {
        recall.add(model.check_hits(query, 10, &store.search(query, 10).unwrap()));
        model.check_exact(query, 10, &store.query(query).unwrap().exact().run().unwrap());
    }
    assert!(recall.share() >= 0.95, "with an effort of {effort}: {recall:?}");
}

#[test]
fn a_forest_of_several_trees_finds_each_item_once() {
    for metric in METRICS {
        let dir = Dir::in_memory();
        let vectors = clustered_for(metric, 2000, 32);
        let (store, model) = filled(&dir, Options::new().trees(3), metric, &vectors);
        for query in vectors.iter().step_by(97) {
            let hits = store.query(query).unwrap().k(50).recall(1.0).run().unwrap();
            assert!(model.check_hits(query, 50, &hits).share() >= 0.99);
            assert_eq!(store.search(query, 2500).unwrap().len(), 2000);
        }
        assert!(store.verify().unwrap().problems.is_empty());
    }
}

#[test]
fn more_effort_finds_more_and_a_recall_is_an_effort() {
    let dir = Dir::in_memory();
    let vectors = clustered(4000, 64, 0.0);
    let (store, model) = filled(&dir, Options::new(), Metric::Euclidean, &vectors);
    let share = |search: &dyn Fn(understory::Query) -> understory::Query| {
        let mut recall = Recall::default();
        for query in vectors.iter().step_by(21) {
            let hits = search(store.query(query).unwrap()).run().unwrap();
            assert_eq!(hits.len(), 10);
            recall.add(model.check_hits(query, 10, &hits));
        }
        recall.share()
    };
    let efforts = [0, 200, 4000].map(|items| share(&|query| query.effort(items)));
    assert!(efforts.is_sorted() && efforts[0] < efforts[2] && efforts[2] > 0.999, "{efforts:?}");
    assert_eq!(share(&|query| query.search_k(200)), efforts[1]);
    let recalls = [0.5, 0.95, 1.0].map(|recall| share(&|query| query.recall(recall)));
    assert!(recalls.is_sorted() && recalls[1] >= 0.95 && recalls[2] > 0.999, "{recalls:?}");
    for recall in [f32::NAN, -0.1, 1.1] {
        assert!(matches!(refused(store.query(&vectors[0]).unwrap().recall(recall).run()), Error::InvalidArgument(_)));
    }
}

/// Items count up to 16 times: an effort of as many items as there are once meant all of them, in small stores by default.
#[test]
fn an_effort_of_as_many_as_there_are_does_not_scan_all() {
    let dir = Dir::in_memory();
    let vectors = clustered(4000, 16, 0.0);
    let store = filled(&dir, Options::new(), Metric::Manhattan, &vectors).0;
    let scanned = |effort| store.query(&vectors[7]).unwrap().effort(effort).run_with_report().unwrap().1.scanned;
    assert!(scanned(4000) < 3000, "{}", scanned(4000));
    assert_eq!(scanned(16 * 4000), 4000);
}

/// Each item counted 16 times beside copies of what was found, and the least effort was over after a leaf or two.
#[test]
fn near_copies_do_not_use_up_the_least_effort() {
    let dir = Dir::in_memory();
    let vectors: Vec<_> = clustered(250, 32, 0.0).into_iter().flat_map(|vector| vec![vector; 40]).collect();
    let store = filled(&dir, Options::new(), Metric::Euclidean, &vectors).0;
    let scanned = |query: &[f32]| store.query(query).unwrap().run_with_report().unwrap().1.scanned;
    for query in vectors.iter().step_by(401) {
        assert!(scanned(query) >= 400, "{} of {}", scanned(query), vectors.len());
    }
}

#[test]
fn a_query_apart_from_the_items_scans_more_for_the_same_effort() {
    let dir = Dir::in_memory();
    let vectors = clustered(6000, 24, 0.0);
    for metric in [Metric::Cosine, Metric::Euclidean, Metric::Manhattan] {
        let store = filled(&dir, Options::new(), metric, &vectors).0;
        let scanned = |query: &[f32]| {
            let query = store.query(query).unwrap().effort(1000);
            query.run_with_report().unwrap().1.scanned
        };
        let halfway =
            |pair: &[Vec<f32>]| -> Vec<f32> { pair[0].iter().zip(&pair[1]).map(|(a, b)| (a + b) / 2.0).collect() };
        let near: u64 = vectors[..19].iter().map(|item| scanned(item)).sum();
        let apart: u64 = vectors[..20].windows(2).map(|pair| scanned(&halfway(pair))).sum();
        assert!(near < apart, "{metric}: {near} {apart}");
        store.close().unwrap();
        std::fs::remove_dir_all(dir.store()).unwrap();
    }
}

#[test]
fn a_batch_of_searches_answers_like_one_after_the_other() {
    let dir = Dir::in_memory();
    let vectors = clustered(3000, 48, 0.0);
    for threads in [0, 1, 3] {
        let (store, _) = filled(&dir, Options::new().threads(threads), Metric::Cosine, &vectors);
        let each: Vec<_> = vectors[..100].iter().map(|query| store.search(query, 5).unwrap()).collect();
        assert_eq!(store.search_batch(&vectors[..100], 5).unwrap(), each);
        store.close().unwrap();
    }
}

#[test]
fn a_compaction_reports_its_stages_and_can_be_cancelled() {
    let dir = Dir::in_memory();
    let vectors = clustered(3000, 48, 0.0);
    let store = Store::open_with(dir.store(), manual(Metric::Cosine)).unwrap();
    let mut batch = Batch::new();
    for (number, vector) in vectors.iter().enumerate() {
        batch.insert(number as u64, vector);
    }
    store.write(batch).unwrap();
    let cancelled = refused(store.compact_with_progress(&|_, fraction| fraction < 0.5));
    assert!(matches!(cancelled, Error::Maintenance { .. }), "{cancelled}");
    assert!(store.stats().unwrap().segments.is_empty());
    let stages = std::sync::Mutex::new(Vec::new());
    store
        .compact_with_progress(&|stage, fraction| {
            assert!((0.0..=1.0).contains(&fraction));
            let mut stages = stages.lock().unwrap();
            if stages.last() != Some(&stage) {
                stages.push(stage);
            }
            true
        })
        .unwrap();
    let stages = stages.into_inner().unwrap();
    assert_eq!(stages, [Stage::Building, Stage::Measuring, Stage::Packing, Stage::Reclaiming]);
    assert_eq!(store.stats().unwrap().segments.len(), 1);
}
