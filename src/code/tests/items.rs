//! Codes of bytes, of half bytes and of bits: bounds that always hold.

use super::*;
use crate::code::{CodedItem, ItemEncoder, LOSES_NONE, NO_ENTRY, Quantiser, QueryCode};
use crate::vector::Components;

/// Codes items in one run, and scans it as a search does: each item's lower bound and exact distance.
fn scan_items(kind: CodeKind, items: &[Vec<f32>], query: &[f32]) -> Vec<(f32, f32)> {
    scan_items_with(kind, items, query, LOSES_NONE)
}

fn scan_items_with(kind: CodeKind, items: &[Vec<f32>], query: &[f32], error_bound: f32) -> Vec<(f32, f32)> {
    let metric = if kind == CodeKind::Bits { Metric::Hamming } else { Metric::Manhattan };
    let dimension = query.len();
    let frame = Frame::new(metric, dimension, 3, None);
    let quantiser = Quantiser::fit(kind, &items.concat(), dimension);
    if let Some(quantiser) = &quantiser {
        assert_eq!(Quantiser::decode(kind, &quantiser.encode(), dimension).unwrap().as_ref(), Some(quantiser));
    }
    let mut encoder = ItemEncoder::new(&frame, kind, quantiser.as_ref());
    let coded =
        items.iter().zip(0..items.len() as u32).map(|(vector, payload)| CodedItem { vector, placed: &[], payload });
    let (bytes, radius) = encoder.encode_run(4, &Centroid::zero(frame.padded()), 0, coded);
    let bytes = Aligned::from(bytes);
    let run = Run::parse(&bytes, kind, frame.padded()).unwrap();
    assert!(run.is_intact() && radius == 0.0);
    assert_eq!(Some(bytes.len()), kind.run_bytes(frame.padded(), items.len()));
    let mut code = QueryCode::default();
    code.prepare(&frame, query, error_bound);
    quantiser.iter().for_each(|quantiser| code.add_quantiser(quantiser));
    let mut bound = code.item_bound(kernels(), 0, &run);
    bound.threshold = f32::INFINITY;
    let mut found = Vec::new();
    for block in run.blocks() {
        let mut lower = [f32::NAN; LANES];
        assert_eq!(code.scan_items(kernels(), 0, &block, bound, &mut lower), 0xffff);
        found.extend(lower.into_iter().zip(block.payloads()));
    }
    let numbers = found.iter().map(|&(_, number)| number).take(items.len());
    assert!(numbers.eq(0..items.len() as u32));
    // Where payloads are not stored empty lanes are left out by their number.
    let empty = |&(lower, number): &(f32, u32)| lower == f32::INFINITY && number == NO_ENTRY;
    assert!(kind == CodeKind::HalfBytes || found[items.len()..].iter().all(empty), "empty lanes");
    let distance = |vector: &Vec<f32>| code.distance(kernels(), Components::Floats(vector), 0.0);
    found.into_iter().map(|(lower, _)| lower).zip(items.iter().map(distance)).collect()
}

