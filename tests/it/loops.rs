//! Pages of the row file that lead in a circle. The row database follows them; whatever reads rows must come to an end
//! all the same, with an error or with what is intact.

use std::path::Path;

use understory::{Batch, Error, Id, Maintenance, Metric, Options, Store};

use crate::support::{Dir, generator, manual, noise, row_file};

const DIMENSION: usize = 24;
const PAGE: usize = 4096;

/// The first byte of a page tells its kind. A branch has the numbers of its children behind as many checksums.
const LEAF: u8 = 1;
const BRANCH: u8 = 2;
const HEAD_BYTES: usize = 8;
const CHECKSUM_BYTES: usize = 16;
const CHILD_BYTES: usize = 8;

/// A closed store whose tables of ids, fresh rows and blocks have branches.
fn closed_store(path: &Path) -> Vec<u8> {
    let store = Store::open_with(path, manual(Metric::Euclidean)).unwrap();
    let mut rng = generator(1);
    for ids in [0..1200_u64, 1200..1500] {
        let mut batch = Batch::new();
        for id in ids {
            batch.insert(format!("an item of the number {id:08}"), noise(DIMENSION, 1.0, &mut rng));
        }
        store.write(batch).unwrap();
        store.compact().unwrap();
    }
    for id in 0..300_u64 {
        store.insert(id, noise(DIMENSION, 1.0, &mut rng)).unwrap();
    }
    store.close().unwrap();
    std::fs::read(row_file(path)).unwrap()
}

/// Where each branch stands, and how many children it has.
fn branches(file: &[u8]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for start in (PAGE..file.len()).step_by(PAGE) {
        let keys = usize::from(u16::from_le_bytes([file[start + 2], file[start + 3]]));
        let children = keys + 1;
        let end = start + HEAD_BYTES + children * (CHECKSUM_BYTES + CHILD_BYTES);
        if file[start] == BRANCH && (1..200).contains(&keys) && end <= start + PAGE {
            found.push((start, children));
        }
    }
    found
}

fn child_at((start, children): (usize, usize), number: usize) -> std::ops::Range<usize> {
    let at = start + HEAD_BYTES + children * CHECKSUM_BYTES + number * CHILD_BYTES;
    at..at + CHILD_BYTES
}

/// The number of the page that begins here: of the smallest size, in the first region.
fn page_number(start: usize) -> [u8; CHILD_BYTES] {
    ((start / PAGE - 1) as u64).to_le_bytes()
}

/// Where the page of a number begins, which is as above.
fn page_start(number: &[u8]) -> Option<usize> {
    let number = u64::from_le_bytes(number.try_into().ok()?);
    (number < 1 << 20).then(|| (number as usize + 1) * PAGE)
}

/// Reads a damaged copy of the store in every way; whether it seems sound. Any outcome is welcome, but for one that
/// takes forever, an item that comes twice, and damage that is not named.
fn read(intact: &Path, damaged: &[u8]) -> Result<bool, Error> {
    let dir = Dir::in_memory();
    copy_store(intact, &dir.store());
    std::fs::write(row_file(&dir.store()), damaged).unwrap();
    let report = understory::salvage(dir.store(), dir.path().join("target")).unwrap();
    assert!(report.items > 0, "{report:?}");
    let store = Store::open_with(dir.store(), Options::new().maintenance(Maintenance::Manual))?;
    let ids: Vec<Id> = store.scan()?.map_while(Result::ok).map(|item| item.id).collect();
    assert!(ids.is_sorted_by(|one, next| one < next), "an item comes twice");
    let _ = store.query([0.5; DIMENSION])?.k(10).exact().run();
    let is_sound = store.verify()?.problems.is_empty();
    let _ = store.compact();
    Ok(is_sound)
}

/// Whether the damage was noticed. Pages that are no longer in use may hold any.
fn is_noticed(outcome: Result<bool, Error>) -> bool {
    match outcome {
        Ok(is_sound) => !is_sound,
        Err(error) => {
            assert!(error.is_corruption(), "expected damage to be named, found {error}");
            true
        }
    }
}

#[test]
fn a_branch_that_leads_back_is_an_error_and_no_item_comes_twice() {
    let dir = Dir::in_memory();
    let intact = closed_store(&dir.store());
    let branches = branches(&intact);
    assert!(branches.len() >= 3, "expected tables with branches, found {branches:?}");
    let mut noticed = 0;
    for (at, &branch) in branches.iter().enumerate() {
        let other = page_number(branches[(at + 1) % branches.len()].0);
        for (number, next) in [(0, 1), (branch.1 - 1, 0)] {
            let sibling = intact[child_at(branch, next)].to_vec();
            for target in [&page_number(branch.0)[..], &sibling, &other] {
                let mut damaged = intact.clone();
                damaged[child_at(branch, number)].copy_from_slice(target);
                noticed += usize::from(is_noticed(read(&dir.store(), &damaged)));
            }
        }
    }
    assert!(noticed >= 12, "expected three branches at least to be in use, {noticed} changes were noticed");
}

/// Leaves that became branches, each of which leads to the next one by all its children: there is no circle, and no end
/// either, since each level multiplies the way.
#[test]
fn branches_that_multiply_the_way_come_to_an_end() {
    let dir = Dir::in_memory();
    let intact = closed_store(&dir.store());
    let mut noticed = 0;
    for branch in branches(&intact) {
        let children = (0..branch.1).filter_map(|number| page_start(&intact[child_at(branch, number)]));
        let leaves: Vec<usize> = children.filter(|&start| intact.get(start) == Some(&LEAF)).take(12).collect();
        if leaves.len() < 12 {
            continue;
        }
        let mut damaged = intact.clone();
        for (start, next) in std::iter::once(&branch.0).chain(&leaves).zip(&leaves) {
            damaged.copy_within(branch.0..branch.0 + PAGE, *start);
            for number in 0..branch.1 {
                damaged[child_at((*start, branch.1), number)].copy_from_slice(&page_number(*next));
            }
        }
        noticed += usize::from(is_noticed(read(&dir.store(), &damaged)));
    }
    assert!(noticed >= 2, "expected several tables with branches over leaves, {noticed} were noticed");
}

/// Directories and files.
fn copy_store(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        match entry.path().is_dir() {
            true => copy_store(&entry.path(), &to.join(entry.file_name())),
            false => drop(std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap()),
        }
    }
}
