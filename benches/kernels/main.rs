//! Bytes a second of every set of kernels that the processor has, beside the memory bandwidth measured the same way:
//!
//! ```text
//! cargo bench --bench kernels
//! ```
//!
//! prints the table of `docs/kernels.md`. The kernels are private to the library, so their module is compiled into
//! this program.

#[path = "../../src/distance/mod.rs"]
#[allow(dead_code, unused_imports, unreachable_pub, reason = "a part of the library, of which this uses a part")]
mod distance;

use std::hint::black_box;
use std::time::Duration;

use distance::{
    Block, Bound, FactorScale, Kernels, LANES, SHORT_FACTORS_BYTES, ScanTable, available, block_bytes, pad, prefetch,
};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use wide::u8x64;

/// Those of the three sets that the comparison is made on.
const DIMENSIONS: [usize; 3] = [128, 384, 784];

/// Bytes that no cache holds.
const LARGE: usize = 256 << 20;

/// Records fetched ahead of the one being measured, as a search does.
const AHEAD: usize = 3;

/// An operation, the bytes that a call reads, and its time in nanoseconds.
struct Line {
    operation: String,
    dimension: usize,
    bytes: usize,
    time: f64,
}

/// CPU time of this thread: what others do on the machine is left out, but for the memory they use.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// The best time of a call in nanoseconds, over runs of at least a few milliseconds each.
fn nanoseconds(mut call: impl FnMut()) -> f64 {
    let mut time = |calls: u32| {
        let start = cpu_time();
        (0..calls).for_each(|_| call());
        cpu_time() - start
    };
    let mut calls = 1;
    while time(calls) < Duration::from_millis(2) {
        calls *= 2;
    }
    let best = (0..10).map(|_| time(calls)).min().unwrap_or_default();
    best.as_secs_f64() * 1e9 / f64::from(calls)
}

/// Words in cache lines, as they are in a segment.
fn lines(bytes: &[u8]) -> Vec<u8x64> {
    bytes.as_chunks::<64>().0.iter().copied().map(u8x64::new).collect()
}

/// Random codes, of bits or of bytes.
fn codes(code_bits: usize) -> Vec<u8> {
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(code_bits as u64);
    (0..block_bytes(code_bits) - 16 * LANES).map(|_| generator.random()).collect()
}

/// A block with factors and payloads of 16 bytes a lane, that let no lane pass, as most in a search do not.
fn long_block(code_bits: usize) -> Vec<u8> {
    let mut bytes = codes(code_bits);
    for factor in [1e9f32, -1.0, 1.0] {
        (0..LANES).for_each(|_| bytes.extend(factor.to_le_bytes()));
    }
    (0..LANES as u32).for_each(|payload| bytes.extend(payload.to_le_bytes()));
    bytes
}

fn read_long(bytes: &[u8], code_bits: usize) -> Block<'_> {
    Block::new(bytes, code_bits).expect("a block of this dimension")
}

/// Codes and factors of six bytes a lane, as a leaf of one tree has them.
fn short_block(code_bits: usize) -> Vec<u8> {
    let mut bytes = codes(code_bits);
    bytes.resize(bytes.len() + SHORT_FACTORS_BYTES, 1);
    bytes
}

fn read_short(bytes: &[u8], _: usize) -> Block<'_> {
    let (codes, factors) = bytes.split_at(bytes.len() - SHORT_FACTORS_BYTES);
    let scale = FactorScale { least: 1e9, add: 1.0, mul: -1e-3, err: 1e-3 };
    Block::short(codes, factors, scale, 0).expect("factors of this length")
}

/// How a block is made and read.
type Form = (fn(usize) -> Vec<u8>, for<'a> fn(&'a [u8], usize) -> Block<'a>);

