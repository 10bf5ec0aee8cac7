//! Random writes against plain maps.

use std::collections::{BTreeMap, BTreeSet};

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use super::*;

const DIMENSION: usize = 150;

/// What the row file should hold.
struct Model {
    live: BTreeMap<Id, u64>,
    rows: BTreeMap<u64, Row>,
    dead: BTreeSet<u64>,
    next: u64,
    random: Xoshiro256PlusPlus,
}

impl Model {
    fn id(&mut self) -> Id {
        let number = self.random.random_range(0..600);
        if number % 3 == 0 { Id::Number(number) } else { Id::Text(format!("item {number}")) }
    }

    fn row(&mut self, id: Id) -> (u64, Row) {
        let sequence = self.next;
        self.next += 1 + u64::from(self.random.random_range(0..20u8) == 0);
        let metadata_bytes = match self.random.random_range(0..50) {
            0 => self.random.random_range(4_000..9_000),
            1 => 300_000,
            _ => self.random.random_range(0..40),
        };
        let metadata = vec![sequence as u8; metadata_bytes];
        let vector = (0..DIMENSION).map(|at| sequence as f32 + at as f32 / 1_000.0).collect();
        (sequence, Row { id, metadata, vector })
    }

    /// What a write kills.
    fn apply(&mut self, sequence: u64, row: Row) -> Option<u64> {
        let died = self.live.insert(row.id.clone(), sequence);
        self.rows.insert(sequence, row);
        self.dead.extend(died);
        died
    }

    fn put(&mut self, writer: &mut WriteRows) {
        let id = self.id();
        let (sequence, row) = self.row(id);
        let died = writer.put(sequence, &row.id, &row.metadata, &row.vector).unwrap();
        assert_eq!(died, self.apply(sequence, row));
    }

    fn put_many(&mut self, writer: &mut WriteRows) {
        let count = self.random.random_range(1..300);
        let ids: BTreeSet<Id> = (0..count).map(|_| self.id()).collect();
        let mut rows: Vec<(u64, Row)> = Vec::new();
        for id in ids {
            rows.push(self.row(id));
        }
        let new: Vec<NewRow<'_>> = rows
            .iter()
            .map(|(sequence, row)| NewRow {
                sequence: *sequence,
                id: &row.id,
                metadata: &row.metadata,
                vector: &row.vector,
            })
            .collect();
        let died = writer.put_many(&new).unwrap();
        let mut expected: Vec<u64> = rows.into_iter().filter_map(|(s, row)| self.apply(s, row)).collect();
        expected.sort_unstable();
        assert_eq!(died, expected);
    }

    fn remove(&mut self, writer: &mut WriteRows) {
        let id = self.id();
        let died = writer.remove(&id).unwrap();
        assert_eq!(died, self.live.remove(&id));
        self.dead.extend(died);
    }

    /// Forgets dead rows that no block holds any more, as no segment exists here.
    fn retain_dead(&mut self, writer: &mut WriteRows, held: &BTreeSet<u64>) {
        let end = self.random.random_range(0..self.next + 10);
        writer.retain_dead(SequenceRange { start: 0, end }, &|sequence| held.contains(&sequence)).unwrap();
        self.dead.retain(|sequence| *sequence >= end || held.contains(sequence));
    }

