//! Codes in the narrow space: the space, and bounds beside those of signs.

use super::*;
use crate::code::{CodedItem, ItemEncoder, QueryCode};
use crate::vector::Components;

const SEED: u64 = 9;
const DIMENSIONS: [usize; 7] = [1, 3, 8, 20, 25, 50, 64];

fn placed_narrow(frame: &Frame, vector: &[f32]) -> Vec<f32> {
    let mut out = vec![f32::NAN; frame.narrow()];
    frame.place_narrow(vector, frame.inverse_norm(vector), &mut out);
    out
}

/// A run of items around their mean, and what a search compares: each item's lower bound and exact measure.
fn scan(frame: &Frame, kind: CodeKind, items: &[Vec<f32>], query: &[f32]) -> Vec<(f32, f32)> {
    let placed: Vec<Vec<f32>> = items.iter().map(|item| placed(frame, item)).collect();
    let mean = |at: usize| placed.iter().map(|item| item[at]).sum::<f32>() / items.len() as f32;
    let centroid = Centroid::quantise(&(0..frame.padded()).map(mean).collect::<Vec<f32>>());
    let coded =
        items.iter().zip(&placed).zip(0..).map(|((vector, placed), at)| CodedItem { vector, placed, payload: at });
    let coded = coded.collect::<Vec<_>>().into_iter();
    let (bytes, _) = ItemEncoder::new(frame, kind, None).encode_run(4, &centroid, 0, coded);
    assert_eq!(Some(bytes.len()), kind.run_bytes(frame.padded(), items.len()));
    let bytes = Aligned::from(bytes);
    let run = Run::parse(&bytes, kind, frame.padded()).unwrap();
    assert!(run.is_intact());
    let mut code = QueryCode::default();
    code.prepare(frame, query, 1.9);
    code.add_segment(frame, kind);
    let bound = code.item_bound(kernels(), 0, &run);
    let mut found = Vec::new();
    for block in run.blocks() {
        let mut lower = [f32::NAN; LANES];
        code.scan_items(kernels(), 0, &block, bound, &mut lower);
        found.extend(lower);
    }
    let exact = items
        .iter()
        .map(|item| code.measure(code.distance(kernels(), Components::Floats(item), frame.inverse_norm(item))));
    found.into_iter().zip(exact).collect()
}

#[test]
fn the_narrow_space_keeps_inner_products() {
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(51);
    for dimension in DIMENSIONS {
        let frame = Frame::new(Metric::Dot, dimension, SEED, None);
        let (a, b) = (vector(dimension, &mut generator), vector(dimension, &mut generator));
        let scale = (dot(&a, &a) * dot(&b, &b)).sqrt();
        let [narrow_a, narrow_b] = [&a, &b].map(|vector| placed_narrow(&frame, vector));
        assert!((dot(&narrow_a, &narrow_b) - dot(&a, &b)).abs() < 1e-5 * scale, "dimension {dimension}");
    }
}

#[test]
fn a_point_of_the_rotated_space_is_where_its_vector_is_in_the_narrow_one() {
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(52);
    for dimension in DIMENSIONS {
        let frame = Frame::new(Metric::Euclidean, dimension, SEED, Some(vector(dimension, &mut generator)));
        let item = vector(dimension, &mut generator);
        let mut found = vec![f32::NAN; frame.narrow()];
        let outside = frame.narrow_of(&placed(&frame, &item), &mut found);
        assert!(outside < 1e-9, "dimension {dimension}: {outside}");
        for (found, expected) in found.iter().zip(placed_narrow(&frame, &item)) {
            assert!((found - expected).abs() < 1e-4, "dimension {dimension}: {found} is not {expected}");
        }
    }
}

#[test]
fn what_a_centroid_has_outside_the_narrow_space_is_in_the_factors() {
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(53);
    let frame = Frame::new(Metric::Euclidean, 8, SEED, None);
    // A residual of nothing within the space, from a centroid that is 3 away from it.
    let item = vector(8, &mut generator);
    let mut point = vec![0.0; 64];
    frame.place(&item, 0.0, &mut point);
    let mut narrow = vec![0.0; 8];
    let other = Frame::new(Metric::Euclidean, 64, SEED, None);
    let mut beside = vec![0.0; 64];
    beside[63] = 3.0;
    let mut moved = vec![0.0; 64];
    other.place(&beside, 0.0, &mut moved);
    point.iter_mut().zip(&moved).for_each(|(component, moved)| *component += moved);
    assert!((frame.narrow_of(&point, &mut narrow) - 9.0).abs() < 1e-4);
    assert!(narrow.iter().zip(placed_narrow(&frame, &item)).all(|(found, expected)| (found - expected).abs() < 1e-4));
}

