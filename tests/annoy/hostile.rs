//! Files that were damaged or made up: an error or some answer, never a panic, a hang or a read out of bounds.

use rand::RngExt;
use rand::rngs::StdRng;
use understory::annoy::{AnnoyIndex, Metric};

use crate::fixtures::file;
use crate::support::{assert_refused, generator};

const FILES: [(&str, usize, Metric); 6] = [
    ("angular", 16, Metric::Angular),
    ("euclidean", 12, Metric::Euclidean),
    ("manhattan", 12, Metric::Manhattan),
    ("dot", 16, Metric::Dot),
    ("hamming", 130, Metric::Hamming),
    ("one_bucket", 40, Metric::Euclidean),
];

/// Does with a file whatever a program might; whether it could be loaded.
fn use_all(bytes: &[u8], folder: &std::path::Path, f: usize, metric: Metric) -> bool {
    let path = folder.join("a.ann");
    std::fs::write(&path, bytes).unwrap();
    let mut index = AnnoyIndex::new(f, metric).unwrap();
    if index.load(&path, true).is_err() {
        return false;
    }
    let count = index.get_n_items();
    let query: Vec<f32> = (0..f).map(|at| (at % 3) as f32 - 0.5).collect();
    for search_k in [-1, 500, i64::MAX] {
        let mut found = index.get_nns_by_vector(&query, 10, search_k).unwrap_or_default();
        found.extend(index.get_nns_by_item(count / 2, 10, search_k).unwrap_or_default());
        assert!(found.iter().all(|&(item, _)| item < count));
    }
    assert!(count == 0 || index.get_item_vector(count - 1).unwrap().len() == f);
    true
}

fn damage(bytes: &mut Vec<u8>, node: usize, generator: &mut StdRng) {
    let words = bytes.len() / 4;
    for _ in 0..generator.random_range(1..6) {
        match generator.random_range(0..6) {
            // A number that is small, or an extreme one, in any word.
            0 | 1 => {
                let at = generator.random_range(0..words) * 4;
                let extremes = [0, 1, 2, i32::MAX, i32::MIN, -1, (words * 4 / node) as i32, 300];
                let value = extremes[generator.random_range(0..extremes.len())];
                bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
            }
            // Another node's header: children that lead anywhere.
            2 | 3 => {
                let (from, to) =
                    (generator.random_range(0..words * 4 / node), generator.random_range(0..words * 4 / node));
                let header = bytes[from * node..from * node + 16].to_vec();
                bytes[to * node..to * node + 16].copy_from_slice(&header);
            }
            4 => {
                let at = generator.random_range(0..bytes.len());
                bytes[at] ^= 1 << generator.random_range(0..8);
            }
            _ => {
                let nodes = bytes.len() / node;
                bytes.truncate(generator.random_range(nodes / 2..nodes).max(1) * node);
                return;
            }
        }
    }
}

#[test]
fn damaged_files_do_no_harm() {
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let mut generator = generator(1);
    let (mut loaded, mut refused) = (0, 0);
    for (name, f, metric) in FILES {
        let original = std::fs::read(file(name)).unwrap();
        let node = match metric {
            Metric::Angular => 12 + 4 * f,
            Metric::Hamming => 16 + 8 * f.div_ceil(64),
            _ => 16 + 4 * f,
        };
        for _ in 0..1500 {
            let mut bytes = original.clone();
            damage(&mut bytes, node, &mut generator);
            if use_all(&bytes, folder.path(), f, metric) { loaded += 1 } else { refused += 1 }
        }
        // As another metric or dimension as well, wherever the length allows.
        for (f, metric) in [(f + 1, Metric::Angular), (f, Metric::Euclidean), (f, Metric::Dot), (1, Metric::Hamming)]
        {
            use_all(&original, folder.path(), f, metric);
        }
    }
    assert!(loaded > 1000 && refused > 100, "{loaded} loaded, {refused} refused");
}

/// An angular file of three components: items, then nodes as given.
fn crafted(items: usize, nodes: &[[i32; 3]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for item in 0..items {
        bytes.extend([1i32, 0, 0].iter().flat_map(|word| word.to_le_bytes()));
        let vector = [1.0 + item as f32, 0.0, 0.0];
        bytes.extend(vector.iter().flat_map(|component| component.to_le_bytes()));
    }
    for node in nodes {
        bytes.extend(node.iter().flat_map(|word| word.to_le_bytes()));
        bytes.extend([1.0f32, 0.0, 0.0].iter().flat_map(|component| component.to_le_bytes()));
    }
    bytes
}

fn search(bytes: &[u8]) -> understory::Result<Vec<(usize, f32)>> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.ann");
    std::fs::write(&path, bytes).unwrap();
    let mut index = AnnoyIndex::new(3, Metric::Angular)?;
    index.load(&path, false)?;
    index.get_nns_by_vector(&[1.0, 1.0, 1.0], 10, i64::MAX)
}

#[test]
fn children_that_lead_nowhere_or_back_are_refused() {
    // Twenty items and a root of them: a split, since a bucket holds five.
    assert_eq!(search(&crafted(20, &[[20, 0, 1]])).unwrap().len(), 2);
    assert_refused(search(&crafted(20, &[[20, 0, 21]])), &["node 20", "found 21"]);
    assert_refused(search(&crafted(20, &[[20, 0, -1]])), &["node 20", "earlier node"]);
    assert_refused(search(&crafted(20, &[[20, 20, 20]])), &["node 20", "found 20"]);
    assert_refused(search(&crafted(20, &[[6, 21, 0], [6, 20, 0], [20, 21, 20]])), &["node 20", "found 21"]);
    assert_refused(search(&crafted(20, &[[2, 0, 25], [20, 20, 0]])), &["node 20", "found 25"]);
    assert_refused(search(&crafted(20, &[[-5, 0, 1], [20, 20, 0]])), &["node 20", "-5"]);
    assert_refused(search(&crafted(20, &[[i32::MAX, 0, 1]])), &["node 20", "at most 20 items"]);
}

#[test]
fn a_file_that_ends_with_a_hole_is_refused_and_not_empty() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.ann");
    let mut index = AnnoyIndex::new(3, Metric::Angular).unwrap();
    (0..40).filter(|item| item % 4 != 3).for_each(|item| index.add_item(item, &[1.0, item as f32, 0.0]).unwrap());
    index.build(2, 1).unwrap();
    index.save(&path, false).unwrap();
    let whole = std::fs::read(&path).unwrap();
    assert_refused(search(&whole[..24 * 20]), &["node 19", "claims all items", "node 0"]);

    let mut empty = AnnoyIndex::new(3, Metric::Angular).unwrap();
    empty.build(3, 1).unwrap();
    empty.save(&path, false).unwrap();
    assert_eq!(search(&std::fs::read(&path).unwrap()).unwrap(), []);
}

#[test]
fn a_lattice_of_a_million_million_paths_ends() {
    let mut nodes = vec![[6, 0, 1]];
    for number in 20..80 {
        nodes.push([6, number, number]);
    }
    nodes.push([20, 80, 80]);
    assert_refused(search(&crafted(20, &nodes)), &["several others"]);
}