    fn check(&mut self, rows: &ReadRows) {
        let counts = rows.verify().unwrap();
        assert_eq!(counts.items, self.live.len() as u64);
        assert_eq!((rows.len().unwrap(), counts.items), (counts.items, counts.fresh + counts.packed - counts.dead));
        let dead = rows.dead().unwrap();
        assert!(dead.iter_in(ALL).eq(self.dead.iter().copied()));
        let live: Vec<(Id, u64)> = self.live.iter().map(|(id, sequence)| (id.clone(), *sequence)).collect();
        let mut paged: Vec<(Id, u64)> = Vec::new();
        loop {
            let page = rows.ids(paged.last().map(|(id, _)| id), 100).unwrap();
            if page.is_empty() {
                break;
            }
            paged.extend(page);
        }
        assert_eq!(paged, live);
        let start = self.random.random_range(0..self.next + 10);
        let end = self.random.random_range(start..self.next + 20);
        for range in [ALL, SequenceRange { start, end }] {
            let mut found = scanned(rows, range);
            assert!(found.is_sorted_by_key(|(sequence, _)| *sequence));
            assert!(found.iter().all(|(sequence, row)| self.rows.get(sequence) == Some(row)));
            found.retain(|(sequence, _)| !dead.contains(*sequence));
            let expected = self.live.values().copied().filter(|&sequence| range.contains(sequence));
            assert!(found.iter().map(|(sequence, _)| *sequence).eq(expected.collect::<BTreeSet<_>>()));
        }
        for (id, sequence) in live.iter().step_by(7) {
            assert_eq!(rows.sequence_of(id).unwrap(), Some(*sequence));
            assert_eq!(rows.row(*sequence).unwrap().as_ref(), self.rows.get(sequence));
        }
    }
}

fn held_by_blocks(rows: &ReadRows) -> BTreeSet<u64> {
    scanned(rows, ALL).into_iter().map(|(sequence, _)| sequence).collect()
}

/// One random write; whether it may have dropped dead rows.
fn step(model: &mut Model, database: &Database, writer: &mut WriteRows) {
    match model.random.random_range(0..12) {
        0..3 => (0..20).for_each(|_| model.put(writer)),
        3..5 => model.put_many(writer),
        5..7 => (0..30).for_each(|_| model.remove(writer)),
        7..9 => {
            let end = if model.random.random() { u64::MAX } else { model.random.random_range(0..model.next + 1) };
            let limit = model.random.random_range(0..600_000);
            let partial = model.random.random_range(0..4) == 0;
            writer.pack(end, limit, partial).unwrap();
        }
        9..11 => {
            let mut from = 0;
            let fraction = model.random.random_range(0.0..1.0);
            let limit = model.random.random_range(1..1_000_000);
            let dead = &model.dead;
            while let Some(next) = writer
                .rewrite_blocks(from, limit, fraction, &mut |sequence| assert!(dead.contains(&sequence)))
                .unwrap()
            {
                assert!(next > from);
                from = next;
            }
        }
        _ => {
            let held = held_by_blocks(&database.begin_read().unwrap());
            model.retain_dead(writer, &held);
        }
    }
}

fn run(seed: u64, steps: usize) {
    let (dir, path) = scratch();
    let mut database = Database::create(&path, &store_row(DIMENSION), CACHE).unwrap();
    let random = Xoshiro256PlusPlus::seed_from_u64(seed);
    let (live, rows, dead) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
    let mut model = Model { live, rows, dead, next: 1, random };
    for number in 0..steps {
        let durability = if number % 2 == 0 { Durability::Buffered } else { Durability::Immediate };
        let mut writer = database.begin_write(durability).unwrap();
        step(&mut model, &database, &mut writer);
        let counters = Counters { next_sequence: model.next, next_segment: 1, flushed: 1 };
        writer.set_counters(counters).unwrap();
        writer.commit().unwrap();
        match model.random.random_range(0..12) {
            0 => {
                database.close().unwrap();
                database = Database::open(&path, CACHE).unwrap();
            }
            1 => {
                let copy = dir.path().join(format!("copy-{number}.redb"));
                Database::copy_to(&database.begin_read().unwrap(), &copy, CACHE, &|s| s % 2 == 0).unwrap();
                model.dead.retain(|sequence| sequence % 2 == 0);
                database = Database::open(&copy, CACHE).unwrap();
                assert_eq!(database.begin_read().unwrap().verify().unwrap().dead, 0);
                // The next reopening reads the copy.
                drop(database);
                std::fs::rename(&copy, &path).unwrap();
                database = Database::open(&path, CACHE).unwrap();
            }
            _ => {}
        }
        model.check(&database.begin_read().unwrap());
    }
}

#[test]
fn random_writes_leave_what_a_plain_map_holds() {
    (0..4).for_each(|seed| run(seed, 60));
}
