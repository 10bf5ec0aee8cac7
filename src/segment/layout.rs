//! From rows to the codes of a segment: leaves of all trees, their groups, positions, encoded runs.

use std::path::Path;

use rayon::prelude::*;

use crate::code::{Centroid, CodeKind, CodedItem, Encoder, Frame, ItemEncoder, Quantiser, Role};
use crate::error::Result;
use crate::segment::floats::FloatsWriter;
use crate::segment::forest::{Partition, grow};
use crate::segment::progress::{Phase, Progress};
use crate::segment::refine::{directory, refine};
use crate::segment::rows::SegmentRows;
use crate::segment::split::{Points, derive_seed};
use crate::segment::{SegmentSpec, refused};

/// Rows placed together by one thread.
const PLACED_ROWS: usize = 256;
/// Rows placed before they are written to a temporary file.
const SPILLED_ROWS: usize = 16 * PLACED_ROWS;
/// A leaf may grow, in a pass, to this many times the items of a leaf.
const OVERFULL: usize = 2;
/// Vectors wider than this, padded, are refined in `WIDE_PASSES` at most: a pass costs as much a component, and at 784
/// components a third one changed no recall.
const WIDE: usize = 512;
const WIDE_PASSES: usize = 2;
/// The parts of the whole at which the phases end: placing, growing and refining, encoding.
const PLACED: f32 = 0.05;
const GROWN: f32 = 0.85;
pub(super) const ENCODED: f32 = 0.92;

/// A run as it is written, and its number of entries.
pub(super) struct EncodedRun {
    pub(super) bytes: Vec<u8>,
    pub(super) entries: usize,
}

/// All of a segment but what is copied from the rows.
pub(super) struct Image {
    pub(super) groups: Vec<EncodedRun>,
    pub(super) leaves: Vec<EncodedRun>,
    /// The row at each position.
    pub(super) row_at: Vec<u32>,
    /// The position of each row.
    pub(super) position_of: Vec<u32>,
    /// The inverse norm of each row.
    pub(super) inverse_norms: Vec<f32>,
    /// What the items' bytes were made with, where they are coded so.
    pub(super) quantiser: Option<Quantiser>,
}

/// Places, grows, refines, groups and encodes; with a path, the placed vectors are in a temporary file there.
pub(super) fn lay_out(
    frame: &Frame,
    rows: &SegmentRows,
    spec: &SegmentSpec,
    spilled: Option<&Path>,
    progress: &Progress<'_>,
) -> Result<Image> {
    let (points, inverse_norms) = place(frame, rows, spilled, progress)?;
    let forest = (0..spec.options.trees.max(1))
        .map(|tree| grow_tree(&points, spec, tree, progress))
        .collect::<Result<Vec<_>>>()?;
    let leaves: Vec<(usize, &[u32])> =
        forest.iter().enumerate().flat_map(|(tree, leaves)| leaves.parts().map(move |leaf| (tree, leaf))).collect();
    if leaves.len() >= u32::MAX as usize {
        return Err(refused(format!("a segment holds at most {} leaves", u32::MAX - 1)));
    }
    progress.begin(Phase { start: GROWN, end: GROWN, units: 1 })?;
    let centroids: Vec<Centroid> =
        leaves.par_iter().map(|(_, items)| Centroid::quantise(&points.mean(items))).collect();
    let values: Vec<f32> = centroids.iter().flat_map(Centroid::values).copied().collect();
    let centroid_points = Points::new(values, frame.padded());
    let groups = directory(&centroid_points, derive_seed(spec.seed, u64::MAX));

    let first_tree = groups.order.iter().map(|&leaf| leaves[leaf as usize]).filter(|&(tree, _)| tree == 0);
    let row_at: Vec<u32> = first_tree.flat_map(|(_, items)| items).copied().collect();
    let mut position_of = vec![0; row_at.len()];
    row_at.iter().zip(0..).for_each(|(&row, position)| position_of[row as usize] = position);

    let phase = Phase { start: GROWN, end: ENCODED, units: leaves.len() };
    progress.begin(phase)?;
    let kind = CodeKind::of_segment(frame.metric(), frame.dimension(), forest.len());
    let quantiser = Quantiser::fit(kind, &rows.vectors, frame.dimension());
    let new_encoder = || ItemEncoder::new(frame, kind, quantiser.as_ref());
    let encode_leaf = |encoder: &mut ItemEncoder<'_>, (number, &leaf): (usize, &u32)| {
        let items = leaves[leaf as usize].1;
        let first = items.first().map_or(0, |&row| position_of[row as usize]);
        let entries = items.iter().map(|&row| CodedItem {
            vector: rows.vector(row as usize, frame.dimension()),
            placed: points.get(row),
            payload: position_of[row as usize],
        });
        let (bytes, radius) = encoder.encode_run(number as u32, &centroids[leaf as usize], first, entries);
        (EncodedRun { bytes, entries: items.len() }, radius)
    };
    let encoded: Vec<(EncodedRun, f32)> =
        groups.order.par_iter().enumerate().map_init(new_encoder, encode_leaf).collect();
    progress.advance(phase, leaves.len());
    let (leaves, radii): (Vec<EncodedRun>, Vec<f32>) = encoded.into_iter().unzip();
    drop(points);
    let groups = encode_groups(frame, &groups, &centroid_points, &radii);
    Ok(Image { groups, leaves, row_at, position_of, inverse_norms, quantiser })
}

