//! Power cuts: what a disk may hold after the power failed in the middle of a log.
//!
//! What was synced is there. What was not may be there, in part, in any order: each write, each change of a length, and
//! each change of a directory on its own. A write changes no byte outside of its range, and no byte by half; that much
//! redb demands of a disk.

use rand::RngExt;
use rand::rngs::StdRng;

use super::image::{Image, Operation};

/// Writes are torn where these units meet.
const SECTOR: usize = 512;

/// What becomes of what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Damage {
    /// All of it is lost.
    Dropped,
    /// All of it is there.
    Kept,
    /// Changes of directories are there, data is not.
    NamesKept,
    /// Data is there, changes of directories are not.
    DataKept,
    /// Only the last of it is there.
    LastOnly,
    /// What was asked for first is there.
    Prefix,
    /// Some of it is there.
    Some,
    /// Some of it is there, writes in sectors.
    Sectors,
    /// Some of it is there, writes up to any byte.
    Bytes,
}

impl Damage {
    pub(crate) const ALL: [Damage; 9] = [
        Damage::Dropped,
        Damage::Kept,
        Damage::NamesKept,
        Damage::DataKept,
        Damage::LastOnly,
        Damage::Prefix,
        Damage::Some,
        Damage::Sectors,
        Damage::Bytes,
    ];

    pub(crate) fn random(rng: &mut StdRng) -> Damage {
        Damage::ALL[rng.random_range(0..Damage::ALL.len())]
    }
}

/// Follows a log and tells at each of its operations what a cut there may leave.
#[derive(Clone)]
pub(crate) struct Replay {
    durable: Image,
    /// In the order they were asked for.
    unsynced: Vec<Operation>,
}

impl Replay {
    /// From a disk on which everything is durable.
    pub(crate) fn new(image: Image) -> Replay {
        Replay { durable: image, unsynced: Vec::new() }
    }

    pub(crate) fn step(&mut self, operation: &Operation) {
        match operation {
            Operation::SyncFile { file } => self.settle(|other| other.file() == Some(*file), true),
            Operation::FailSync { file } => self.settle(|other| other.file() == Some(*file), false),
            Operation::SyncDirectory { directory } => {
                self.settle(|other| other.directory() == Some(*directory), true);
            }
            _ => self.unsynced.push(operation.clone()),
        }
    }

    /// What was asked for is durable now, or lost.
    fn settle(&mut self, is_meant: impl Fn(&Operation) -> bool, is_durable: bool) {
        let durable = &mut self.durable;
        self.unsynced.retain(|operation| {
            let is_meant = is_meant(operation);
            if is_meant && is_durable {
                durable.apply(operation);
            }
            !is_meant
        });
    }

    /// Whether a cut here can leave more than one thing.
    pub(crate) fn has_unsynced(&self) -> bool {
        !self.unsynced.is_empty()
    }

    /// Whether changes of directories are among it.
    pub(crate) fn has_unsynced_names(&self) -> bool {
        self.unsynced.iter().any(|operation| operation.directory().is_some())
    }

    /// The disk after a cut here.
    pub(crate) fn cut(&self, damage: Damage, rng: &mut StdRng) -> Image {
        let mut image = self.durable.clone();
        let first = match damage {
            Damage::Prefix => rng.random_range(0..=self.unsynced.len()),
            _ => 0,
        };
        for (index, operation) in self.unsynced.iter().enumerate() {
            let is_data = operation.file().is_some();
            let survives = match damage {
                Damage::Dropped => false,
                Damage::Kept => true,
                Damage::NamesKept => !is_data,
                Damage::DataKept => is_data,
                Damage::LastOnly => index + 1 == self.unsynced.len(),
                Damage::Prefix => index < first,
                Damage::Some | Damage::Sectors | Damage::Bytes => rng.random_bool(0.5),
            };
            match (damage, operation) {
                (Damage::Sectors, Operation::Write { file, offset, bytes }) => {
                    for (start, sector) in sectors(*offset as usize, bytes) {
                        if rng.random_bool(0.5) {
                            image.write(*file, start, sector);
                        }
                    }
                }
                (Damage::Bytes, Operation::Write { file, offset, bytes }) if survives => {
                    let length = rng.random_range(0..=bytes.len());
                    image.write(*file, *offset as usize, &bytes[..length]);
                }
                _ if survives => image.apply(operation),
                _ => {}
            }
        }
        image.forget_nameless();
        image
    }
}

/// The pieces of a write between multiples of a sector, with their offsets.
fn sectors(offset: usize, mut bytes: &[u8]) -> Vec<(usize, &[u8])> {
    let (mut start, mut pieces) = (offset, Vec::new());
    while !bytes.is_empty() {
        let (piece, rest) = bytes.split_at((SECTOR - start % SECTOR).min(bytes.len()));
        pieces.push((start, piece));
        start += piece.len();
        bytes = rest;
    }
    pieces
}
