//! Measures every set of kernels that the processor has, beside the memory bandwidth measured the same way:
//!
//! ```text
//! cargo test --release --lib measure_kernels -- --ignored --nocapture
//! ```

use std::hint::black_box;
use std::time::{Duration, Instant};

use wide::u8x64;

use super::tests::{Numbers, block_of};
use super::{Block, Bound, Kernels, LANES, ScanTable, available, block_bytes, kernels, pad, set_code};

/// Bytes that no cache holds.
const LARGE: usize = 256 << 20;

/// The best time of a call in nanoseconds, over runs of at least a few milliseconds each.
fn nanoseconds(mut call: impl FnMut()) -> f64 {
    let mut time = |calls: u32| {
        let start = Instant::now();
        (0..calls).for_each(|_| call());
        start.elapsed()
    };
    let mut calls = 1;
    while time(calls) < Duration::from_millis(2) {
        calls *= 2;
    }
    let best = (0..20).map(|_| time(calls)).min().unwrap_or_default();
    best.as_secs_f64() * 1e9 / f64::from(calls)
}

/// Words in cache lines, as they are in a segment.
fn lines(words: &[u32]) -> Vec<u8x64> {
    bytemuck::cast_slice::<_, u8>(words).as_chunks::<64>().0.iter().copied().map(u8x64::new).collect()
}

fn print(kernel: &str, operation: &str, dimension: usize, bytes: usize, time: f64) {
    println!("{kernel:9} {operation:22} {dimension:6} {time:13.1} {:9.1}", bytes as f64 / time);
}

fn measure_vectors(set: &Kernels, dimension: usize) {
    let mut numbers = Numbers::new(dimension as u64);
    let (mut a, mut b) = (numbers.floats(dimension), numbers.floats(dimension));
    let bytes = 8 * dimension;
    let time = nanoseconds(|| _ = black_box(set.dot(black_box(&a), black_box(&b))));
    print(set.name, "dot", dimension, bytes, time);
    let time = nanoseconds(|| _ = black_box(set.squared_euclidean(black_box(&a), black_box(&b))));
    print(set.name, "squared_euclidean", dimension, bytes, time);
    let (c, d) = (numbers.signed_bytes(dimension), numbers.signed_bytes(dimension));
    let time = nanoseconds(|| _ = black_box(set.dot_i8(black_box(&c), black_box(&d))));
    print(set.name, "dot_i8", dimension, 2 * dimension, time);
    b.fill(-1.0);
    let time = nanoseconds(|| set.multiply(black_box(&mut a), black_box(&b)));
    print(set.name, "multiply", dimension, bytes, time);
    let time = nanoseconds(|| set.add_assign(black_box(&mut a), black_box(&b)));
    print(set.name, "add_assign", dimension, bytes, time);
}

fn measure_tables(set: &Kernels, dimension: usize) {
    let mut numbers = Numbers::new(dimension as u64);
    let padded = pad(dimension);
    let query = numbers.floats(padded);
    let mut table = ScanTable::default();
    let time = nanoseconds(|| table.fill_with(set, black_box(&query)));
    print(set.name, "fill a table", dimension, 4 * padded, time);

    let bound = Bound { base: 1.0, slack: 1.5, threshold: 0.0 };
    let mut lower = [0.0; LANES];
    let count = LARGE / block_bytes(padded);
    let all = lines(&block_of(&mut numbers, padded).repeat(count));
    let all: &[u8] = bytemuck::cast_slice(&all);
    let block = Block::new(&all[..block_bytes(padded)], padded).expect("a block of this dimension");
    let time = nanoseconds(|| _ = black_box(set.scan(black_box(&block), &table, bound, &mut lower)));
    print(set.name, "scan, in cache", dimension, block_bytes(padded), time);

    let time = nanoseconds(|| {
        for block in all.chunks_exact(block_bytes(padded)) {
            let block = Block::new(block, padded).expect("a block of this dimension");
            black_box(set.scan(&block, &table, bound, &mut lower));
        }
    });
    print(set.name, "scan, from memory", dimension, block_bytes(padded), time / count as f64);
}

#[test]
#[ignore = "a measurement; run with --release --ignored --nocapture"]
fn measure_kernels() {
    println!("{:9} {:22} {:>6} {:>13} {:>9}", "kernel", "operation", "dim", "ns", "GB/s");
    let large = vec![1u64; LARGE / 8];
    let time = nanoseconds(|| _ = black_box(black_box(&large).iter().copied().fold(0, u64::wrapping_add)));
    print("memory", "sum of 256 MiB", 0, LARGE, time);
    println!("chosen: {}", kernels().name);
    for padded in [384, 1536] {
        let (residual, mut codes) = (Numbers::new(1).floats(padded), vec![0; padded * 2]);
        let time = nanoseconds(|| set_code(black_box(&mut codes), 3, black_box(&residual)));
        print("any", "set a code", padded, 4 * padded, time);
    }
    for set in available() {
        for dimension in [100, 384, 768, 1536] {
            measure_vectors(set, dimension);
            measure_tables(set, dimension);
        }
        for length in [64, 256, 512, 1024, 16_384] {
            let mut values = Numbers::new(1).floats(length);
            let time = nanoseconds(|| set.hadamard(black_box(&mut values)));
            print(set.name, "hadamard", length, 4 * length, time);
        }
    }
}