#[test]
fn bounds_of_narrow_codes_hold_as_those_of_signs_do_and_are_nearer() {
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(54);
    for metric in [Metric::Euclidean, Metric::Cosine, Metric::Dot] {
        for dimension in DIMENSIONS.into_iter().filter(|&dimension| dimension > 1) {
            let frame = Frame::new(metric, dimension, SEED, None);
            let (mut wrong, mut all, mut gaps) = (0, 0, [0.0f64; 2]);
            for _ in 0..20 {
                let middle: Vec<f32> = vector(dimension, &mut generator).iter().map(|value| 2.0 * value).collect();
                let near = |generator: &mut Xoshiro256PlusPlus| -> Vec<f32> {
                    middle.iter().map(|value| value + gaussian(generator)).collect()
                };
                let items: Vec<Vec<f32>> = (0..45).map(|_| near(&mut generator)).collect();
                let query = near(&mut generator);
                for (gap, kind) in
                    gaps.iter_mut().zip([CodeKind::of_segment(metric, dimension, 1), CodeKind::ShortSigns])
                {
                    let found = scan(&frame, kind, &items, &query);
                    *gap += found.iter().map(|&(lower, exact)| f64::from((exact - lower).abs())).sum::<f64>();
                    if kind != CodeKind::ShortSigns {
                        all += items.len();
                        wrong += found.iter().filter(|(lower, exact)| *lower > exact + 1e-4 * exact.abs()).count();
                    }
                }
            }
            assert!(wrong * 25 <= all, "{metric} {dimension}: {wrong} of {all} bounds are too high");
            assert!(gaps[0] < 0.7 * gaps[1], "{metric} {dimension}: {gaps:?}");
        }
    }
}

#[test]
fn bounds_hold_for_points_of_a_line_in_all_rotations() {
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(55);
    for (metric, seed) in (0..300).flat_map(|seed| [(Metric::Euclidean, seed), (Metric::Dot, seed)]) {
        let frame = Frame::new(metric, 1, seed, None);
        let items: Vec<Vec<f32>> = (0..45).map(|_| vec![1.0 + 0.05 * gaussian(&mut generator)]).collect();
        let found: Vec<_> =
            items.iter().step_by(9).flat_map(|query| scan(&frame, CodeKind::Narrow(8), &items, query)).collect();
        let wrong = found.iter().filter(|&&(lower, exact)| lower > exact + 1e-4 * exact.abs()).count();
        assert!(wrong * 25 <= found.len(), "{metric}, seed {seed}: {wrong} bounds are too high");
    }
}

#[test]
fn a_residual_too_long_for_narrow_codes_lets_its_whole_run_pass() {
    let frame = Frame::new(Metric::Euclidean, 20, SEED, None);
    let found =
        scan(&frame, CodeKind::of_segment(Metric::Euclidean, 20, 1), &[vec![-1e19; 20], vec![1e19; 20]], &[0.0; 20]);
    assert!(found.iter().all(|&(lower, _)| lower <= f32::MIN));
}

#[test]
fn segments_of_few_components_that_signs_were_kept_of_are_read_as_such() {
    for metric in [Metric::Euclidean, Metric::Cosine, Metric::Dot] {
        assert_eq!(CodeKind::from_tag(4, metric, 20, 1), Some(CodeKind::ShortSigns));
        assert_eq!(CodeKind::from_tag(6, metric, 20, 1), Some(CodeKind::Narrow(24)));
        assert_eq!(CodeKind::from_tag(6, metric, 20, 2), None);
        assert_eq!(CodeKind::from_tag(6, metric, 128, 1), None);
    }
    assert_eq!(CodeKind::from_tag(6, Metric::Manhattan, 20, 1), None);
}
