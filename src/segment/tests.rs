//! Builds of every shape, determinism, and what a reader makes of them.

use std::ops::Bound;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, RngExt, SeedableRng};

use super::*;
use crate::bytes::checksum;
use crate::filter::Test;
use crate::metadata::{Metadata, Value, codec};
use crate::types::{Id, Metric};

mod damage;

/// Rows around random centres; every third sequence number is left out.
fn clustered(count: usize, dimension: usize, centres: usize, seed: u64) -> SegmentRows {
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut uniform = |scale: f32| (generator.random::<f32>() - 0.5) * scale;
    let middles: Vec<f32> = (0..centres * dimension).map(|_| uniform(2.0)).collect();
    let (mut rows, mut vectors) = (SegmentRows::default(), Vec::new());
    for item in 0..count {
        let middle = &middles[item % centres * dimension..][..dimension];
        vectors.extend(middle.iter().map(|component| component + uniform(1.0)));
        rows.sequences.push(10 + item as u64 + item as u64 / 2);
        let id = if item % 2 == 0 { Id::from(item as u64) } else { Id::from(format!("item {item}")) };
        rows.ids.push(&id.to_bytes());
        rows.fields.push(&codec::encode(&metadata(item)).unwrap());
    }
    rows.vectors = vectors.into();
    rows
}

impl Clone for SegmentRows {
    fn clone(&self) -> SegmentRows {
        let (sequences, ids, fields) = (self.sequences.clone(), self.ids.clone(), self.fields.clone());
        SegmentRows { vectors: self.vectors.to_vec().into(), sequences, ids, fields }
    }
}

/// Puts others in the place of all components.
fn change(rows: &mut SegmentRows, other: impl Fn(f32) -> f32) {
    rows.vectors = rows.vectors.iter().map(|&component| other(component)).collect::<Vec<f32>>().into();
}

fn metadata(item: usize) -> Metadata {
    let mut metadata = Metadata::new();
    metadata.insert("kind", ["a", "b"][item % 5 % 2]);
    metadata.insert("number", item as i64 * 7 % 13);
    metadata.insert("half", item as f64 / 2.0);
    metadata.insert("tags", (0..item % 4).map(|tag| format!("tag {}", tag * item % 9)).collect::<Vec<_>>());
    metadata.insert(
        "mixed",
        [Value::Bool(true), Value::Integer(3), Value::Null, "x".into(), f64::NAN.into()][item % 5].clone(),
    );
    if item.is_multiple_of(3) {
        metadata.insert("rare", Value::Bytes(vec![item as u8; 2]));
    }
    metadata
}

fn spec(trees: usize) -> SegmentSpec {
    SegmentSpec {
        uuid: *b"0123456789abcdef",
        id: 42,
        nonce: 0x7f3a,
        range: SequenceRange { start: 7, end: 1 << 40 },
        options: SegmentOptions { trees, ..SegmentOptions::default() },
        seed: 1,
    }
}

fn expected(written: Written) -> Expected {
    let spec = spec(1);
    Expected {
        uuid: spec.uuid,
        id: spec.id,
        nonce: spec.nonce,
        range: spec.range,
        length: written.length,
        checksum: written.checksum,
    }
}

struct Built {
    frame: Frame,
    rows: SegmentRows,
    dir: tempfile::TempDir,
    written: Written,
}

impl Built {
    fn new(metric: Metric, dimension: usize, rows: SegmentRows, trees: usize) -> Built {
        Built::with(metric, dimension, rows, spec(trees))
    }

    fn with(metric: Metric, dimension: usize, mut rows: SegmentRows, spec: SegmentSpec) -> Built {
        if metric == Metric::Hamming {
            change(&mut rows, |component| f32::from(u8::from(component > 0.0)));
        }
        let mean = metric.is_centred().then(|| vec![0.25; dimension]);
        let frame = Frame::new(metric, dimension, 99, mean);
        let dir = tempfile::tempdir().unwrap();
        let written = build(&frame, &rows, &spec, &dir.path().join("a.tmp"), &|_| true).unwrap();
        Built { frame, rows, dir, written }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("a.tmp")
    }

    fn bytes(&self) -> Vec<u8> {
        std::fs::read(self.path()).unwrap()
    }

    fn open(&self) -> Result<Segment> {
        Segment::open(&self.path(), &expected(self.written), &self.frame)
    }

