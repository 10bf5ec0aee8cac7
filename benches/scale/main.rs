//! What size costs: `cargo bench --bench scale -- DATA [items=N] [memory=BYTES] [record]`; see `README.md` beside this.

mod items;
mod measure;
mod plot;
#[path = "../filter/vectors.rs"]
#[allow(dead_code, reason = "another bench reads the fields as well")]
mod vectors;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use items::Items;
use measure::{Latency, Task, anonymous_mib, latency, process_time};
use understory::{Batch, Durability, Maintenance, Metric, Options, Result, Store};
use vectors::Set;

const QUERIES: usize = 200;
/// Sizes, as shares of all items.
const SHARES: [f64; 5] = [0.01, 0.0316, 0.1, 0.316, 1.0];
const BATCH: usize = 16_384;
const TRICKLE: usize = 64;
/// Sizes of segments, in parts of the whole, beside one segment. The last two are the worst that a trickle leaves where a
/// flush takes in what is less than four times as large, as the store does, and less than twice.
const SHAPES: [(&str, &[usize]); 4] = [
    ("8 equal segments", &[1; 8]),
    ("40 equal segments", &[1; 40]),
    ("142 : 32 : 8 : 2", &[142, 32, 8, 2]),
    ("halves of halves", &[64, 32, 16, 8, 4, 2, 1]),
];
const IDLE_QUERIES: usize = 20_000;
/// A child's part: its arguments follow.
const CHILD: &str = "--child";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if arguments.first().is_some_and(|first| first == CHILD) {
        return child(&arguments[1..]);
    }
    let value = |name: &str| arguments.iter().find_map(|argument| argument.strip_prefix(name)?.parse().ok());
    let data = arguments.iter().find(|argument| Path::new(argument).is_dir()).expect("a data directory");
    let bench = Bench {
        items: value("items=").unwrap_or(1_000_000),
        memory: value("memory="),
        folder: tempfile::tempdir().expect("a temporary directory"),
    };
    let mut report = Report::default();
    for name in ["sift-photos-128-euclidean", "debian-minilm-384-angular"] {
        bench.set(&Set::read(&Path::new(data).join(name)), &mut report)?;
    }
    if arguments.iter().any(|argument| argument == "record") {
        report.record(Path::new(env!("CARGO_MANIFEST_DIR")));
    }
    Ok(())
}

struct Bench {
    items: usize,
    /// The bound of a build's memory.
    memory: Option<usize>,
    folder: tempfile::TempDir,
}

impl Bench {
    fn set(&self, set: &Set, report: &mut Report) -> Result<()> {
        let items = Items::make(set, self.items, self.folder.path())?;
        let queries: Vec<Vec<f32>> =
            (0..set.queries.len().min(QUERIES)).map(|row| set.queries.row(row).to_vec()).collect();
        let mut compacted = None;
        for share in SHARES {
            let count = (self.items as f64 * share) as usize;
            let path = self.folder.path().join("compacted.understory");
            // Searched in a process of its own, which holds nothing but the store.
            let built = self.run_child("build", &path, set.metric, &items, count);
            let searched = self.run_child("search", &path, set.metric, &items, count);
            let store = Store::open_with(&path, Options::new().maintenance(Maintenance::Manual))?;
            let task = Task::new(&store, queries.clone())?;
            let speed = task.speeds(&[&store])?[0];
            let row = format!(
                "{},{},{count},{built},{searched},{},{:.1},{:.4}",
                set.metric,
                items.dimension,
                speed.effort,
                speed.micros,
                task.default_recall(&store)?
            );
            report.size(set, items.dimension, count, speed.micros, row);
            if share == 1.0 {
                compacted = Some((store, task));
            } else {
                store.close()?;
                std::fs::remove_dir_all(&path).expect("a store to remove");
            }
        }
        if let Some((store, task)) = compacted {
            self.compare(set, &items, &store, &task, report)?;
        }
        std::fs::remove_dir_all(self.folder.path().join("compacted.understory")).expect("a store to remove");
        std::fs::remove_file(&items.path).expect("a file to remove");
        Ok(())
    }

