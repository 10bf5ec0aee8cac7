//! One battery for every set of kernels that the processor has.

use super::dispatch::choose;
use super::scan::CHUNK_BYTES;
use super::{
    Block, Bound, FactorScale, Kernels, LANES, SHORT_FACTORS_BYTES, ScanTable, available, block_bytes, kernels, pad,
    prefetch, scalar, set_code,
};

mod bytes;
mod items;

/// Seeded numbers (splitmix64).
pub(super) struct Numbers(u64);

impl Numbers {
    pub(super) fn new(seed: u64) -> Numbers {
        Numbers(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn float(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    /// Floats of [-1, 1).
    pub(super) fn floats(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.float()).collect()
    }

    /// Floats spread like the components of a rotated vector: nearly normal.
    fn normal_floats(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| (0..12).map(|_| self.float()).sum::<f32>() / 2.0).collect()
    }

    /// Any signed bytes, -128 included.
    pub(super) fn signed_bytes(&mut self, count: usize) -> Vec<i8> {
        (0..count).map(|_| self.next() as i8).collect()
    }
}

/// A block of random codes with sensible factors, as words so that it is aligned.
pub(super) fn block_of(numbers: &mut Numbers, padded: usize) -> Vec<u32> {
    let code_words = padded / 32 * CHUNK_BYTES / 4;
    let mut words: Vec<u32> = (0..code_words).map(|_| numbers.next() as u32).collect();
    for sign in [1.0, -1.0, 1.0] {
        words.extend((0..LANES).map(|_| (numbers.float().abs() * sign).to_bits()));
    }
    words.extend(0..LANES as u32);
    assert_eq!(words.len() * 4, block_bytes(padded));
    words
}

const LENGTHS: [usize; 4] = [1025, 1536, 3000, 4096];
/// Padded dimensions around the point where 16-bit sums are widened, and the largest one.
const PADDED: [usize; 9] = [64, 128, 384, 960, 1024, 1088, 1536, 4096, 16_384];

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Checks both sums of floats against float64.
fn check_sums(set: &Kernels, a: &[f32], b: &[f32]) {
    let pairs = || a.iter().zip(b).map(|(&a, &b)| (f64::from(a), f64::from(b)));
    let roundings = (a.len() + 8) as f64 * f64::from(f32::EPSILON) / 2.0;
    let underflow = a.len() as f64 * f64::from(f32::from_bits(1));
    let (exact, magnitude) = pairs().fold((0.0, 0.0), |(sum, all), (a, b)| (sum + a * b, all + (a * b).abs()));
    let got = f64::from(set.dot(a, b));
    let off = (got - exact).abs();
    assert!(off <= roundings * magnitude + underflow, "{} dot {}: {got}, not {exact}", set.name, a.len());
    let exact = pairs().map(|(a, b)| (a - b) * (a - b)).sum::<f64>();
    let got = f64::from(set.squared_euclidean(a, b));
    let off = (got - exact).abs();
    assert!(off <= roundings * exact + underflow, "{} distance {}: {got}, not {exact}", set.name, a.len());
}

#[test]
fn sums_of_floats_match_float64_at_every_length_and_alignment() {
    for set in available() {
        let mut numbers = Numbers::new(1);
        for length in (0..=130).chain(LENGTHS) {
            for (a_start, b_start) in [(0, 0), (1, 0), (3, 2), (5, 7)] {
                let (a, b) = (numbers.floats(length + a_start), numbers.floats(length + b_start));
                check_sums(set, &a[a_start..], &b[b_start..]);
                let tiny: Vec<f32> = a.iter().map(|component| component * 1e-40).collect();
                check_sums(set, &tiny[a_start..], &b[b_start..]);
                check_sums(set, &tiny[a_start..], &tiny[a_start..]);
            }
        }
    }
}

#[test]
fn every_component_counts_once() {
    for set in available() {
        for length in (1..=130).chain(LENGTHS) {
            let mut a = vec![0.0; length];
            for at in [0, length / 2, length - 1] {
                a[at] = 3.0;
                assert_eq!(set.dot(&a, &vec![2.0; length]), 6.0, "{} {at} of {length}", set.name);
                assert_eq!(set.squared_euclidean(&a, &vec![0.0; length]), 9.0, "{} {at} of {length}", set.name);
                a[at] = f32::NAN;
                assert!(set.dot(&a, &vec![0.0; length]).is_nan(), "{} {at} of {length}", set.name);
                assert!(set.squared_euclidean(&a, &a).is_nan(), "{} {at} of {length}", set.name);
                a[at] = f32::INFINITY;
                assert_eq!(set.dot(&a, &vec![1.0; length]), f32::INFINITY, "{} {at} of {length}", set.name);
                a[at] = 0.0;
            }
            assert_eq!(set.squared_euclidean(&a, &a), 0.0, "{} {length}", set.name);
        }
    }
}

/// The sum of the entries that a lane selects, read from the layout.
fn integer_sum(codes: &[u8], entries: &[u8], lane: usize) -> u64 {
    let mut sum = 0;
    for group in 0..codes.len() / 8 {
        let (chunk, group) = (group / 8, group % 8);
        let code = codes[chunk * CHUNK_BYTES + group / 2 * LANES + lane] >> (4 * (group % 2)) & 15;
        sum += u64::from(entries[chunk * 128 + group % 2 * 64 + group / 2 * 16 + usize::from(code)]);
    }
    sum
}

fn set_factors(words: &mut [u32], padded: usize, add: [f32; LANES], mul: [f32; LANES], err: [f32; LANES]) {
    let start = padded / 32 * CHUNK_BYTES / 4;
    for (word, factor) in words[start..].iter_mut().zip(add.iter().chain(&mul).chain(&err)) {
        *word = factor.to_bits();
    }
}

#[test]
fn sums_of_scans_are_equal_bit_for_bit() {
    let mut numbers = Numbers::new(3);
    for padded in PADDED {
        for round in 0..12 {
            let mut words = block_of(&mut numbers, padded);
            set_factors(&mut words, padded, [0.0; LANES], [1.0; LANES], [0.0; LANES]);
            let block = Block::new(bytemuck::cast_slice(&words), padded).expect("a block");
            let entries = match round {
                0 => vec![255; padded * 4],
                1 => vec![0; padded * 4],
                _ => (0..padded * 4).map(|_| numbers.next() as u8).collect(),
            };
            let exact: Vec<f32> = (0..LANES).map(|lane| integer_sum(block.codes(), &entries, lane) as f32).collect();
            let table = ScanTable::of_entries(&entries, 1.0, 0.0);
            let bound = Bound { base: 0.0, slack: 0.0, threshold: f32::INFINITY };
            for set in available() {
                let mut lower = [f32::NAN; LANES];
                assert_eq!(set.scan(&block, &table, bound, &mut lower), 0xffff);
                assert_eq!(lower.to_vec(), exact, "{} {padded} round {round}", set.name);
            }
        }
    }
}

#[test]
fn bounds_of_scans_match_float64() {
    let mut numbers = Numbers::new(4);
    for padded in PADDED {
        for _ in 0..10 {
            let words = block_of(&mut numbers, padded);
            let long = Block::new(bytemuck::cast_slice(&words), padded).expect("a block");
            bounds_match_float64(&long, padded, &mut numbers);
            let shorts: Vec<u16> = (0..SHORT_FACTORS_BYTES / 2).map(|_| numbers.next() as u16).collect();
            let scale = FactorScale { least: -3.0, add: 0.001, mul: 1e-5, err: 2e-6 };
            let short = Block::short(long.codes(), bytemuck::cast_slice(&shorts), scale, 7).expect("a block");
            assert_eq!(short.payload(15), 22);
            bounds_match_float64(&short, padded, &mut numbers);
        }
    }
}

/// Every set scans a block as float64 does, but for rounding.
fn bounds_match_float64(block: &Block<'_>, padded: usize, numbers: &mut Numbers) {
    let mut table = ScanTable::default();
    table.fill(&numbers.floats(padded));
    let bound = Bound { base: numbers.float() * 9.0, slack: 1.5, threshold: 0.0 };
    let (scale, offset) = (f64::from(table.scale()), f64::from(table.offset()));
    let factors = block.factors();
    for set in available() {
        let mut lower = [0.0; LANES];
        set.scan(block, &table, bound, &mut lower);
        for (lane, got) in lower.into_iter().enumerate() {
            let sum = integer_sum(block.codes(), table.entries(), lane) as f64;
            let [add, mul, err] = factors.map(|factor| f64::from(factor[lane]));
            let exact = add + f64::from(bound.base) + mul * (scale * sum + offset) - 1.5 * err;
            let magnitude =
                f64::from(bound.base.abs()) + add.abs() + mul.abs() * (scale * sum + offset.abs()) + 1.5 * err;
            let off = (f64::from(got) - exact).abs();
            assert!(off <= 4.0 * f64::from(f32::EPSILON) * magnitude, "{} {padded} {lane}", set.name);
        }
    }
}

#[test]
fn a_lane_passes_unless_its_bound_is_above_the_threshold() {
    let mut numbers = Numbers::new(5);
    let padded = 192;
    let words = block_of(&mut numbers, padded);
    let block = Block::new(bytemuck::cast_slice(&words), padded).expect("a block");
    let mut table = ScanTable::default();
    table.fill(&numbers.floats(padded));
    for set in available() {
        let (mut lower, mut again) = ([0.0f32; LANES], [0.0; LANES]);
        let bound = Bound { base: 0.25, slack: 1.0, threshold: f32::NAN };
        assert_eq!(set.scan(&block, &table, bound, &mut lower), 0xffff, "a threshold that is NaN passes all");
        for lane in 0..LANES {
            for threshold in [lower[lane], lower[lane].next_down(), lower[lane].next_up()] {
                let mask = set.scan(&block, &table, Bound { threshold, ..bound }, &mut again);
                let expected = (0..LANES).map(|lane| u32::from(lower[lane] <= threshold) << lane).sum::<u32>();
                assert_eq!(mask, expected, "{} lane {lane}", set.name);
                assert_eq!(bits(&lower), bits(&again));
            }
        }
    }
}

#[test]
fn nan_passes_and_empty_lanes_do_not() {
    let mut numbers = Numbers::new(6);
    let padded = 128;
    let mut words = block_of(&mut numbers, padded);
    let (mut add, mut mul, mut err) = ([1e9; LANES], [-1.0; LANES], [0.5; LANES]);
    (add[1], mul[2], err[3]) = (f32::NAN, f32::NAN, f32::NAN);
    (add[4], mul[4], err[4]) = (f32::INFINITY, 0.0, 0.0);
    (add[5], err[6], mul[7]) = (f32::NEG_INFINITY, f32::INFINITY, f32::NEG_INFINITY);
    (add[8], err[8]) = (f32::INFINITY, f32::INFINITY);
    set_factors(&mut words, padded, add, mul, err);
    let block = Block::new(bytemuck::cast_slice(&words), padded).expect("a block");
    let table = ScanTable::of_entries(&vec![3; padded * 4], 1.0, 0.0);
    for set in available() {
        let mut lower = [0.0; LANES];
        let bound = Bound { base: 0.0, slack: 1.0, threshold: 1e6 };
        assert_eq!(set.scan(&block, &table, bound, &mut lower), 0b1_1110_1110, "{}", set.name);
        assert!([1, 2, 3, 8].iter().all(|&lane: &usize| lower[lane].is_nan()), "{} {lower:?}", set.name);
        assert_eq!(lower[4], f32::INFINITY, "{}", set.name);
        let bound = Bound { threshold: f32::INFINITY, ..bound };
        assert_eq!(set.scan(&block, &table, bound, &mut lower), 0xffff, "{}", set.name);
    }
}

/// The signed sum of a group in float64, less the smallest one there is.
fn plain_entry(group: &[f32], code: usize) -> f64 {
    let signed =
        |(bit, &value): (usize, &f32)| if code >> bit & 1 == 1 { f64::from(value) } else { -f64::from(value) };
    group.iter().enumerate().map(|at| signed(at) + f64::from(at.1.abs())).sum()
}

#[test]
fn tables_are_the_same_on_every_set_and_within_rounding_of_the_plain_form() {
    let mut numbers = Numbers::new(7);
    for padded in PADDED {
        for size in [1.0, 0.0, 1e-42, 1e-30, 1e18] {
            let query: Vec<f32> = numbers.normal_floats(padded).iter().map(|value| value * size).collect();
            let mut reference = ScanTable::default();
            reference.fill_with(&scalar::KERNELS, &query);
            let widest = query.chunks(4).map(|group| group.iter().map(|value| value.abs()).sum()).fold(0.0, f32::max);
            assert!((reference.scale() - 2.0 * widest / 255.0).abs() <= widest * 1e-6 + f32::MIN_POSITIVE);
            for (at, group) in query.chunks(4).enumerate() {
                let start = at / 8 * 128 + at % 2 * 64 + at % 8 / 2 * 16;
                for code in 0..16 {
                    let exact = plain_entry(group, code) / f64::from(reference.scale());
                    let off = f64::from(reference.entries()[start + code]) - exact;
                    assert!(off.abs() <= 0.501, "{padded} {size}: off by {off}");
                }
            }
            for set in available() {
                let mut table = ScanTable::default();
                table.fill(&vec![7.0; 64]);
                table.fill_with(set, &query);
                assert_eq!(table.entries(), reference.entries(), "{} {padded} {size}", set.name);
                assert_eq!(table.scale(), reference.scale(), "{} {padded} {size}", set.name);
                assert_eq!(table.offset(), reference.offset(), "{} {padded} {size}", set.name);
            }
        }
    }
}

#[test]
fn tables_of_queries_that_are_not_finite_are_only_useless() {
    for set in available() {
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut table = ScanTable::default();
            let mut query = vec![1.0; 64];
            query[17] = value;
            table.fill_with(set, &query);
            assert_eq!(table.entries().len(), 256);
        }
    }
}

