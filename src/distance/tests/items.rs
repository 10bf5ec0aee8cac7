//! The kernels of manhattan and hamming, each set against the same.

use super::{LENGTHS, Numbers, PADDED, bits, block_of, scalar};
use crate::distance::{Block, Bound, Coded, LANES, LEVELS, ScanTable, available, block_bytes, set_bits, set_bytes};

fn bytes(numbers: &mut Numbers, count: usize) -> Vec<u8> {
    numbers.signed_bytes(count).into_iter().map(i8::cast_unsigned).collect()
}

#[test]
fn sums_of_differences_match_float64_and_count_each_component_once() {
    for set in available() {
        let mut numbers = Numbers::new(21);
        for length in (0..=130).chain(LENGTHS) {
            for (a_start, b_start) in [(0, 0), (1, 0), (3, 2), (5, 7)] {
                let (a, b) = (numbers.floats(length + a_start), numbers.floats(length + b_start));
                let (a, b) = (&a[a_start..], &b[b_start..]);
                let exact: f64 = a.iter().zip(b).map(|(&a, &b)| (f64::from(a) - f64::from(b)).abs()).sum();
                let off = (f64::from(set.manhattan(a, b)) - exact).abs();
                let roundings = (length + 8) as f64 * f64::from(f32::EPSILON) / 2.0;
                assert!(off <= roundings * exact, "{} {length}: {off} off", set.name);
            }
            for at in 0..length {
                let mut a = vec![0.0; length];
                a[at] = -3.0;
                assert_eq!(set.manhattan(&a, &vec![0.0; length]), 3.0, "{} {at} of {length}", set.name);
                a[at] = f32::NAN;
                assert!(set.manhattan(&a, &a).is_nan(), "{} {at} of {length}", set.name);
            }
        }
    }
}

#[test]
fn differing_bits_are_counted_exactly() {
    let mut numbers = Numbers::new(22);
    for set in available() {
        for length in (0..=130).chain([2048]) {
            let (a, b) = (bytes(&mut numbers, length + 1), bytes(&mut numbers, length));
            let exact: u32 = a[1..].iter().zip(&b).map(|(a, b)| (a ^ b).count_ones()).sum();
            assert_eq!(set.hamming(&a[1..], &b), exact, "{} {length}", set.name);
            assert_eq!(set.hamming(&vec![255; length], &vec![0; length]), 8 * length as u32, "{} {length}", set.name);
        }
    }
}

/// A block with one vector of bytes a lane and the factors of another.
fn block_of_bytes(numbers: &mut Numbers, lanes: &[Vec<u8>]) -> Vec<u32> {
    let code_bits = 8 * lanes[0].len();
    let mut words = block_of(numbers, code_bits);
    let codes = lanes[0].len() * LANES;
    for (lane, code) in lanes.iter().enumerate() {
        set_bytes(&mut bytemuck::cast_slice_mut(&mut words)[..codes], lane, code);
    }
    words
}

#[test]
fn scans_of_bytes_sum_each_lane_exactly_and_alike_on_every_set() {
    let mut numbers = Numbers::new(23);
    for padded in PADDED {
        for round in 0..4 {
            let mut code = |value: u8| if round == 0 { vec![value; padded] } else { bytes(&mut numbers, padded) };
            let query = code(0);
            let lanes: Vec<Vec<u8>> = (0..LANES).map(|_| code(255)).collect();
            let words = block_of_bytes(&mut numbers, &lanes);
            let block = Block::new(bytemuck::cast_slice(&words), 8 * padded).expect("a block");
            let bound = Bound { base: -0.25, slack: 1.5, threshold: -50.0 * padded as f32 };
            let [add, mul, err] = block.factors();
            let expected: Vec<f32> = (0..LANES)
                .map(|lane| {
                    let sum: u32 = lanes[lane].iter().zip(&query).map(|(&a, &b)| u32::from(a.abs_diff(b))).sum();
                    (bound.base + add[lane]) + mul[lane] * sum as f32 - 1.5 * err[lane]
                })
                .collect();
            let passing = (0..LANES).map(|lane| u32::from(expected[lane] <= bound.threshold) << lane).sum::<u32>();
            for set in available() {
                let mut lower = [f32::NAN; LANES];
                assert_eq!(set.scan_bytes(&block, &query, bound, &mut lower), passing, "{} {padded}", set.name);
                assert_eq!(bits(&lower), bits(&expected), "{} {padded} round {round}", set.name);
            }
        }
    }
}