    /// The same items in one segment, in several equal ones, and as a trickle leaves them.
    fn compare(&self, set: &Set, items: &Items, one: &Store, task: &Task, report: &mut Report) -> Result<()> {
        if items.dimension > 128 {
            // The larger set would double the time and the disk for the same question.
            return Ok(());
        }
        let mut stores = Vec::new();
        for (name, parts) in SHAPES {
            let path = self.folder.path().join(format!("{}.understory", stores.len()));
            let options = Options::new().metric(set.metric).maintenance(Maintenance::Manual).merges(false);
            let store = Store::open_with(path, options)?;
            let (mut below, whole) = (0, parts.iter().sum::<usize>());
            let pieces = parts.iter().map(|part| {
                let first = below * self.items / whole;
                below += part;
                below * self.items / whole - first
            });
            insert(&store, items, pieces, |store| store.flush())?;
            stores.push((name, store));
        }
        stores.push(("filled by a trickle", self.trickle(set, items)?));
        let all: Vec<&Store> = std::iter::once(one).chain(stores.iter().map(|(_, store)| store)).collect();
        let speeds = task.speeds(&all)?;
        let names = std::iter::once("compacted").chain(stores.iter().map(|(name, _)| *name));
        for ((name, store), speed) in names.zip(&all).zip(&speeds) {
            let sizes: Vec<u64> = store.stats()?.segments.iter().map(|segment| segment.items).collect();
            let (micros, ratio) = (speed.micros, speeds[0].micros / speed.micros);
            let recall = task.default_recall(store)?;
            let largest = sizes.iter().max().copied().unwrap_or(0);
            let row = format!("{name},{},{largest},{},{micros:.1},{ratio:.3},{recall:.4}", sizes.len(), speed.effort);
            report.segments(set, row);
        }
        let Some((_, trickled)) = stores.pop() else { return Ok(()) };
        for (_, store) in stores {
            store.close()?;
        }
        latencies(&trickled, &task.queries, report)
    }

    /// Inserts a few items at a time beside the worker, as fast as it goes, and waits until the worker is idle.
    fn trickle(&self, set: &Set, items: &Items) -> Result<Store> {
        let options = Options::new().metric(set.metric).durability(Durability::Buffered);
        let store = Store::open_with(self.folder.path().join("trickle.understory"), options)?;
        insert(&store, items, pieces(self.items, TRICKLE), |_| Ok(()))?;
        let (mut before, mut since) = (Vec::new(), Instant::now());
        while since.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_millis(100));
            let stats = store.stats()?;
            let now: Vec<u64> = stats.segments.iter().map(|segment| segment.items).collect();
            if now != before || stats.unbuilt_items > 0 {
                (before, since) = (now, Instant::now());
            }
        }
        Ok(store)
    }

    /// What a child prints.
    fn run_child(&self, part: &str, path: &Path, metric: Metric, items: &Items, count: usize) -> String {
        let output = Command::new(std::env::current_exe().expect("this program"))
            .args([CHILD, part, &metric.to_string(), &items.dimension.to_string(), &count.to_string()])
            .args([path.as_os_str(), items.path.as_os_str()])
            .arg(self.memory.unwrap_or(usize::MAX).to_string())
            .output()
            .expect("a child");
        assert!(output.status.success(), "{part}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

/// Latencies of an idle store; while the worker builds its segment anew, since more than a quarter of it is dead; and
/// while a caller compacts it, with all cores.
fn latencies(store: &Store, queries: &[Vec<f32>], report: &mut Report) -> Result<()> {
    let idle = latency(store, queries, |done| done < IDLE_QUERIES)?;
    report.latency("idle", &idle, &idle);
    let goes_on = AtomicBool::new(true);
    let beside = |work: &(dyn Fn() -> Result<()> + Sync)| {
        goes_on.store(true, Ordering::Relaxed);
        std::thread::scope(|scope| {
            let work = scope.spawn(|| {
                let outcome = work();
                goes_on.store(false, Ordering::Relaxed);
                outcome
            });
            let busy = latency(store, queries, |_| goes_on.load(Ordering::Relaxed));
            work.join().expect("no panic").and(busy)
        })
    };
    let mut removals = Batch::new();
    (0..store.len()? * 3 / 10).for_each(|number| _ = removals.remove(number));
    store.write(removals)?;
    let busy = beside(&|| {
        while store.stats()?.segments.iter().any(|segment| segment.dead * 4 >= segment.items) {
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    })?;
    report.latency("while the worker builds", &busy, &idle);
    let busy = beside(&|| store.compact())?;
    report.latency("while a caller compacts", &busy, &idle);
    Ok(())
}

/// Numbers of which each but the last is `piece`, and which are `count` together.
fn pieces(count: usize, piece: usize) -> impl Iterator<Item = usize> {
    (0..count).step_by(piece).map(move |first| piece.min(count - first))
}

/// Inserts items in batches; after each piece of them something is done.
fn insert(
    store: &Store,
    items: &Items,
    pieces: impl Iterator<Item = usize>,
    then: impl Fn(&Store) -> Result<()>,
) -> Result<()> {
    let mut outcome = Ok(());
    items.read(pieces, |first, floats| {
        let write = || {
            let vectors: Vec<&[f32]> = floats.chunks_exact(items.dimension).collect();
            for (at, vectors) in vectors.chunks(BATCH).enumerate() {
                let mut batch = Batch::new();
                let first = first + at * BATCH;
                vectors.iter().enumerate().for_each(|(at, vector)| _ = batch.insert((first + at) as u64, *vector));
                store.write(batch)?;
            }
            then(store)
        };
        if outcome.is_ok() {
            outcome = write();
        }
    });
    outcome
}

/// Builds a store, or opens and searches it, and prints what that cost.
fn child(arguments: &[String]) -> Result<()> {
    let [part, metric, dimension, count, path, file, memory] = arguments else { panic!("a child's arguments") };
    let number = |text: &String| text.parse::<usize>().expect("a number");
    let items = Items { path: PathBuf::from(file), dimension: number(dimension) };
    if part == "search" {
        return search(Path::new(path), &items);
    }
    let metric = [Metric::Euclidean, Metric::Cosine].into_iter().find(|known| known.to_string() == *metric);
    let options = Options::new().metric(metric.expect("a metric of the sets")).maintenance(Maintenance::Manual);
    let store = Store::open_with(path, options.build_memory(number(memory)))?;
    let start = process_time();
    insert(&store, &items, pieces(number(count), BATCH), |_| Ok(()))?;
    let (rows, before) = ((process_time() - start).as_secs_f64(), anonymous_mib());
    let (start, cpu, done) = (Instant::now(), process_time(), AtomicBool::new(false));
    let peak = std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut peak = 0f64;
            while !done.load(Ordering::Relaxed) {
                peak = peak.max(anonymous_mib());
                std::thread::sleep(Duration::from_millis(10));
            }
            peak
        });
        let outcome = store.compact();
        done.store(true, Ordering::Relaxed);
        outcome.map(|()| watch.join().expect("no panic"))
    })?;
    let (wall, cpu) = (start.elapsed().as_secs_f64(), (process_time() - cpu).as_secs_f64());
    println!("{rows:.2},{cpu:.2},{wall:.2},{:.0}", peak - before);
    store.close()
}

