//! What durable writes and opening cost: `cargo bench --bench durability [-- ITEMS DIMENSION]`.
//!
//! Prints the time of single durable inserts with an idle store and with the worker building, from one thread and from
//! eight that share commits, and the time from `open` to the first hit after the writing process was killed in the
//! middle of its inserts: with the files in the page cache, and without (where `dd` can drop them from it). With
//! `reopen` as the last argument only that: `cargo bench --bench durability -- 1000000 128 reopen`. Times depend on the
//! disk; the number of syncs does not: count them with
//! `strace -f -c -e trace=fsync,fdatasync cargo bench --bench durability -- 10000 384`.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use understory::{Batch, Maintenance, Options, Store};

const KILLED_CHILD: &str = "UNDERSTORY_BENCH_CHILD";

/// Kills after which the time to the first hit is taken, each with and without the page cache.
const KILLS: usize = 6;

/// Items in the delta when the first kill comes.
const FRESH: usize = 2000;

fn main() -> understory::Result<()> {
    let numbers: Vec<usize> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let (items, dimension) = (numbers.first().copied().unwrap_or(10_000), numbers.get(1).copied().unwrap_or(384));
    if let Ok(path) = std::env::var(KILLED_CHILD) {
        return write_until_killed(&path, items, dimension);
    }
    let directory = tempfile::tempdir().expect("a temporary directory");
    if !std::env::args().any(|argument| argument == "reopen") {
        single_inserts(&directory.path().join("single"), items, dimension)?;
        shared_commits(&directory.path().join("shared"), items, dimension)?;
    }
    reopen_after_kill(&directory.path().join("killed"), items, dimension)
}

/// A number in [-1, 1) from two others.
fn noise(one: usize, other: usize) -> f32 {
    let mut state = (one as u64) << 32 ^ other as u64 ^ 0x9e37_79b9_7f4a_7c15;
    for _ in 0..2 {
        state = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        state = (state ^ state >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    }
    (state >> 40) as f32 / (1 << 23) as f32 - 1.0
}

/// Components of item `number`: near one of 2,000 centres.
fn vector(number: usize, dimension: usize) -> Vec<f32> {
    (0..dimension).map(|axis| noise(number % 2000 + (1 << 31), axis) + 0.5 * noise(number, axis)).collect()
}

fn single_inserts(path: &Path, items: usize, dimension: usize) -> understory::Result<()> {
    let store = Store::open(path)?;
    let mut times = Vec::with_capacity(items);
    for number in 0..items {
        let vector = vector(number, dimension);
        let start = Instant::now();
        store.insert(number as u64, &vector)?;
        times.push(start.elapsed());
    }
    report("single durable inserts, one thread", &mut times);
    store.close()
}

fn shared_commits(path: &Path, items: usize, dimension: usize) -> understory::Result<()> {
    let store = Store::open(path)?;
    let start = Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let store = &store;
            scope.spawn(move || {
                for number in (thread..items).step_by(8) {
                    store.insert(number as u64, vector(number, dimension)).expect("an insert");
                }
            });
        }
    });
    let each = start.elapsed() / items as u32;
    println!("single durable inserts, eight threads: {each:?} each");
    store.close()
}

fn reopen_after_kill(path: &Path, items: usize, dimension: usize) -> understory::Result<()> {
    fill(path, items, dimension)?;
    let (mut warm, mut cold): ([Vec<Duration>; 3], [Vec<Duration>; 3]) = Default::default();
    for kill in 0..2 * KILLS {
        // Each child adds items, so that the delta differs, and a flush may be under way.
        kill_in_the_middle(path, items + kill * FRESH, dimension);
        let is_cold = kill % 2 == 1 && drop_from_cache(path);
        let query = vector(7 + kill, dimension);
        let (start, used) = (Instant::now(), cpu_time());
        let store = Store::open(path)?;
        let opened = start.elapsed();
        let hits = store.search(&query, 1)?;
        let found = start.elapsed();
        let used = cpu_time().saturating_sub(used);
        let exact = store.query(&query)?.k(1).exact().run()?;
        assert!(exact[0].distance < 1e-3 && hits.len() == 1, "expected the item itself, found {exact:?}");
        let times = if is_cold { &mut cold } else { &mut warm };
        times.iter_mut().zip([opened, found, used]).for_each(|(times, time)| times.push(time));
        store.close()?;
    }
    for (name, times) in [("in the page cache", &mut warm), ("not in the page cache", &mut cold)] {
        for (what, times) in ["opened", "first hit", "CPU time to it"].into_iter().zip(times) {
            if !times.is_empty() {
                report(&format!("kill -9, {items} items, {name}: {what}"), times);
            }
        }
    }
    Ok(())
}

/// Of all threads of this process.
fn cpu_time() -> Duration {
    #[cfg(unix)]
    {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    }
    #[cfg(not(unix))]
    Duration::ZERO
}

/// Starts a child that inserts one item after the other, and kills it while it does.
fn kill_in_the_middle(path: &Path, first: usize, dimension: usize) {
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args([first.to_string(), dimension.to_string()])
        .env(KILLED_CHILD, path)
        .stdout(Stdio::piped())
        .spawn()
        .expect("a child");
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().expect("its output")), &mut line)
        .expect("a line from the child");
    std::thread::sleep(Duration::from_millis(20));
    child.kill().expect("to kill the child");
    child.wait().expect("the end of the child");
}

/// Asks the system to forget what it has of the store's files; whether it did.
fn drop_from_cache(path: &Path) -> bool {
    let directories = [path.to_owned(), path.join("segments")];
    let files = directories.iter().flat_map(|directory| std::fs::read_dir(directory).into_iter().flatten());
    files.flatten().filter(|entry| entry.path().is_file()).all(|entry| {
        let file = format!("if={}", entry.path().display());
        let outcome = Command::new("dd").args([&file, "iflag=nocache", "count=0", "status=none"]).status();
        outcome.is_ok_and(|status| status.success())
    })
}

/// Fills a store and compacts it.
fn fill(path: &Path, items: usize, dimension: usize) -> understory::Result<()> {
    let store = Store::open_with(path, Options::new().maintenance(Maintenance::Manual))?;
    for start in (0..items).step_by(1 << 16) {
        let mut batch = Batch::new();
        for number in start..(start + (1 << 16)).min(items) {
            batch.insert(number as u64, vector(number, dimension));
        }
        store.write(batch)?;
    }
    store.compact()?;
    store.close()
}

/// Child: inserts items one by one from a number on, tells when the delta has some, and never ends by itself.
fn write_until_killed(path: &str, first: usize, dimension: usize) -> understory::Result<()> {
    let store = Store::open(path)?;
    let mut batch = Batch::new();
    for number in first..first + FRESH - 500 {
        batch.insert(number as u64, vector(number, dimension));
    }
    store.write(batch)?;
    for number in first + FRESH - 500.. {
        store.insert(number as u64, vector(number, dimension))?;
        if number == first + FRESH - 400 {
            println!("ready");
        }
    }
    Ok(())
}

fn report(what: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    let mean = times.iter().sum::<Duration>() / times.len() as u32;
    println!("{what}: mean {mean:?}, p50 {:?}, p99 {:?}, longest {:?}", at(0.5), at(0.99), at(1.0));
}