    /// Opens, verifies and compares everything with the rows.
    fn check(&self) {
        let segment = self.open().unwrap();
        segment.verify().unwrap();
        let (count, dimension) = (self.rows.len(), self.frame.dimension());
        assert_eq!(segment.items(), count);
        assert_eq!(
            (segment.id(), segment.range(), segment.length() as u64),
            (42, spec(1).range, self.written.length)
        );
        assert_eq!(segment.path(), self.path());
        for row in 0..count {
            let sequence = self.rows.sequences[row];
            let position = segment.position_of(sequence).unwrap().expect("the row is there");
            let record = segment.record(position).unwrap();
            let vector = self.rows.vector(row, dimension);
            assert_eq!((&*record.vector.to_floats(dimension), record.sequence), (vector, sequence));
            assert_eq!(record.inverse_norm, self.frame.inverse_norm(vector));
            assert_eq!(segment.stored_id(position).unwrap(), self.rows.ids.get(row));
            let bits = self.frame.metric() == Metric::Hamming;
            let vector_bytes = if bits { dimension.div_ceil(8) } else { 4 * dimension };
            assert_eq!(segment.record_bytes(position).len(), vector_bytes + 16);
        }
        assert_eq!(segment.position_of(9).unwrap(), None);
        assert!(!segment.contains_sequence(12).unwrap(), "left out");
        assert!(segment.record(count as u32).unwrap_err().is_corruption());
        assert!(segment.stored_id(u32::MAX).unwrap_err().is_corruption());
        assert!(segment.leaf(segment.leaves()).unwrap_err().is_corruption());
        assert!(segment.group(usize::MAX).unwrap_err().is_corruption());
        assert!(segment.leaf_bytes(segment.leaves()).is_empty() && segment.record_bytes(u32::MAX).is_empty());
    }
}

/// Everything a reader can be asked, in one list; the first error ends it.
fn read_everything(segment: &Segment) -> Result<Vec<u8>> {
    let mut answers = Vec::new();
    for group in 0..segment.groups() {
        answers.extend(segment.group(group)?.payloads().flat_map(u32::to_le_bytes));
    }
    for leaf in 0..segment.leaves() {
        let run = segment.leaf(leaf)?;
        answers.extend(run.centroid().iter().map(|&code| code as u8));
        answers.extend([run.step(), run.squared_norm(), run.radius()].iter().flat_map(|value| value.to_le_bytes()));
        answers.extend(run.payloads().flat_map(u32::to_le_bytes));
        for block in run.blocks() {
            answers.extend_from_slice(block.codes());
            answers.extend(block.factors().concat().iter().flat_map(|value| value.to_le_bytes()));
        }
        answers.extend(segment.leaf_items(leaf).to_le_bytes());
    }
    for position in 0..segment.items() as u32 {
        let record = segment.record(position)?;
        let components = record.vector.to_floats(segment.header.dimension as usize);
        answers.extend(components.iter().flat_map(|component| component.to_le_bytes()));
        answers.extend(record.inverse_norm.to_le_bytes());
        answers.extend(segment.position_of(record.sequence)?.unwrap_or(u32::MAX).to_le_bytes());
        answers.extend_from_slice(segment.stored_id(position)?);
    }
    answers.extend(read_columns(segment)?);
    Ok(answers)
}

/// What filters on each field find.
fn read_columns(segment: &Segment) -> Result<Vec<u8>> {
    let mut answers = Vec::new();
    for path in ["kind", "number", "half", "tags", "mixed", "rare", "none"] {
        let Field::Column(column) = segment.field(path)? else { continue };
        let low = Bound::Included(Value::Integer(2));
        for test in [
            Test::In(vec!["a".into(), Value::Integer(7), Value::Float(3.0), Value::Bool(true), "tag 1".into()]),
            Test::Range { low, high: Bound::Excluded(Value::Float(9.5)) },
            Test::Prefix("tag".into()),
            Test::Contains("b".into()),
        ] {
            let selected = column.select(&test).map_err(|fault| segment.in_field(path, fault))?;
            answers.extend(selected.iter().flat_map(u32::to_le_bytes));
        }
        answers.extend(column.present().iter().flat_map(u32::to_le_bytes));
    }
    Ok(answers)
}

#[test]
fn segments_of_any_size_hold_their_rows() {
    for count in 1..=40 {
        for metric in Metric::ALL {
            Built::new(metric, 3, clustered(count, 3, 3, 1), 1).check();
        }
    }
    for dimension in [1, 2, 3, 8, 17, 100, 384] {
        for trees in [1, 3] {
            for metric in [Metric::Euclidean, Metric::Manhattan, Metric::Hamming] {
                let built = Built::new(metric, dimension, clustered(300, dimension, 7, 2), trees);
                built.check();
                assert_eq!(built.open().unwrap().trees(), trees);
            }
        }
    }
}

