//! The write path: callers queue their writes, and whoever gets the writer's lock commits all that are queued.
//!
//! So concurrent callers share a transaction and its fsyncs. Each write is validated on its own before the transaction
//! begins, and what depends on the rows is looked up before anything of its batch is applied: a bad one fails alone.

use std::collections::HashMap;
use std::sync::Arc;

use super::batch::Operation;
use super::change::resolve;
use crate::code::Frame;
use crate::error::{Error, Result};
use crate::items::{Element, NewRow, WriteRows};
use crate::maintenance::{FLUSH_BYTES, FLUSH_ITEMS};
use crate::options::Options;
use crate::snapshot::{DeltaItem, Draft, ManifestRow, Part, Shared, Source, State, Writer};
use crate::sync::{Mistake, Mutex, makes};
use crate::types::{Id, Metric, SequenceRange};
use crate::vector;

/// A delta larger than this many times what is flushed becomes an unbuilt part, so that memory stays bounded where
/// flushing is off or behind.
const DELTA_LIMIT: usize = 2;

/// A caller's writes, waiting for a commit.
struct Request {
    operations: Mutex<Vec<Operation>>,
    /// How many of the operations took effect.
    outcome: Mutex<Option<Result<u64>>>,
}

/// The writes that wait for the writer's lock.
#[derive(Default)]
pub(super) struct Queue {
    waiting: Mutex<Vec<Arc<Request>>>,
}

impl Queue {
    /// Commits the operations, all or none of them, perhaps with those of other callers. Returns how many took effect:
    /// all but those that are out of date.
    pub(super) fn submit(&self, shared: &Shared, options: &Options, operations: Vec<Operation>) -> Result<u64> {
        let request = Arc::new(Request { operations: Mutex::new(operations), outcome: Mutex::new(None) });
        self.waiting.lock().push(request.clone());
        let early = makes(Mistake::GroupTakenEarly).then(|| self.take());
        let mut writer = shared.writer();
        // Whoever held the lock before may have committed this request with its own.
        if let Some(outcome) = request.outcome.lock().take() {
            return outcome;
        }
        let group = early.unwrap_or_else(|| self.take());
        commit_group(shared, &mut writer, options, &group);
        drop(writer);
        let outcome = request.outcome.lock().take();
        outcome.unwrap_or_else(|| unreachable!("a queued request is committed by whoever takes it from the queue"))
    }

    fn take(&self) -> Vec<Arc<Request>> {
        std::mem::take(&mut *self.waiting.lock())
    }
}

/// Commits what is valid and leaves every request its outcome.
fn commit_group(shared: &Shared, writer: &mut Writer, options: &Options, group: &[Arc<Request>]) {
    let view = match shared.recover(writer).and_then(|()| shared.view()) {
        Ok(view) => view,
        Err(error) => {
            let outcomes = outcomes(Err(error), group.len());
            for (request, outcome) in group.iter().zip(outcomes) {
                *request.outcome.lock() = Some(outcome.map(|()| 0));
            }
            return;
        }
    };
    let mut dimension = view.store.dimension;
    let mut valid = Vec::new();
    for request in group {
        let operations = std::mem::take(&mut *request.operations.lock());
        match validate(&operations, &mut dimension, view.store.metric) {
            Ok(()) => valid.push((request, operations)),
            Err(error) => *request.outcome.lock() = Some(Err(error)),
        }
    }
    if valid.is_empty() {
        return;
    }
    drop(view);
    // How many operations of each request took effect, or why none of them did.
    let mut applied: Vec<Result<u64>> = Vec::new();
    let mut commit = |writer: &mut Writer| {
        applied.clear();
        shared.commit(writer, options.durability, |rows, draft| {
            for (_, operations) in &valid {
                let resolved = resolve(rows, operations);
                if let Ok(operations) = &resolved {
                    apply(shared, options, rows, draft, operations)?;
                }
                applied.push(resolved.map(|operations| operations.len() as u64));
            }
            match applied.iter().all(Result::is_err) {
                true => Err(Error::InvalidArgument("expected a write that can be applied, found none".into())),
                false => rows.set_counters(draft.counters),
            }
        })
    };
    let committed = match commit(writer) {
        // An earlier read had failed: nothing of this is on disk, and the rows can be opened anew.
        Err(Error::WritesStopped { .. }) => shared.recover(writer).and_then(|()| commit(writer)),
        committed => committed,
    };
    let sharing = valid.len() - applied.iter().filter(|applied| applied.is_err()).count();
    let (mut outcomes, mut applied) = (outcomes(committed, sharing).into_iter(), applied.into_iter());
    for (request, _) in valid {
        let outcome = match applied.next() {
            Some(Err(refused)) => Some(Err(refused)),
            Some(Ok(count)) => outcomes.next().map(|outcome| outcome.map(|()| count)),
            None => outcomes.next().map(|outcome| outcome.map(|()| 0)),
        };
        *request.outcome.lock() = outcome;
    }
}

