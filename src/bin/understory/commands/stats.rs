//! `stats`: what a store holds and what it costs.

use std::path::Path;

use serde::Serialize;
use understory::{SegmentStats, Stats};

use super::open_to_read;
use crate::failure::Result;
use crate::output;

#[derive(Serialize)]
struct Report {
    items: u64,
    dimension: Option<usize>,
    metric: &'static str,
    segments: Vec<Segment>,
    damaged_segments: usize,
    delta_items: u64,
    unbuilt_items: u64,
    tombstones: u64,
    rows_bytes: u64,
    segment_bytes: u64,
    bytes_per_vector: Option<f64>,
    raw_bytes_per_vector: Option<usize>,
    memory_bytes: u64,
    oldest_snapshot_seconds: Option<f64>,
    default_effort: u64,
    maintenance_error: Option<String>,
    writes_stopped: Option<String>,
}

#[derive(Serialize)]
struct Segment {
    items: u64,
    dead: u64,
    leaves: u64,
    groups: u64,
    bytes: u64,
}

pub(crate) fn run(path: &Path, json: bool) -> Result<()> {
    let store = open_to_read(path)?;
    let report = Report::new(&store.stats()?, store.open_report().damaged_segments.len());
    if json {
        return output::json(&report);
    }
    for (name, value) in report.rows() {
        output::line(&format!("{name:<16}  {value}"))?;
    }
    Ok(())
}

impl Report {
    fn new(stats: &Stats, damaged_segments: usize) -> Report {
        let bytes = (stats.rows_bytes + stats.segment_bytes) as f64;
        Report {
            items: stats.items,
            dimension: stats.dimension,
            metric: stats.metric.name(),
            segments: stats.segments.iter().map(Segment::from).collect(),
            damaged_segments,
            delta_items: stats.delta_items,
            unbuilt_items: stats.unbuilt_items,
            tombstones: stats.tombstones,
            rows_bytes: stats.rows_bytes,
            segment_bytes: stats.segment_bytes,
            bytes_per_vector: (stats.items > 0).then(|| bytes / stats.items as f64),
            raw_bytes_per_vector: stats.dimension.map(|dimension| dimension * size_of::<f32>()),
            memory_bytes: stats.memory_bytes,
            oldest_snapshot_seconds: stats.oldest_snapshot.map(|age| age.as_secs_f64()),
            default_effort: stats.default_effort,
            maintenance_error: stats.maintenance_error.clone(),
            writes_stopped: stats.writes_stopped.clone(),
        }
    }
}

impl From<&SegmentStats> for Segment {
    fn from(segment: &SegmentStats) -> Segment {
        Segment {
            items: segment.items,
            dead: segment.dead,
            leaves: segment.leaves,
            groups: segment.groups,
            bytes: segment.bytes,
        }
    }
}

impl Report {
    /// The lines for people, name and value.
    fn rows(&self) -> Vec<(&'static str, String)> {
        let known = |value: Option<String>, otherwise: &str| value.unwrap_or_else(|| otherwise.to_owned());
        let mut rows = vec![
            ("items", output::grouped(self.items)),
            ("dimension", known(self.dimension.map(|dimension| dimension.to_string()), "not fixed yet")),
            ("metric", self.metric.to_owned()),
            ("in segments of", known(self.segment_list(), "no segments")),
            ("damaged segments", self.damaged_segments.to_string()),
            ("in the delta", output::grouped(self.delta_items)),
            ("unbuilt", output::grouped(self.unbuilt_items)),
            ("tombstones", output::grouped(self.tombstones)),
            ("rows on disk", output::size(self.rows_bytes)),
            ("segments on disk", output::size(self.segment_bytes)),
            ("bytes a vector", known(self.bytes_a_vector(), "no items")),
            ("memory", output::size(self.memory_bytes)),
            ("default effort", output::grouped(self.default_effort)),
            ("oldest snapshot", known(self.oldest_snapshot_seconds.map(|age| format!("{age:.1} s")), "none")),
        ];
        let failures = [("maintenance", &self.maintenance_error), ("writes stopped", &self.writes_stopped)];
        rows.extend(failures.into_iter().filter_map(|(name, failure)| Some((name, failure.clone()?))));
        rows
    }

    fn segment_list(&self) -> Option<String> {
        let segments: Vec<String> = self.segments.iter().map(|segment| output::grouped(segment.items)).collect();
        (!segments.is_empty()).then(|| segments.join(" + "))
    }

    fn bytes_a_vector(&self) -> Option<String> {
        let (bytes, raw) = (self.bytes_per_vector?, self.raw_bytes_per_vector?);
        Some(format!("{bytes:.0}, {:.2} times the {raw} of its components", bytes / raw as f64))
    }
}