#[test]
fn identical_items_make_leaves_of_bounded_size() {
    let mut rows = clustered(1000, 8, 4, 1);
    rows.vectors = [1.0, -2.0, 3.0, 0.5, 0.0, 9.0, 0.25, 1.0].repeat(1000).into();
    for metric in Metric::ALL {
        let built = Built::new(metric, 8, rows.clone(), 1);
        built.check();
        let segment = built.open().unwrap();
        let bound = 2 * SegmentOptions::default().leaf_items as u32;
        assert!((0..segment.leaves()).all(|leaf| segment.leaf_items(leaf) <= bound));
    }
}

#[test]
fn the_largest_and_smallest_vectors_are_kept() {
    for (metric, scale) in [
        (Metric::Euclidean, 5e18),
        (Metric::Dot, 5e18),
        (Metric::Cosine, 5e18),
        (Metric::Manhattan, 5e18),
        (Metric::Manhattan, 1e-44),
        (Metric::Euclidean, 1e-38),
        (Metric::Dot, 1e-44),
        (Metric::Cosine, 1e-17),
    ] {
        let mut rows = clustered(500, 3, 5, 6);
        change(&mut rows, |component| component * (scale / 1.5));
        Built::new(metric, 3, rows, 1).check();
    }
}

#[test]
fn a_common_offset_does_not_blur_the_leaves() {
    let spread = |offset: f32| {
        let mut rows = clustered(3000, 24, 40, 3);
        change(&mut rows, |component| component + offset);
        let built = Built::new(Metric::Dot, 24, rows, 1);
        let segment = built.open().unwrap();
        // Measured from the leaves' own means: the stored centroids are rounded, and coarsely so far from the origin.
        let mean_square = |leaf: usize| {
            let positions: Vec<u32> = segment.leaf(leaf).unwrap().payloads().collect();
            let vectors = || positions.iter().map(|&position| segment.record(position).unwrap().vector.to_floats(24));
            (0..24)
                .map(|at| {
                    let mean = vectors().map(|vector| f64::from(vector[at])).sum::<f64>() / positions.len() as f64;
                    vectors().map(|vector| (f64::from(vector[at]) - mean).powi(2)).sum::<f64>()
                })
                .sum::<f64>()
        };
        (0..segment.leaves()).map(mean_square).sum::<f64>()
    };
    let (near, far) = (spread(0.0), spread(1000.0));
    assert!(far < 1.05 * near, "leaves spread {near} near the origin, {far} far from it");
}

#[test]
fn the_number_of_threads_does_not_change_the_bytes() {
    let rows = clustered(6000, 24, 40, 3);
    for metric in [Metric::Cosine, Metric::Manhattan, Metric::Hamming] {
        let bytes = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| Built::new(metric, 24, rows.clone(), 2)).bytes()
        };
        let one = bytes(1);
        assert!(one == bytes(2), "{metric}: files of one and two threads differ");
        assert!(one == bytes(3), "{metric}: files of one and three threads differ");
    }
}

#[test]
fn a_bound_of_memory_changes_no_byte_and_leaves_no_file() {
    let rows = clustered(6000, 24, 40, 3);
    for metric in [Metric::Euclidean, Metric::Manhattan, Metric::Hamming] {
        let unbounded = Built::new(metric, 24, rows.clone(), 2);
        let bytes = |components: usize| components * rows.len() * size_of::<f32>();
        let (given, placed) = (bytes(24), bytes(unbounded.frame.padded()));
        for (memory, spills_given, spills_placed) in [
            (0, true, true),
            (placed - 1, true, true),
            (given + placed - 1, true, false),
            (given + placed, false, false),
        ] {
            let placement = Placement::of(rows.len() as u64, &unbounded.frame, memory);
            assert_eq!(placement, Placement { spills_given, spills_placed });
            let dir = tempfile::tempdir().unwrap();
            let mut given = FloatsWriter::new(spills_given.then_some(&*dir.path().join("a.given.tmp"))).unwrap();
            unbounded.rows.vectors.chunks(24).for_each(|vector| given.push(vector).unwrap());
            let spilled = SegmentRows { vectors: given.finish().unwrap(), ..unbounded.rows.clone() };
            let mut spec = spec(2);
            spec.options.memory = memory;
            let path = dir.path().join("a.tmp");
            let seen = AtomicBool::new(false);
            let report = |_| {
                seen.fetch_or(dir.path().join("a.placed.tmp").exists(), Ordering::Relaxed);
                true
            };
            build(&unbounded.frame, &spilled, &spec, &path, &report).unwrap();
            assert_eq!(seen.into_inner(), spills_placed);
            assert_eq!(dir.path().join("a.given.tmp").exists(), spills_given);
            drop(spilled);
            assert!(std::fs::read(&path).unwrap() == unbounded.bytes(), "{metric}, {memory} bytes: other bytes");
            assert_eq!(dir.path().read_dir().unwrap().count(), 1, "{metric}, {memory} bytes: a file is left");
        }
    }
}