/// Every row in the rotated space, and its inverse norm.
fn place(
    frame: &Frame,
    rows: &SegmentRows,
    spilled: Option<&Path>,
    progress: &Progress<'_>,
) -> Result<(Points, Vec<f32>)> {
    let (count, padded) = (rows.len(), frame.padded());
    let phase = Phase { start: 0.0, end: PLACED, units: count };
    progress.begin(phase)?;
    let mut inverse_norms = vec![0.0; count];
    let mut writer = FloatsWriter::new(spilled)?;
    let piece_rows = if spilled.is_some() { SPILLED_ROWS } else { count };
    for (piece, inverse_norms) in inverse_norms.chunks_mut(piece_rows).enumerate() {
        let mut values = vec![0.0; inverse_norms.len() * padded];
        let chunks = values.par_chunks_mut(PLACED_ROWS * padded).zip(inverse_norms.par_chunks_mut(PLACED_ROWS));
        chunks.enumerate().for_each(|(chunk, (values, inverse_norms))| {
            if progress.is_stopped() {
                return;
            }
            let first = piece * piece_rows + chunk * PLACED_ROWS;
            for (at, (out, inverse_norm)) in values.chunks_exact_mut(padded).zip(&mut *inverse_norms).enumerate() {
                let vector = rows.vector(first + at, frame.dimension());
                *inverse_norm = frame.inverse_norm(vector);
                frame.place(vector, *inverse_norm, out);
            }
            progress.advance(phase, inverse_norms.len());
        });
        writer.take(values)?;
    }
    Ok((Points::new(writer.finish()?, padded), inverse_norms))
}

/// The leaves of one tree, grown and refined.
fn grow_tree(points: &Points, spec: &SegmentSpec, tree: usize, progress: &Progress<'_>) -> Result<Partition> {
    let options = spec.options;
    let passes = if points.padded() > WIDE { options.refinements.min(WIDE_PASSES) } else { options.refinements };
    let steps = (1 + passes) * options.trees.max(1);
    let phase = |step: usize| {
        let at = |step: usize| PLACED + (GROWN - PLACED) * step as f32 / steps as f32;
        let step = tree * (1 + passes) + step;
        Phase { start: at(step), end: at(step + 1), units: points.len() }
    };
    let seed = derive_seed(spec.seed, tree as u64);
    progress.begin(phase(0))?;
    let all = (0..points.len() as u32).collect();
    let mut leaves = grow(points, all, options.leaf_items, seed, Some((progress, phase(0))));
    for pass in 1..=passes {
        progress.begin(phase(pass))?;
        let bound = OVERFULL * options.leaf_items;
        leaves = refine(points, leaves, bound, derive_seed(seed, pass as u64), (progress, phase(pass)));
    }
    Ok(leaves)
}

/// The runs of the groups. Leaves are numbered in the order of groups, so each group's are consecutive.
fn encode_groups(frame: &Frame, groups: &Partition, centroids: &Points, radii: &[f32]) -> Vec<EncodedRun> {
    let mut encoder = Encoder::new(frame.metric(), frame.padded());
    let mut first = 0;
    let mut encoded = Vec::with_capacity(groups.len());
    for (number, leaves) in groups.parts().enumerate() {
        let centroid = Centroid::quantise(&centroids.mean(leaves));
        let entries = leaves.iter().enumerate().map(|(at, &leaf)| {
            let role = Role::Leaves { radius: radii[first + at] };
            (role, centroids.get(leaf), (first + at) as u32)
        });
        let (bytes, _) = encoder.encode_run(number as u32, &centroid, entries);
        encoded.push(EncodedRun { bytes, entries: leaves.len() });
        first += leaves.len();
    }
    encoded
}
