//! A million items made from a real set, in a file, so that every process reads the same.
//!
//! The set's own items come first, then points between an item and one of its eight nearest neighbours, at a quarter to
//! three quarters of the way, with noise of a quarter of their distance; all that in an order of no meaning. So the
//! items have neighbours as near as a denser sample of the set would, and no two are alike.

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use understory::{Batch, Id, Maintenance, Options, Result, Store};

use crate::vectors::Set;

const NEIGHBOURS: usize = 8;
/// A prime: numbers times it, modulo the count, are in an order of no meaning.
const STRIDE: usize = 1_000_003;

/// A file of float32 vectors.
pub(crate) struct Items {
    pub(crate) path: PathBuf,
    pub(crate) dimension: usize,
}

impl Items {
    /// Makes `count` items of a set.
    pub(crate) fn make(set: &Set, count: usize, folder: &Path) -> Result<Items> {
        let path = folder.join(format!("items-{}.f32", set.base.dimension));
        let near = if count > set.base.len() { neighbours(set, folder)? } else { Vec::new() };
        let mut file = BufWriter::new(File::create(&path).expect("a file of items"));
        for number in 0..count {
            let item = item(set, &near, number * STRIDE % count);
            file.write_all(bytemuck::cast_slice(&item)).expect("room for the items");
        }
        file.flush().expect("room for the items");
        Ok(Items { path, dimension: set.base.dimension })
    }

    /// Hands out pieces of so many vectors, from the first on, with the number of the first of each.
    pub(crate) fn read(&self, pieces: impl Iterator<Item = usize>, mut take: impl FnMut(usize, &[f32])) {
        let mut file = File::open(&self.path).expect("the file of items");
        let mut next = 0;
        for count in pieces {
            let first = next;
            next += count;
            let mut floats = vec![0f32; count * self.dimension];
            file.read_exact(bytemuck::cast_slice_mut(&mut floats)).expect("as many items as were made");
            take(first, &floats);
        }
    }
}

/// The nearest items of each.
fn neighbours(set: &Set, folder: &Path) -> Result<Vec<Vec<usize>>> {
    let path = folder.join("neighbours.understory");
    let store = Store::open_with(&path, Options::new().metric(set.metric).maintenance(Maintenance::Manual))?;
    let mut batch = Batch::new();
    (0..set.base.len()).for_each(|row| _ = batch.insert(row as u64, set.base.row(row)));
    store.write(batch)?;
    store.compact()?;
    let vectors: Vec<&[f32]> = (0..set.base.len()).map(|row| set.base.row(row)).collect();
    let found = store.search_batch(&vectors, 1 + NEIGHBOURS)?;
    store.close()?;
    std::fs::remove_dir_all(&path).expect("a store to remove");
    let others = |(row, hits): (usize, Vec<understory::Hit>)| {
        let number = |hit: understory::Hit| match hit.id {
            Id::Number(number) => Some(number as usize),
            _ => None,
        };
        hits.into_iter().filter_map(number).filter(|&other| other != row).collect()
    };
    Ok(found.into_iter().enumerate().map(others).collect())
}

fn item(set: &Set, near: &[Vec<usize>], number: usize) -> Vec<f32> {
    if number < set.base.len() {
        return set.base.row(number).to_vec();
    }
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(number as u64);
    let row = generator.random_range(0..set.base.len());
    let others = &near[row];
    let other = if others.is_empty() { row } else { others[generator.random_range(0..others.len())] };
    let (from, to) = (set.base.row(row), set.base.row(other));
    let share = 0.25 + 0.5 * generator.random::<f32>();
    let distance = from.iter().zip(to).map(|(a, b)| (a - b) * (a - b)).sum::<f32>().sqrt();
    // Uniform numbers of width w deviate by w / sqrt(12).
    let width = 0.25 * distance * (12.0 / from.len() as f32).sqrt();
    let mut noise = || (generator.random::<f32>() - 0.5) * width;
    from.iter().zip(to).map(|(a, b)| a + share * (b - a) + noise()).collect()
}