fn search(path: &Path, items: &Items) -> Result<()> {
    let mut queries = Vec::new();
    items.read(std::iter::once(1000), |_, floats| {
        queries.extend(floats.chunks_exact(items.dimension).map(<[f32]>::to_vec))
    });
    let before = anonymous_mib();
    let start = Instant::now();
    let store = Store::open_read_only(path)?;
    let opened = start.elapsed().as_secs_f64() * 1e3;
    store.search(&queries[0], measure::K)?;
    let first_hit = start.elapsed().as_secs_f64() * 1e3;
    let after_open = anonymous_mib() - before;
    for query in &queries {
        std::hint::black_box(store.search(query, measure::K)?);
    }
    println!("{opened:.1},{first_hit:.1},{after_open:.1},{:.1}", anonymous_mib() - before);
    Ok(())
}

/// The rows of each file of results, and the curves of the plot.
#[derive(Default)]
struct Report {
    files: BTreeMap<&'static str, String>,
    curves: Vec<plot::Curve>,
}

const SIZES: &str = "metric,dimension,items,rows_cpu_s,build_cpu_s,build_wall_s,build_peak_mib,open_ms,first_hit_ms,\
    opened_mib,searched_mib,effort_95,us_95,default_recall";
const SEGMENT_ROWS: &str = "set,store,segments,largest,effort_95,us_95,speed_of_compacted,default_recall";
const LATENCIES: &str = "state,queries,p50_us,p99_us,p99_of_idle";

impl Report {
    fn add(&mut self, file: &'static str, head: &str, row: &str) {
        let text = self.files.entry(file).or_insert_with(|| {
            println!("{head}");
            format!("{head}\n")
        });
        println!("{row}");
        let _ = writeln!(text, "{row}");
    }

    fn size(&mut self, set: &Set, dimension: usize, count: usize, micros: f64, row: String) {
        self.add("sizes.csv", SIZES, &row);
        let name = format!("{} x {dimension}", set.name.split("-").next().unwrap_or(""));
        match self.curves.iter_mut().find(|(known, _)| *known == name) {
            Some((_, points)) => points.push((count as f64, micros)),
            None => self.curves.push((name, vec![(count as f64, micros)])),
        }
    }

    fn segments(&mut self, set: &Set, row: String) {
        self.add("segments.csv", SEGMENT_ROWS, &format!("{},{row}", set.name));
    }

    fn latency(&mut self, state: &str, latency: &Latency, idle: &Latency) {
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        let (median, p99) = (micros(latency.median), micros(latency.p99));
        let row = format!("{state},{},{median:.0},{p99:.0},{:.2}", latency.queries, p99 / micros(idle.p99));
        self.add("latency.csv", LATENCIES, &row);
    }

    fn record(&self, package: &Path) {
        let folder = package.join("benches/scale/results");
        std::fs::create_dir_all(&folder).expect("a folder of results");
        for (name, text) in &self.files {
            std::fs::write(folder.join(name), text).expect("a file of results");
        }
        let plot = plot::svg("CPU microseconds a query at recall@10 .95, by items", &self.curves);
        std::fs::write(package.join("docs/scale.svg"), plot).expect("a plot");
    }
}