#[test]
fn nan_passes_a_scan_of_bytes_and_empty_lanes_do_not() {
    let mut numbers = Numbers::new(24);
    let mut words = block_of_bytes(&mut numbers, &vec![vec![0; 64]; LANES]);
    let factors = block_bytes(8 * 64) / 4 - 4 * LANES;
    words[factors..factors + LANES].copy_from_slice(&[f32::INFINITY.to_bits(); LANES]);
    words[factors + 3] = f32::NAN.to_bits();
    let block = Block::new(bytemuck::cast_slice(&words), 8 * 64).expect("a block");
    let bound = Bound { base: 0.0, slack: 1.0, threshold: 1e30 };
    for set in available() {
        let mut lower = [0.0; LANES];
        assert_eq!(set.scan_bytes(&block, &[9; 64], bound, &mut lower), 1 << 3, "{}", set.name);
        let all = Bound { threshold: f32::NAN, ..bound };
        assert_eq!(set.scan_bytes(&block, &[9; 64], all, &mut lower), 0xffff, "{}", set.name);
    }
}

#[test]
fn a_table_of_bits_makes_a_scan_count_the_bits_that_differ() {
    let mut numbers = Numbers::new(25);
    let bit_vector = |numbers: &mut Numbers, dimension: usize| {
        let components: Vec<f32> = numbers.floats(dimension).iter().map(|value| value.max(0.0).ceil()).collect();
        let byte = |bits: &[f32]| (0..).zip(bits).map(|(at, bit)| u8::from(*bit != 0.0) << at).sum::<u8>();
        components.chunks(8).map(byte).collect::<Vec<u8>>()
    };
    for (padded, dimension) in PADDED.into_iter().flat_map(|padded| [(padded, padded), (padded, padded - 61)]) {
        let mut words = vec![0u32; block_bytes(padded) / 4];
        let codes = padded * 2;
        for lane in 0..LANES {
            words[codes / 4 + LANES + lane] = 1f32.to_bits();
        }
        let lanes: Vec<Vec<u8>> = (0..LANES).map(|_| bit_vector(&mut numbers, dimension)).collect();
        for (lane, packed) in lanes.iter().enumerate() {
            set_bits(&mut bytemuck::cast_slice_mut(&mut words)[..codes], lane, packed);
        }
        let block = Block::new(bytemuck::cast_slice(&words), padded).expect("a block");
        let query = bit_vector(&mut numbers, dimension);
        let mut table = ScanTable::default();
        table.fill(&vec![3.0; padded]);
        table.fill_bits(&query, padded);
        let bound = Bound { base: 0.0, slack: 0.0, threshold: f32::INFINITY };
        for set in available() {
            let mut lower = [f32::NAN; LANES];
            set.scan(&block, &table, bound, &mut lower);
            let expected: Vec<f32> = lanes.iter().map(|lane| set.hamming(lane, &query) as f32).collect();
            assert_eq!(lower.to_vec(), expected, "{} {dimension}", set.name);
        }
    }
}

#[test]
fn sums_over_codes_match_float64_and_count_each_component_once() {
    let mut numbers = Numbers::new(27);
    let floats = |codes: &[u8]| codes.iter().map(|&code| f64::from(code)).collect::<Vec<_>>();
    for set in available() {
        for length in (0..=130).chain(LENGTHS) {
            for (start, low, step) in [(0, -1.0f32, 1.0 / 128.0), (1, 3.5, 0.0), (3, -1e6, 1.0), (5, 0.0, -0.25)] {
                let (vector, codes) = (numbers.floats(length + start), bytes(&mut numbers, length));
                let vector = &vector[start..];
                let pairs = || vector.iter().map(|&component| f64::from(component)).zip(floats(&codes));
                let (step64, low64) = (f64::from(step), f64::from(low));
                let off = (length + 8) as f64 * f64::from(f32::EPSILON);
                let coded = Coded { low, step, codes: &codes };
                let exact: f64 = pairs().map(|(a, b)| (low64 + step64 * b - a).abs()).sum();
                let size: f64 = pairs().map(|(a, b)| low64.abs() + (step64 * b).abs() + a.abs()).sum();
                let got = f64::from(set.manhattan_coded(vector, &coded));
                assert!((got - exact).abs() <= off * size, "{} manhattan {length}: {got}, not {exact}", set.name);
                let exact: f64 = pairs().map(|(a, b)| (low64 + step64 * b - a).powi(2)).sum();
                let size: f64 = pairs().map(|(a, b)| (low64.abs() + (step64 * b).abs() + a.abs()).powi(2)).sum();
                let got = f64::from(set.squared_euclidean_coded(vector, &coded));
                assert!((got - exact).abs() <= off * size, "{} euclidean {length}: {got}, not {exact}", set.name);
            }
            for at in 0..length {
                let (mut vector, mut codes) = (vec![0.0; length], vec![0; length]);
                (vector[at], codes[at]) = (2.0, 255);
                let coded = |codes| Coded { low: 0.0, step: 1.0, codes };
                assert_eq!(set.manhattan_coded(&vector, &coded(&codes)), 253.0, "{} {at} of {length}", set.name);
                let squared = set.squared_euclidean_coded(&vector, &coded(&codes));
                assert_eq!(squared, 253.0 * 253.0, "{} {at} of {length}", set.name);
            }
        }
    }
}

