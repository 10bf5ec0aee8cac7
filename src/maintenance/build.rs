//! Builds the segment of a plan and publishes it: rows of a view -> file -> manifest -> view.
//!
//! The order is what makes it safe: the file is written under a temporary name and synced, renamed, the directory is
//! synced; then one commit names it in the manifest and makes the view that searches it current; then the files it
//! replaces are removed when their last reader is gone. A crash anywhere leaves either the old manifest and a file that
//! nothing names, or the new one and files that nothing names; the sweep at open removes those.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Maintainer;
use super::policy::{Demand, Plan};
use crate::code::Frame;
use crate::error::{Error, Result};
use crate::fs;
use crate::options::Durability;
use crate::segment::{self, Expected, FloatsWriter, Placement, SegmentRows, SegmentSpec};
use crate::snapshot::{Draft, LiveSegment, ManifestRow, Part, Source, State, View, segment_path, segments_dir};
use crate::types::SequenceRange;

/// The live rows of a range.
struct Gathered {
    rows: SegmentRows,
    /// Dead rows that blocks still hold: their bits must stay.
    dead_in_blocks: HashSet<u64>,
}

/// What a segment to be built is called.
struct SegmentName {
    id: u64,
    nonce: u64,
    path: PathBuf,
}

impl Maintainer {
    /// Builds and publishes the plan's segment. Bytes of live rows in it.
    pub(super) fn build(
        &self,
        view: &View,
        plan: &Plan,
        demand: Demand,
        progress: &(dyn Fn(f32) -> bool + Sync),
    ) -> Result<()> {
        let Some(old_frame) = view.frame.clone() else { return Ok(()) };
        let range = planned_range(view, plan);
        let name = self.next_name();
        let placement = Placement::of(planned_items(view, plan), &old_frame, self.options.segment.memory);
        let spilled = name.path.with_extension("given.tmp");
        let gathered = gather(view, range, placement.spills_given.then_some(&*spilled))?;
        let frame = settle_frame(view, &old_frame, &gathered.rows);
        let built = if gathered.rows.len() == 0 {
            None
        } else {
            let write = || self.write_segment(view, &frame, range, name, &gathered.rows, progress);
            Some(self.with_threads(demand, write)?)
        };
        self.publish(view, range, frame, built, &gathered.dead_in_blocks)
    }

    fn next_name(&self) -> SegmentName {
        let (id, nonce) = (self.shared.reserve_segment_id(), rand::random());
        SegmentName { id, nonce, path: segment_path(self.shared.path(), id, nonce) }
    }

    fn write_segment(
        &self,
        view: &View,
        frame: &Frame,
        range: SequenceRange,
        SegmentName { id, nonce, path: name }: SegmentName,
        rows: &SegmentRows,
        progress: &(dyn Fn(f32) -> bool + Sync),
    ) -> Result<(Part, ManifestRow)> {
        let temporary = name.with_extension("tmp");
        let spec = SegmentSpec {
            uuid: view.store.uuid,
            id,
            nonce,
            range,
            options: self.options.segment,
            seed: view.store.build_seed,
        };
        let written = segment::build(frame, rows, &spec, &temporary, progress)
            .and_then(|written| {
                fs::crash_point("segment written");
                fs::publish(&temporary, &name)?;
                fs::crash_point("segment renamed");
                Ok(written)
            })
            .inspect_err(|_| drop(fs::remove(&temporary)))?;
        fs::sync_dir(&segments_dir(self.shared.path())).inspect_err(|_| drop(fs::remove(&name)))?;
        fs::crash_point("segment directory synced");
        let items = rows.len() as u64;
        let state = State::Built { nonce, length: written.length, checksum: written.checksum };
        let expected =
            Expected { uuid: view.store.uuid, id, nonce, range, length: written.length, checksum: written.checksum };
        let segment = LiveSegment::open(&name, &expected, frame).inspect_err(|_| drop(fs::remove(&name)))?;
        let part = Part { id, range, items, dead: 0, source: Source::Segment(Arc::new(segment)) };
        Ok((part, ManifestRow { range, items, state }))
    }