/// The share of the distance that the bounds lose, of items that all bounds hold for.
fn loss(kind: CodeKind, items: &[Vec<f32>], query: &[f32]) -> f32 {
    let found = scan_items(kind, items, query);
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
fn bounds_of_bytes_and_half_bytes_hold_and_are_tight_where_dimensions_are_alike() {
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(31);
    for dimension in [1, 3, 17, 64, 65, 384] {
        for offset in [0.0, 1000.0] {
            let mut items = gaussians(500, dimension, &mut generator);
            items.iter_mut().flatten().for_each(|component| *component += offset);
            let query = items.pop().unwrap();
            for (kind, most) in [(CodeKind::Bytes, 0.02), (CodeKind::HalfBytes, 0.12)] {
                let loss = loss(kind, &items, &query);
                assert!(loss < most, "{dimension}: bounds of {kind:?} lose {loss} of the distances");
            }
        }
    }
}

#[test]
fn bounds_of_half_bytes_allow_for_no_more_than_the_errors_of_near_items() {
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(36);
    let items = gaussians(24, 128, &mut generator);
    let lost = |items: &[Vec<f32>], query: &[f32], error_bound| {
        let found = scan_items_with(CodeKind::HalfBytes, items, query, error_bound);
        found.into_iter().map(|(lower, distance)| distance - lower).collect::<Vec<_>>()
    };
    let total = |lost: Vec<f32>| lost.iter().sum::<f32>();
    let query = vector(128, &mut generator);
    assert!(total(lost(&items, &query, 1.9)) < 0.8 * total(lost(&items, &query, LOSES_NONE)));
    // The share was measured from each item to each other. To itself an item's code errs by all of the error.
    for (own, item) in items.iter().enumerate() {
        let others = lost(&items, item, 1.9).into_iter().enumerate().filter(|&(at, _)| at != own);
        others.for_each(|(at, lost)| assert!(lost > -1e-3, "from {own} to {at}: {lost} above the distance"));
    }
}

#[test]
fn bounds_of_half_bytes_hold_for_every_item_where_items_have_near_copies_or_are_few() {
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(37);
    let items = gaussians(24, 128, &mut generator);
    let mut copies = [items.clone(), items.clone()].concat();
    copies.truncate(30);
    for items in [&copies[..], &items[..7]] {
        for query in items {
            let usual = scan_items_with(CodeKind::HalfBytes, items, query, 1.9);
            assert_eq!(usual, scan_items(CodeKind::HalfBytes, items, query));
        }
    }
}

#[test]
fn a_share_of_errors_that_is_none_stands_for_the_whole_error() {
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(38);
    let items = gaussians(24, 64, &mut generator);
    let frame = Frame::new(Metric::Manhattan, 64, 3, None);
    let quantiser = Quantiser::fit(CodeKind::HalfBytes, &items.concat(), 64);
    let coded = items.iter().zip(0..24).map(|(vector, payload)| CodedItem { vector, placed: &[], payload });
    let mut encoder = ItemEncoder::new(&frame, CodeKind::HalfBytes, quantiser.as_ref());
    let (mut bytes, _) = encoder.encode_run(0, &Centroid::zero(64), 0, coded);
    let share =
        |bytes: &[u8]| Run::parse(&Aligned::from(bytes.to_vec()), CodeKind::HalfBytes, 64).unwrap().error_share();
    assert!((0.1..1.0).contains(&share(&bytes)));
    for none in [0.0, -0.5, 1.5, f32::NAN, f32::INFINITY] {
        bytes[44..48].copy_from_slice(&none.to_le_bytes());
        assert_eq!(share(&bytes), 1.0, "{none}");
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
        assert!(loss(CodeKind::Bytes, &items, &query) < 1e-5);
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
    for kind in [CodeKind::Bytes, CodeKind::HalfBytes] {
        loss(kind, &items, &vector(24, &mut generator));
        loss(kind, &items, &[1e18; 24]);
        loss(kind, &items, &items[0]);
        for same in [0.0, 2.5, 1e18, 1e-44] {
            let lost = loss(kind, &vec![vec![same; 24]; 30], &[same; 24]);
            assert!(lost == 0.0 || same == 1e-44, "bounds of items that are all {same} lose {lost}");
            loss(kind, &vec![vec![same; 24]; 30], &[7.0; 24]);
            loss(kind, &[vec![same; 24]], &[-1e18; 24]);
        }
    }
}

#[test]
fn half_bytes_lose_nothing_of_few_values() {
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(35);
    let few = |component: f32| 3.0 * (5.0 * component.abs()).min(15.0).floor();
    let mut items = gaussians(300, 40, &mut generator);
    items.iter_mut().flatten().for_each(|component| *component = few(*component));
    let query = items.pop().unwrap();
    // Half a step of 255 for each component, of a widest distance of 45.
    let rounding = 0.5 * 45.0 / 255.0 * 40.0;
    let distance = scan_items(CodeKind::HalfBytes, &items, &query).iter().map(|found| found.1).sum::<f32>() / 299.0;
    let lost = loss(CodeKind::HalfBytes, &items, &query) * distance;
    assert!(lost < 1.2 * rounding, "{lost} of {distance}, where rounding takes {rounding}");
}

#[test]
fn an_error_too_long_for_float32_lets_its_whole_run_pass() {
    // 3e37 is farther than any accepted vector has it; what is on disk may.
    let items = [vec![3e37; 24], vec![1.0; 24]];
    let quantiser = Quantiser::fit(CodeKind::HalfBytes, &[0.0; 24], 24);
    let frame = Frame::new(Metric::Manhattan, 24, 3, None);
    let mut encoder = ItemEncoder::new(&frame, CodeKind::HalfBytes, quantiser.as_ref());
    let coded = items.iter().zip(0..2).map(|(vector, payload)| CodedItem { vector, placed: &[], payload });
    let (bytes, _) = encoder.encode_run(0, &Centroid::zero(frame.padded()), 0, coded);
    let bytes = Aligned::from(bytes);
    let run = Run::parse(&bytes, CodeKind::HalfBytes, frame.padded()).unwrap();
    let [add, mul, err] = run.blocks().next().unwrap().factors();
    assert_eq!((add[0], mul[0], err[0], add[1], mul[1], err[1]), (f32::MIN, 0.0, 0.0, f32::MIN, 0.0, 0.0));
}

#[test]
fn bounds_of_bits_are_the_distances() {
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(34);
    for dimension in [1, 3, 17, 64, 65, 100, 1025, 4096] {
        let mut items = gaussians(40, dimension, &mut generator);
        items.iter_mut().flatten().for_each(|component| *component = f32::from(u8::from(*component > 0.0)));
        let query = items[7].clone();
        let found = scan_items(CodeKind::Bits, &items, &query);
        assert_eq!(found[7], (0.0, 0.0));
        for ((lower, distance), item) in found.into_iter().zip(&items) {
            let differing = item.iter().zip(&query).filter(|(a, b)| a != b).count();
            assert_eq!((lower, distance), (differing as f32, differing as f32), "dimension {dimension}");
        }
    }
}

#[test]
fn a_quantiser_that_is_none_is_refused() {
    for kind in [CodeKind::Bytes, CodeKind::HalfBytes] {
        let good = Quantiser::fit(kind, &[0.0, 1.0, 2.0, 3.0], 2).unwrap().encode();
        let refuses = |bytes: &[u8], dimension| Quantiser::decode(kind, bytes, dimension).is_err();
        assert!(!refuses(&good, 2));
        assert!((0..good.len()).all(|len| refuses(&good[..len], 2)));
        assert!(refuses(&good, 3) && refuses(&good, 1));
    }
    assert_eq!(Quantiser::decode(CodeKind::Signs, &[], 2), Ok(None));
}

#[test]
fn levels_that_do_not_ascend_or_are_not_finite_are_refused() {
    let levels: Vec<f32> = (0..32).map(|at| (at % 16) as f32).collect();
    let refuses = |levels: &[f32]| Quantiser::decode(CodeKind::HalfBytes, bytemuck::cast_slice(levels), 2).is_err();
    assert!(!refuses(&levels));
    for (at, wrong) in [(3, 1.0), (15, f32::INFINITY), (16, f32::NEG_INFINITY), (20, f32::NAN), (31, 0.0)] {
        let mut bad = levels.clone();
        bad[at] = wrong;
        assert!(refuses(&bad), "{wrong} at {at}");
    }
}

#[test]
fn steps_that_are_none_are_refused() {
    let good = Quantiser::fit(CodeKind::Bytes, &[0.0, 1.0, 2.0, 3.0], 2).unwrap().encode();
    for (at, wrong) in [(0, 0.0f32), (0, -1.0), (0, f32::NAN), (0, f32::INFINITY), (4, f32::NAN), (8, f32::INFINITY)]
    {
        let mut bad = good.clone();
        bad[at..at + 4].copy_from_slice(&wrong.to_le_bytes());
        assert!(Quantiser::decode(CodeKind::Bytes, &bad, 2).is_err(), "{wrong} at {at}");
    }
}
