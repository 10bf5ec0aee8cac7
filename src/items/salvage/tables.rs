//! The tables of a damaged row file, as far as the row database gives them.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::{ReadOnlyTable, ReadableDatabase};

use super::super::dead::{CHUNK, CHUNK_BYTES};
use super::super::faults::{Guarded, contained};
use super::super::meta::StoreRow;
use super::super::read;
use super::super::row::{Row, decode_id};
use super::super::tables::{Bytes, DEAD, FRESH, Handle, IDS, META, PACKED, StoredKey, Table};
use super::overlay::Overlay;
use crate::error::Result;
use crate::fs::Map;
use crate::types::Id;

/// Row pages kept in memory.
const CACHE_BYTES: usize = 64 << 20;

type Open<K> = Handle<K, ReadOnlyTable<K, Bytes>>;

/// The sequence numbers of live ids.
#[derive(Debug, Default)]
pub(crate) struct Names {
    of: HashMap<Id, u64>,
    /// Whether these are all live ids there are.
    pub(crate) are_complete: bool,
}

impl Names {
    /// By the stored form of an id.
    pub(super) fn sequence_of(&self, id: &[u8]) -> Option<u64> {
        self.of.get(&decode_id(id).ok()?).copied()
    }

    pub(crate) fn get(&self, id: &Id) -> Option<u64> {
        self.of.get(id).copied()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Id, u64)> {
        self.of.iter().map(|(id, &sequence)| (id, sequence))
    }
}

/// The dead sequence numbers that are known.
#[derive(Debug, Default)]
pub(crate) struct Dead {
    chunks: HashMap<u64, [u8; CHUNK_BYTES]>,
}

impl Dead {
    pub(crate) fn contains(&self, sequence: u64) -> bool {
        let bit = (sequence % CHUNK) as usize;
        self.chunks.get(&(sequence / CHUNK)).is_some_and(|bits| bits[bit / 8] >> (bit % 8) & 1 == 1)
    }
}

/// Each table that could be opened.
pub(super) struct Tables {
    meta: Option<Open<Bytes>>,
    ids: Option<Open<Bytes>>,
    fresh: Option<Open<u64>>,
    packed: Option<Open<u64>>,
    dead: Option<Open<u64>>,
    redb: Guarded<redb::Database>,
    /// Makes every call of the database's into the file fail.
    end: Arc<AtomicBool>,
}

/// A database that is closed commits what it has to, and works on its lists of pages for it. Where these are damaged it
/// panics, and panics once more while it unwinds, which ends the process. After a failure of the disk it does not begin.
impl Drop for Tables {
    fn drop(&mut self) {
        (self.meta, self.ids, self.fresh, self.packed, self.dead) = (None, None, None, None, None);
        self.end.store(true, Ordering::Relaxed);
        if let Some(redb) = self.redb.get_mut() {
            // Of all calls the one that asks the disk first.
            let _ = contained(Path::new(""), "end", || redb.check_integrity());
        }
    }
}

impl Tables {
    pub(super) fn open(path: &Path, file: &Arc<Map>) -> Result<Tables> {
        let path: Arc<Path> = path.into();
        let overlay = Overlay::new(Arc::clone(file));
        let end = overlay.end();
        let redb = contained(&path, "open", || {
            // An empty file would be filled instead.
            if file.is_empty() {
                return Err(redb::DatabaseError::Storage(redb::StorageError::Corrupted("an empty file".to_owned())));
            }
            redb::Builder::new().set_cache_size(CACHE_BYTES).create_with_backend(overlay)
        })?;
        let redb = Guarded::new(redb);
        let mut tables = Tables { meta: None, ids: None, fresh: None, packed: None, dead: None, redb, end };
        let transaction = contained(&path, "begin reading", || tables.redb.begin_read())?;
        tables.meta = open(&path, &transaction, META);
        tables.ids = open(&path, &transaction, IDS);
        tables.fresh = open(&path, &transaction, FRESH);
        tables.packed = open(&path, &transaction, PACKED);
        tables.dead = open(&path, &transaction, DEAD);
        Ok(tables)
    }

    pub(super) fn store(&self, problems: &mut Vec<String>) -> Option<StoreRow> {
        let Some(meta) = &self.meta else {
            problems.push("the table meta cannot be read".to_owned());
            return None;
        };
        read::store(meta).map_err(|error| problems.push(error.to_string())).ok()
    }

    /// The live ids, read from both ends where the table is damaged between.
    pub(super) fn names(&self, problems: &mut Vec<String>) -> Names {
        let mut names = Names::default();
        let Some(ids) = &self.ids else {
            problems.push("the table ids cannot be read: what was deleted or replaced may come back".to_owned());
            return names;
        };
        let expected = ids.len();
        let is_whole = visit(ids, problems, |id, stored| {
            let sequence = read::decode_sequence(ids, &id, stored)?;
            let id = decode_id(id).map_err(|fault| ids.fault(&id, fault))?;
            names.of.insert(id, sequence);
            Ok(())
        });
        names.are_complete = is_whole && expected.is_ok_and(|expected| expected == names.of.len() as u64);
        names
    }

    pub(super) fn dead(&self, problems: &mut Vec<String>) -> Dead {
        let mut found = Dead::default();
        let Some(dead) = &self.dead else {
            problems.push("the table dead cannot be read".to_owned());
            return found;
        };
        visit(dead, problems, |chunk, stored| {
            if let Ok(bits) = dead.unseal(&chunk, stored)?.try_into() {
                found.chunks.insert(chunk, bits);
            }
            Ok(())
        });
        found
    }

    /// The row of a sequence number, if it is intact and where it belongs.
    pub(super) fn row(&self, sequence: u64) -> Option<Row> {
        let fresh = self.fresh.as_ref().and_then(|fresh| read::fresh_row(fresh, sequence).ok()?);
        fresh.or_else(|| read::packed_row(self.packed.as_ref()?, sequence).ok()?)
    }
}

fn open<K: StoredKey>(path: &Arc<Path>, transaction: &redb::ReadTransaction, table: Table<K>) -> Option<Open<K>> {
    let open = contained(path, "open a table", || transaction.open_table(table.definition())).ok()?;
    Some(Handle::new(table, path, open))
}

/// Visits the entries that can be read, from the front up to what stops the row database and then from the back. Whether
/// nothing was wrong.
fn visit<K: StoredKey>(
    table: &Open<K>,
    problems: &mut Vec<String>,
    mut visit: impl FnMut(K::SelfType<'_>, &[u8]) -> Result<()>,
) -> bool {
    // Damaged pages may lead in a circle; what is damaged is not counted rightly either.
    let limit = table.len().unwrap_or(0).saturating_add(1);
    let mut is_whole = true;
    for from_front in [true, false] {
        let mut entries = match table.iter() {
            Ok(entries) => entries,
            Err(error) => {
                problems.push(error.to_string());
                return false;
            }
        };
        for _ in 0..limit {
            let next = if from_front { entries.next() } else { entries.next_back() };
            let error = match next {
                Ok(None) => return is_whole,
                Ok(Some((key, value))) => match visit(key.value(), value.value()) {
                    Ok(()) => continue,
                    Err(error) => error,
                },
                Err(error) => {
                    problems.push(error.to_string());
                    is_whole = false;
                    break;
                }
            };
            problems.push(error.to_string());
            is_whole = false;
        }
    }
    is_whole
}
