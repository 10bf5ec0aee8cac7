//! Many processes that read one store, and the writer that is kept away from them.

use std::path::Path;
use std::time::Duration;

use understory::{Batch, Error, Store};

use crate::children::{self, Words};
use crate::power::Mounted;
use crate::support::{Dir, assert_mentions, refused};

const ITEMS: u64 = 200;

/// Child: opens the store read-only, says what it found, and holds it.
pub(crate) fn hold(path: &Path) {
    match Store::open_read_only(path) {
        Ok(store) => {
            children::say(&answer(&store));
            loop {
                std::thread::sleep(Duration::from_secs(1));
            }
        }
        Err(error) => children::say(&error.to_string()),
    }
}

/// Child: the same, and lets go of it.
pub(crate) fn read(path: &Path) {
    match Store::open_read_only(path) {
        Ok(store) => children::say(&answer(&store)),
        Err(error) => children::say(&error.to_string()),
    }
}

fn vector(id: u64) -> [f32; 3] {
    [id as f32, 1.0, (id % 7) as f32]
}

fn fill(store: &Store) {
    let mut batch = Batch::new();
    for id in 0..ITEMS {
        batch.insert(id, vector(id));
    }
    store.write(batch).unwrap();
    store.flush().unwrap();
    store.insert(ITEMS, vector(ITEMS)).unwrap();
}

fn answer(store: &Store) -> String {
    let hits = store.query(vector(7)).unwrap().k(3).exact().run().unwrap();
    let ids: Vec<String> = hits.iter().map(|hit| hit.id.to_string()).collect();
    format!("{} items, near 7: {}", store.len().unwrap(), ids.join(" "))
}

/// Names, lengths and contents of all files of a store.
fn files(path: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        if entry.path().is_dir() {
            files.extend(self::files(&entry.path()));
        } else {
            files.push((name, std::fs::read(entry.path()).unwrap()));
        }
    }
    files.sort();
    files
}

#[test]
fn many_processes_read_a_store_and_keep_writers_away() {
    let _alone = children::alone();
    let dir = Dir::new();
    let store = Store::open(dir.store()).unwrap();
    fill(&store);
    let expected = answer(&store);
    let refusal = children::run("read", &dir.store());
    assert!(refusal[0].contains("open in another process"), "expected Locked while it is written, found {refusal:?}");
    store.close().unwrap();
    let before = files(&dir.store());
    let mut readers: Vec<_> = (0..3).map(|_| children::spawn("hold", &dir.store())).collect();
    for reader in &mut readers {
        assert_eq!(Words::of(reader).next().as_ref(), Some(&expected));
    }
    let here = Store::open_read_only(dir.store()).unwrap();
    assert_eq!(answer(&here), expected);
    let error = refused(Store::open(dir.store()));
    assert!(matches!(error, Error::Locked(_)), "{error:?}");
    assert_mentions(&error, &["a.understory", "open in another process"]);
    assert_eq!(children::run("open", &dir.store()), [error.to_string()]);
    for mut reader in readers {
        reader.kill().unwrap();
        reader.wait().unwrap();
    }
    assert!(matches!(Store::open(dir.store()), Err(Error::Locked(_))), "one reader is left");
    drop(here);
    assert!(files(&dir.store()) == before, "expected readers to change nothing");
    Store::open(dir.store()).expect("no reader is left");
}

#[test]
fn a_store_that_was_not_closed_is_recovered_before_it_is_read() {
    let _alone = children::alone();
    let dir = Dir::new();
    children::kill_after(children::spawn("immediate", &dir.store()), "written");
    let before = files(&dir.store());
    let error = refused(Store::open_read_only(dir.store()));
    assert!(matches!(error, Error::NeedsRecovery { .. }), "{error:?}");
    assert_mentions(&error, &["store-0000000000.redb", "not closed cleanly", "once for writing"]);
    assert_eq!(children::run("read", &dir.store()), [error.to_string()]);
    assert!(files(&dir.store()) == before, "expected a refused reader to change nothing");
    drop(Store::open(dir.store()).unwrap());
    assert_eq!(Store::open_read_only(dir.store()).expect("recovered").len().unwrap(), 20);
}

/// As on a read-only medium: nothing can be created, and there may be no lock file.
#[cfg(unix)]
#[test]
fn a_store_is_read_where_nothing_can_be_written() {
    use std::os::unix::fs::PermissionsExt;
    let _alone = children::alone();
    let dir = Dir::new();
    let store = Store::open(dir.store()).unwrap();
    fill(&store);
    let expected = answer(&store);
    store.close().unwrap();
    let set_mode = |path: &Path, mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    let lock = dir.store().join("LOCK");
    for has_lock in [true, false] {
        if !has_lock {
            std::fs::remove_file(&lock).unwrap();
        }
        let before = files(&dir.store());
        set_mode(&dir.store(), 0o555);
        assert_eq!(children::run("read", &dir.store()), [expected.as_str()], "lock file: {has_lock}");
        let (one, other) = (Store::open_read_only(dir.store()).unwrap(), Store::open_read_only(dir.store()).unwrap());
        assert_eq!([answer(&one), answer(&other)], [expected.as_str(); 2]);
        set_mode(&dir.store(), 0o755);
        assert!(files(&dir.store()) == before, "expected readers to create nothing");
        // The row file's own lock keeps a writer away where there is no lock file.
        assert!(matches!(Store::open(dir.store()), Err(Error::Locked(_))), "lock file: {has_lock}");
    }
}

/// The same where the system itself writes nothing: on a file system that is mounted read-only.
#[test]
fn many_processes_read_a_store_on_a_medium_that_is_mounted_read_only() {
    let _alone = children::alone();
    let dir = Dir::new();
    let Some(medium) = Mounted::fresh(dir.path()) else {
        println!("skipped: no root, no loop device or no mkfs.ext4");
        return;
    };
    let path = medium.at.join("a.understory");
    let store = Store::open(&path).unwrap();
    fill(&store);
    let expected = answer(&store);
    store.close().unwrap();
    for has_lock in [true, false] {
        if !has_lock {
            std::fs::remove_file(path.join("LOCK")).unwrap();
        }
        medium.remount("ro");
        assert!(std::fs::write(path.join("probe"), "x").is_err(), "expected a medium that cannot be written");
        let before = files(&path);
        let mut readers: Vec<_> = (0..3).map(|_| children::spawn("hold", &path)).collect();
        for reader in &mut readers {
            assert_eq!(Words::of(reader).next().as_ref(), Some(&expected), "lock file: {has_lock}");
        }
        assert_eq!(answer(&Store::open_read_only(&path).unwrap()), expected, "lock file: {has_lock}");
        for mut reader in readers {
            reader.kill().unwrap();
            reader.wait().unwrap();
        }
        let error = refused(Store::open(&path));
        assert!(matches!(error, Error::Io { .. }), "expected no writer on such a medium, found {error:?}");
        assert!(files(&path) == before);
        medium.remount("rw");
    }
    children::kill_after(children::spawn("immediate", &path), "written");
    medium.remount("ro");
    let error = refused(Store::open_read_only(&path));
    assert!(matches!(error, Error::NeedsRecovery { .. }), "{error:?}");
    medium.remount("rw");
    assert!(Store::open(&path).unwrap().len().unwrap() >= ITEMS);
}
