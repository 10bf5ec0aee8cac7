//! What the scenarios share: vectors and indexes.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use understory::annoy::{AnnoyIndex, Metric};

pub(crate) const METRICS: [Metric; 5] =
    [Metric::Angular, Metric::Euclidean, Metric::Manhattan, Metric::Dot, Metric::Hamming];

pub(crate) fn generator(seed: u64) -> StdRng {
    StdRng::seed_from_u64(seed)
}

/// A number of the normal distribution.
pub(crate) fn gauss(generator: &mut StdRng) -> f32 {
    let (a, b): (f64, f64) = (generator.random_range(f64::MIN_POSITIVE..1.0), generator.random());
    ((-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos()) as f32
}

pub(crate) fn vector(generator: &mut StdRng, f: usize) -> Vec<f32> {
    (0..f).map(|_| gauss(generator)).collect()
}

pub(crate) fn vectors(generator: &mut StdRng, count: usize, f: usize) -> Vec<Vec<f32>> {
    (0..count).map(|_| vector(generator, f)).collect()
}

/// An index of these vectors, built.
pub(crate) fn built(metric: Metric, vectors: &[Vec<f32>], trees: i32) -> AnnoyIndex {
    let mut index = AnnoyIndex::new(vectors[0].len(), metric).unwrap();
    for (item, vector) in vectors.iter().enumerate() {
        index.add_item(item, vector).unwrap();
    }
    index.build(trees, -1).unwrap();
    index
}

pub(crate) fn ids(found: &[(usize, f32)]) -> Vec<usize> {
    found.iter().map(|&(item, _)| item).collect()
}

/// Distances in float64, as the documentation defines them.
pub(crate) fn exact_distance(metric: Metric, a: &[f32], b: &[f32]) -> f64 {
    let sum = |term: &dyn Fn(f64, f64) -> f64| -> f64 {
        a.iter().zip(b).map(|(&a, &b)| term(f64::from(a), f64::from(b))).sum()
    };
    match metric {
        Metric::Angular => {
            let norms = (sum(&|a, _| a * a) * sum(&|_, b| b * b)).sqrt();
            let cosine = if norms > 0.0 { sum(&|a, b| a * b) / norms } else { 0.0 };
            (2.0 - 2.0 * cosine).max(0.0).sqrt()
        }
        Metric::Euclidean => sum(&|a, b| (a - b) * (a - b)).sqrt(),
        Metric::Manhattan => sum(&|a, b| (a - b).abs()),
        Metric::Dot => sum(&|a, b| a * b),
        _ => sum(&|a, b| f64::from((a > 0.5) != (b > 0.5))),
    }
}

/// The nearest by comparing with every vector, nearest first.
pub(crate) fn exact(metric: Metric, vectors: &[Vec<f32>], query: &[f32], n: usize) -> Vec<usize> {
    let key = |vector: &[f32]| {
        let distance = exact_distance(metric, query, vector);
        if metric == Metric::Dot { -distance } else { distance }
    };
    let mut order: Vec<(f64, usize)> = vectors.iter().enumerate().map(|(at, vector)| (key(vector), at)).collect();
    order.sort_by(|left, right| left.0.total_cmp(&right.0).then(left.1.cmp(&right.1)));
    order.into_iter().take(n).map(|(_, at)| at).collect()
}

/// The share of `expected` that was found.
pub(crate) fn recall(found: &[usize], expected: &[usize]) -> f64 {
    expected.iter().filter(|item| found.contains(item)).count() as f64 / expected.len() as f64
}

/// Each part must be in the message.
#[track_caller]
pub(crate) fn assert_refused<T>(result: understory::Result<T>, parts: &[&str]) {
    let Err(error) = result else { panic!("expected the call to be refused, found success") };
    let message = error.to_string();
    for part in parts {
        assert!(message.contains(part), "expected {part:?} in {message:?}");
    }
}
