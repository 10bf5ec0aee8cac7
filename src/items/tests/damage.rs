//! Damaged bytes, disagreeing tables, files that are none of ours.

use crate::items::check::RowCheck;
use redb::{ReadableTable, TableDefinition};

use super::*;

/// A small file that uses every table: fresh rows, blocks, dead rows, a manifest row, all of `meta`.
fn filled(path: &Path) {
    let database = Database::create(path, &store_row(3), CACHE).unwrap();
    let mut writer = database.begin_write(Durability::Immediate).unwrap();
    let metadata = vec![7; 40];
    for sequence in 1..30 {
        writer.put(sequence, &Id::Number(sequence % 25), &metadata, &[sequence as f32, 0.5, -1.0]).unwrap();
    }
    writer.pack(20, 0, true).unwrap();
    writer.put_segment(4, b"a manifest row").unwrap();
    writer.set_counters(Counters { next_sequence: 30, next_segment: 5, flushed: 12 }).unwrap();
    writer.set_mean(&[1.0, 2.0, 3.0]).unwrap();
    let curve = EffortCurve { neighbours: 10, points: vec![(0.9, 100), (0.99, 1_000)] };
    writer.set_effort(&Effort { items: 11, sequence: 8, curves: vec![curve] }).unwrap();
    // A dead row that its block holds, beside those that left `fresh`.
    assert_eq!(writer.remove(&Id::Number(10)).unwrap(), Some(10));
    writer.commit().unwrap();
    database.close().unwrap();
}

fn sequence(id: &Id) -> u64 {
    match id {
        Id::Number(number) => *number,
        Id::Text(_) => 0,
    }
}

fn verify(path: &Path) -> Result<RowCheck> {
    Database::open(path, CACHE)?.begin_read()?.verify()
}

/// Changes a stored value behind the layer's back.
fn tamper<K: redb::Key + 'static>(path: &Path, table: &str, key: K::SelfType<'_>, change: &dyn Fn(&mut Vec<u8>)) {
    let database = redb::Database::open(path).unwrap();
    let transaction = database.begin_write().unwrap();
    let mut open = transaction.open_table(TableDefinition::<K, &[u8]>::new(table)).unwrap();
    let mut value = open.get(&key).unwrap().unwrap().value().to_vec();
    change(&mut value);
    open.insert(&key, value.as_slice()).unwrap();
    drop(open);
    transaction.commit().unwrap();
}

fn value<K: redb::Key + 'static>(path: &Path, table: &str, key: K::SelfType<'_>) -> Vec<u8> {
    let database = redb::Database::open(path).unwrap();
    let open = database.begin_read().unwrap().open_table(TableDefinition::<K, &[u8]>::new(table)).unwrap();
    open.get(&key).unwrap().unwrap().value().to_vec()
}

/// Flips each byte of the value in turn; every full check must name the table.
fn every_flip_is_found<K: redb::Key + 'static>(path: &Path, table: &str, key: &K::SelfType<'_>)
where
    for<'a> K::SelfType<'a>: Clone,
{
    let bytes = value::<K>(path, table, key.clone()).len();
    assert!(bytes > 0);
    // A page of the dead bitmap has one long value: every ninth byte shows as much.
    for at in (0..bytes).step_by(if bytes > 500 { 9 } else { 1 }).chain(bytes - 4..bytes) {
        tamper::<K>(path, table, key.clone(), &|value| value[at] ^= 1 << (at % 8));
        let error = verify(path).unwrap_err();
        assert!(error.is_corruption() && error.to_string().contains(&format!("table {table}")), "{at}: {error}");
        tamper::<K>(path, table, key.clone(), &|value| value[at] ^= 1 << (at % 8));
    }
    verify(path).unwrap();
}

#[test]
fn every_flipped_byte_of_every_kind_of_value_is_found() {
    let (_dir, path) = scratch();
    filled(&path);
    let counts = verify(&path).unwrap();
    assert_eq!((counts.items, counts.dead, counts.segments), (24, 1, 1));
    for key in ["format", "store", "sequence", "segment", "flushed", "mean", "spent"] {
        every_flip_is_found::<&[u8]>(&path, "meta", &key.as_bytes());
    }
    every_flip_is_found::<&[u8]>(&path, "ids", &Id::Number(7).to_bytes().as_slice());
    every_flip_is_found::<u64>(&path, "segments", &4);
    every_flip_is_found::<u64>(&path, "dead", &0);
    every_flip_is_found::<u64>(&path, "fresh", &22);
}

#[test]
fn every_flipped_byte_of_a_block_is_found_by_whoever_reads_there() {
    let (_dir, path) = scratch();
    filled(&path);
    let block = value::<u64>(&path, "packed", 5);
    // Seven is prime to the fields' lengths, so that each field of the header and of a row is met.
    for at in (0..block.len()).step_by(7) {
        tamper::<u64>(&path, "packed", 5, &|value| value[at] ^= 0x10);
        let rows = Database::open(&path, CACHE).unwrap().begin_read().unwrap();
        let whole = |row: RowRef<'_>| {
            let mut vector = Vec::new();
            row.vector_into(&mut vector);
            assert_eq!(vector[0], row.sequence as f32);
            Ok(ControlFlow::Continue(()))
        };
        let error = rows.scan(ALL, &mut { whole }).unwrap_err();
        assert!(error.is_corruption() && error.to_string().contains("table packed, key 5"), "{at}: {error}");
        let unread = (5..20).filter(|&sequence| rows.row(sequence).is_err()).count();
        // The header spoils the block, a row only itself.
        assert_eq!(unread, if at < 8 + 12 * 15 { 15 } else { 1 }, "{at}");
        drop(rows);
        tamper::<u64>(&path, "packed", 5, &|value| value[at] ^= 0x10);
    }
}

