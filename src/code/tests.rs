//! The rotation, the codes and their bounds against float64 arithmetic.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, RngExt, SeedableRng};

use super::*;
use crate::distance::{Block, Bound, LANES, ScanTable, kernels};
use crate::types::Metric;

mod items;
mod narrow;
mod short;

/// Bytes where numbers of four bytes may be read, as in a mapped file; a vector of bytes may begin anywhere.
struct Aligned {
    words: Vec<u32>,
    len: usize,
}

impl From<Vec<u8>> for Aligned {
    fn from(bytes: Vec<u8>) -> Aligned {
        let mut words = vec![0; bytes.len().div_ceil(4)];
        bytemuck::cast_slice_mut::<u32, u8>(&mut words)[..bytes.len()].copy_from_slice(&bytes);
        Aligned { words, len: bytes.len() }
    }
}

impl std::ops::Deref for Aligned {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.words)[..self.len]
    }
}

impl std::ops::DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.words)[..self.len]
    }
}

/// Roughly normal: the sum of twelve uniform numbers.
fn gaussian(generator: &mut Xoshiro256PlusPlus) -> f32 {
    (0..12).map(|_| generator.random::<f32>()).sum::<f32>() - 6.0
}

fn vector(dimension: usize, generator: &mut Xoshiro256PlusPlus) -> Vec<f32> {
    (0..dimension).map(|_| gaussian(generator)).collect()
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

fn placed(frame: &Frame, vector: &[f32]) -> Vec<f32> {
    let mut out = vec![f32::NAN; frame.padded()];
    frame.place(vector, frame.inverse_norm(vector), &mut out);
    out
}

/// Section 3 of docs/format.md in float64, entry by entry of the Hadamard matrix.
fn reference_rotation(vector: &[f32], padded: usize, seed: u64) -> Vec<f64> {
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(seed);
    let outputs: Vec<u64> = (0..4 * padded / 64).map(|_| generator.next_u64()).collect();
    let mut values: Vec<f64> = vector.iter().map(|&component| f64::from(component)).collect();
    values.resize(padded, 0.0);
    let mut window = 1;
    while window * 2 <= padded {
        window *= 2;
    }
    for round in 0..4 {
        for (at, value) in values.iter_mut().enumerate() {
            let bit = round * padded + at;
            if outputs[bit / 64] >> (bit % 64) & 1 == 0 {
                *value = -*value;
            }
        }
        let start = if round % 2 == 0 { 0 } else { padded - window };
        let before = values[start..start + window].to_vec();
        for (row, value) in values[start..start + window].iter_mut().enumerate() {
            let signed = |(column, value): (usize, &f64)| {
                if (row & column).count_ones() % 2 == 0 { *value } else { -*value }
            };
            *value = before.iter().enumerate().map(signed).sum::<f64>() / (window as f64).sqrt();
        }
    }
    values
}

#[test]
fn the_rotation_is_that_of_the_format_page() {
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(3);
    for dimension in [1, 3, 64, 100, 384, 1025] {
        let frame = Frame::new(Metric::Dot, dimension, 77, None);
        let vector = vector(dimension, &mut generator);
        let reference = reference_rotation(&vector, frame.padded(), 77);
        for (found, expected) in placed(&frame, &vector).iter().zip(&reference) {
            assert!((f64::from(*found) - expected).abs() < 1e-4, "dimension {dimension}: {found} is not {expected}");
        }
    }
}

#[test]
fn placing_keeps_norms_and_inner_products() {
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(4);
    for dimension in [1, 3, 64, 100, 384, 1025] {
        let frame = Frame::new(Metric::Dot, dimension, 5, None);
        let (a, b) = (vector(dimension, &mut generator), vector(dimension, &mut generator));
        let scale = (dot(&a, &a) * dot(&b, &b)).sqrt();
        let (placed_a, placed_b) = (placed(&frame, &a), placed(&frame, &b));
        assert!((dot(&placed_a, &placed_b) - dot(&a, &b)).abs() < 1e-5 * scale, "dimension {dimension}");
        assert!((dot(&placed_a, &placed_a) - dot(&a, &a)).abs() < 1e-5 * dot(&a, &a), "dimension {dimension}");
    }
}

#[test]
fn placing_centres_for_euclidean_and_normalises_for_cosine() {
    let mean = vec![1000.0, -3.0, 2.0];
    let frame = Frame::new(Metric::Euclidean, 3, 5, Some(mean.clone()));
    assert_eq!(placed(&frame, &mean), vec![0.0; 64]);
    assert_eq!(frame.mean(), Some(&mean[..]));
    let frame = Frame::new(Metric::Cosine, 3, 5, Some(mean.clone()));
    assert_eq!(frame.mean(), None);
    let unit = placed(&frame, &mean);
    assert!((dot(&unit, &unit) - 1.0).abs() < 1e-6);
}

#[test]
fn frames_that_place_otherwise_have_other_checksums() {
    let mean = |first| Some(vec![first, 0.0, 0.0]);
    let frames = [
        Frame::new(Metric::Euclidean, 3, 1, None),
        Frame::new(Metric::Euclidean, 3, 2, None),
        Frame::new(Metric::Euclidean, 4, 1, None),
        Frame::new(Metric::Cosine, 3, 1, None),
        Frame::new(Metric::Euclidean, 3, 1, mean(1.0)),
        Frame::new(Metric::Euclidean, 3, 1, mean(2.0)),
    ];
    for (at, frame) in frames.iter().enumerate() {
        for other in &frames[at + 1..] {
            assert_ne!(frame.checksum(), other.checksum());
        }
    }
    assert_eq!(frames[0].checksum(), Frame::new(Metric::Euclidean, 3, 1, mean(0.0)).checksum());
}

#[test]
fn a_centroid_is_rounded_by_half_a_step_at_most() {
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(6);
    let mean = vector(128, &mut generator);
    let centroid = Centroid::quantise(&mean);
    let largest = mean.iter().fold(0f32, |largest, component| largest.max(component.abs()));
    for (stored, component) in centroid.values().iter().zip(&mean) {
        assert!((stored - component).abs() <= 0.501 * largest / 127.0);
    }
    assert!((f64::from(centroid.squared_norm()) - dot(centroid.values(), centroid.values())).abs() < 1e-3);
    for odd in [vec![0.0; 64], vec![f32::from_bits(1); 64]] {
        assert_eq!(Centroid::quantise(&odd).values(), Centroid::zero(64).values());
    }
}

struct Scanned {
    estimates: Vec<f32>,
    lower: Vec<f32>,
    exact: Vec<f64>,
    scale: f64,
}

/// Codes items near a centroid, scans them with a query through the kernels, and computes what they estimate.
fn scan(metric: Metric, dimension: usize, items: usize, seed: u64) -> Scanned {
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(seed);
    let frame = Frame::new(metric, dimension, seed, None);
    let middle = vector(dimension, &mut generator);
    let around = |generator: &mut Xoshiro256PlusPlus| {
        let near: Vec<f32> = middle.iter().map(|component| component + gaussian(generator)).collect();
        placed(&frame, &near)
    };
    let vectors: Vec<Vec<f32>> = (0..items).map(|_| around(&mut generator)).collect();
    let query = around(&mut generator);
    let centroid = Centroid::quantise(&placed(&frame, &middle));
    let entries = vectors.iter().zip(0..items as u32).map(|(vector, payload)| (Role::Items, &vector[..], payload));
    let (bytes, radius) = Encoder::new(metric, frame.padded()).encode_run(9, &centroid, entries);
    let bytes = Aligned::from(bytes);
    let run = Run::parse(&bytes, CodeKind::Signs, frame.padded()).unwrap();
    assert!(run.is_intact());
    assert_eq!((run.number(), run.entries() as usize, run.radius()), (9, items, radius));
    let dequantised: Vec<f32> = run.centroid().iter().map(|&code| f32::from(code) * run.step()).collect();
    assert_eq!(dequantised, centroid.values());

    let mut table = ScanTable::default();
    table.fill(&query);
    let to_centroid = f64::from(kernels().squared_euclidean(&query, &dequantised));
    let (base, scale) = match metric {
        Metric::Dot => (-dot(&query, &dequantised), dot(&query, &query).sqrt()),
        _ => (to_centroid, to_centroid.sqrt()),
    };
    let mut scanned = Scanned { estimates: vec![], lower: vec![], exact: vec![], scale };
    for (at, block) in run.blocks().enumerate() {
        let lanes = |slack: f64| {
            let bound = Bound { base: base as f32, slack: slack as f32, threshold: f32::INFINITY };
            let mut lower = [0.0; LANES];
            kernels().scan(&block, &table, bound, &mut lower);
            lower
        };
        let used = run.lanes(at).count_ones() as usize;
        scanned.estimates.extend(&lanes(0.0)[..used]);
        scanned.lower.extend(&lanes(1.9 * scale)[..used]);
    }
    for vector in &vectors {
        scanned.exact.push(match metric {
            Metric::Dot => -dot(&query, vector),
            _ => query.iter().zip(vector).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>(),
        });
    }
    assert_eq!(run.payloads().collect::<Vec<_>>(), (0..items as u32).collect::<Vec<_>>());
    scanned
}

#[test]
fn estimates_are_unbiased_and_their_bounds_hold() {
    for metric in [Metric::Euclidean, Metric::Cosine, Metric::Dot] {
        for dimension in [64, 100, 384, 1025] {
            let scanned = scan(metric, dimension, 1000, dimension as u64);
            let pairs = || scanned.estimates.iter().zip(&scanned.exact);
            let error = pairs().map(|(found, exact)| f64::from(*found) - exact).sum::<f64>() / 1000.0;
            let spread = pairs().map(|(found, exact)| (f64::from(*found) - exact).powi(2)).sum::<f64>() / 1000.0;
            assert!(
                error.abs() < 5.0 * (spread / 1000.0).sqrt() + 0.01 * scanned.scale,
                "{metric} {dimension}: mean error {error}, deviation {}",
                spread.sqrt()
            );
            assert!(spread.sqrt() < 0.2 * scanned.exact[0].abs().max(scanned.scale * scanned.scale));
            let broken =
                scanned.lower.iter().zip(&scanned.exact).filter(|(lower, exact)| f64::from(**lower) > **exact);
            let broken = broken.count();
            assert!(broken <= 50, "{metric} {dimension}: {broken} of 1000 bounds broken");
        }
    }
}

#[test]
fn under_dot_leaves_are_ranked_by_what_may_be_in_them() {
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(3);
    for (metric, wide_is_first) in [(Metric::Dot, true), (Metric::Euclidean, false)] {
        let frame = Frame::new(metric, 32, 1, None);
        let leaf = placed(&frame, &vector(32, &mut generator));
        let centroid = Centroid::quantise(&placed(&frame, &vector(32, &mut generator)));
        let entries = [(Role::Leaves { radius: 0.1 }, &leaf[..], 0), (Role::Leaves { radius: 9.0 }, &leaf[..], 1)];
        let (bytes, _) = Encoder::new(metric, frame.padded()).encode_run(0, &centroid, entries.into_iter());
        let bytes = Aligned::from(bytes);
        let run = Run::parse(&bytes, CodeKind::Signs, frame.padded()).unwrap();
        let mut query = QueryCode::default();
        query.prepare(&frame, &vector(32, &mut generator), 1.9);
        let mut lower = [0.0; LANES];
        let block = run.blocks().next().unwrap();
        kernels().scan(&block, query.table(), query.leaf_bound(query.bound(kernels(), &run).base), &mut lower);
        assert_eq!(lower[1] < lower[0], wide_is_first, "{metric}: {:?}", &lower[..2]);
    }
}

/// By their centroids alone they were ranked once: a few long items among many short ones were in none of the first groups.
#[test]
fn under_dot_groups_are_ranked_by_what_may_be_in_them() {
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(4);
    for (metric, wide_is_first) in [(Metric::Dot, true), (Metric::Euclidean, false)] {
        let frame = Frame::new(metric, 32, 1, None);
        let leaf = placed(&frame, &vector(32, &mut generator));
        let centroid = Centroid::quantise(&placed(&frame, &vector(32, &mut generator)));
        let mut heads = Heads::default();
        for radius in [0.1, 9.0] {
            let entry = (Role::Leaves { radius }, &leaf[..], 0);
            let (bytes, _) = Encoder::new(metric, frame.padded()).encode_run(0, &centroid, [entry].into_iter());
            let bytes = Aligned::from(bytes);
            heads.push(&Run::parse(&bytes, CodeKind::Signs, frame.padded()).unwrap(), metric);
        }
        let mut query = QueryCode::default();
        query.prepare(&frame, &vector(32, &mut generator), 1.9);
        let mut products = Vec::new();
        let ranked: Vec<(f32, f32)> = query.rank_groups(kernels(), &heads, &mut products).collect();
        assert_eq!(ranked[0].1, ranked[1].1, "{metric}");
        assert_eq!(ranked[1].0 < ranked[0].0, wide_is_first, "{metric}: {ranked:?}");
    }
}

#[test]
fn an_item_on_its_centroid_has_finite_factors() {
    for metric in [Metric::Euclidean, Metric::Cosine, Metric::Dot] {
        for role in [Role::Items, Role::Leaves { radius: 0.5 }] {
            let mut block = Aligned::from(empty_block(64));
            let centroid = vec![0.25; 64];
            let norm = Encoder::new(metric, 64).encode_lane(role, &mut block, 3, &centroid, &centroid, 7);
            assert_eq!(norm, 0.0);
            let block = Block::new(&block, 64).unwrap();
            let [add, mul, err] = block.factors();
            assert_eq!((add[3], mul[3], block.payload(3)), (0.0, 0.0, 7));
            let spread = matches!((metric, role), (Metric::Dot, Role::Leaves { .. }));
            assert_eq!(err[3], if spread { 2.0 * 0.5 / 8.0 } else { 0.0 });
            assert_eq!((add[2], err[2], block.payload(2)), (f32::INFINITY, 0.0, NO_ENTRY));
        }
    }
}

#[test]
fn a_residual_too_long_for_float32_always_passes() {
    let mut block = Aligned::from(empty_block(64));
    let far = vec![1e19; 64];
    Encoder::new(Metric::Euclidean, 64).encode_lane(Role::Items, &mut block, 0, &[0.0; 64], &far, 1);
    let block = Block::new(&block, 64).unwrap();
    assert_eq!(block.factors().map(|factor| factor[0]), [f32::MIN, 0.0, 0.0]);
}

#[test]
fn runs_of_another_length_than_their_entries_need_are_refused() {
    let vectors = vec![vec![1.0; 64]; 17];
    let entries = vectors.iter().map(|vector| (Role::Items, &vector[..], 0));
    let (bytes, _) = Encoder::new(Metric::Dot, 64).encode_run(0, &Centroid::zero(64), entries);
    assert_eq!(Some(bytes.len()), CodeKind::Signs.run_bytes(64, 17));
    let mut bytes = Aligned::from(bytes);
    let run = Run::parse(&bytes, CodeKind::Signs, 64).unwrap();
    assert_eq!((run.lanes(0), run.lanes(1), run.lanes(2)), (0xffff, 1, 0));
    for len in 0..bytes.len() {
        assert!(Run::parse(&bytes[..len], CodeKind::Signs, 64).is_err(), "{len} bytes");
    }
    assert!(Run::parse(&bytes, CodeKind::Signs, 128).is_err());
    for at in 0..bytes.len() {
        bytes[at] ^= 1 << (at % 8);
        assert!(Run::parse(&bytes, CodeKind::Signs, 64).map_or(true, |run| !run.is_intact()), "byte {at}");
        bytes[at] ^= 1 << (at % 8);
    }
}
