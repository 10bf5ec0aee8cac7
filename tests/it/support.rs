//! What the scenarios share: directories, readers that are a store or a snapshot, metadata, and vectors that are
//! awkward on purpose.

use std::path::{Path, PathBuf};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};
use understory::{Hit, Id, Item, Maintenance, Metric, Options, Query, Result, Snapshot, Store};

/// A directory that is removed with its stores.
pub(crate) struct Dir {
    dir: tempfile::TempDir,
}

impl Dir {
    pub(crate) fn new() -> Dir {
        Dir { dir: tempfile::tempdir().expect("a temporary directory") }
    }

    /// In memory where the system has such a place: for tests that open thousands of stores and cut no power.
    pub(crate) fn in_memory() -> Dir {
        Dir { dir: tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a temporary directory") }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Where the tests put their store.
    pub(crate) fn store(&self) -> PathBuf {
        self.path().join("a.understory")
    }
}

pub(crate) fn generator(seed: u64) -> StdRng {
    StdRng::seed_from_u64(seed)
}

/// Options whose maintenance runs only when a test asks for it.
pub(crate) fn manual(metric: Metric) -> Options {
    Options::new().metric(metric).maintenance(Maintenance::Manual)
}

/// The error of a call that must fail. (`unwrap_err` would need every success to be printable.)
pub(crate) fn refused<T>(result: Result<T>) -> understory::Error {
    match result {
        Ok(_) => panic!("expected the call to be refused, found success"),
        Err(error) => error,
    }
}

/// The one row file of a store that is not open.
pub(crate) fn row_file(store: &Path) -> PathBuf {
    let mut files = std::fs::read_dir(store).unwrap().map(|entry| entry.unwrap().path());
    files.find(|path| path.extension().is_some_and(|extension| extension == "redb")).expect("a row file")
}

/// Each part must be in the message: what was expected, what was found.
pub(crate) fn assert_mentions(error: &understory::Error, parts: &[&str]) {
    let message = error.to_string();
    for part in parts {
        assert!(message.contains(part), "expected a message that mentions {part:?}, found {message:?}");
    }
}

/// Metadata of every kind of value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Note {
    pub title: String,
    pub number: i64,
    pub score: f64,
    pub flag: bool,
    pub nothing: Option<i64>,
    pub tags: Vec<String>,
}

impl Note {
    pub(crate) fn random(rng: &mut StdRng) -> Note {
        Note {
            title: format!("n\u{f6}te {}", rng.random_range(0..1000)),
            number: rng.random(),
            score: rng.random_range(-1e9..1e9),
            flag: rng.random(),
            nothing: None,
            tags: (0..rng.random_range(0..4)).map(|tag| format!("tag {tag}")).collect(),
        }
    }
}

/// The readers that a store and a snapshot have in common.
pub(crate) trait Reader {
    fn size(&self) -> Result<u64>;
    fn all_ids(&self) -> Result<Vec<Id>>;
    fn all_items(&self) -> Result<Vec<Item>>;
    fn nearest(&self, vector: &[f32], k: usize) -> Result<Vec<Hit>>;
    fn about(&self, vector: &[f32]) -> Result<Query>;
}

macro_rules! reader {
    ($reader:ty, $count:ident, $ids:ident, $items:ident) => {
        impl Reader for $reader {
            fn size(&self) -> Result<u64> {
                $count(self)
            }
            fn all_ids(&self) -> Result<Vec<Id>> {
                $ids(self)?.collect()
            }
            fn all_items(&self) -> Result<Vec<Item>> {
                $items(self)?.collect()
            }
            fn nearest(&self, vector: &[f32], k: usize) -> Result<Vec<Hit>> {
                self.search(vector, k)
            }
            fn about(&self, vector: &[f32]) -> Result<Query> {
                self.query(vector)
            }
        }
    };
}

fn snapshot_count(snapshot: &Snapshot) -> Result<u64> {
    Ok(snapshot.len())
}

fn snapshot_ids(snapshot: &Snapshot) -> Result<understory::Ids> {
    Ok(snapshot.ids())
}

fn snapshot_items(snapshot: &Snapshot) -> Result<understory::Items> {
    Ok(snapshot.scan())
}

fn store_count(store: &Store) -> Result<u64> {
    store.len()
}

fn store_ids(store: &Store) -> Result<understory::Ids> {
    store.ids()
}

fn store_items(store: &Store) -> Result<understory::Items> {
    store.scan()
}

reader!(Store, store_count, store_ids, store_items);
reader!(Snapshot, snapshot_count, snapshot_ids, snapshot_items);

/// Vectors in clusters, with exact duplicates, near-duplicates, coarse grids, negative zeros and denormals, so that
/// ties and rounding matter.
pub(crate) struct Vectors {
    dimension: usize,
    metric: Metric,
    centres: Vec<Vec<f32>>,
    earlier: Vec<Vec<f32>>,
}

impl Vectors {
    pub(crate) fn new(dimension: usize, metric: Metric, rng: &mut StdRng) -> Vectors {
        let centres = (0..6).map(|_| noise(dimension, 2.0, rng)).collect();
        Vectors { dimension, metric, centres, earlier: Vec::new() }
    }

    pub(crate) fn next(&mut self, rng: &mut StdRng) -> Vec<f32> {
        let vector = self.draw(rng);
        if self.earlier.len() < 64 {
            self.earlier.push(vector.clone());
        } else {
            let place = rng.random_range(0..64);
            self.earlier[place] = vector.clone();
        }
        vector
    }

    fn draw(&self, rng: &mut StdRng) -> Vec<f32> {
        let mut vector = match rng.random_range(0..10) {
            0..2 if !self.earlier.is_empty() => self.earlier[rng.random_range(0..self.earlier.len())].clone(),
            2 if !self.earlier.is_empty() => {
                let mut near = self.earlier[rng.random_range(0..self.earlier.len())].clone();
                near[rng.random_range(0..self.dimension)] += 1e-6;
                near
            }
            3 => (0..self.dimension).map(|_| rng.random_range(-2..3) as f32).collect(),
            4 => {
                let mut odd = noise(self.dimension, 1.0, rng);
                odd[rng.random_range(0..self.dimension)] = [-0.0, 1e-41][rng.random_range(0..2)];
                odd
            }
            _ => {
                let centre = &self.centres[rng.random_range(0..self.centres.len())];
                centre.iter().zip(noise(self.dimension, 0.3, rng)).map(|(&middle, off)| middle + off).collect()
            }
        };
        if self.metric == Metric::Hamming {
            vector = to_bits(vector);
        }
        if self.metric == Metric::Cosine && vector.iter().all(|component| component.abs() < 1e-3) {
            vector[0] = 1.0;
        }
        vector
    }
}

/// A one for each component above zero.
pub(crate) fn to_bits(vector: Vec<f32>) -> Vec<f32> {
    vector.into_iter().map(|component| f32::from(u8::from(component > 0.0))).collect()
}

/// Components between minus and plus `width`.
pub(crate) fn noise(dimension: usize, width: f32, rng: &mut StdRng) -> Vec<f32> {
    (0..dimension).map(|_| rng.random_range(-width..width)).collect()
}
