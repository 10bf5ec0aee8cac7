//! `.ann` files of any bytes, as every metric: loaded, searched and read. The first two bytes choose the metric, the
//! dimension and how far a search goes.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use understory::annoy::{AnnoyIndex, Metric};

static FILE: LazyLock<(tempfile::TempDir, PathBuf)> = LazyLock::new(|| {
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a directory");
    let path = dir.path().join("a.ann");
    (dir, path)
});

const METRICS: [Metric; 5] = [Metric::Angular, Metric::Euclidean, Metric::Manhattan, Metric::Dot, Metric::Hamming];

fuzz_target!(|input: &[u8]| {
    let [choice, reach, bytes @ ..] = input else { return };
    let metric = METRICS[usize::from(*choice) % METRICS.len()];
    let dimension = 1 + usize::from(*choice) / METRICS.len() % 20;
    // A new file each time: the one before may still be mapped.
    let _ = std::fs::remove_file(&FILE.1);
    std::fs::write(&FILE.1, bytes).expect("room for a file");
    let mut index = AnnoyIndex::new(dimension, metric).expect("a valid dimension");
    if index.load(&FILE.1, reach % 2 == 0).is_err() {
        return;
    }
    let count = index.get_n_items();
    let query: Vec<f32> = (0..dimension).map(|at| (at % 3) as f32 - 0.5).collect();
    for search_k in [-1, i64::from(*reach), i64::MAX] {
        let mut found = index.get_nns_by_vector(&query, 10, search_k).unwrap_or_default();
        found.extend(index.get_nns_by_item(count / 2, 10, search_k).unwrap_or_default());
        assert!(found.iter().all(|&(item, _)| item < count), "expected items below {count}, found {found:?}");
    }
    for item in [0, count / 2, count.wrapping_sub(1), count] {
        assert!(index.get_item_vector(item).is_ok_and(|vector| vector.len() == dimension) == (item < count));
        let _ = (index.has_item(item), index.get_distance(item, count / 2));
    }
});