#[test]
fn tables_that_disagree_are_found_although_their_checksums_hold() {
    type Spoil = fn(&mut WriteRows);
    let spoils: [(&str, Spoil); 6] = [
        ("ids, key Number(22)", |writer| assert!(writer.table(tables::FRESH).unwrap().remove(&22).unwrap())),
        ("fresh, key 22", |writer| {
            let id = Id::Number(22).to_bytes();
            assert!(writer.table(tables::IDS).unwrap().remove(&id.as_slice()).unwrap());
        }),
        ("fresh, key 22", |writer| {
            let id = Id::Number(22).to_bytes();
            writer.table(tables::IDS).unwrap().put_sealed(&id.as_slice(), &23u64.to_le_bytes()).unwrap();
        }),
        ("packed, key 5, row 10", |writer| {
            writer.retain_dead(SequenceRange { start: 10, end: 11 }, &|_| false).unwrap();
        }),
        ("dead, key 0", |writer| {
            writer.set_counters(Counters { next_sequence: 3, next_segment: 5, flushed: 1 }).unwrap();
        }),
        ("meta, key \"flushed\"", |writer| {
            writer.set_counters(Counters { next_sequence: 30, next_segment: 5, flushed: 31 }).unwrap();
        }),
    ];
    for (place, spoil) in spoils {
        let (_dir, path) = scratch();
        filled(&path);
        let database = Database::open(&path, CACHE).unwrap();
        let mut writer = database.begin_write(Durability::Immediate).unwrap();
        spoil(&mut writer);
        writer.commit().unwrap();
        let error = database.begin_read().unwrap().verify().unwrap_err();
        assert!(error.is_corruption() && error.to_string().contains(place), "{place}: {error}");
    }
}

#[test]
fn a_format_that_is_not_known_is_refused() {
    for (at, expected) in [(0, "version 3"), (4, "features 0x2")] {
        let (_dir, path) = scratch();
        filled(&path);
        let mut row = value::<&[u8]>(&path, "meta", b"format");
        row[at] ^= 2;
        let sealed = {
            let database = Database::open(&path, CACHE).unwrap();
            let writer = database.begin_write(Durability::Immediate).unwrap();
            writer.table(tables::META).unwrap().seal(&meta::FORMAT, &row[..20])
        };
        tamper::<&[u8]>(&path, "meta", b"format", &|value| value.clone_from(&sealed));
        match Database::open(&path, CACHE).unwrap_err() {
            Error::UnsupportedFormat { found, supported: 1, .. } => assert!(found.contains(expected), "{found}"),
            other => panic!("expected a refusal, found {other}"),
        }
    }
}

#[test]
fn files_that_are_no_row_file_give_an_error() {
    let (_dir, path) = scratch();
    let missing = Database::open(&path, CACHE).unwrap_err();
    assert!(matches!(missing, Error::Io { .. }), "{missing}");
    filled(&path);
    let whole = std::fs::read(&path).unwrap();
    let mut zeroed = whole.clone();
    zeroed[..64].fill(0);
    let garbage: Vec<u8> = (0..20_000u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let files: [&[u8]; 6] = [&[], b"redb", &garbage, &whole[..100], &whole[..whole.len() / 2], &zeroed];
    for (number, bytes) in files.into_iter().enumerate() {
        std::fs::write(&path, bytes).unwrap();
        let error = verify(&path).unwrap_err();
        assert!(error.is_corruption(), "file {number}: {error}");
    }
    // A redb file of someone else.
    std::fs::remove_file(&path).unwrap();
    redb::Database::create(&path).unwrap();
    assert!(Database::open(&path, CACHE).unwrap_err().is_corruption());
}

/// redb checks no page that it reads: whatever is flipped in the file, the full check may find nothing (the byte
/// was not in use) but must not panic, and what it accepts must be the rows that were written.
#[test]
fn flipped_bytes_of_the_file_give_an_error_or_the_same_rows() {
    let (dir, source) = scratch();
    let path = dir.path().join("store-0000000001.redb");
    filled(&source);
    {
        let database = Database::open(&source, CACHE).unwrap();
        let mut writer = database.begin_write(Durability::Immediate).unwrap();
        let ids: Vec<Id> = (30..2_000).map(Id::Number).collect();
        let new = |id| NewRow { sequence: sequence(id), id, metadata: &[], vector: &[0.5, 0.25, 3.0] };
        writer.put_many(&ids.iter().map(new).collect::<Vec<_>>()).unwrap();
        writer.set_counters(Counters { next_sequence: 2_000, next_segment: 5, flushed: 12 }).unwrap();
        writer.commit().unwrap();
        // A copy has few pages that are no longer in use.
        Database::copy_to(&database.begin_read().unwrap(), &path, CACHE, &|_| true).unwrap();
    }
    let whole = std::fs::read(&path).unwrap();
    let rows = scanned(&Database::open(&path, CACHE).unwrap().begin_read().unwrap(), ALL);
    let used: Vec<usize> = (0..whole.len()).filter(|&at| whole[at] != 0).collect();
    let mut found = 0;
    for &at in used.iter().step_by(used.len() / 400 + 1) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x41;
        std::fs::write(&path, damaged).unwrap();
        let outcome = std::panic::catch_unwind(|| {
            let read = Database::open(&path, CACHE)?.begin_read()?;
            read.verify()?;
            Ok::<_, Error>(scanned(&read, ALL))
        });
        match outcome {
            Ok(Ok(same)) => assert!(same == rows, "byte {at}"),
            Ok(Err(_)) => found += 1,
            Err(_) => panic!("byte {at} stops the process"),
        }
    }
    assert!(found > 100, "only {found} of the flips were found");
}