#[test]
fn near_items_share_leaves_and_groups_are_bounded() {
    let rows = clustered(6000, 24, 40, 3);
    let built = Built::new(Metric::Euclidean, 24, rows, 1);
    let segment = built.open().unwrap();
    segment.verify().unwrap();
    let mut cluster_at_most = 0;
    for leaf in 0..segment.leaves() {
        let run = segment.leaf(leaf).unwrap();
        assert!(run.entries() <= 64);
        let mut clusters = [0u32; 40];
        for position in run.payloads() {
            let record = segment.record(position).unwrap();
            let row = built.rows.sequences.binary_search(&record.sequence).unwrap();
            clusters[row % 40] += 1;
        }
        cluster_at_most += clusters.iter().max().unwrap();
    }
    assert!(cluster_at_most > 5500, "only {cluster_at_most} of 6000 items share a leaf with their cluster");
    let bound = 2 * (segment.leaves() as f64).sqrt().ceil() as u32;
    for group in 0..segment.groups() {
        assert!(segment.group(group).unwrap().entries() <= bound.max(32));
    }
}

#[test]
fn a_cancelled_build_leaves_no_file() {
    let frame = Frame::new(Metric::Cosine, 8, 99, None);
    let rows = clustered(5000, 8, 4, 1);
    for limit in [0.0, 0.03, 0.2, 0.5, 0.84, 0.9, 0.95, 0.99] {
        for memory in [0, usize::MAX] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("a.tmp");
            let mut spec = spec(1);
            spec.options.memory = memory;
            let error = build(&frame, &rows, &spec, &path, &|fraction| fraction < limit).unwrap_err();
            assert!(matches!(&error, Error::Maintenance { cause } if cause == "cancelled"), "{limit}: {error}");
            assert_eq!(dir.path().read_dir().unwrap().count(), 0, "{limit}, {memory} bytes");
        }
    }
}

#[test]
fn progress_ascends_to_the_end() {
    let frame = Frame::new(Metric::Cosine, 8, 99, None);
    let rows = clustered(3000, 8, 4, 1);
    let dir = tempfile::tempdir().unwrap();
    let seen = parking_lot::Mutex::new(vec![]);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let report = |fraction| {
        seen.lock().push(fraction);
        true
    };
    pool.install(|| build(&frame, &rows, &spec(2), &dir.path().join("a.tmp"), &report)).unwrap();
    let seen = seen.into_inner();
    assert!(seen.is_sorted(), "{seen:?}");
    assert!(seen[0] == 0.0 && *seen.last().unwrap() > 0.97 && *seen.last().unwrap() <= 1.0, "{seen:?}");
}

#[test]
fn rows_that_are_no_segment_are_refused() {
    let frame = Frame::new(Metric::Cosine, 3, 99, None);
    let dir = tempfile::tempdir().unwrap();
    let refuse = |rows: &SegmentRows| {
        let error = build(&frame, rows, &spec(1), &dir.path().join("a.tmp"), &|_| true).unwrap_err();
        assert!(matches!(error, Error::Maintenance { .. }));
    };
    refuse(&SegmentRows::default());
    let good = clustered(5, 3, 1, 1);
    refuse(&SegmentRows { vectors: good.vectors[1..].to_vec().into(), ..good.clone() });
    refuse(&SegmentRows { sequences: vec![10, 11, 11, 12, 13], ..good.clone() });
    refuse(&SegmentRows { sequences: vec![6, 11, 12, 13, 14], ..good.clone() });
    refuse(&SegmentRows { ids: Default::default(), ..good });
}

#[test]
fn another_store_segment_or_frame_is_refused() {
    let built = Built::new(Metric::Cosine, 3, clustered(5, 3, 1, 1), 1);
    let open = |expected: &Expected, frame: &Frame| Segment::open(&built.path(), expected, frame);
    let good = expected(built.written);
    assert!(open(&good, &built.frame).is_ok());
    for wrong in [
        Expected { uuid: [0; 16], ..good.clone() },
        Expected { id: 43, ..good.clone() },
        Expected { nonce: 1, ..good.clone() },
        Expected { range: SequenceRange { start: 7, end: 8 }, ..good.clone() },
        Expected { length: good.length + 64, ..good.clone() },
        Expected { checksum: good.checksum ^ 1, ..good.clone() },
    ] {
        assert!(open(&wrong, &built.frame).unwrap_err().is_corruption());
    }
    for frame in [Frame::new(Metric::Dot, 3, 99, None), Frame::new(Metric::Cosine, 3, 98, None)] {
        assert!(open(&good, &frame).unwrap_err().is_corruption());
    }
}
