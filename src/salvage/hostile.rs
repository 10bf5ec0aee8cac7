//! The files of a store that a script damages, salvaged: whatever comes of it, the store once held.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{Sources, each_intact, salvage};
use crate::error::{Error, Result};
use crate::fs;
use crate::hostile::edit;
use crate::metadata::Metadata;
use crate::options::{Maintenance, Options};
use crate::snapshot::segments_dir;
use crate::store::{Batch, Store};
use crate::types::{Id, Metric};

const PAGE: usize = 4096;

/// Every version that an item ever had.
type Versions = BTreeMap<Id, Vec<(Vec<f32>, Metadata)>>;

/// An intact store as bytes, and where damaged copies of it go.
pub(crate) struct Target {
    rows: (PathBuf, Vec<u8>),
    /// The heads of the pages in use, where most of what leads elsewhere stands.
    places: Vec<usize>,
    segment: (PathBuf, Vec<u8>),
    versions: Versions,
    directory: PathBuf,
}

impl Target {
    /// Makes the store in a directory, which must be empty or missing.
    pub(crate) fn new(directory: &Path) -> Result<Target> {
        let path = directory.join("a.understory");
        let options = Options::new().metric(Metric::Euclidean).maintenance(Maintenance::Manual).threads(1);
        let store = Store::open_with(&path, options)?;
        let mut versions = Versions::new();
        let mut write = |ids: std::ops::Range<u64>, version: u64| {
            let mut batch = Batch::new();
            for number in ids {
                let vector = [number as f32, version as f32, (number * 7 % 5) as f32];
                let metadata = Metadata::from_iter([("number", number as i64), ("version", version as i64)]);
                let id = if number % 3 == 0 { Id::from(format!("item {number}")) } else { Id::from(number) };
                batch.insert_with(id.clone(), vector, &metadata)?;
                versions.entry(id).or_default().push((vector.to_vec(), metadata));
            }
            store.write(batch)
        };
        write(0..60, 1)?;
        store.compact()?;
        write(50..70, 2)?;
        store.remove(7)?;
        store.close()?;
        let file = |entry: PathBuf| match std::fs::read(&entry) {
            Ok(bytes) => Ok((entry.strip_prefix(&path).unwrap_or(&entry).to_owned(), bytes)),
            Err(source) => Err(Error::io("read", &entry, source)),
        };
        let one = |directory: &Path, extension: &str| {
            let entry =
                fs::list(directory)?.into_iter().find(|entry| entry.extension().is_some_and(|it| it == extension));
            file(entry.ok_or_else(|| Error::InvalidArgument(format!("expected a file of {extension}")))?)
        };
        let (rows, segment) = (one(&path, "redb")?, one(&segments_dir(&path), "seg")?);
        let in_use =
            (0..rows.1.len()).step_by(PAGE).filter(|&start| rows.1.get(start..).is_some_and(|page| page[0] != 0));
        let places = in_use.flat_map(|start| start..start + 96).collect();
        Ok(Target { rows, places, segment, versions, directory: directory.to_owned() })
    }

    /// Damages the row file, the segment or both, as the first byte of the script says, and reads all that is intact; one
    /// time in sixteen it is written into a new store, which takes many times as long. How many items came back.
    pub(crate) fn run(&self, script: &[u8]) -> u64 {
        let Some((&choice, edits)) = script.split_first() else { return 0 };
        let (path, rows) = self.damage(choice, edits);
        let items = if choice < 16 { self.written(&path) } else { intact(&path) };
        assert!(
            std::fs::read(path.join(&self.rows.0)).is_ok_and(|after| after == rows),
            "the damaged store was changed"
        );
        let count = items.len() as u64;
        for (id, vector, metadata) in items {
            let is_known = self.versions.get(&id).is_some_and(|versions| {
                versions.iter().any(|known| known.0 == vector && (known.1 == metadata || metadata.is_empty()))
            });
            assert!(is_known, "{id:?} never was {vector:?}, {metadata:?}");
        }
        count
    }

