//! Metadata on disk: a codec byte, then a map in bincode.
//!
//! The stored enums are apart from the public one: they say what the format says, and none contains itself, so that no
//! bytes make bincode recurse; a map inside the metadata is stored as bytes, which are decoded one level further, to
//! [`MAX_MAPS`]. Decoding is limited: a length that lies cannot make it allocate.

use std::collections::BTreeMap;
use std::fmt;

use bincode::config::{self, Configuration, Limit, LittleEndian, Varint};
use serde::de::{Deserializer, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

use super::value::MAX_MAPS;
use super::{Metadata, Timestamp, Value};
use crate::bytes::Malformed;
use crate::error::{Error, Result};

/// The first codec: bincode 2, standard configuration. Written wherever it suffices, so that older versions read it.
const PLAIN: u8 = 1;
/// The same with bytes, timestamps and maps among the values.
const NESTED: u8 = 2;
/// Largest metadata of an item, encoded.
const MAX_BYTES: usize = 1 << 20;
const DECODED_LIMIT: usize = 16 << 20;

const CONFIG: Configuration<LittleEndian, Varint, Limit<DECODED_LIMIT>> =
    config::standard().with_limit::<DECODED_LIMIT>();

/// A value as stored. The order of variants is the format.
#[derive(Serialize, Deserialize)]
enum StoredValue {
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    List(Vec<StoredScalar>),
    Bytes(StoredBytes),
    Timestamp(i64),
    /// A map of its own, encoded. So the decoder decides itself how deep it goes.
    Map(StoredBytes),
}

/// What a list holds. The order of variants is the format.
#[derive(Serialize, Deserialize)]
enum StoredScalar {
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    Bytes(StoredBytes),
    Timestamp(i64),
}

/// Bytes that are read and written at once, and not as a list of numbers.
struct StoredBytes(Vec<u8>);

impl Serialize for StoredBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for StoredBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<StoredBytes, D::Error> {
        deserializer.deserialize_byte_buf(StoredBytesVisitor)
    }
}

struct StoredBytesVisitor;

impl Visitor<'_> for StoredBytesVisitor {
    type Value = StoredBytes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes")
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<StoredBytes, E> {
        Ok(StoredBytes(bytes.to_owned()))
    }

    fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<StoredBytes, E> {
        Ok(StoredBytes(bytes))
    }
}

/// The stored form. Without values it is empty.
pub(crate) fn encode(metadata: &Metadata) -> Result<Vec<u8>> {
    if metadata.is_empty() {
        return Ok(Vec::new());
    }
    let mut out = vec![if metadata.values.values().any(is_new) { NESTED } else { PLAIN }];
    encode_map(&metadata.values, MAX_MAPS, &mut out)?;
    if out.len() > MAX_BYTES {
        let found = out.len();
        return Err(Error::InvalidMetadata(format!(
            "expected metadata of at most {MAX_BYTES} bytes when stored, found {found} bytes"
        )));
    }
    Ok(out)
}

/// Whether the first codec had no such value.
fn is_new(value: &Value) -> bool {
    match value {
        Value::Bytes(_) | Value::Timestamp(_) | Value::Map(_) => true,
        Value::List(values) => values.iter().any(|value| matches!(value, Value::Bytes(_) | Value::Timestamp(_))),
        _ => false,
    }
}

/// Appends a map where so many may lie in each other.
fn encode_map(map: &BTreeMap<String, Value>, maps: usize, out: &mut Vec<u8>) -> Result<()> {
    let stored = map.iter().map(|(key, value)| Ok((key.as_str(), store(key, value, maps)?)));
    let stored = stored.collect::<Result<BTreeMap<&str, StoredValue>>>()?;
    bincode::serde::encode_into_std_write(&stored, out, CONFIG)
        .map_err(|error| Error::InvalidMetadata(format!("expected metadata that can be stored: {error}")))?;
    Ok(())
}

/// Reads the stored form. Any bytes give metadata or a fault.
pub(crate) fn decode(bytes: &[u8]) -> Result<Metadata, Malformed> {
    let Some((&codec, encoded)) = bytes.split_first() else { return Ok(Metadata::new()) };
    if codec != PLAIN && codec != NESTED {
        return Err(malformed("metadata of codec 1 or 2", format_args!("codec {codec}")));
    }
    if codec == NESTED && bytes.len() > MAX_BYTES {
        // What the decoder makes of many small maps is many times their bytes.
        return Err(malformed("at most 1 MiB of metadata", format_args!("{} bytes", bytes.len())));
    }
    Ok(Metadata { values: decode_map(encoded, MAX_MAPS)? })
}

