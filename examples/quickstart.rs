//! A semantic search over real sentence embeddings: descriptions of 5,000 software packages.
//!
//! ```text
//! cargo run --release --example quickstart [DIRECTORY]
//! ```
//!
//! Run it twice: the second time it opens the store that the first one left, and replaces every item.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use understory::{Batch, Store, Value};

/// What is kept beside each vector: any serde value that is a map of scalars and lists.
#[derive(Serialize, Deserialize)]
struct Package {
    name: String,
    text: String,
}

fn main() -> Result<(), Box<dyn Error>> {
    let path =
        std::env::args_os().nth(1).map_or_else(|| PathBuf::from("target/quickstart.understory"), PathBuf::from);
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data");
    let embeddings = read_npy(&data.join("embeddings.npy"))?;
    let packages = read_packages(&data.join("texts.jsonl"))?;

    // Open: the directory is created if it is missing, and the dimension will be that of the first vector.
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let store = Store::open(&path)?;
    match store.len()? {
        0 => println!("created {}", path.display()),
        items => println!("opened {}: it exists and holds {items} items, which are replaced", path.display()),
    }

    // Insert: a batch is atomic, and on disk when `write` returns. The index is built in the background.
    let start = Instant::now();
    for (packages, embeddings) in packages.chunks(1_000).zip(embeddings.chunks(1_000)) {
        let mut batch = Batch::new();
        for (package, embedding) in packages.iter().zip(embeddings) {
            batch.insert_with(package.name.as_str(), embedding, package)?;
        }
        store.write(batch)?;
    }
    println!("inserted {} items in {:.0} ms", packages.len(), milliseconds(start));

    // An application need not do this: it puts everything into one segment now, instead of some time later.
    let start = Instant::now();
    store.compact()?;
    println!("compacted in {:.0} ms", milliseconds(start));
    store.close()?;

    let start = Instant::now();
    let store = Store::open(&path)?;
    println!("reopened with {} items in {:.1} ms", store.len()?, milliseconds(start));

    // Search: three descriptions that are not in the store.
    let queries = read_npy(&data.join("queries.npy"))?;
    let descriptions = read_packages(&data.join("queries.jsonl"))?;
    for (query, description) in queries.iter().zip(&descriptions).take(3) {
        let start = Instant::now();
        let hits = store.query(query)?.k(5).with_metadata().run()?;
        let microseconds = milliseconds(start) * 1e3;
        println!("\n{}\nis near to, found in {microseconds:.0} microseconds:", shortened(&description.text));
        for hit in &hits {
            let text = match hit.metadata.as_ref().and_then(|metadata| metadata.get("text")) {
                Some(Value::Text(text)) => text,
                _ => "(no text)",
            };
            println!("  {:.3}  {}", hit.distance, shortened(text));
        }
    }
    store.close()?;
    Ok(())
}

fn milliseconds(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}

fn shortened(text: &str) -> String {
    text.chars().take(100).collect()
}

fn read_packages(path: &Path) -> Result<Vec<Package>, Box<dyn Error>> {
    std::fs::read_to_string(path)?.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

/// Reads a .npy file, version 1, of float16 rows: magic, version, the header's length, the header, the elements.
fn read_npy(path: &Path) -> Result<Vec<Vec<f32>>, Box<dyn Error>> {
    let bytes = std::fs::read(path)?;
    let wrong = || format!("{}: expected a .npy file of float16 rows", path.display());
    let (length, rest) =
        bytes.strip_prefix(b"\x93NUMPY\x01\x00").and_then(<[u8]>::split_first_chunk).ok_or_else(wrong)?;
    let (header, elements) = rest.split_at_checked(u16::from_le_bytes(*length).into()).ok_or_else(wrong)?;
    let header = std::str::from_utf8(header)?;
    if !header.contains("'descr': '<f2', 'fortran_order': False") {
        return Err(wrong().into());
    }
    let shape = header.split(['(', ')']).nth(1).ok_or_else(wrong)?;
    let columns = shape.split(", ").nth(1).ok_or_else(wrong)?.parse::<usize>()?;
    let rows = elements.chunks_exact(columns.max(1) * size_of::<half::f16>());
    let widened = |pair: &[u8; 2]| half::f16::from_le_bytes(*pair).to_f32();
    Ok(rows.map(|row| row.as_chunks::<2>().0.iter().map(widened).collect()).collect())
}