#[test]
fn codes_are_where_the_layout_says() {
    let padded = 64;
    for lane in 0..LANES {
        for at in 0..padded {
            let mut residual = vec![-1.0; padded];
            residual[at] = 0.0;
            let mut codes = vec![0; padded / 32 * CHUNK_BYTES];
            set_code(&mut codes, lane, &[1.0; 64]);
            set_code(&mut codes, lane, &residual);
            let mut expected = vec![0; codes.len()];
            expected[at / 32 * CHUNK_BYTES + at % 32 / 8 * LANES + lane] = 1 << (at % 8);
            assert_eq!(codes, expected, "dimension {at} of lane {lane}");
        }
    }
}

#[test]
fn covered_tables_give_sums_that_are_not_below_the_truth() {
    let mut numbers = Numbers::new(8);
    for padded in [64, 384, 1088] {
        let (mut below, mut below_uncovered, mut worst) = (0, 0, 0.0f64);
        let tables = 1_500;
        for _ in 0..tables {
            let query = numbers.normal_floats(padded);
            let mut codes = vec![0; padded / 32 * CHUNK_BYTES];
            let mut exact = [0.0f64; LANES];
            for (lane, exact) in exact.iter_mut().enumerate() {
                let residual = numbers.floats(padded);
                set_code(&mut codes, lane, &residual);
                let sign = |at: usize| if residual[at] >= 0.0 { 1.0 } else { -1.0 };
                *exact = query.iter().enumerate().map(|(at, &value)| sign(at) * f64::from(value)).sum();
            }
            let mut table = ScanTable::default();
            table.fill(&query);
            let mut covered = table.clone();
            covered.cover_rounding();
            let deviation = f64::from(table.scale()) * (padded as f64 / 48.0).sqrt();
            for (lane, exact) in exact.into_iter().enumerate() {
                let sum = f64::from(table.scale()) * integer_sum(&codes, table.entries(), lane) as f64;
                below_uncovered += usize::from(sum + f64::from(table.offset()) < exact);
                let short = exact - sum - f64::from(covered.offset());
                below += usize::from(short > 0.0);
                worst = worst.max(short / deviation);
            }
        }
        let sums = tables * LANES;
        assert!(below * 2_000 <= sums, "{padded}: {below} of {sums} below the truth");
        assert!(worst < 1.0, "{padded}: {worst} deviations below");
        assert!(below_uncovered > sums / 3, "{padded}: the covering is put to the test");
    }
}