/// A scan of one block again and again, and of blocks that come from memory.
fn measure_scan(
    name: &str,
    (dimension, code_bits): (usize, usize),
    (make, read): Form,
    scan: &mut dyn FnMut(&Block<'_>),
) -> [Line; 2] {
    let one = make(code_bits);
    let (length, count) = (one.len(), LARGE / one.len());
    let all = lines(&one.repeat(count));
    let all: &[u8] = bytemuck::cast_slice(&all);
    let first = read(&all[..length], code_bits);
    let time = nanoseconds(|| scan(black_box(&first)));
    let in_cache = Line { operation: format!("{name}, in cache"), dimension, bytes: length, time };
    let time = nanoseconds(|| all.chunks_exact(length).for_each(|block| scan(&read(block, code_bits))));
    let time = time / count as f64;
    [in_cache, Line { operation: format!("{name}, from memory"), dimension, bytes: length, time }]
}

fn measure_scans(set: &Kernels, dimension: usize, lines: &mut Vec<Line>) {
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(dimension as u64);
    let padded = pad(dimension);
    let query: Vec<f32> = (0..padded).map(|_| generator.random::<f32>() - 0.5).collect();
    let codes: Vec<u8> = (0..padded).map(|_| generator.random()).collect();
    let bound = Bound { base: 1.0, slack: 1.9, threshold: 0.0 };
    let mut lower = [0.0; LANES];
    let mut table = ScanTable::default();
    table.fill(&query);
    let mut scan = |block: &Block<'_>| _ = black_box(set.scan(block, &table, bound, &mut lower));
    let sizes = (dimension, padded);
    lines.extend(measure_scan("`scan`: estimates of 16 items", sizes, (short_block, read_short), &mut scan));
    lines.extend(measure_scan("`scan` with long factors", sizes, (long_block, read_long), &mut scan));
    let mut scan = |block: &Block<'_>| _ = black_box(set.scan_bytes(block, &codes, bound, &mut lower));
    let sizes = (dimension, 8 * padded);
    lines.extend(measure_scan("`scan_bytes`: 16 items", sizes, (long_block, read_long), &mut scan));
}

/// Measures between pairs of vectors in the cache; counts the bytes of both.
fn measure_vectors(set: &Kernels, dimension: usize, lines: &mut Vec<Line>) {
    let mut add = |operation: &str, bytes, time| {
        lines.push(Line { operation: format!("`{operation}`, in cache"), dimension, bytes, time });
    };
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(dimension as u64);
    let mut floats = || -> Vec<f32> { (0..dimension).map(|_| generator.random::<f32>() - 0.5).collect() };
    let (a, b) = (floats(), floats());
    let bytes = 8 * dimension;
    let time = nanoseconds(|| _ = black_box(set.dot(black_box(&a), black_box(&b))));
    add("dot", bytes, time);
    let time = nanoseconds(|| _ = black_box(set.squared_euclidean(black_box(&a), black_box(&b))));
    add("squared_euclidean", bytes, time);
    let time = nanoseconds(|| _ = black_box(set.manhattan(black_box(&a), black_box(&b))));
    add("manhattan", bytes, time);
    let (c, d): (Vec<u8>, Vec<u8>) = (0..dimension / 8).map(|_| generator.random::<(u8, u8)>()).unzip();
    let time = nanoseconds(|| _ = black_box(set.hamming(black_box(&c), black_box(&d))));
    add("hamming", 2 * c.len(), time);
    let (c, d): (Vec<i8>, Vec<i8>) = (0..dimension).map(|_| generator.random::<(i8, i8)>()).unzip();
    let time = nanoseconds(|| _ = black_box(set.dot_i8(black_box(&c), black_box(&d))));
    add("dot_i8", 2 * dimension, time);
    let rows: Vec<i8> = (0..16 * dimension).map(|_| generator.random()).collect();
    let mut products = [0; 16];
    let time = nanoseconds(|| set.dots_i8(black_box(&c), black_box(&rows), black_box(&mut products)));
    add("dots_i8, 16 rows", 17 * dimension, time);
}

/// Exact distances of records at random places of a buffer that no cache holds, fetched ahead as a search does.
fn measure_records(set: &Kernels, buffer: &[f32], dimension: usize, lines: &mut Vec<Line>) {
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(1);
    let query = vec![0.5; dimension];
    let record = dimension + 4;
    let records = buffer.len() / record;
    let order: Vec<usize> = (0..100_000).map(|_| generator.random_range(0..records)).collect();
    let vector = |record_number: usize| &buffer[record_number * record..][..dimension];
    for (name, ahead) in [("records at random", 0), ("records at random, fetched 3 ahead", AHEAD)] {
        let time = nanoseconds(|| {
            for (at, &number) in order.iter().enumerate() {
                if let (Some(&next), true) = (order.get(at + ahead), ahead > 0) {
                    prefetch(bytemuck::cast_slice(vector(next)));
                }
                black_box(set.squared_euclidean(&query, vector(number)));
            }
        });
        let (operation, time) = (format!("`squared_euclidean` of {name}"), time / order.len() as f64);
        lines.push(Line { operation, dimension, bytes: 4 * dimension, time });
    }
}

/// Measures a set.
fn measure(set: &Kernels, buffer: &[f32]) -> Vec<Line> {
    let mut table = Vec::new();
    for dimension in DIMENSIONS {
        measure_scans(set, dimension, &mut table);
        measure_vectors(set, dimension, &mut table);
        measure_records(set, buffer, dimension, &mut table);
    }
    table
}

fn main() {
    let buffer = vec![1f32; LARGE / 4];
    let words: &[u64] = bytemuck::cast_slice(&buffer);
    let time = nanoseconds(|| _ = black_box(black_box(words).iter().copied().fold(0, u64::wrapping_add)));
    println!("One thread reads {} MiB in order at {:.1} GB/s.\n", LARGE >> 20, LARGE as f64 / time);
    let sets = available();
    let names = sets.iter().map(|set| format!(" {} |", set.name)).collect::<String>();
    println!("| GB/s (ns a call) | dim |{names}\n| --- | ---: |{}", " ---: |".repeat(sets.len()));
    let measured: Vec<_> = sets.iter().map(|set| measure(set, &buffer)).collect();
    for (at, line) in measured[0].iter().enumerate() {
        let cell =
            |lines: &Vec<Line>| format!(" {:.1} ({:.1}) |", lines[at].bytes as f64 / lines[at].time, lines[at].time);
        let cells = measured.iter().map(cell).collect::<String>();
        println!("| {} | {} |{cells}", line.operation, line.dimension);
    }
}
