//! Between `.ann` files and stores: through the public face of both.

use std::path::Path;

use super::{AnnoyIndex, Metric, disk};
use crate::error::{Error, Result};
use crate::store::{Batch, Snapshot, Store};
use crate::types::{self, Id};

/// A batch ends with whichever comes first, so that memory stays bounded for every dimension.
const BATCH_ITEMS: usize = 4_096;
const BATCH_BYTES: usize = 8 << 20;

/// Inserts the items of an `.ann` file into a store, under their numbers; holes are left out. Returns how many.
///
/// `f` and `metric` are what the file was written with: it does not say. Every item is checked as far as its bytes
/// tell.
///
/// ```
/// use understory::annoy::{self, AnnoyIndex};
/// # let dir = tempfile::tempdir().unwrap();
/// # let (file, path) = (dir.path().join("test.ann"), dir.path().join("a.understory"));
/// # let mut index = AnnoyIndex::new(2, annoy::Metric::Euclidean)?;
/// # index.add_item(7, &[1.0, 0.0])?;
/// # index.build(1, 1)?;
/// # index.save(&file, false)?;
/// let options = understory::Options::new().metric(understory::Metric::Euclidean);
/// let store = understory::Store::open_with(path, options)?;
/// assert_eq!(annoy::import(&store, file, 2, annoy::Metric::Euclidean)?, 1);
/// assert!(store.contains(7)?);
/// # Ok::<(), understory::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::MetricMismatch`](crate::Error::MetricMismatch) if the store measures otherwise, and whatever
/// [`AnnoyIndex::load`] and [`Store::write`] return. Batches that were written before an error stay.
pub fn import(store: &Store, path: impl AsRef<Path>, f: usize, metric: Metric) -> Result<u64> {
    let mut index = AnnoyIndex::new(f, metric)?;
    index.load(path, false)?;
    import_index(store, &index)
}

/// Inserts the items of an index into a store. See [`import`]; for a file of another [`Format`](super::Format), load
/// it and use this.
pub fn import_index(store: &Store, index: &AnnoyIndex) -> Result<u64> {
    let requested = store_metric(index.metric());
    if store.metric() != requested {
        return Err(Error::MetricMismatch { stored: store.metric(), requested });
    }
    let (mut batch, mut written) = (Batch::new(), 0);
    for item in 0..index.get_n_items() {
        index.check_item(item)?;
        if !index.has_item(item)? {
            continue;
        }
        let vector = index.get_item_vector(item)?;
        crate::vector::validate(&vector, None, requested)
            .map_err(|error| Error::InvalidArgument(format!("item {item}: {error}")))?;
        batch.insert(item as u64, vector);
        if batch.len() >= BATCH_ITEMS || batch.len() * index.f() * size_of::<f32>() >= BATCH_BYTES {
            written += batch.len() as u64;
            store.write(std::mem::take(&mut batch))?;
        }
    }
    written += batch.len() as u64;
    store.write(batch)?;
    Ok(written)
}

/// Writes the items of a snapshot as an `.ann` file with `n_trees` trees (-1: until they have as many nodes as there
/// are items), which Annoy 1.17.3 loads. Metadata is left out. A file of that name is replaced at once. Returns how
/// many items it has.
///
/// The file takes room for all ids up to the largest, so ids should be dense.
///
/// # Errors
///
/// [`Error::InvalidArgument`](crate::Error::InvalidArgument) if an id is a text or 2^31 - 1 or more, or the store has
/// no items yet.
pub fn export(snapshot: &Snapshot, path: impl AsRef<Path>, n_trees: i32) -> Result<u64> {
    let Some(dimension) = snapshot.dimension() else {
        return Err(Error::InvalidArgument("expected a store with items, found an empty one".to_owned()));
    };
    let metric = match snapshot.metric() {
        types::Metric::Cosine => Metric::Angular,
        types::Metric::Euclidean => Metric::Euclidean,
        types::Metric::Dot => Metric::Dot,
        types::Metric::Manhattan => Metric::Manhattan,
        types::Metric::Hamming => Metric::Hamming,
    };
    for id in snapshot.ids() {
        item_number(&id?)?;
    }
    let mut written = 0;
    disk::replace_by(path.as_ref(), |temporary| {
        let mut index = AnnoyIndex::new(dimension, metric)?;
        index.on_disk_build(temporary)?;
        for item in snapshot.scan() {
            let item = item?;
            index.add_item(item_number(&item.id)?, &item.vector)?;
            written += 1;
        }
        index.build(n_trees, -1)
    })?;
    Ok(written)
}

fn store_metric(metric: Metric) -> types::Metric {
    match metric {
        Metric::Angular => types::Metric::Cosine,
        Metric::Euclidean => types::Metric::Euclidean,
        Metric::Manhattan => types::Metric::Manhattan,
        Metric::Dot => types::Metric::Dot,
        Metric::Hamming => types::Metric::Hamming,
    }
}

/// The number of an item in a file, which is its id.
fn item_number(id: &Id) -> Result<usize> {
    match id {
        Id::Number(number) if *number < i32::MAX as u64 => Ok(*number as usize),
        _ => {
            let what = format!("expected ids that are numbers below {}, as .ann files need, found {id:?}", i32::MAX);
            Err(Error::InvalidArgument(what))
        }
    }
}