#[test]
fn transforms_are_the_same_on_every_set() {
    let mut numbers = Numbers::new(9);
    for exponent in 0..=14 {
        let values = numbers.floats(1 << exponent);
        let mut reference = values.clone();
        scalar::KERNELS.hadamard(&mut reference);
        for set in available() {
            let mut transformed = values.clone();
            set.hadamard(&mut transformed);
            assert_eq!(bits(&transformed), bits(&reference), "{} {exponent}", set.name);
            set.hadamard(&mut transformed);
            let off = transformed.iter().zip(&values).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(off < 1e-5, "{} {exponent}: off by {off} after two transforms", set.name);
        }
    }
}

#[test]
fn transforms_match_the_matrix() {
    for length in [1usize, 2, 4, 8, 16, 32, 64, 128, 512, 1024] {
        let values = Numbers::new(10).floats(length);
        let mut transformed = values.clone();
        kernels().hadamard(&mut transformed);
        for (row, got) in transformed.into_iter().enumerate() {
            let sign = |at: usize| if (row & at).count_ones().is_multiple_of(2) { 1.0 } else { -1.0 };
            let exact: f64 = values.iter().enumerate().map(|(at, &value)| sign(at) * f64::from(value)).sum();
            let exact = exact / (length as f64).sqrt();
            assert!((f64::from(got) - exact).abs() < 1e-5, "row {row} of {length}: {got}, not {exact}");
        }
    }
}

