//! What durable writes and opening cost: `cargo bench --bench durability [-- ITEMS DIMENSION]`.
//!
//! Prints the time of single durable inserts with an idle store and with the worker building, from one thread and from
//! eight that share commits, and the time from `open` to the first hit after the writing process was killed. Times
//! depend on the disk; the number of syncs does not: count them with
//! `strace -f -c -e trace=fsync,fdatasync cargo bench --bench durability -- 10000 384`.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use understory::{Batch, Store};

const KILLED_CHILD: &str = "UNDERSTORY_BENCH_CHILD";

fn main() -> understory::Result<()> {
    let numbers: Vec<usize> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let (items, dimension) = (numbers.first().copied().unwrap_or(10_000), numbers.get(1).copied().unwrap_or(384));
    if let Ok(path) = std::env::var(KILLED_CHILD) {
        return fill_and_hang(&path, items, dimension);
    }
    let directory = tempfile::tempdir().expect("a temporary directory");
    single_inserts(&directory.path().join("single"), items, dimension)?;
    shared_commits(&directory.path().join("shared"), items, dimension)?;
    reopen_after_kill(&directory.path().join("killed"), items, dimension)
}

/// Components of item `number`: sines, which no two items share.
fn vector(number: usize, dimension: usize) -> Vec<f32> {
    (0..dimension).map(|axis| ((number * 31 + axis * 17) as f32 * 0.37).sin()).collect()
}

fn single_inserts(path: &std::path::Path, items: usize, dimension: usize) -> understory::Result<()> {
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

fn shared_commits(path: &std::path::Path, items: usize, dimension: usize) -> understory::Result<()> {
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

fn reopen_after_kill(path: &std::path::Path, items: usize, dimension: usize) -> understory::Result<()> {
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args([items.to_string(), dimension.to_string()])
        .env(KILLED_CHILD, path)
        .stdout(Stdio::piped())
        .spawn()
        .expect("a child");
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().expect("its output")), &mut line)
        .expect("a line from the child");
    child.kill().expect("to kill the child");
    child.wait().expect("the end of the child");
    let query = vector(7, dimension);
    let start = Instant::now();
    let store = Store::open(path)?;
    let opened = start.elapsed();
    let hits = store.search(&query, 1)?;
    println!(
        "open after kill -9, {items} items: {opened:?}, first hit after {:?} (distance {:.4})",
        start.elapsed(),
        hits[0].distance
    );
    store.close()
}

/// Fills a store, compacts it, leaves some items in the delta, says so, and waits to be killed.
fn fill_and_hang(path: &str, items: usize, dimension: usize) -> understory::Result<()> {
    let store = Store::open(path)?;
    for start in (0..items).step_by(4096) {
        let mut batch = Batch::new();
        for number in start..(start + 4096).min(items) {
            batch.insert(number as u64, vector(number, dimension));
        }
        store.write(batch)?;
    }
    store.compact()?;
    for number in 0..1000 {
        store.insert((items + number) as u64, vector(items + number, dimension))?;
    }
    println!("ready");
    std::thread::sleep(Duration::from_secs(3600));
    Ok(())
}

fn report(what: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    let mean = times.iter().sum::<Duration>() / times.len() as u32;
    println!("{what}: mean {mean:?}, p50 {:?}, p99 {:?}, longest {:?}", at(0.5), at(0.99), at(1.0));
}