/// Reads a map where so many may lie in each other.
fn decode_map(encoded: &[u8], maps: usize) -> Result<BTreeMap<String, Value>, Malformed> {
    let Some(maps) = maps.checked_sub(1) else {
        return Err(malformed("maps inside each other", format_args!("more than {MAX_MAPS}")));
    };
    let (stored, read) = bincode::serde::decode_from_slice::<BTreeMap<String, StoredValue>, _>(encoded, CONFIG)
        .map_err(|error| malformed("a map of values", error))?;
    if read != encoded.len() {
        let left = encoded.len() - read;
        return Err(malformed("the end of the metadata", format_args!("{left} more bytes")));
    }
    stored.into_iter().map(|(key, value)| Ok((key, load(value, maps)?))).collect()
}

fn malformed(expected: &str, found: impl fmt::Display) -> Malformed {
    Malformed { expected: expected.into(), found: found.to_string() }
}

fn store(key: &str, value: &Value, maps: usize) -> Result<StoredValue> {
    Ok(match value {
        Value::Null => StoredValue::Null,
        Value::Bool(truth) => StoredValue::Bool(*truth),
        Value::Integer(number) => StoredValue::Integer(*number),
        Value::Float(number) => StoredValue::Float(*number),
        Value::Text(text) => StoredValue::Text(text.clone()),
        Value::List(values) => {
            StoredValue::List(values.iter().map(|value| store_scalar(key, value)).collect::<Result<_>>()?)
        }
        Value::Bytes(bytes) => StoredValue::Bytes(StoredBytes(bytes.clone())),
        Value::Timestamp(moment) => StoredValue::Timestamp(moment.as_micros()),
        Value::Map(_) if maps <= 1 => {
            return Err(Error::InvalidMetadata(format!(
                "expected at most {MAX_MAPS} maps inside each other, found one more at the key {key:?}"
            )));
        }
        Value::Map(values) => {
            let mut encoded = Vec::new();
            encode_map(values, maps - 1, &mut encoded)?;
            StoredValue::Map(StoredBytes(encoded))
        }
    })
}

fn store_scalar(key: &str, value: &Value) -> Result<StoredScalar> {
    Ok(match value {
        Value::Null => StoredScalar::Null,
        Value::Bool(truth) => StoredScalar::Bool(*truth),
        Value::Integer(number) => StoredScalar::Integer(*number),
        Value::Float(number) => StoredScalar::Float(*number),
        Value::Text(text) => StoredScalar::Text(text.clone()),
        Value::Bytes(bytes) => StoredScalar::Bytes(StoredBytes(bytes.clone())),
        Value::Timestamp(moment) => StoredScalar::Timestamp(moment.as_micros()),
        Value::List(_) | Value::Map(_) => {
            let found = value.kind();
            return Err(Error::InvalidMetadata(format!(
                "expected a list of scalars at the key {key:?}, found {found} in it"
            )));
        }
    })
}

fn load(stored: StoredValue, maps: usize) -> Result<Value, Malformed> {
    Ok(match stored {
        StoredValue::Null => Value::Null,
        StoredValue::Bool(truth) => Value::Bool(truth),
        StoredValue::Integer(number) => Value::Integer(number),
        StoredValue::Float(number) => Value::Float(number),
        StoredValue::Text(text) => Value::Text(text),
        StoredValue::List(values) => Value::List(values.into_iter().map(Value::from).collect()),
        StoredValue::Bytes(bytes) => Value::Bytes(bytes.0),
        StoredValue::Timestamp(micros) => Value::Timestamp(Timestamp::from_micros(micros)),
        StoredValue::Map(encoded) => Value::Map(decode_map(&encoded.0, maps)?),
    })
}

impl From<StoredScalar> for Value {
    fn from(stored: StoredScalar) -> Value {
        match stored {
            StoredScalar::Null => Value::Null,
            StoredScalar::Bool(truth) => Value::Bool(truth),
            StoredScalar::Integer(number) => Value::Integer(number),
            StoredScalar::Float(number) => Value::Float(number),
            StoredScalar::Text(text) => Value::Text(text),
            StoredScalar::Bytes(bytes) => Value::Bytes(bytes.0),
            StoredScalar::Timestamp(micros) => Value::Timestamp(Timestamp::from_micros(micros)),
        }
    }
}
