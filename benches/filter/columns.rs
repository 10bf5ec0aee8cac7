//! What columns cost on disk and to build, and what filters on them cost to compile.

use std::time::Duration;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use understory::{Batch, Filter, Maintenance, Metadata, Options, Store, Timestamp, Value, field};

use crate::cpu_time;

const DIMENSION: usize = 8;
const BATCH: u64 = 50_000;
/// A filter is compiled so many times, each time as if it were new.
const ROUNDS: i64 = 15;

pub(crate) fn measure(items: u64) -> understory::Result<()> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    println!("\ncolumns of {items} items");
    let (_, plain) = build(&dir.path().join("plain"), items, false)?;
    let (store, with_fields) = build(&dir.path().join("fields"), items, true)?;
    println!(
        "CPU seconds of a build: {:.2} without metadata, {:.2} with",
        plain.as_secs_f64(),
        with_fields.as_secs_f64()
    );
    println!("| field | bytes an item |\n| --- | --- |");
    for segment in store.stats()?.segments {
        for column in segment.columns {
            println!("| {} | {:.2} |", column.field, column.bytes as f64 / segment.items as f64);
        }
    }
    println!("| filter | matches | CPU ms: median | most |\n| --- | --- | --- | --- |");
    let filters: [(&str, &dyn Fn(i64) -> Filter); 12] = [
        ("flag = true", &|round| field("flag").is_in([Value::from(true), Value::from(round)])),
        ("lang = one of 12", &|round| field("lang").eq(format!("lang {}", round % 12))),
        ("year = 1950 to 2026", &|round| field("year").eq(1960 + round)),
        ("number = unique", &|round| field("number").eq(round * 1001)),
        ("title = unique text", &|round| field("title").eq(format!("Title of item {:07}", round * 1001))),
        ("tags contains, 1 of 200", &|round| field("tags").contains_any([format!("tag {}", round * 10)])),
        ("year between, a quarter", &|round| field("year").between(1960 + round, 1979 + round)),
        ("number < half", &|round| field("number").lt(items as i64 / 2 + round)),
        ("score < 0.9", &|round| field("score").lt(0.9 + round as f64 / 1e6)),
        ("when >= a tenth", &|round| {
            field("when").ge(Timestamp::from_micros((items as i64 / 10 + round) * 1_000_000))
        }),
        ("title starts with, a tenth", &|round| {
            field("title").starts_with(format!("Title of item {:02}", round % 10))
        }),
        ("title contains", &|round| field("title").contains(format!("{:04}", round * 37))),
    ];
    for (name, filter) in filters {
        compile(&store, name, filter)?;
    }
    let both = |round: i64| {
        field("year").ge(1990 + round) & field("lang").is_in(["lang 1", "lang 2"]) & !field("flag").is(true)
    };
    compile(&store, "year >= and lang in and not flag", &both)?;
    store.close()
}

/// The item's metadata: few values and many, lists, unique numbers and texts.
fn metadata(generator: &mut Xoshiro256PlusPlus, number: u64) -> Metadata {
    let mut metadata = Metadata::new();
    metadata.insert("flag", generator.random::<bool>());
    // Some languages are many times as frequent as others.
    let lang = (generator.random::<f64>().powi(3) * 12.0) as u32;
    metadata.insert("lang", format!("lang {lang}"));
    metadata.insert("year", generator.random_range(1950..2027));
    metadata.insert("number", number as i64);
    metadata.insert("score", generator.random::<f64>());
    metadata.insert("title", format!("Title of item {number:07}"));
    metadata.insert("when", Timestamp::from_micros(number as i64 * 1_000_000));
    let tags: Vec<String> = (0..3).map(|_| format!("tag {}", generator.random_range(0..200))).collect();
    metadata.insert("tags", tags);
    metadata
}

fn build(path: &std::path::Path, items: u64, with_fields: bool) -> understory::Result<(Store, Duration)> {
    let store = Store::open_with(path, Options::new().maintenance(Maintenance::Manual).threads(1))?;
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(3);
    for first in (0..items).step_by(BATCH as usize) {
        let mut batch = Batch::new();
        for number in first..items.min(first + BATCH) {
            let vector: [f32; DIMENSION] = std::array::from_fn(|_| generator.random::<f32>() - 0.5);
            if with_fields {
                batch.insert_with(number, vector, &metadata(&mut generator, number))?;
            } else {
                batch.insert(number, vector);
            }
        }
        store.write(batch)?;
    }
    let start = process_time();
    store.compact()?;
    Ok((store, process_time() - start))
}

/// CPU time of all threads.
fn process_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Counts what filters match that differ a little each time, so that none is remembered.
fn compile(store: &Store, name: &str, filter: &dyn Fn(i64) -> Filter) -> understory::Result<()> {
    let (mut times, mut matches) = (Vec::new(), 0);
    // The first looks at the column's checksum and its pages.
    store.count(filter(ROUNDS))?;
    for round in 0..ROUNDS {
        let filter = filter(round);
        let start = cpu_time();
        matches += store.count(&filter)?;
        times.push(cpu_time() - start);
    }
    times.sort();
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    let median = milliseconds(times[times.len() / 2]);
    println!("| {name} | {} | {median:.3} | {:.3} |", matches / ROUNDS as u64, milliseconds(times[times.len() - 1]));
    Ok(())
}
