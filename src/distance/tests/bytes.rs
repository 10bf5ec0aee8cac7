//! Vectors rounded to bytes and their products: all sets give the same integers.

use super::super::Halved;
use super::*;

#[test]
fn sums_of_bytes_are_exact() {
    let mut numbers = Numbers::new(2);
    for set in available() {
        for length in (0..=130).chain(LENGTHS).chain([16_384]) {
            for start in 0..3 {
                let (a, b) = (numbers.signed_bytes(length + start), numbers.signed_bytes(length));
                let a = &a[start..];
                let exact: i64 = a.iter().zip(&b).map(|(&a, &b)| i64::from(a) * i64::from(b)).sum();
                assert_eq!(i64::from(set.dot_i8(a, &b)), exact, "{} {length}", set.name);
            }
        }
        for (a, b) in [(-128, -128), (-128, 127), (127, 127)] {
            let exact = 16_384 * i32::from(a) * i32::from(b);
            assert_eq!(set.dot_i8(&[a; 16_384], &[b; 16_384]), exact, "{} {a} {b}", set.name);
        }
    }
}

#[test]
fn products_with_rows_are_those_with_each() {
    let mut numbers = Numbers::new(20);
    for set in available() {
        for length in (1..=130).chain(LENGTHS) {
            for rows in [0, 1, 3, 4, 5, 9] {
                let (vector, rows_codes) = (numbers.signed_bytes(length), numbers.signed_bytes(length * rows));
                let mut products = vec![i32::MAX; rows];
                set.dots_i8(&vector, &rows_codes, &mut products);
                let exact = |row: &[i8]| row.iter().zip(&vector).map(|(&a, &b)| i32::from(a) * i32::from(b)).sum();
                let exact: Vec<i32> = rows_codes.chunks_exact(length).map(exact).collect();
                assert_eq!(products, exact, "{} {length} {rows}", set.name);
            }
        }
        let mut products = [0; 5];
        set.dots_i8(&[-128; 65_536], &[-128; 5 * 65_536], &mut products);
        assert_eq!(products, [1 << 30; 5], "{}", set.name);
    }
}

/// Words, and their halves.
fn split(words: impl Iterator<Item = i16>) -> (Vec<i16>, Vec<i8>, Vec<i8>) {
    let words: Vec<i16> = words.collect();
    let (high, low) = words.iter().map(|&word| Halved::halves(word).into()).unzip();
    (words, high, low)
}

#[test]
fn products_with_codes_are_exact_and_those_that_overflow_are_alike_on_every_set() {
    let mut numbers = Numbers::new(22);
    for set in available() {
        for length in (0..=130).chain(LENGTHS) {
            for start in 0..3 {
                let mut word =
                    || i16::from_le_bytes([numbers.signed_bytes(1)[0] as u8, numbers.signed_bytes(1)[0] as u8]);
                let words = (0..length + start).map(|_| word().clamp(-Halved::MOST, Halved::MOST));
                let (words, high, low) = split(words);
                let vector = Halved { words: &words[start..], high: &high[start..], low: &low[start..] };
                let mut row =
                    || -> Vec<u8> { numbers.signed_bytes(length).into_iter().map(i8::cast_unsigned).collect() };
                let rows: Vec<Vec<u8>> = (0..start * 3 + 1).map(|_| row()).collect();
                let rows: Vec<&[u8]> = rows.iter().map(Vec::as_slice).collect();
                let product = |row: &&[u8]| -> i64 {
                    vector.words.iter().zip(*row).map(|(&a, &b)| i64::from(a) * i64::from(b)).sum()
                };
                let exact: Vec<i32> = rows.iter().map(|row| product(row) as i32).collect();
                let mut sums = vec![i32::MAX; rows.len()];
                set.dots_codes(&vector, &rows, &mut sums);
                assert_eq!(sums, exact, "{} {length}", set.name);
            }
        }
        for component in [-Halved::MOST, Halved::MOST] {
            let exact = 65_536 * i64::from(component) * 255;
            let (words, high, low) = split(std::iter::repeat_n(component, 65_536));
            let mut sums = [0];
            set.dots_codes(&Halved { words: &words, high: &high, low: &low }, &[&[255; 65_536]], &mut sums);
            assert_eq!(sums, [exact as i32], "{} {component}", set.name);
        }
    }
}

#[test]
fn means_approach_vectors_alike_on_every_set() {
    let mut numbers = Numbers::new(24);
    for length in (0..=70).chain(LENGTHS) {
        let (mean, vector) = (numbers.floats(length), numbers.floats(length));
        let expected: Vec<f32> = mean.iter().zip(&vector).map(|(mean, other)| mean + (other - mean) * 0.3).collect();
        for set in available() {
            let mut mean = mean.clone();
            set.approach(&mut mean, &vector, 0.3);
            assert_eq!(bits(&mean), bits(&expected), "{} {length}", set.name);
        }
    }
}

#[test]
fn quantising_is_the_same_everywhere_and_within_half_a_step() {
    let mut numbers = Numbers::new(23);
    for length in (1..=70).chain(LENGTHS) {
        let values = numbers.floats(length);
        let mut expected = vec![0; length];
        let (low, step) = scalar::KERNELS.quantise(&values, &mut expected);
        assert_eq!(low, values.iter().copied().fold(f32::INFINITY, f32::min));
        for (value, &code) in values.iter().zip(&expected) {
            let off = (value - low - f32::from(code) * step).abs();
            assert!(off <= 0.501 * step, "{length}: off by {off}, a step is {step}");
        }
        for set in available() {
            let mut codes = vec![1; length];
            assert_eq!(set.quantise(&values, &mut codes), (low, step), "{} {length}", set.name);
            assert_eq!(codes, expected, "{} {length}", set.name);
        }
    }
    for set in available() {
        let mut codes = [1; 33];
        assert_eq!((set.quantise(&[-7.5; 33], &mut codes), codes), ((-7.5, 0.0), [0; 33]), "{}", set.name);
    }
}

#[test]
fn rounding_to_bytes_is_the_same_everywhere_and_within_half_a_step() {
    let mut numbers = Numbers::new(21);
    for length in (0..=70).chain(LENGTHS) {
        let (values, origin) = (numbers.floats(length), numbers.floats(length));
        let mut expected = vec![0; length];
        let step = scalar::KERNELS.round_to_bytes(&values, &origin, &mut expected);
        for ((value, origin), &code) in values.iter().zip(&origin).zip(&expected) {
            let off = (value - origin - f32::from(code) * step).abs();
            assert!(off <= 0.501 * step, "{length}: off by {off}, a step is {step}");
        }
        for set in available() {
            let mut codes = vec![1; length];
            assert_eq!(set.round_to_bytes(&values, &origin, &mut codes).to_bits(), step.to_bits(), "{}", set.name);
            assert_eq!(codes, expected, "{} {length}", set.name);
        }
    }
}

#[test]
fn what_has_no_step_is_rounded_to_nothing() {
    for set in available() {
        for (value, origin) in [(0.5, 0.5), (f32::INFINITY, 0.0), (f32::MAX, f32::MIN), (1e-44, 0.0)] {
            let mut codes = [1; 33];
            let step = set.round_to_bytes(&[value; 33], &[origin; 33], &mut codes);
            assert_eq!((step, codes), (0.0, [0; 33]), "{} {value} {origin}", set.name);
        }
    }
}