#[test]
fn products_and_sums_of_vectors_are_the_same_on_every_set() {
    let mut numbers = Numbers::new(11);
    for length in (0..=130).chain(LENGTHS) {
        let (a, b) = (numbers.floats(length + 1), numbers.floats(length));
        let products: Vec<f32> = a[1..].iter().zip(&b).map(|(a, b)| a * b).collect();
        let sums: Vec<f32> = a[1..].iter().zip(&b).map(|(a, b)| a + b).collect();
        for set in available() {
            let (mut product, mut sum) = (a.clone(), a.clone());
            set.multiply(&mut product[1..], &b);
            set.add_assign(&mut sum[1..], &b);
            assert_eq!(bits(&product[1..]), bits(&products), "{} {length}", set.name);
            assert_eq!(bits(&sum[1..]), bits(&sums), "{} {length}", set.name);
        }
    }
}

#[test]
fn a_name_forces_a_set_and_others_are_ignored() {
    let sets = available();
    assert_eq!([sets[0].name, sets[1].name], ["scalar", "portable"]);
    let fastest = sets[sets.len() - 1].name;
    for set in &sets {
        assert_eq!(choose(&sets, Some(set.name)).name, set.name);
    }
    for name in [None, Some(""), Some("AVX2"), Some("neon"), Some("quantum")] {
        assert_eq!(choose(&sets, name).name, fastest);
    }
    assert_eq!(choose(&sets[..2], Some("avx512")).name, "portable", "a set that is not there");
    let variable = std::env::var("UNDERSTORY_KERNEL").ok();
    assert_eq!(kernels().name, choose(&sets, variable.as_deref()).name, "what the variable says");
}

#[test]
fn any_slice_can_be_asked_for() {
    for length in [0, 1, 63, 64, 65, 8192, 100_000] {
        prefetch(&vec![0; length]);
    }
}

#[test]
#[should_panic(expected = "vectors of one length")]
fn vectors_of_two_lengths_are_a_bug() {
    kernels().dot(&[1.0; 4], &[1.0; 5]);
}

#[test]
#[should_panic(expected = "a block and a table of one dimension")]
fn a_block_and_a_table_of_two_dimensions_are_a_bug() {
    let words = block_of(&mut Numbers::new(12), pad(100));
    let block = Block::new(bytemuck::cast_slice(&words), 128).expect("a block");
    let table = ScanTable::of_entries(&vec![0; 64 * 4], 1.0, 0.0);
    let bound = Bound { base: 0.0, slack: 0.0, threshold: 0.0 };
    kernels().scan(&block, &table, bound, &mut [0.0; LANES]);
}
