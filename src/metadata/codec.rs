//! Metadata on disk: a codec byte, then a map in bincode.
//!
//! The stored enums are apart from the public one: they say what the format says, and a list's scalars cannot nest, so
//! that no bytes make the decoder recurse. Decoding is limited: a length that lies cannot make it allocate.

use std::collections::BTreeMap;
use std::fmt;

use bincode::config::{self, Configuration, Limit, LittleEndian, Varint};
use serde::{Deserialize, Serialize};

use super::{Metadata, Value};
use crate::bytes::Malformed;
use crate::error::{Error, Result};

/// The codec of what is written: bincode 2, standard configuration.
const BINCODE: u8 = 1;
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
}

/// What a list holds. The order of variants is the format.
#[derive(Serialize, Deserialize)]
enum StoredScalar {
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(String),
}

/// The stored form. Without values it is empty.
pub(crate) fn encode(metadata: &Metadata) -> Result<Vec<u8>> {
    if metadata.is_empty() {
        return Ok(Vec::new());
    }
    let stored = metadata.iter().map(|(key, value)| Ok((key, store(key, value)?)));
    let stored = stored.collect::<Result<BTreeMap<&str, StoredValue>>>()?;
    let mut out = vec![BINCODE];
    bincode::serde::encode_into_std_write(&stored, &mut out, CONFIG)
        .map_err(|error| Error::InvalidMetadata(format!("expected metadata that can be stored: {error}")))?;
    if out.len() > MAX_BYTES {
        let found = out.len();
        return Err(Error::InvalidMetadata(format!(
            "expected metadata of at most {MAX_BYTES} bytes when stored, found {found} bytes"
        )));
    }
    Ok(out)
}

/// Reads the stored form. Any bytes give metadata or a fault.
pub(crate) fn decode(bytes: &[u8]) -> Result<Metadata, Malformed> {
    let Some((&codec, encoded)) = bytes.split_first() else { return Ok(Metadata::new()) };
    if codec != BINCODE {
        return Err(malformed("metadata of codec 1", format_args!("codec {codec}")));
    }
    let (stored, read) = bincode::serde::decode_from_slice::<BTreeMap<String, StoredValue>, _>(encoded, CONFIG)
        .map_err(|error| malformed("a map of values", error))?;
    if read != encoded.len() {
        let left = encoded.len() - read;
        return Err(malformed("the end of the metadata", format_args!("{left} more bytes")));
    }
    Ok(stored.into_iter().map(|(key, value)| (key, Value::from(value))).collect())
}

fn malformed(expected: &str, found: impl fmt::Display) -> Malformed {
    Malformed { expected: expected.into(), found: found.to_string() }
}

fn store(key: &str, value: &Value) -> Result<StoredValue> {
    Ok(match value {
        Value::Null => StoredValue::Null,
        Value::Bool(truth) => StoredValue::Bool(*truth),
        Value::Integer(number) => StoredValue::Integer(*number),
        Value::Float(number) => StoredValue::Float(*number),
        Value::Text(text) => StoredValue::Text(text.clone()),
        Value::List(values) => {
            StoredValue::List(values.iter().map(|value| store_scalar(key, value)).collect::<Result<_>>()?)
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
        Value::List(_) => {
            let found = value.kind();
            return Err(Error::InvalidMetadata(format!(
                "expected a list of texts, numbers, booleans and nulls at the key {key:?}, found {found} in it"
            )));
        }
    })
}

impl From<StoredValue> for Value {
    fn from(stored: StoredValue) -> Value {
        match stored {
            StoredValue::Null => Value::Null,
            StoredValue::Bool(truth) => Value::Bool(truth),
            StoredValue::Integer(number) => Value::Integer(number),
            StoredValue::Float(number) => Value::Float(number),
            StoredValue::Text(text) => Value::Text(text),
            StoredValue::List(values) => Value::List(values.into_iter().map(Value::from).collect()),
        }
    }
}

impl From<StoredScalar> for Value {
    fn from(stored: StoredScalar) -> Value {
        match stored {
            StoredScalar::Null => Value::Null,
            StoredScalar::Bool(truth) => Value::Bool(truth),
            StoredScalar::Integer(number) => Value::Integer(number),
            StoredScalar::Float(number) => Value::Float(number),
            StoredScalar::Text(text) => Value::Text(text),
        }
    }
}