    /// Writes a damaged copy of the store. Where it is, and the bytes of its row file.
    fn damage(&self, choice: u8, edits: &[u8]) -> (PathBuf, Vec<u8>) {
        let path = self.directory.join("damaged");
        std::fs::create_dir_all(segments_dir(&path)).expect("room for a copy");
        let (mut rows, mut segment) = (self.rows.1.clone(), self.segment.1.clone());
        if choice % 4 != 1 {
            edit(&mut rows, edits, &self.places);
        }
        if choice % 4 == 1 || choice % 4 == 2 {
            edit(&mut segment, edits, &[]);
        }
        std::fs::write(path.join(&self.rows.0), &rows).expect("room for a copy");
        std::fs::write(path.join(&self.segment.0), &segment).expect("room for a copy");
        (path, rows)
    }

    /// The items of the new store that a damaged one is salvaged into.
    fn written(&self, path: &Path) -> Vec<Item> {
        let target = self.directory.join("target");
        let _ = std::fs::remove_dir_all(&target);
        let report = salvage(path, &target).unwrap_or_else(|error| panic!("expected a report, found {error}"));
        let store = Store::open_read_only(&target).expect("what was salvaged is whole");
        let items = store.scan().expect("items can be read").map(|item| item.expect("an item can be read"));
        let items: Vec<_> = items.map(|item| (item.id, item.vector, item.metadata)).collect();
        assert_eq!(items.len() as u64, report.items);
        items
    }
}

type Item = (Id, Vec<f32>, Metadata);

/// What would be written into a new store.
fn intact(path: &Path) -> Vec<Item> {
    let sources = Sources::read(path).expect("damage is no error");
    let mut items = Vec::new();
    let put = &mut |id, vector, metadata| {
        items.push((id, vector, metadata));
        Ok(())
    };
    let report = each_intact(&sources, sources.metric().unwrap_or(Metric::Euclidean), put).expect("a report");
    assert_eq!(items.len() as u64, report.items);
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_salvaged_once_was_whatever_was_damaged() {
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let target = Target::new(dir.path()).unwrap();
        // All but the one that was deleted.
        let all = target.versions.len() as u64 - 1;
        assert_eq!(target.run(&[0]), all, "nothing is damaged");
        let found: Vec<u64> = crate::hostile::scripts(9, 300).map(|script| target.run(&script)).collect();
        assert!(found.contains(&all) && found.iter().any(|&items| items != all));
    }

    /// The row database, when it was closed, met damage in its lists of freed pages, panicked, and panicked again.
    #[test]
    fn a_damaged_list_of_freed_pages_does_not_end_the_process() {
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let target = Target::new(dir.path()).unwrap();
        if let Some(script) = crate::hostile::scripts(9, 1080).last() {
            assert!(target.run(&script) > 0);
        }
    }

    /// The same lists, as a store meets them that is opened and written to: the process ended in a commit.
    #[test]
    fn a_store_with_a_damaged_list_of_freed_pages_is_refused() {
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let target = Target::new(dir.path()).unwrap();
        let path = target.directory.join("damaged");
        let (mut refused, mut read) = (0, 0);
        for script in crate::hostile::scripts(9, 1080).skip(900) {
            let _ = std::fs::remove_dir_all(&path);
            let _ = target.damage(0, script.get(1..).unwrap_or(&[]));
            match Store::open_with(&path, Options::new().maintenance(Maintenance::Manual).threads(1)) {
                Ok(store) => drop(store.insert(5, [1.0, 2.0, 3.0]).and_then(|()| store.compact())),
                Err(error) if error.to_string().contains("own tables") => {
                    assert!(error.is_corruption() && error.to_string().contains("understory salvage"), "{error}");
                    refused += 1;
                    read += usize::from(Store::open_read_only(&path).is_ok());
                }
                Err(_) => {}
            }
        }
        assert!(refused > 0 && read > 0, "{refused} refused, {read} of them read");
    }
}
