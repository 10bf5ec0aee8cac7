//! Hours compressed into minutes: random work with restarts, after which disk, memory, file handles and maps are what
//! they were; and what a snapshot costs that is held for long. A binary of its own, since it counts what its process
//! holds.
//!
//! `UNDERSTORY_ENDURANCE_ROUNDS=20000 cargo test --test endurance -- --nocapture` makes the long form,
//! `UNDERSTORY_ENDURANCE_SEED` another one.
#![cfg(target_os = "linux")]

#[allow(dead_code, reason = "shared with the scenarios, which use all of it")]
#[path = "../it/oracle.rs"]
mod oracle;
#[allow(dead_code, reason = "shared with the scenarios, which use all of it")]
#[path = "../it/support.rs"]
mod support;

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rand::RngExt;
use rand::rngs::StdRng;
use understory::{Batch, Id, Maintenance, Metric, Options, Snapshot, Store};

use oracle::Model;
use support::{Dir, Note, generator, noise};

const DIMENSION: usize = 64;
const IDS: u64 = 3000;
const ROUNDS: u64 = 120;
/// Snapshots that are held, one after the other.
const HOLDS: usize = 6;
const MIB: u64 = 1 << 20;

/// All items as float32 vectors.
const RAW: u64 = IDS * DIMENSION as u64 * 4;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}: expected a number")))
}

/// What the process and the store hold.
#[derive(Clone, Copy, Debug, Default)]
struct Held {
    disk: u64,
    /// Room on disk of files that have no name any more and that the process still reads.
    nameless: u64,
    /// Resident and anonymous: what is not a mapped file.
    memory: u64,
    handles: u64,
    /// Maps of files of the store.
    maps: u64,
}

impl Held {
    fn now(path: &Path) -> Held {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let anonymous = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("a line RssAnon");
        let kibibytes: u64 = anonymous.trim().trim_end_matches(" kB").parse().unwrap();
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        Held {
            disk: allocated(path),
            nameless: nameless_handles() + nameless_maps(&maps),
            memory: kibibytes << 10,
            handles: std::fs::read_dir("/proc/self/fd").unwrap().count() as u64,
            maps: maps.lines().filter(|line| line.contains(".understory/")).count() as u64,
        }
    }

    fn most(self, other: Held) -> Held {
        Held {
            disk: self.disk.max(other.disk),
            nameless: self.nameless.max(other.nameless),
            memory: self.memory.max(other.memory),
            handles: self.handles.max(other.handles),
            maps: self.maps.max(other.maps),
        }
    }
}

impl std::fmt::Display for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mib = |bytes: u64| bytes as f64 / MIB as f64;
        write!(f, "disk {:.1} MiB and {:.1} MiB nameless, ", mib(self.disk), mib(self.nameless))?;
        write!(f, "memory {:.1} MiB, ", mib(self.memory))?;
        write!(f, "{} file handles, {} maps", self.handles, self.maps)
    }
}

fn allocated(path: &Path) -> u64 {
    // A file may go while it is looked for: a segment with its last reader.
    let Ok(metadata) = std::fs::symlink_metadata(path) else { return 0 };
    let entries = if metadata.is_dir() { std::fs::read_dir(path).ok() } else { None };
    let below: u64 = entries.into_iter().flatten().map(|entry| allocated(&entry.unwrap().path())).sum();
    metadata.blocks() * 512 + below
}

/// Removed row files that are still open.
fn nameless_handles() -> u64 {
    let handles = std::fs::read_dir("/proc/self/fd").unwrap().map(|entry| entry.unwrap().path());
    let files = handles.filter_map(|handle| std::fs::metadata(handle).ok()).filter(|file| file.is_file());
    files.filter(|file| file.nlink() == 0).map(|file| file.blocks() * 512).sum()
}

/// Removed segments that are still mapped.
fn nameless_maps(maps: &str) -> u64 {
    let removed = maps.lines().filter(|line| line.contains(".understory/") && line.ends_with("(deleted)"));
    let addresses = removed.filter_map(|line| line.split(' ').next()?.split_once('-'));
    let address = |text: &str| u64::from_str_radix(text, 16).expect("an address");
    addresses.map(|(start, end)| address(end) - address(start)).sum()
}

fn open(path: &Path, maintenance: Maintenance) -> Store {
    let options = Options::new().metric(Metric::Euclidean).maintenance(maintenance).cache_size(4 << 20).threads(1);
    Store::open_with(path, options).unwrap()
}

/// Replaces, inserts and removes some items in one batch.
fn write(store: &Store, model: &mut Model, rng: &mut StdRng, writes: u64) {
    let mut batch = Batch::new();
    for _ in 0..writes {
        let id = Id::from(rng.random_range(0..IDS));
        if rng.random_bool(0.2) {
            batch.remove(id.clone());
            model.items.remove(&id);
        } else {
            let vector = noise(DIMENSION, 1.0, rng);
            let note = rng.random_bool(0.1).then(|| Note::random(rng));
            match &note {
                Some(note) => drop(batch.insert_with(id.clone(), &vector, note).unwrap()),
                None => drop(batch.insert(id.clone(), &vector)),
            }
            model.insert(id, &vector, note);
        }
    }
    store.write(batch).unwrap();
}

