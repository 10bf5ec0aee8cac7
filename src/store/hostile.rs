//! A store whose only segment a script damages, searched and checked.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::query::Hit;
use super::{Batch, Snapshot, Store};
use crate::error::{Error, Result};
use crate::hostile::edit;
use crate::options::{Maintenance, Options};
use crate::segment::{Expected, hostile};
use crate::snapshot::{LiveSegment, ManifestRow, Part, Source, State, View};
use crate::types::Metric;

const DIMENSION: usize = 3;

/// Hits asked for: more than there are items, so that an answer is all of them in order.
const ALL: usize = 60;

/// An intact store, and where damaged copies of its segment go.
pub(crate) struct Target {
    /// Open for as long as its rows are read.
    _store: Store,
    view: Arc<View>,
    part: Part,
    bytes: Vec<u8>,
    expected: Expected,
    places: Vec<usize>,
    answer: Vec<Hit>,
    damaged: PathBuf,
}

impl Target {
    /// Makes the store in a directory, which must be empty or missing.
    pub(crate) fn new(directory: &Path) -> Result<Target> {
        let options = Options::new().metric(Metric::Euclidean).maintenance(Maintenance::Manual).threads(1);
        let store = Store::open_with(directory.join("a.understory"), options)?;
        let vector = |item: u64| [item as f32, (item * 7 % 5) as f32, (item * 3 % 11) as f32 - 5.0];
        let mut batch = Batch::new();
        for item in 0..40 {
            batch.insert(item, vector(item));
        }
        store.write(batch)?;
        store.flush()?;
        store.remove(9)?;
        store.insert("new", vector(50))?;

        let view = store.inner.shared.view()?;
        let lost = || Error::InvalidArgument("expected a store of one segment".into());
        let part = view.parts.first().cloned().ok_or_else(lost)?;
        let row = view.rows.segments()?.into_iter().next().and_then(|(_, bytes)| ManifestRow::decode(&bytes).ok());
        let Some((State::Built { nonce, length, checksum }, Source::Segment(segment))) =
            row.map(|row| row.state).zip(Some(&part.source))
        else {
            return Err(lost());
        };
        let expected = Expected { uuid: view.store.uuid, id: part.id, nonce, range: part.range, length, checksum };
        let bytes = std::fs::read(segment.path()).map_err(|source| Error::io("read", segment.path(), source))?;
        let places = hostile::places(&bytes);
        let answer = search(&snapshot(view.clone()), false)?;
        let damaged = directory.join("damaged.seg");
        Ok(Target { _store: store, view, part, bytes, expected, places, answer, damaged })
    }

    /// Damages the segment and uses it in every way. The first byte of the script says whether checksums are put right
    /// again: if not, no answer may be wrong. Whether the segment could be opened.
    pub(crate) fn run(&self, script: &[u8]) -> bool {
        let (reseals, edits) = script.split_first().map_or((true, script), |(first, edits)| (first % 4 != 0, edits));
        let mut bytes = self.bytes.clone();
        edit(&mut bytes, edits, &self.places);
        let mut expected = Expected { length: bytes.len() as u64, ..self.expected.clone() };
        if reseals {
            expected.checksum = hostile::reseal(&mut bytes, DIMENSION * size_of::<f32>());
        }
        // A new file each time: the one before may still be mapped.
        let _ = std::fs::remove_file(&self.damaged);
        std::fs::write(&self.damaged, &bytes).expect("room for a copy");
        let Some(frame) = &self.view.frame else { unreachable!("the store has items") };
        let segment = match LiveSegment::open(&self.damaged, &expected, frame) {
            Ok(segment) => segment,
            Err(error) => {
                let is_plain = error.is_corruption() || matches!(error, Error::UnsupportedFormat { .. });
                // No file of no bytes can be mapped.
                assert!(is_plain || bytes.is_empty(), "expected the damage to be named, found {error:?}");
                return false;
            }
        };
        let checked = segment.verify();
        assert!(reseals || bytes == self.bytes || checked.is_err(), "expected the damage to be found");
        let part = Part { source: Source::Segment(Arc::new(segment)), ..self.part.clone() };
        let snapshot = snapshot(Arc::new(View { parts: vec![part], ..View::clone(&self.view) }));
        for exact in [false, true] {
            match search(&snapshot, exact) {
                Ok(hits) if reseals => assert!(hits.len() <= ALL, "expected at most {ALL} hits"),
                Ok(hits) => assert!(hits == self.answer, "expected the answer of the rows, found {hits:?}"),
                Err(error) => assert!(reseals && error.is_corruption(), "expected an answer, found {error:?}"),
            }
        }
        for row in [2, 9, 33] {
            let near = snapshot.query_near(row).and_then(|query| query.k(3).effort(1).with_vectors().run());
            assert!(reseals || near.is_ok() || row == 9, "expected an answer, found {near:?}");
        }
        true
    }
}

fn snapshot(view: Arc<View>) -> Snapshot {
    Snapshot::new(view, 1, None)
}

fn search(snapshot: &Snapshot, exact: bool) -> Result<Vec<Hit>> {
    let query = snapshot.query([4.5, 2.0, -1.0])?.k(ALL);
    if exact { query.exact().run() } else { query.run() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_segment_gives_an_error_or_the_answer_of_the_rows() {
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let target = Target::new(dir.path()).unwrap();
        assert!(target.run(&[]) && target.run(&[0]), "expected an undamaged segment to be opened");
        let opened: Vec<bool> = crate::hostile::scripts(1, 4000).map(|script| target.run(&script)).collect();
        let count = opened.iter().filter(|opened| **opened).count();
        assert!(count * 8 > opened.len() && count < opened.len(), "{count} of {} were opened", opened.len());
    }
}
