//! What every test of the row file shares, and the tests that need no more.

mod damage;
mod model;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::*;
use crate::items::row::Row;
use crate::types::{Id, Metric, SequenceRange};

const CACHE: usize = 4 << 20;
const ALL: SequenceRange = SequenceRange { start: 0, end: u64::MAX };

fn store_row(dimension: usize) -> StoreRow {
    StoreRow {
        uuid: *b"0123456789abcdef",
        metric: Metric::Euclidean,
        dimension: Some(dimension),
        rotation_seed: 7,
        build_seed: 8,
    }
}

fn scratch() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store-0000000000.redb");
    (dir, path)
}

/// Every row that a scan sees: sequence number, id, metadata, first component.
fn scanned(rows: &ReadRows, range: SequenceRange) -> Vec<(u64, Row)> {
    let mut found = Vec::new();
    let mut vector = Vec::new();
    rows.scan(range, &mut |row| {
        row.vector_into(&mut vector);
        let id = Id::decode(row.id).unwrap();
        found.push((row.sequence, Row { id, metadata: row.metadata.to_vec(), vector: vector.clone() }));
        Ok(ControlFlow::Continue(()))
    })
    .unwrap();
    found
}

/// What a store does after a failure of the disk, on a real file with real locks.
#[test]
fn a_retired_file_is_read_on_beside_the_one_that_is_opened_anew() {
    let (_dir, path) = scratch();
    let put = |database: &Database, sequence: u64| {
        let mut rows = database.begin_write(Durability::Immediate)?;
        rows.put(sequence, &Id::from(sequence), &[], &[sequence as f32, 0.0, 0.0])?;
        rows.commit()
    };
    let old = Database::create(&path, &store_row(3), CACHE).unwrap();
    put(&old, 1).unwrap();
    let rows = old.begin_read().unwrap();
    old.retire();
    let new = Database::open(&path, CACHE).expect("a retired database holds no lock");
    assert!(put(&old, 2).is_err(), "a retired database writes nothing");
    assert_eq!(scanned(&rows, ALL), scanned(&new.begin_read().unwrap(), ALL));
    let readers = old.readers();
    drop(old);
    assert_eq!(readers.count(), 1);
    assert_eq!(scanned(&rows, ALL).len(), 1, "its readers go on");
    drop(rows);
    assert_eq!(readers.count(), 0);
    put(&new, 2).expect("the end of the old one changed nothing");
    assert!(matches!(Database::open(&path, CACHE), Err(Error::Locked(_))), "the new one holds the locks");
    new.close().unwrap();
    assert_eq!(scanned(&Database::open_read_only(&path, CACHE).unwrap().begin_read().unwrap(), ALL).len(), 2);
}

#[test]
fn a_second_handle_is_told_that_the_file_is_locked() {
    let (_dir, path) = scratch();
    let database = Database::create(&path, &store_row(3), CACHE).unwrap();
    assert!(matches!(Database::open(&path, CACHE), Err(Error::Locked(_))));
    database.close().unwrap();
    Database::open(&path, CACHE).unwrap();
}

#[test]
fn a_file_appears_whole_or_not_at_all_and_never_replaces_another() {
    let (dir, path) = scratch();
    // What a crash left behind is no hindrance.
    std::fs::write(dir.path().join("store-0000000000.redb.tmp"), b"half a file").unwrap();
    let database = Database::create(&path, &store_row(3), CACHE).unwrap();
    let rows = database.begin_read().unwrap();
    assert_eq!(rows.store().unwrap(), store_row(3));
    assert_eq!(rows.counters().unwrap(), Counters::INITIAL);
    assert_eq!((rows.len().unwrap(), rows.mean().unwrap(), rows.effort().unwrap()), (0, None, None));
    assert!(matches!(Database::copy_to(&rows, &path, CACHE, &|_| true), Err(Error::Io { .. })));
    assert_eq!(fs::list(dir.path()).unwrap(), [path.as_path()]);
}

#[test]
fn a_snapshot_sees_no_later_write_and_outlives_its_database() {
    let (_dir, path) = scratch();
    let database = Database::create(&path, &store_row(1), CACHE).unwrap();
    let put = |sequence: u64, id: u64| {
        let mut writer = database.begin_write(Durability::Immediate).unwrap();
        let died = writer.put(sequence, &Id::Number(id), &[], &[sequence as f32]).unwrap();
        writer.commit().unwrap();
        died
    };
    assert_eq!(put(1, 7), None);
    let before = database.begin_read().unwrap();
    assert_eq!(put(2, 7), Some(1));
    // A write that is not committed leaves no trace.
    database.begin_write(Durability::Immediate).unwrap().put(3, &Id::Number(8), &[], &[3.0]).unwrap();
    assert_eq!(database.begin_read().unwrap().sequence_of(&Id::Number(8)).unwrap(), None);
    database.close().unwrap();
    assert_eq!(before.sequence_of(&Id::Number(7)).unwrap(), Some(1));
    assert_eq!(before.row(1).unwrap().unwrap().vector, [1.0]);
    drop(before);
    let rows = Database::open(&path, CACHE).unwrap().begin_read().unwrap();
    assert_eq!(rows.sequence_of(&Id::Number(7)).unwrap(), Some(2));
    assert_eq!(rows.row(1).unwrap(), None);
}