/// One outcome for each caller that shared the commit.
fn outcomes(committed: Result<()>, callers: usize) -> Vec<Result<()>> {
    let error = match committed {
        Ok(()) => return (0..callers).map(|_| Ok(())).collect(),
        Err(error) => error,
    };
    let text = error.to_string();
    let copy = || match &error {
        Error::CommitUnknown { .. } => Error::CommitUnknown { source: text.clone().into() },
        Error::Closed => Error::Closed,
        Error::ReadOnly => Error::ReadOnly,
        Error::WritesStopped { cause } => Error::WritesStopped { cause: cause.clone() },
        Error::SnapshotsHeld { views, cause } => Error::SnapshotsHeld { views: *views, cause: cause.clone() },
        _ => Error::Storage { action: "commit together with other writes", source: text.clone().into() },
    };
    let mut all: Vec<_> = (1..callers).map(|_| Err(copy())).collect();
    all.push(Err(error));
    all
}

/// Checks all operations before any is applied. The first vector of a store fixes its dimension.
fn validate(operations: &[Operation], dimension: &mut Option<usize>, metric: Metric) -> Result<()> {
    let mut found = *dimension;
    for operation in operations {
        operation.id().validate()?;
        if let Operation::Insert { vector, .. } = operation {
            vector::validate(vector, found, metric)?;
            found = Some(vector.len());
        }
    }
    *dimension = found;
    Ok(())
}

/// Applies valid operations to the rows and to the draft alike.
fn apply(
    shared: &Shared,
    options: &Options,
    rows: &mut WriteRows,
    draft: &mut Draft,
    operations: &[Operation],
) -> Result<()> {
    let mut last: HashMap<&Id, usize> = HashMap::new();
    for (index, operation) in operations.iter().enumerate() {
        last.insert(operation.id(), index);
    }
    let mut inserts = Vec::new();
    for (index, operation) in operations.iter().enumerate() {
        if last[operation.id()] != index {
            continue;
        }
        match operation {
            Operation::Insert { id, vector, metadata } => inserts.push((id, vector, metadata)),
            Operation::Remove { id } => {
                if let Some(sequence) = rows.remove(id)? {
                    bury(draft, sequence);
                    draft.len -= 1;
                }
            }
            Operation::Change { .. } | Operation::RemoveUnchanged { .. } => {
                unreachable!("resolved before it is applied")
            }
        }
    }
    if inserts.is_empty() {
        return Ok(());
    }
    let frame = settle_frame(rows, draft, inserts[0].1.len())?;
    let first = draft.counters.next_sequence;
    draft.counters.next_sequence += inserts.len() as u64;
    rows.set_element(Element::of(draft.store.metric));
    let new_rows: Vec<_> = (first..)
        .zip(&inserts)
        .map(|(sequence, (id, vector, metadata))| NewRow { sequence, id, metadata, vector })
        .collect();
    let died = match new_rows.as_slice() {
        [row] => rows.put(row.sequence, row.id, row.metadata, row.vector)?.into_iter().collect(),
        many => rows.put_many(many)?,
    };
    draft.len += (inserts.len() - died.len()) as u64;
    died.into_iter().for_each(|sequence| bury(draft, sequence));
    let item = |(sequence, (id, vector, metadata)): (u64, (&Id, &Vec<f32>, &Vec<u8>))| {
        DeltaItem::new(&frame, sequence, id.clone(), vector.clone(), metadata)
    };
    let items = (first..).zip(inserts).map(item).collect();
    let limit = options.delta_items.unwrap_or(DELTA_LIMIT * FLUSH_ITEMS);
    extend_delta(shared, rows, draft, &frame, limit, items)
}

/// The frame, which the first vector of a store fixes.
fn settle_frame(rows: &mut WriteRows, draft: &mut Draft, dimension: usize) -> Result<Arc<Frame>> {
    if let Some(frame) = &draft.frame {
        return Ok(frame.clone());
    }
    if draft.store.dimension.is_none() {
        draft.store.dimension = Some(dimension);
        rows.set_dimension(dimension)?;
    }
    let frame = Arc::new(Frame::new(draft.store.metric, dimension, draft.store.rotation_seed, None));
    draft.frame = Some(frame.clone());
    Ok(frame)
}

/// Marks a sequence number dead in the draft; the rows have done so already.
fn bury(draft: &mut Draft, sequence: u64) {
    draft.dead.insert(sequence);
    let after = draft.parts.partition_point(|part| part.range.start <= sequence);
    if let Some(part) = after.checked_sub(1).and_then(|index| draft.parts.get_mut(index))
        && part.range.contains(sequence)
    {
        part.dead += 1;
    }
}

/// Appends new items to the delta, or makes the delta and them an unbuilt part if together they are too many.
fn extend_delta(
    shared: &Shared,
    rows: &mut WriteRows,
    draft: &mut Draft,
    frame: &Frame,
    limit: usize,
    items: Vec<DeltaItem>,
) -> Result<()> {
    let count = draft.delta.len() + items.len();
    let bytes = draft.delta.bytes() + items.iter().map(DeltaItem::bytes).sum::<usize>();
    if count <= limit && bytes <= DELTA_LIMIT * FLUSH_BYTES {
        items.into_iter().for_each(|item| draft.delta.push(frame, Arc::new(item)));
        return Ok(());
    }
    let range = SequenceRange { start: draft.counters.flushed, end: draft.counters.next_sequence };
    let id = shared.reserve_segment_id();
    let row = ManifestRow { range, items: count as u64, state: State::Unbuilt };
    rows.put_segment(id, &row.encode())?;
    let dead = draft.dead.count_in(range);
    draft.parts.push(Part { id, range, items: count as u64, dead, source: Source::Rows { damaged: None } });
    draft.counters.flushed = range.end;
    draft.counters.next_segment = shared.next_segment_id();
    draft.delta = Default::default();
    Ok(())
}
