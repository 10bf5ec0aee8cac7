//! What an item carries besides its vector: a small map from text to plain values.
//!
//! The types here are public; [`codec`] is their only way to disk, and [`serde`](Metadata::from_serde) structs and
//! maps their usual way in and out.

pub(crate) mod codec;
mod fault;
mod from_serde;
#[cfg(any(test, fuzzing))]
pub(crate) mod hostile;
pub(crate) mod order;
mod paths;
mod plain;
#[cfg(test)]
mod tests;
mod timestamp;
mod to_serde;
mod value;

use std::collections::BTreeMap;
use std::collections::btree_map;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::Result;
pub(crate) use paths::MAX_PATH_BYTES;
pub use timestamp::Timestamp;
pub use value::Value;

/// The metadata of an item: texts and their values, in the order of the texts. In serde formats it is a plain map.
///
/// ```
/// use understory::{Metadata, Value};
///
/// let mut metadata = Metadata::new();
/// metadata.insert("title", "Undergrowth");
/// metadata.insert("pages", 212);
/// metadata.insert("tags", vec!["forest", "field guide"]);
/// assert_eq!(metadata.get("pages"), Some(&Value::Integer(212)));
/// assert_eq!(metadata.len(), 3);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Metadata {
    values: BTreeMap<String, Value>,
}

impl Metadata {
    /// No values.
    pub fn new() -> Metadata {
        Metadata::default()
    }

    /// Turns anything serde can serialize as a map or a struct into metadata.
    ///
    /// Fields hold numbers, texts, booleans, bytes, [`Timestamp`]s, `None`, lists of these, and maps or structs of the
    /// same up to 16 levels. What metadata cannot hold is refused with
    /// [`Error::InvalidMetadata`](crate::Error::InvalidMetadata), which names the key: maps and lists inside lists, and
    /// integers that do not fit an `i64`.
    ///
    /// ```
    /// use understory::{Metadata, Value};
    ///
    /// #[derive(serde::Serialize)]
    /// struct Note {
    ///     title: String,
    ///     year: Option<u32>,
    /// }
    /// let metadata = Metadata::from_serde(&Note { title: "Moss".into(), year: None })?;
    /// assert_eq!(metadata.get("title"), Some(&Value::from("Moss")));
    /// assert_eq!(metadata.get("year"), Some(&Value::Null));
    /// # Ok::<(), understory::Error>(())
    /// ```
    pub fn from_serde<T: Serialize + ?Sized>(source: &T) -> Result<Metadata> {
        from_serde::metadata(source)
    }

    /// Turns the metadata into a map or a struct that serde can deserialize.
    ///
    /// ```
    /// use understory::Metadata;
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Note {
    ///     title: String,
    ///     year: Option<u32>,
    /// }
    /// let metadata: Metadata = [("title", "Moss")].into_iter().collect();
    /// let note: Note = metadata.to_serde()?;
    /// assert_eq!((note.title.as_str(), note.year), ("Moss", None));
    /// # Ok::<(), understory::Error>(())
    /// ```
    pub fn to_serde<T: DeserializeOwned>(&self) -> Result<T> {
        to_serde::from_metadata(self)
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.values.get(key)
    }

    /// The value at a path: keys of maps inside each other, joined by dots. A key may contain dots itself; where a path
    /// can be read in several ways, the longest key counts that leads somewhere.
    ///
    /// ```
    /// let json = serde_json::json!({"author": {"name": "Hesse"}, "v1.2": true});
    /// let metadata = understory::Metadata::from_serde(&json)?;
    /// assert_eq!(metadata.at("author.name"), Some(&"Hesse".into()));
    /// assert_eq!(metadata.at("v1.2"), Some(&true.into()));
    /// assert_eq!(metadata.at("author.name.first"), None);
    /// # Ok::<(), understory::Error>(())
    /// ```
    pub fn at(&self, path: &str) -> Option<&Value> {
        paths::at(&self.values, path)
    }

    /// Every path and the value to which it leads: [`at`](Metadata::at) of the path gives that value. Maps have paths of
    /// their own, before those of what they hold. Left out is what no path reaches, since another key has its name, and
    /// paths longer than 1,024 bytes, which no filter names.
    pub fn paths(&self) -> Vec<(String, &Value)> {
        paths::all(&self.values)
    }

    /// Sets the value of a key and returns the one it had before.
    pub fn insert(&mut self, key: impl Into<String>, value: impl Into<Value>) -> Option<Value> {
        self.values.insert(key.into(), value.into())
    }

    /// Removes a key and returns its value.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        self.values.remove(key)
    }

    /// Keys and values, in the order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.values.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

impl<K: Into<String>, V: Into<Value>> FromIterator<(K, V)> for Metadata {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Metadata {
        Metadata { values: entries.into_iter().map(|(key, value)| (key.into(), value.into())).collect() }
    }
}

impl From<BTreeMap<String, Value>> for Metadata {
    fn from(values: BTreeMap<String, Value>) -> Metadata {
        Metadata { values }
    }
}

/// A map inside other metadata.
impl From<Metadata> for Value {
    fn from(metadata: Metadata) -> Value {
        Value::Map(metadata.values)
    }
}

impl IntoIterator for Metadata {
    type Item = (String, Value);
    type IntoIter = IntoIter;

    fn into_iter(self) -> IntoIter {
        IntoIter { entries: self.values.into_iter() }
    }
}

/// Keys and values of [`Metadata`], in the order of the keys.
#[derive(Debug)]
pub struct IntoIter {
    entries: btree_map::IntoIter<String, Value>,
}

impl Iterator for IntoIter {
    type Item = (String, Value);

    fn next(&mut self) -> Option<(String, Value)> {
        self.entries.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.entries.size_hint()
    }
}