/// One round of work. The store, perhaps opened again.
fn round(store: Store, model: &mut Model, rng: &mut StdRng) -> Store {
    match rng.random_range(0..20) {
        0..10 => {
            let writes = [1, 5, 100, 700][rng.random_range(0..4)];
            write(&store, model, rng, writes);
        }
        10..13 => {
            let query = noise(DIMENSION, 1.0, rng);
            model.check_hits(&query, 10, &store.search(&query, 10).unwrap());
        }
        13..16 => store.flush().unwrap(),
        16 | 17 => store.compact().unwrap(),
        _ => {
            let path = store.path().to_owned();
            // Half of the restarts leave the worker's job to be cancelled by a drop.
            if rng.random_bool(0.5) {
                store.close().unwrap();
            }
            drop(store);
            let maintenance = [Maintenance::Manual, Maintenance::Background][rng.random_range(0..2)];
            return open(&path, maintenance);
        }
    }
    store
}

/// Compacted, with nothing under way.
fn settled(store: &Store) -> Held {
    store.compact().unwrap();
    Held::now(store.path())
}

#[test]
fn a_long_life_keeps_within_bounds_and_a_held_snapshot_is_paid_for_until_it_goes() {
    let dir = Dir::new();
    let mut rng = generator(number("UNDERSTORY_ENDURANCE_SEED", 1));
    let mut model = Model::new(Metric::Euclidean);
    let mut store = open(&dir.store(), Maintenance::Manual);
    for _ in 0..3 {
        write(&store, &mut model, &mut rng, IDS);
        store.flush().unwrap();
    }
    let first = settled(&store);
    let mut most = first;
    let rounds = number("UNDERSTORY_ENDURANCE_ROUNDS", ROUNDS);
    for number in 1..=rounds {
        store = round(store, &mut model, &mut rng);
        most = most.most(Held::now(&dir.store()));
        if number % (rounds / 4).max(1) == 0 {
            model.check_contents(&store);
            println!("round {number}: {}", settled(&store));
        }
    }
    model.check_reader(&store, &[noise(DIMENSION, 1.0, &mut rng)]);
    assert!(store.verify().unwrap().problems.is_empty());
    let last = settled(&store);
    println!("first settled: {first}\nmost in {rounds} rounds: {most}\nlast settled: {last}");
    assert!(last.disk <= first.disk * 3 / 2 + 4 * MIB, "expected disk as at first");
    assert!(most.disk <= 12 * RAW + 24 * MIB, "expected no more than a few copies on disk");
    assert!(last.memory <= first.memory + 24 * MIB, "expected memory as at first");
    assert!(most.memory <= first.memory + 64 * MIB, "expected bounded memory");
    assert_eq!(last.nameless, 0, "expected nothing to be kept for nobody");
    assert!(last.handles <= first.handles && last.maps <= first.maps, "expected handles and maps as at first");
    assert!(most.handles <= first.handles + 8 && most.maps <= first.maps + 16, "expected few handles and maps");
    let mut before = last;
    let mut memory = Vec::new();
    for _ in 0..HOLDS {
        before = hold_a_snapshot(&store, &mut model, &mut rng, before);
        memory.push(before.memory);
    }
    // What the first ones leave is the cache of row pages, which fills to its size, and what the allocator keeps to
    // hand it to the next.
    let grown = memory[HOLDS - 1].saturating_sub(memory[1]);
    assert!(grown <= MIB, "expected no snapshot to leave memory behind, found {memory:?}");
}

/// Holds a snapshot while everything is replaced several times; what is held when it is gone.
fn hold_a_snapshot(store: &Store, model: &mut Model, rng: &mut StdRng, before: Held) -> Held {
    let snapshot: Snapshot = store.snapshot().unwrap();
    let held_model = model.clone();
    for _ in 0..4 {
        write(store, model, rng, IDS);
        store.compact().unwrap();
    }
    let with = Held::now(store.path());
    let age = store.stats().unwrap().oldest_snapshot;
    println!("before a snapshot: {before}\nheld for {age:?}: {with}");
    held_model.check_reader(&snapshot, &[noise(DIMENSION, 1.0, rng)]);
    assert!(age.is_some(), "expected the stats to tell of the snapshot");
    // Old rows are in a row file that was replaced, or in the same one; the old segment has its name for as long.
    let kept = (with.disk + with.nameless).saturating_sub(before.disk);
    assert!(kept >= RAW / 2, "expected a held snapshot to keep its segment, found {with}");
    assert!(with.disk + with.nameless <= 4 * before.disk + 4 * MIB, "expected one copy and not one a commit");
    assert!(with.maps <= before.maps + 1, "expected one segment to be kept, found {with}");
    drop(snapshot);
    let after = settled(store);
    println!("after it was dropped: {after}");
    model.check_reader(store, &[noise(DIMENSION, 1.0, rng)]);
    assert_eq!(store.stats().unwrap().oldest_snapshot, None);
    assert_eq!(after.nameless, 0, "expected what the snapshot kept to be gone");
    assert!(after.disk <= before.disk * 3 / 2 + 4 * MIB, "expected the disk back");
    assert!(after.memory <= before.memory + 24 * MIB, "expected the memory back");
    assert!(after.handles <= before.handles && after.maps <= before.maps, "expected handles and maps back");
    after
}
