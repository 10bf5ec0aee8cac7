//! The tables, and the handle through which each is read and written.
//!
//! A [`Handle`] knows its table's name, so that every value it seals carries the checksum of table, key and value, and
//! every fault it reports names table and key. Values of `fresh` and `packed` are not sealed: rows and blocks have
//! checksums of their own.

use std::cmp::Ordering;
use std::marker::PhantomData;
use std::ops::{Bound, RangeBounds};
use std::path::Path;
use std::sync::Arc;

use redb::{AccessGuard, Key, ReadableTable, TableDefinition};

use super::faults::{contained, malformed};
use crate::bytes::{Malformed, checksum};
use crate::error::{Error, Result};
use crate::types::Id;

/// The values of every table, and the keys of two.
pub(super) type Bytes = &'static [u8];

/// The name of a table and the type of its keys.
pub(super) struct Table<K> {
    pub(super) name: &'static str,
    key: PhantomData<K>,
}

pub(super) const META: Table<Bytes> = Table::new("meta");
pub(super) const IDS: Table<Bytes> = Table::new("ids");
pub(super) const FRESH: Table<u64> = Table::new("fresh");
pub(super) const PACKED: Table<u64> = Table::new("packed");
pub(super) const SEGMENTS: Table<u64> = Table::new("segments");
pub(super) const DEAD: Table<u64> = Table::new("dead");

impl<K> Table<K> {
    const fn new(name: &'static str) -> Table<K> {
        Table { name, key: PhantomData }
    }
}

impl<K: Key + 'static> Table<K> {
    pub(super) const fn definition(&self) -> TableDefinition<'static, K, Bytes> {
        TableDefinition::new(self.name)
    }
}

/// A key that a message can name.
pub(super) trait StoredKey: Key + 'static {
    fn describe(key: &Self::SelfType<'_>) -> String;
}

impl StoredKey for u64 {
    fn describe(key: &u64) -> String {
        key.to_string()
    }
}

impl StoredKey for Bytes {
    fn describe(key: &&[u8]) -> String {
        match Id::decode(key) {
            Some(id) => format!("{id:?}"),
            None => format!("{:?}", String::from_utf8_lossy(key)),
        }
    }
}

/// A value on a page that the guard keeps.
pub(super) type Guard<'t> = AccessGuard<'t, Bytes>;

/// An open table, with its name and file.
pub(super) struct Handle<K, T> {
    table: Table<K>,
    path: Arc<Path>,
    open: T,
}

impl<K: StoredKey, T> Handle<K, T> {
    pub(super) fn new(table: Table<K>, path: &Arc<Path>, open: T) -> Handle<K, T> {
        Handle { table, path: Arc::clone(path), open }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where a fault was found.
    pub(super) fn place(&self, key: &K::SelfType<'_>) -> String {
        format!("table {}, key {}", self.table.name, K::describe(key))
    }

    /// A value of this table that is not what was written.
    pub(super) fn fault(&self, key: &K::SelfType<'_>, fault: Malformed) -> Error {
        malformed(&self.path, self.place(key), fault)
    }

    fn checksum(&self, key: &K::SelfType<'_>, value: &[u8]) -> [u8; 4] {
        checksum(&[self.table.name.as_bytes(), &[0], K::as_bytes(key).as_ref(), value]).to_le_bytes()
    }

    /// The value without its checksum, which must hold.
    pub(super) fn unseal<'v>(&self, key: &K::SelfType<'_>, stored: &'v [u8]) -> Result<&'v [u8]> {
        match stored.split_last_chunk() {
            Some((value, found)) if *found == self.checksum(key, value) => Ok(value),
            Some((value, found)) => {
                let expected = u32::from_le_bytes(self.checksum(key, value));
                Err(self.fault(key, mismatch(expected, u32::from_le_bytes(*found))))
            }
            None => {
                let found = format!("{} bytes", stored.len());
                Err(self.fault(key, Malformed { expected: "a value and its checksum".into(), found }))
            }
        }
    }
}

/// A checksum that does not hold.
pub(super) fn mismatch(expected: u32, found: u32) -> Malformed {
    Malformed { expected: format!("checksum {expected:08x}"), found: format!("{found:08x}") }
}

impl<K: StoredKey, T: ReadableTable<K, Bytes>> Handle<K, T> {
    /// The value as it is stored.
    pub(super) fn get(&self, key: &K::SelfType<'_>) -> Result<Option<Guard<'_>>> {
        contained(&self.path, "read a row", || {
            let value = self.open.get(key)?;
            // Its bounds come from the page: they must hold here, where a panic is contained.
            value.as_ref().map(Guard::value);
            Ok::<_, redb::StorageError>(value)
        })
    }

    /// Decodes the sealed value of a key.
    pub(super) fn get_sealed<V>(
        &self,
        key: &K::SelfType<'_>,
        decode: impl FnOnce(&[u8]) -> Result<V, Malformed>,
    ) -> Result<Option<V>> {
        let Some(guard) = self.get(key)? else { return Ok(None) };
        let value = self.unseal(key, guard.value())?;
        decode(value).map(Some).map_err(|fault| self.fault(key, fault))
    }

    pub(super) fn range<'k>(&self, range: impl RangeBounds<K::SelfType<'k>> + 'k) -> Result<Entries<'_, K>> {
        let owned = |key: &K::SelfType<'k>| K::as_bytes(key).as_ref().to_vec();
        let (low, high) = (range.start_bound().map(owned), range.end_bound().map(owned));
        let range = contained(&self.path, "read rows", || self.open.range::<K::SelfType<'k>>(range))?;
        Ok(Entries { name: self.table.name, path: Arc::clone(&self.path), range, low, high })
    }

    pub(super) fn iter(&self) -> Result<Entries<'_, K>> {
        let range = contained(&self.path, "read rows", || self.open.iter())?;
        let (low, high) = (Bound::Unbounded, Bound::Unbounded);
        Ok(Entries { name: self.table.name, path: Arc::clone(&self.path), range, low, high })
    }

    pub(super) fn len(&self) -> Result<u64> {
        contained(&self.path, "count rows", || self.open.len())
    }
}

impl<K: StoredKey> Handle<K, redb::Table<'_, K, Bytes>> {
    /// Writes a value as it is, and hands what was there before to `before`.
    pub(super) fn insert<R>(
        &mut self,
        key: &K::SelfType<'_>,
        value: &[u8],
        before: impl FnOnce(&Self, &[u8]) -> Result<R>,
    ) -> Result<Option<R>> {
        let old = contained(&self.path, "write a row", || {
            Ok::<_, redb::StorageError>(self.open.insert(key, value)?.map(|guard| guard.value().to_vec()))
        })?;
        old.map(|old| before(self, &old)).transpose()
    }

