//! Measurements of size and time. To repeat them:
//! `cargo test --release --lib items::tests::measure -- --ignored --nocapture --test-threads 1`.

use std::time::Instant;

use super::*;

fn load(path: &Path, dimension: usize, items: u64, batch: usize) -> Database {
    let database = Database::create(path, &store_row(dimension), 64 << 20).unwrap();
    let vector = vec![0.5; dimension];
    let ids: Vec<Id> = (1..=items).map(Id::Number).collect();
    for ids in ids.chunks(batch) {
        let mut writer = database.begin_write(Durability::Immediate).unwrap();
        let rows: Vec<NewRow<'_>> = ids
            .iter()
            .map(|id| {
                let Id::Number(sequence) = *id else { unreachable!("ids are numbers") };
                NewRow { sequence, id, metadata: &[], vector: &vector }
            })
            .collect();
        writer.put_many(&rows).unwrap();
        writer.set_counters(Counters { next_sequence: items + 1, next_segment: 1, flushed: 1 }).unwrap();
        writer.commit().unwrap();
    }
    database
}

/// Nanoseconds this thread has run, where the system tells.
fn cpu_nanoseconds() -> u64 {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    told.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(0)
}

#[test]
#[ignore = "a measurement"]
fn bytes_on_disk_over_raw_bytes() {
    for bytes in [512, 1_536, 2_048, 3_072, 4_096, 8_192, 32_768] {
        let items = (96 << 20) / bytes as u64;
        let (dir, path) = scratch();
        let start = Instant::now();
        let database = load(&path, bytes / 4, items, 10_000);
        let loaded = start.elapsed();
        let copy = dir.path().join("store-0000000001.redb");
        let start = Instant::now();
        Database::copy_to(&database.begin_read().unwrap(), &copy, 64 << 20, &|_| true).unwrap();
        let copied = start.elapsed();
        let raw = (items * bytes as u64) as f64;
        let of = |path: &Path| fs::allocated_bytes(path).unwrap() as f64 / raw;
        database.close().unwrap();
        eprintln!(
            "vectors of {bytes} bytes: loaded {:.3} of raw in {loaded:.2?}, copied {:.3} in {copied:.2?}",
            of(&path),
            of(&copy)
        );
    }
}

#[test]
#[ignore = "a measurement"]
fn time_of_a_put_a_pack_and_a_read() {
    let (_dir, path) = scratch();
    let database = load(&path, 384, 50_000, 10_000);
    let vector = vec![0.25; 384];
    for durability in [Durability::Buffered, Durability::Immediate] {
        let next = database.begin_read().unwrap().counters().unwrap().next_sequence;
        let (start, cpu) = (Instant::now(), cpu_nanoseconds());
        for sequence in next..next + 2_000 {
            let mut writer = database.begin_write(durability).unwrap();
            writer.put(sequence, &Id::Number(sequence % 60_000), &[], &vector).unwrap();
            writer.set_counters(Counters { next_sequence: sequence + 1, next_segment: 1, flushed: 1 }).unwrap();
            writer.commit().unwrap();
        }
        let cpu = (cpu_nanoseconds() - cpu) / 2_000_000;
        eprintln!("{durability:?}: put and commit {:.3?}, {cpu} us of CPU", start.elapsed() / 2_000);
    }
    let start = Instant::now();
    let (mut packs, mut longest) = (0, start.elapsed());
    loop {
        let one = Instant::now();
        let mut writer = database.begin_write(Durability::Immediate).unwrap();
        let moved = writer.pack(u64::MAX, 256 << 10, false).unwrap();
        writer.commit().unwrap();
        if moved == 0 {
            break;
        }
        packs += 1;
        longest = longest.max(one.elapsed());
    }
    eprintln!("{packs} packs of 256 KiB: {:.3?} each, longest {longest:.3?}", start.elapsed() / packs);
    let start = Instant::now();
    for _ in 0..10_000 {
        database.begin_read().unwrap();
    }
    eprintln!("begin_read: {:.3?}", start.elapsed() / 10_000);
    let rows = database.begin_read().unwrap();
    let start = Instant::now();
    for number in 0..10_000u64 {
        let id = Id::Number(1 + number * 7_919 % 49_000);
        rows.row(rows.sequence_of(&id).unwrap().unwrap()).unwrap();
    }
    eprintln!("sequence_of and row: {:.3?}", start.elapsed() / 10_000);
    let start = Instant::now();
    let scanned = scanned(&rows, ALL).len();
    eprintln!("scan of {scanned} rows: {:.3?}", start.elapsed());
    let start = Instant::now();
    rows.verify().unwrap();
    eprintln!("verify: {:.3?}", start.elapsed());
}
