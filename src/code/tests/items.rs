//! Codes of bytes and of bits: bounds that always hold.

use super::*;
use crate::code::{CodedItem, ItemEncoder, Quantiser, QueryCode};
use crate::vector::Components;

/// Codes items in one run, and scans it as a search does: each item's lower bound and exact distance.
fn scan_items(metric: Metric, items: &[Vec<f32>], query: &[f32]) -> Vec<(f32, f32)> {
    let dimension = query.len();
    let frame = Frame::new(metric, dimension, 3, None);
    let quantiser = (metric == Metric::Manhattan).then(|| Quantiser::fit(&items.concat(), dimension));
    if let Some(quantiser) = &quantiser {
        assert_eq!(Quantiser::decode(&quantiser.encode(), dimension).as_ref(), Ok(quantiser));
    }
    let mut encoder = ItemEncoder::new(metric, CodeKind::of_items(metric), frame.padded(), quantiser.as_ref());
    let coded =
        items.iter().zip(0..items.len() as u32).map(|(vector, payload)| CodedItem { vector, placed: &[], payload });
    let (bytes, radius) = encoder.encode_run(4, &Centroid::zero(frame.padded()), 0, coded);
    let kind = CodeKind::of_items(metric);
    let bytes = Aligned::from(bytes);
    let run = Run::parse(&bytes, kind, frame.padded()).unwrap();
    assert!(run.is_intact() && radius == 0.0);
    assert_eq!(Some(bytes.len()), kind.run_bytes(frame.padded(), items.len()));
    let mut code = QueryCode::default();
    code.prepare(&frame, query, 1.9);
    quantiser.iter().for_each(|quantiser| code.add_quantiser(quantiser));
    let mut bound = code.item_bound(kernels(), 0, &run);
    bound.threshold = f32::INFINITY;
    let mut found = Vec::new();
    for block in run.blocks() {
        let mut lower = [f32::NAN; LANES];
        assert_eq!(code.scan_items(kernels(), 0, &block, bound, &mut lower), 0xffff);
        found.extend(lower);
    }
    assert!(found[items.len()..].iter().all(|&lower| lower == f32::INFINITY), "empty lanes");
    let distance = |vector: &Vec<f32>| code.distance(kernels(), Components::Floats(vector), 0.0);
    found.into_iter().zip(items.iter().map(distance)).collect()
}

/// The share of the distance that the bounds lose, of items that all bounds hold for.
fn loss(items: &[Vec<f32>], query: &[f32]) -> f32 {
    let found = scan_items(Metric::Manhattan, items, query);
    for &(lower, distance) in &found {
        assert!(lower <= distance, "a bound of {lower} for a distance of {distance}");
    }
    let lost: f32 = found.iter().map(|(lower, distance)| distance - lower).sum();
    lost / found.iter().map(|(_, distance)| distance).sum::<f32>().max(f32::MIN_POSITIVE)
}

fn gaussians(count: usize, dimension: usize, generator: &mut Xoshiro256PlusPlus) -> Vec<Vec<f32>> {
    (0..count).map(|_| vector(dimension, generator)).collect()
}

#[test]
fn bounds_of_bytes_hold_and_are_tight_where_dimensions_are_alike() {
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(31);
    for dimension in [1, 3, 17, 64, 65, 384] {
        for offset in [0.0, 1000.0] {
            let mut items = gaussians(500, dimension, &mut generator);
            items.iter_mut().flatten().for_each(|component| *component += offset);
            let query = items.pop().unwrap();
            let loss = loss(&items, &query);
            assert!(loss < 0.02, "{dimension}: bounds lose {loss} of the distances");
        }
    }
}

#[test]
fn bounds_of_whole_numbers_lose_nothing_but_the_rounding() {
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(32);
    for (low, range) in [(0.0, 255.0), (-128.0, 255.0), (1_000_000.0, 9.0)] {
        let mut items = gaussians(300, 40, &mut generator);
        let whole = |component: &mut f32| *component = low + (component.abs() * range / 3.0).min(range).round();
        items.iter_mut().flatten().for_each(whole);
        let query = items.pop().unwrap();
        assert!(loss(&items, &query) < 1e-5);
    }
}

#[test]
fn bounds_hold_of_queries_and_items_that_no_code_fits() {
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(33);
    let mut items = gaussians(400, 24, &mut generator);
    for (at, item) in items.iter_mut().enumerate() {
        item[0] *= 1000.0;
        item[at % 24] *= if at % 7 == 0 { 1e15 } else { 1.0 };
    }
    loss(&items, &vector(24, &mut generator));
    loss(&items, &[1e18; 24]);
    loss(&items, &items[0]);
    for same in [0.0, 2.5, 1e18, 1e-44] {
        let lost = loss(&vec![vec![same; 24]; 30], &[same; 24]);
        assert!(lost == 0.0 || same == 1e-44, "bounds of items that are all {same} lose {lost}");
        loss(&vec![vec![same; 24]; 30], &[7.0; 24]);
        loss(&[vec![same; 24]], &[-1e18; 24]);
    }
}

#[test]
fn bounds_of_bits_are_the_distances() {
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(34);
    for dimension in [1, 3, 17, 64, 65, 100, 1025, 4096] {
        let mut items = gaussians(40, dimension, &mut generator);
        items.iter_mut().flatten().for_each(|component| *component = f32::from(u8::from(*component > 0.0)));
        let query = items[7].clone();
        let found = scan_items(Metric::Hamming, &items, &query);
        assert_eq!(found[7], (0.0, 0.0));
        for ((lower, distance), item) in found.into_iter().zip(&items) {
            let differing = item.iter().zip(&query).filter(|(a, b)| a != b).count();
            assert_eq!((lower, distance), (differing as f32, differing as f32), "dimension {dimension}");
        }
    }
}

#[test]
fn a_quantiser_that_is_none_is_refused() {
    let good = Quantiser::fit(&[0.0, 1.0, 2.0, 3.0], 2).encode();
    assert!(Quantiser::decode(&good, 2).is_ok());
    for len in 0..good.len() {
        assert!(Quantiser::decode(&good[..len], 2).is_err());
    }
    assert!(Quantiser::decode(&good, 3).is_err() && Quantiser::decode(&good, 1).is_err());
    for (at, wrong) in [(0, 0.0f32), (0, -1.0), (0, f32::NAN), (0, f32::INFINITY), (4, f32::NAN), (8, f32::INFINITY)]
    {
        let mut bad = good.clone();
        bad[at..at + 4].copy_from_slice(&wrong.to_le_bytes());
        assert!(Quantiser::decode(&bad, 2).is_err(), "{wrong} at {at}");
    }
}