/// Levels that ascend, as far apart as they please.
fn levels(numbers: &mut Numbers, dimension: usize, size: f32) -> Vec<[f32; LEVELS]> {
    let ascending = |_| {
        let mut levels: Vec<f32> = numbers.floats(LEVELS).iter().map(|value| value * size).collect();
        levels.sort_by(f32::total_cmp);
        levels.try_into().unwrap()
    };
    (0..dimension).map(ascending).collect()
}

#[test]
fn tables_of_levels_are_the_same_on_every_set_and_never_more_than_the_distances() {
    let mut numbers = Numbers::new(28);
    for (padded, dimension) in PADDED.into_iter().flat_map(|padded| [(padded, padded), (padded, padded - 61)]) {
        for size in [1.0, 0.0, 1e-42, 1e-30, 1e18] {
            let levels = levels(&mut numbers, dimension, size);
            let query: Vec<f32> = numbers.floats(dimension).iter().map(|value| value * size).collect();
            let mut reference = ScanTable::default();
            reference.fill_levels_with(&scalar::KERNELS, &query, &levels, padded);
            assert_eq!(reference.entries().len(), padded * 16);
            let mut nearest_of_all = 0.0;
            for (at, (component, levels)) in query.iter().zip(&levels).enumerate() {
                let start = at / 8 * 128 + at % 2 * 64 + at % 8 / 2 * 16;
                let distances = levels.map(|level| (f64::from(*component) - f64::from(level)).abs());
                let nearest = distances.into_iter().fold(f64::INFINITY, f64::min);
                nearest_of_all += nearest;
                let step = -f64::from(reference.scale());
                for (entry, distance) in reference.entries()[start..start + LEVELS].iter().zip(distances) {
                    let lost = distance - nearest - f64::from(*entry) * step;
                    let rounding = 1e-6 * distance;
                    let most = if step > 0.0 { 1.001 * step } else { 1e-36 };
                    assert!(
                        lost >= -rounding && lost <= most + rounding,
                        "{padded} {size}: {lost} in steps of {step}"
                    );
                }
            }
            assert!((f64::from(reference.offset()) + nearest_of_all).abs() <= 1e-6 * nearest_of_all);
            for set in available() {
                let mut table = ScanTable::default();
                table.fill(&vec![7.0; padded]);
                table.fill_levels_with(set, &query, &levels, padded);
                assert_eq!(table.entries(), reference.entries(), "{} {padded} {size}", set.name);
                assert_eq!((table.scale(), table.offset()), (reference.scale(), reference.offset()), "{}", set.name);
            }
        }
    }
}

#[test]
fn tables_of_distances_that_are_not_finite_rule_nothing_out() {
    for set in available() {
        for (component, level) in [(3e38, -3e38), (f32::NAN, 0.0), (f32::INFINITY, 0.0), (-3e38, 1.0)] {
            let mut table = ScanTable::default();
            table.fill_levels_with(set, &[component; 64], &[[level; LEVELS]; 64], 64);
            assert_eq!((table.scale(), table.offset()), (0.0, 0.0), "{}", set.name);
            assert!(table.entries().iter().all(|&entry| entry == 0));
        }
    }
}
