//! Bounds against distances over vectors of every kind.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::annoy::Format;
use crate::annoy::layout::NodeMut;

const METRICS: [Metric; 4] = [Metric::Angular, Metric::Euclidean, Metric::Manhattan, Metric::Dot];
const DIMENSIONS: [usize; 5] = [33, 64, 100, 384, 1000];

fn item(layout: &Layout, vector: &[f32]) -> Vec<u32> {
    let mut words = vec![0; layout.node];
    let mut node = NodeMut { layout, words: &mut words };
    node.set_descendants(1);
    node.set_vector(&layout.encode(vector));
    if layout.metric == Metric::Angular {
        let norm = Measure::new(layout).squared_norm(Node::new(layout, node.words).vector());
        node.set_squared_norm(norm);
    }
    words
}

/// Vectors of every kind: spread evenly, far from zero, mostly zero, whole numbers, one component alone, constant.
fn vector(generator: &mut StdRng, dimension: usize, kind: usize, size: f32) -> Vec<f32> {
    let one = generator.random_range(0..dimension);
    let component = |at: usize| match kind {
        0 => generator.random_range(-1.0..1.0),
        1 => 1000.0 + generator.random_range(-1.0..1.0f32),
        2 if generator.random_range(0..10) > 0 => 0.0,
        3 => generator.random_range(0..256) as f32,
        4 => f32::from(u8::from(at == one)),
        5 => -3.0,
        _ => generator.random(),
    };
    (0..dimension).map(component).map(|component: f32| component * size).collect()
}

#[test]
fn no_bound_is_above_the_distance_and_none_is_far_below() {
    let mut generator = StdRng::seed_from_u64(31);
    let mut excluded = 0;
    for (metric, dimension) in METRICS.into_iter().flat_map(|metric| DIMENSIONS.map(|dimension| (metric, dimension)))
    {
        let layout = Layout::new(dimension, metric, Format::Release).unwrap();
        let measure = Measure::new(&layout);
        for (kind, other) in (0..7).flat_map(|kind| (0..7).map(move |other| (kind, other))) {
            let size = [1.0, 1e-6, 1e4][generator.random_range(0..3)];
            let asked = layout.encode(&vector(&mut generator, dimension, kind, size));
            let mut stored = vector(&mut generator, dimension, other, size);
            if generator.random() {
                // Almost the query itself: what is left of differences is mostly roundings.
                let near = layout.decode(&asked);
                stored = near.iter().zip(&stored).map(|(near, far)| near + far * 1e-6).collect();
            }
            let words = item(&layout, &stored);
            let node = Node::new(&layout, &words);
            let codes = Codes::of_any(&layout, 1).expect("codes for this dimension");
            let probe = measure.probe(&asked);
            codes.add(0, node);
            let (Some(probed), Some(code)) = (codes.probe(&probe), codes.get(0)) else { continue };
            let (bounds, raw) = (codes.bounds(&probed, [code; 3].into_iter()), measure.raw(&probe, node));
            let bound = bounds[0];
            assert!(bounds[1] == bound && bounds[2] == bound, "one bound in every lane");
            let what = format!("{metric} {dimension} kinds {kind} {other} of size {size}: {bound} of {raw}");
            assert!(bound <= raw, "{what}");
            excluded += usize::from(bound > raw - 0.05 * raw.abs());
        }
    }
    assert!(excluded > METRICS.len() * DIMENSIONS.len() * 49 / 2, "only {excluded} bounds are of use");
}

/// A plane as builds make them: of a normal and, where the metric has one, an addend that puts it near an item.
fn plane(layout: &Layout, measure: &Measure, normal: &[f32], near: Node<'_>) -> Vec<u32> {
    let mut words = vec![0; layout.node];
    let mut node = NodeMut { layout, words: &mut words };
    node.components().copy_from_slice(normal);
    let product = measure.margin(Node::new(layout, node.words), near.vector());
    match layout.metric {
        Metric::Euclidean | Metric::Manhattan => node.set_offset(-product),
        Metric::Dot => node.set_dot_factor(product.min(0.0).abs().sqrt()),
        _ => {}
    }
    words
}