    /// Writes a value as it is.
    pub(super) fn put(&mut self, key: &K::SelfType<'_>, value: &[u8]) -> Result<()> {
        contained(&self.path, "write a row", || self.open.insert(key, value).map(drop))
    }

    /// Writes a value and its checksum.
    pub(super) fn put_sealed(&mut self, key: &K::SelfType<'_>, value: &[u8]) -> Result<()> {
        let sealed = self.seal(key, value);
        self.put(key, &sealed)
    }

    /// A value and its checksum.
    pub(super) fn seal(&self, key: &K::SelfType<'_>, value: &[u8]) -> Vec<u8> {
        let mut sealed = Vec::with_capacity(value.len() + 4);
        sealed.extend_from_slice(value);
        sealed.extend_from_slice(&self.checksum(key, value));
        sealed
    }

    /// Removes a key; whether it was there.
    pub(super) fn remove(&mut self, key: &K::SelfType<'_>) -> Result<bool> {
        contained(&self.path, "remove a row", || self.open.remove(key).map(|old| old.is_some()))
    }
}

/// The entries of a range, either way.
///
/// The row database follows the pages as they are. Damaged ones may lead back to where it was, and it would never come
/// to an end; but then a key comes that does not lie beyond the one before it, and that is an error.
pub(super) struct Entries<'t, K: StoredKey> {
    name: &'static str,
    path: Arc<Path>,
    range: redb::Range<'t, K, Bytes>,
    /// Between these the keys lie that are still to come.
    low: Bound<Vec<u8>>,
    high: Bound<Vec<u8>>,
}

type Entry<'t, K> = (AccessGuard<'t, K>, Guard<'t>);

impl<'t, K: StoredKey> Entries<'t, K> {
    pub(super) fn next(&mut self) -> Result<Option<Entry<'t, K>>> {
        let entry = contained(&self.path, "read rows", || self.range.next().transpose().map(touched))?;
        self.placed(entry, |entries| &mut entries.low)
    }

    pub(super) fn next_back(&mut self) -> Result<Option<Entry<'t, K>>> {
        let entry = contained(&self.path, "read rows", || self.range.next_back().transpose().map(touched))?;
        self.placed(entry, |entries| &mut entries.high)
    }

    /// The entry, if it lies between the bounds, of which it becomes one.
    fn placed(
        &mut self,
        entry: Option<Entry<'t, K>>,
        bound: fn(&mut Self) -> &mut Bound<Vec<u8>>,
    ) -> Result<Option<Entry<'t, K>>> {
        let Some((key, value)) = entry else { return Ok(None) };
        let is_placed = {
            let key = key.value();
            let key = K::as_bytes(&key);
            let key = key.as_ref();
            let is_placed = lies_beyond::<K>(key, &self.low, Ordering::Greater)
                && lies_beyond::<K>(key, &self.high, Ordering::Less);
            remember(bound(self), key);
            is_placed
        };
        if is_placed {
            return Ok(Some((key, value)));
        }
        let place = format!("table {}, key {}", self.name, K::describe(&key.value()));
        let found = "one that does not: pages lead back to others, or hold other keys than those above them".into();
        Err(malformed(&self.path, place, Malformed { expected: "keys that ascend".into(), found }))
    }
}

/// Whether a key lies on one side of a bound.
fn lies_beyond<K: Key>(key: &[u8], bound: &Bound<Vec<u8>>, side: Ordering) -> bool {
    match bound {
        Bound::Unbounded => true,
        Bound::Included(bound) => K::compare(key, bound) != side.reverse(),
        Bound::Excluded(bound) => K::compare(key, bound) == side,
    }
}

/// Makes a key the bound, in the memory of the one before.
fn remember(bound: &mut Bound<Vec<u8>>, key: &[u8]) {
    let mut memory = match std::mem::replace(bound, Bound::Unbounded) {
        Bound::Included(memory) | Bound::Excluded(memory) => memory,
        Bound::Unbounded => Vec::new(),
    };
    memory.clear();
    memory.extend_from_slice(key);
    *bound = Bound::Excluded(memory);
}

/// The entry, once its bounds on the page are known to hold: here, where a panic is contained.
fn touched<K: StoredKey>(entry: Option<Entry<'_, K>>) -> Option<Entry<'_, K>> {
    if let Some((key, value)) = &entry {
        let _ = (key.value(), value.value());
    }
    entry
}
