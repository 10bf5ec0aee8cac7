//! Vectors rounded to bytes and their products: all sets give the same integers.

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