    /// One commit: the manifest names the new part and no longer what it replaces, and so does the view.
    fn publish(
        &self,
        built_from: &View,
        range: SequenceRange,
        frame: Arc<Frame>,
        built: Option<(Part, ManifestRow)>,
        dead_in_blocks: &HashSet<u64>,
    ) -> Result<()> {
        // Who died before the build is in no segment of this range now; its bit stays only while a block has its row.
        let keep_dead = |sequence| dead_in_blocks.contains(&sequence) || !built_from.dead.contains(sequence);
        let mut replaced = Vec::new();
        let mut writer = self.shared.writer();
        let new_part = built.as_ref().map(|(part, _)| part.clone());
        let committed = self.shared.commit(&mut writer, Durability::Immediate, |rows, draft| {
            if draft.reloads != built_from.reloads {
                return Err(Error::Maintenance { cause: "the rows were opened anew meanwhile".into() });
            }
            replaced = replace_parts(draft, range, new_part);
            for part in &replaced {
                rows.remove_segment(part.id)?;
            }
            // A part that only begins inside the range was trimmed; the manifest must say so too.
            for part in draft.parts.iter().filter(|part| part.range.start == range.end) {
                if let Source::Rows { damaged: None } = part.source {
                    let row = ManifestRow { range: part.range, items: part.items, state: State::Unbuilt };
                    rows.put_segment(part.id, &row.encode())?;
                }
            }
            if let Some((part, row)) = &built {
                rows.put_segment(part.id, &row.encode())?;
            }
            draft.counters.flushed = draft.counters.flushed.max(range.end);
            draft.counters.next_segment = self.shared.next_segment_id();
            rows.set_counters(draft.counters)?;
            if let (Some(mean), true) = (frame.mean(), draft.frame.as_ref().is_none_or(|old| old.mean().is_none())) {
                rows.set_mean(mean)?;
            }
            rows.retain_dead(range, &keep_dead)?;
            draft.dead.retain(range, &keep_dead);
            // All other dead items of the range were live when the segment was built: it has them.
            let died_since = draft.dead.count_in(range).saturating_sub(dead_in_blocks.len() as u64);
            for part in draft.parts.iter_mut().filter(|part| part.range == range) {
                part.dead = died_since;
            }
            draft.delta = draft.delta.starting_at(&frame, draft.counters.flushed);
            draft.frame = Some(frame);
            fs::crash_point("segment commit");
            Ok(())
        });
        drop(writer);
        fs::crash_point("segment committed");
        match committed {
            Ok(()) => {
                replaced.iter().for_each(|part| self.doom(part));
                Ok(())
            }
            Err(error) => {
                // After an unknown outcome the manifest may name the file: the next open decides.
                if let (Some((part, _)), false) = (&built, matches!(error, Error::CommitUnknown { .. })) {
                    self.doom(part);
                }
                Err(error)
            }
        }
    }

    /// Removes the file of a part that no manifest row names, now or with its last reader.
    fn doom(&self, part: &Part) {
        match &part.source {
            Source::Segment(segment) => self.shared.doom(segment),
            // A removal that fails is made up for by the sweep of the next open.
            Source::Rows { damaged: Some(path) } => drop(fs::remove(path)),
            Source::Rows { damaged: None } => {}
        }
    }
}

fn planned_range(view: &View, plan: &Plan) -> SequenceRange {
    let parts = &view.parts[plan.parts.clone()];
    let start = parts.first().map_or(view.counters.flushed, |part| part.range.start);
    let end = match parts.last() {
        Some(part) if !plan.delta => part.range.end,
        _ => view.counters.next_sequence,
    };
    SequenceRange { start, end }
}

/// About how many items the planned segment has.
fn planned_items(view: &View, plan: &Plan) -> u64 {
    let live = |part: &Part| part.items.saturating_sub(part.dead);
    let delta = if plan.delta { view.delta.len() as u64 } else { 0 };
    delta + view.parts[plan.parts.clone()].iter().map(live).sum::<u64>()
}

/// Reads the rows; with a path, their vectors go to a temporary file there.
fn gather(view: &View, range: SequenceRange, spilled: Option<&Path>) -> Result<Gathered> {
    let mut vectors = FloatsWriter::new(spilled)?;
    let mut rows = SegmentRows::default();
    let mut dead_in_blocks = HashSet::new();
    let mut vector = Vec::new();
    view.rows.scan(range, &mut |row| {
        if view.dead.contains(row.sequence) {
            dead_in_blocks.insert(row.sequence);
        } else {
            view.read_vector(&row, &mut vector)?;
            vectors.push(&vector)?;
            rows.sequences.push(row.sequence);
            rows.ids.push(row.id);
            rows.fields.push(row.metadata);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    rows.vectors = vectors.finish()?;
    Ok(Gathered { rows, dead_in_blocks })
}

/// The frame of the segment: the first flush of a euclidean or manhattan store fixes the mean, which keeps sums of squares small
/// where all vectors are far from the origin.
fn settle_frame(view: &View, frame: &Arc<Frame>, rows: &SegmentRows) -> Arc<Frame> {
    let is_first = view.parts.iter().all(|part| matches!(part.source, Source::Rows { damaged: None }));
    if !frame.metric().is_centred() || frame.mean().is_some() || !is_first || rows.len() == 0 {
        return frame.clone();
    }
    let mut sums = vec![0.0f64; frame.dimension()];
    for vector in rows.vectors.chunks_exact(frame.dimension()) {
        for (sum, component) in sums.iter_mut().zip(vector) {
            *sum += f64::from(*component);
        }
    }
    let mean = sums.iter().map(|sum| (sum / rows.len() as f64) as f32).collect();
    Arc::new(Frame::new(frame.metric(), frame.dimension(), view.store.rotation_seed, Some(mean)))
}

/// Puts the new part in the place of those its range covers. A large batch may have turned the delta into an unbuilt
/// part meanwhile: what lies beyond the range stays one.
fn replace_parts(draft: &mut Draft, range: SequenceRange, new_part: Option<Part>) -> Vec<Part> {
    let (mut kept, mut replaced) = (Vec::new(), Vec::new());
    for mut part in draft.parts.drain(..) {
        if part.range.end <= range.start || part.range.start >= range.end {
            kept.push(part);
        } else if part.range.end <= range.end {
            replaced.push(part);
        } else {
            part.range.start = range.end;
            kept.push(part);
        }
    }
    kept.extend(new_part);
    kept.sort_by_key(|part| part.range.start);
    draft.parts = kept;
    replaced
}