#[test]
fn sides_that_codes_tell_are_those_of_the_vectors_and_most_are_told() {
    let mut generator = StdRng::seed_from_u64(33);
    let (mut told, mut asked) = (0, 0);
    for (metric, dimension) in METRICS.into_iter().flat_map(|metric| DIMENSIONS.map(|dimension| (metric, dimension)))
    {
        let layout = Layout::new(dimension, metric, Format::Release).unwrap();
        let measure = Measure::new(&layout);
        for (kind, other) in (0..7).flat_map(|kind| (0..7).map(move |other| (kind, other))) {
            let size = [1.0, 1e-6, 1e4][generator.random_range(0..3)];
            let near = item(&layout, &vector(&mut generator, dimension, kind, size));
            let normal = vector(&mut generator, dimension, other, 1.0);
            let plane = plane(&layout, &measure, &normal, Node::new(&layout, &near));
            let plane = Node::new(&layout, &plane);
            let codes = Codes::of_any(&layout, 2).expect("codes for this dimension");
            let far = item(&layout, &vector(&mut generator, dimension, kind, size));
            for (at, words) in [&near, &far].into_iter().enumerate() {
                let node = Node::new(&layout, words);
                codes.add(at as u32, node);
                let (Some(coded), Some(code)) = (codes.plane(plane), codes.get(at as u32)) else { continue };
                let (side, margin) = (codes.side(&coded, code), measure.margin(plane, node.vector()));
                let what = format!("{metric} {dimension} kinds {kind} {other} of size {size}: {side:?} of {margin}");
                assert!(side.is_none_or(|side| if side { margin > 0.0 } else { margin < 0.0 }), "{what}");
                asked += 1;
                told += usize::from(side.is_some());
            }
        }
    }
    assert!(told > asked / 3, "codes tell {told} of {asked} sides");
}

#[test]
fn planes_that_are_none_tell_no_side() {
    let layout = Layout::new(64, Metric::Euclidean, Format::Release).unwrap();
    let codes = Codes::of_any(&layout, 1).expect("codes");
    for (normal, offset) in [(0.0, 0.0), (f32::NAN, 0.0), (1e30, 0.0), (1.0, f32::NAN)] {
        let mut words = vec![0; layout.node];
        let mut node = NodeMut { layout: &layout, words: &mut words };
        node.components().fill(normal);
        node.set_offset(offset);
        assert!(codes.plane(Node::new(&layout, &words)).is_none(), "{normal} {offset}");
    }
}

#[test]
fn vectors_that_cannot_be_bounded_get_no_code() {
    let mut generator = StdRng::seed_from_u64(32);
    for metric in METRICS {
        let layout = Layout::new(64, metric, Format::Release).unwrap();
        let codes = Codes::of_any(&layout, 4).expect("codes");
        let plain = vector(&mut generator, 64, 0, 1.0);
        for (at, strange) in [0.0, f32::NAN, f32::INFINITY, 1e30].into_iter().enumerate() {
            let mut words = item(&layout, &[strange; 64]);
            codes.add(at as u32, Node::new(&layout, &words));
            words = item(&layout, &plain);
            codes.add(at as u32, Node::new(&layout, &words));
            assert!(codes.get(at as u32).is_none(), "{metric} {strange}");
            assert!(codes.probe(&Measure::new(&layout).probe(&layout.encode(&[strange; 64]))).is_none());
        }
    }
}

#[test]
fn codes_are_kept_where_they_are_much_smaller() {
    let codes = |metric, dimension, count| {
        let layout = Layout::new(dimension, metric, Format::Release).unwrap();
        (Codes::new(&layout, count).is_some(), Codes::of_any(&layout, count).is_some())
    };
    assert_eq!(codes(Metric::Angular, 384, 100), (false, true));
    assert_eq!(codes(Metric::Angular, 384, 100_000), (true, true));
    assert_eq!(codes(Metric::Euclidean, 16, 1_000_000), (false, false));
    assert_eq!(codes(Metric::Dot, 100_000, 100), (false, false));
    assert_eq!(codes(Metric::Hamming, 4096, 100_000), (false, false));
    assert_eq!(codes(Metric::Manhattan, 64, 0), (false, false));
}

#[test]
fn searches_make_codes_of_what_they_meet_again_and_read_them_once_there_are_enough() {
    let layout = Layout::new(64, Metric::Angular, Format::Release).unwrap();
    let [codes, all] = [0, 1].map(|_| Codes::of_any(&layout, 100).expect("codes"));
    assert!(all.awake(), "codes that are made at once are read at once");
    let codes = codes.of_what_is_met();
    let mut generator = StdRng::seed_from_u64(34);
    let words: Vec<u32> = (0..100).flat_map(|_| item(&layout, &vector(&mut generator, 64, 0, 1.0))).collect();
    let nodes = Nodes::new(&layout, &words);
    all.make_all(nodes);
    let met: Vec<u32> = (20..60).rev().collect();
    let made = || (0..100).filter(|&item| codes.get(item).is_some()).collect::<Vec<_>>();
    codes.make_some(nodes, &met, met.len());
    assert!(made().is_empty() && !codes.awake(), "nothing was met before");
    codes.make_some(nodes, &met, met.len());
    assert_eq!(made().len(), met.len().div_ceil(SHARE), "one in {SHARE} of what is met again");
    assert!(!codes.awake());
    for _ in 0..SHARE {
        codes.make_some(nodes, &met, met.len());
    }
    assert_eq!(made(), (20..60).collect::<Vec<_>>(), "all that is met often");
    assert!(codes.awake());
    for item in 20..60 {
        assert_eq!(codes.get(item), all.get(item), "the code of item {item}");
    }
}
