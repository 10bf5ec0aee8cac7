//! Short factors beside the long ones of the same items.

use super::*;
use crate::code::{CodedItem, ItemEncoder};

/// The factors of a run's entries.
fn factors(run: &Run<'_>) -> Vec<[f32; 3]> {
    let blocks = run.blocks().map(|block| block.factors());
    let lanes = blocks.flat_map(|[add, mul, err]| (0..LANES).map(move |lane| [add[lane], mul[lane], err[lane]]));
    lanes.take(run.entries() as usize).collect()
}

/// The bytes of a run of placed vectors, coded one way.
fn encoded(kind: CodeKind, metric: Metric, centroid: &Centroid, vectors: &[Vec<f32>]) -> (Aligned, f32) {
    let coded =
        vectors.iter().enumerate().map(|(at, placed)| CodedItem { vector: &[], placed, payload: 100 + at as u32 });
    let frame = Frame::new(metric, centroid.values().len(), 3, None);
    let mut encoder = ItemEncoder::new(&frame, kind, None);
    let (bytes, radius) = encoder.encode_run(5, centroid, 100, coded);
    (bytes.into(), radius)
}

/// The two ways to code the same vectors: codes, payloads and radius are equal.
fn both(metric: Metric, centroid: &Centroid, vectors: &[Vec<f32>]) -> [Vec<[f32; 3]>; 2] {
    let padded = centroid.values().len();
    let [(short, short_radius), (long, long_radius)] =
        [CodeKind::ShortSigns, CodeKind::Signs].map(|kind| encoded(kind, metric, centroid, vectors));
    assert_eq!(Some(short.len()), CodeKind::ShortSigns.run_bytes(padded, vectors.len()));
    let short = Run::parse(&short, CodeKind::ShortSigns, padded).unwrap();
    let long = Run::parse(&long, CodeKind::Signs, padded).unwrap();
    assert!(short.is_intact() && short_radius == long_radius);
    assert_eq!(short.payloads().collect::<Vec<_>>(), long.payloads().collect::<Vec<_>>());
    assert_eq!((short.number(), short.entries(), short.centroid()), (long.number(), long.entries(), long.centroid()));
    assert_eq!(short.blocks().count(), long.blocks().count());
    assert!(short.blocks().zip(long.blocks()).all(|(short, long)| short.codes() == long.codes()));
    [factors(&short), factors(&long)]
}

/// Vectors around a centroid: some near it, some far, one on it.
fn around(centroid: &Centroid, count: usize, spread: f32, generator: &mut Xoshiro256PlusPlus) -> Vec<Vec<f32>> {
    let mut vectors = Vec::new();
    for at in 0..count {
        let distance = [0.0, 0.01, 1.0, 1.0, 1.0, 30.0][at % 6] * spread;
        vectors.push(centroid.values().iter().map(|value| value + distance * gaussian(generator)).collect());
    }
    vectors
}

#[test]
fn short_factors_bound_what_the_long_ones_bound_and_lose_little() {
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(41);
    for metric in [Metric::Euclidean, Metric::Cosine, Metric::Dot] {
        for (padded, spread) in [(64, 1.0), (128, 1e-12), (384, 1.0), (1088, 1e9)] {
            let middle: Vec<f32> = vector(padded, &mut generator).iter().map(|value| 3.0 * spread * value).collect();
            let centroid = Centroid::quantise(&middle);
            let vectors = around(&centroid, 77, spread, &mut generator);
            let [short, long] = both(metric, &centroid, &vectors);
            for _ in 0..20 {
                let query: Vec<f32> =
                    centroid.values().iter().map(|value| value + spread * gaussian(&mut generator)).collect();
                let difference: Vec<f32> = query.iter().zip(centroid.values()).map(|(a, b)| a - b).collect();
                let slack =
                    if metric == Metric::Dot { dot(&query, &query) } else { dot(&difference, &difference) }.sqrt();
                for ((short, long), vector) in short.iter().zip(&long).zip(&vectors) {
                    let signed = |(at, value): (usize, &f32)| {
                        if vector[at] - centroid.values()[at] >= 0.0 { f64::from(*value) } else { -f64::from(*value) }
                    };
                    let sum: f64 = query.iter().enumerate().map(signed).sum();
                    let [short, long] = [short, long]
                        .map(|[add, mul, err]| f64::from(*add) + f64::from(*mul) * sum - slack * f64::from(*err));
                    let magnitudes: f64 = query.iter().map(|value| f64::from(value.abs())).sum();
                    let size = f64::from(spread).powi(2) * padded as f64;
                    let rounding = f64::from(f32::EPSILON) * 30.0 * f64::from(spread) * 4.0 * magnitudes;
                    assert!(short <= long + rounding, "{metric} {padded}: {short} where the long ones have {long}");
                    // The farthest are 30 times as far as most, which share their steps.
                    assert!(short >= long - 0.02 * 30.0 * size, "{metric} {padded}: {short} for {long}");
                }
            }
        }
    }
}

#[test]
fn items_on_their_centroid_have_short_factors_of_nothing() {
    let centroid = Centroid::quantise(&[0.25; 64]);
    let vectors = vec![centroid.values().to_vec(); 3];
    let [short, _] = both(Metric::Euclidean, &centroid, &vectors);
    assert!(short.iter().all(|[add, mul, err]| *add <= 0.0 && *add > -1e-30 && *mul == 0.0 && *err == 0.0));
}

#[test]
fn a_residual_too_long_for_short_factors_lets_its_whole_run_pass() {
    let centroid = Centroid::zero(64);
    let vectors = [vec![1.0; 64], vec![1e19; 64]];
    let (bytes, _) = encoded(CodeKind::ShortSigns, Metric::Euclidean, &centroid, &vectors);
    let run = Run::parse(&bytes, CodeKind::ShortSigns, 64).unwrap();
    assert_eq!(factors(&run), [[f32::MIN, 0.0, 0.0]; 2]);
}

#[test]
fn residuals_all_too_long_for_short_factors_let_their_whole_run_pass() {
    let vectors = [vec![1e19; 64], vec![-1e19; 64]];
    let (bytes, _) = encoded(CodeKind::ShortSigns, Metric::Euclidean, &Centroid::zero(64), &vectors);
    let run = Run::parse(&bytes, CodeKind::ShortSigns, 64).unwrap();
    assert_eq!(factors(&run), [[f32::MIN, 0.0, 0.0]; 2]);
}

#[test]
fn runs_of_short_factors_of_another_length_than_their_entries_need_are_refused() {
    let (bytes, _) = encoded(CodeKind::ShortSigns, Metric::Dot, &Centroid::zero(64), &vec![vec![1.0; 64]; 17]);
    for len in 0..bytes.len() {
        assert!(Run::parse(&bytes[..len], CodeKind::ShortSigns, 64).is_err(), "{len} bytes");
    }
    assert!(Run::parse(&bytes, CodeKind::Signs, 64).is_err());
    for at in 0..bytes.len() {
        let mut flipped = Aligned::from(bytes.to_vec());
        flipped[at] ^= 1 << (at % 8);
        let run = Run::parse(&flipped, CodeKind::ShortSigns, 64);
        assert!(run.map_or(true, |run| !run.is_intact() && run.payloads().count() == run.entries() as usize), "{at}");
    }
}
