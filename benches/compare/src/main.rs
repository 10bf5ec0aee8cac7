//! Builds and serves this store, and peers written in Rust, for `compare.py`.
//!
//! The one argument is a job, a JSON object. With `"do": "build"` the process builds the engine's index from vectors in
//! memory, prints what that cost as one JSON line, and ends. With `"do": "serve"` it opens the index, prints a line,
//! and then answers each line of standard input, a pass over all queries at one setting, with one line. `worker.py`
//! speaks the same protocol for the peers that Python has.

#[cfg(feature = "peers")]
mod graph;
#[cfg(feature = "peers")]
mod lmdb;
mod process;
mod store;

use std::error::Error;
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use process::{cpu_seconds, forget_peak, memory};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

#[derive(Deserialize)]
struct Job {
    engine: String,
    #[serde(rename = "do")]
    task: Task,
    metric: Metric,
    dimension: usize,
    k: usize,
    base: PathBuf,
    queries: PathBuf,
    index: PathBuf,
}

#[derive(Deserialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Task {
    Build,
    Serve,
}

#[derive(Deserialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Metric {
    Cosine,
    Euclidean,
}

/// How far a pass searches: the engine's own effort, or what the store does when asked for nothing or for a recall.
#[derive(Deserialize, Clone, Copy)]
#[serde(untagged)]
enum Setting {
    Effort(usize),
    Recall { recall: f32 },
    Default {},
}

#[derive(Deserialize)]
struct Pass {
    setting: Setting,
    /// Queries asked before the clock starts.
    warm: usize,
    /// Queries asked while it runs.
    count: usize,
    answers: bool,
}

#[derive(Serialize)]
struct Cost {
    build_cpu: f64,
    build_wall: f64,
    /// Beyond the index, what the engine needed to hold the items at all.
    rows_cpu: f64,
    peak_bytes: u64,
}

#[derive(Serialize)]
struct Ready {
    version: String,
    open_wall: f64,
}

#[derive(Serialize)]
struct Timing {
    cpu: f64,
    wall: f64,
    resident_bytes: u64,
    anonymous_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    answers: Option<Vec<Vec<u64>>>,
}

/// CPU seconds of a build.
struct Built {
    index_cpu: f64,
    rows_cpu: f64,
}

trait Engine {
    fn version(&self) -> String;
    fn search(&self, query: &[f32], k: usize, setting: Setting) -> Result<Vec<u64>>;
}

fn main() -> Result<()> {
    let job = std::env::args().nth(1).ok_or("expected a job, a JSON object, as the only argument")?;
    let job: Job = serde_json::from_str(&job)?;
    match job.task {
        Task::Build => {
            let cost = build(&job)?;
            say(&cost)
        }
        Task::Serve => serve(&job),
    }
}

fn build(job: &Job) -> Result<Cost> {
    let vectors = floats(&job.base)?;
    let rows: Vec<&[f32]> = vectors.chunks_exact(job.dimension).collect();
    forget_peak();
    let before = memory().resident;
    let start = Instant::now();
    let built = match job.engine.as_str() {
        "understory" => store::build(job, &rows)?,
        #[cfg(feature = "peers")]
        "arroy" | "hannoy" => lmdb::build(job, &rows)?,
        #[cfg(feature = "peers")]
        "hnsw_rs" => graph::build(job, &rows)?,
        other => return Err(format!("expected an engine that was compiled in, found {other}").into()),
    };
    Ok(Cost {
        build_cpu: built.index_cpu,
        build_wall: start.elapsed().as_secs_f64(),
        rows_cpu: built.rows_cpu,
        peak_bytes: memory().peak.saturating_sub(before),
    })
}

fn serve(job: &Job) -> Result<()> {
    let vectors = floats(&job.queries)?;
    let queries: Vec<&[f32]> = vectors.chunks_exact(job.dimension).collect();
    let start = Instant::now();
    let engine: Box<dyn Engine> = match job.engine.as_str() {
        "understory" => store::open(&job.index)?,
        #[cfg(feature = "peers")]
        "arroy" | "hannoy" => lmdb::open(job)?,
        #[cfg(feature = "peers")]
        "hnsw_rs" => graph::open(job)?,
        other => return Err(format!("expected an engine that was compiled in, found {other}").into()),
    };
    say(&Ready { version: engine.version(), open_wall: start.elapsed().as_secs_f64() })?;
    for line in std::io::stdin().lock().lines() {
        let pass: Pass = serde_json::from_str(&line?)?;
        say(&run(engine.as_ref(), job.k, &pass, &queries)?)?;
    }
    Ok(())
}

fn run(engine: &dyn Engine, k: usize, pass: &Pass, queries: &[&[f32]]) -> Result<Timing> {
    for query in queries.iter().take(pass.warm) {
        engine.search(query, k, pass.setting)?;
    }
    let mut answers = Vec::with_capacity(queries.len());
    let (wall, cpu) = (Instant::now(), cpu_seconds());
    for query in queries.iter().take(pass.count) {
        answers.push(engine.search(query, k, pass.setting)?);
    }
    let (cpu, wall) = (cpu_seconds() - cpu, wall.elapsed().as_secs_f64());
    let memory = memory();
    Ok(Timing {
        cpu,
        wall,
        resident_bytes: memory.resident,
        anonymous_bytes: memory.anonymous,
        answers: pass.answers.then_some(answers),
    })
}

fn say(answer: &impl Serialize) -> Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, answer)?;
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}

/// The little-endian floats of a file.
fn floats(path: &Path) -> Result<Vec<f32>> {
    let bytes = std::fs::read(path)?;
    let (words, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() {
        return Err(format!("expected whole floats in {}, found {} bytes", path.display(), bytes.len()).into());
    }
    Ok(words.iter().map(|&word| f32::from_le_bytes(word)).collect())
}

/// What a peer is asked: the store alone takes a recall.
#[cfg(feature = "peers")]
fn effort(setting: Setting) -> Result<usize> {
    match setting {
        Setting::Effort(effort) => Ok(effort),
        _ => Err("expected an effort: only the store takes a recall".into()),
    }
}

/// The version of a dependency, from the lock file beside this package.
#[cfg(feature = "peers")]
fn version(name: &str) -> String {
    let mut lines = include_str!("../Cargo.lock").lines();
    lines.find(|line| *line == format!("name = \"{name}\""));
    let line = lines.next().unwrap_or_default();
    line.trim_start_matches("version = ").trim_matches('"').to_owned()
}
