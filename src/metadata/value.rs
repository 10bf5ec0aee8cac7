//! A value of metadata.

use std::collections::BTreeMap;

use super::Timestamp;

/// Maps inside each other, the metadata itself included.
pub(crate) const MAX_MAPS: usize = 16;

/// A value of [`Metadata`](crate::Metadata).
///
/// In serde formats it is plain data: `Value::Integer(3)` is `3` in JSON. JSON has neither bytes nor times: there bytes
/// are a list of numbers and a timestamp is a text, and as such they are read back.
///
/// ```
/// use understory::Value;
/// assert_eq!(Value::from(3), Value::Integer(3));
/// assert_eq!(Value::from(vec!["a", "b"]), Value::List(vec!["a".into(), "b".into()]));
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// Nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A floating-point number.
    Float(f64),
    /// A text.
    Text(String),
    /// A list of values that are neither lists nor maps.
    List(Vec<Value>),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A moment.
    Timestamp(Timestamp),
    /// Values by name. Maps lie in each other at most 16 deep, the metadata itself included.
    Map(BTreeMap<String, Value>),
}

impl Value {
    /// What a message calls it.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Integer(_) => "an integer",
            Value::Float(_) => "a float",
            Value::Text(_) => "a text",
            Value::List(_) => "a list",
            Value::Bytes(_) => "bytes",
            Value::Timestamp(_) => "a timestamp",
            Value::Map(_) => "a map",
        }
    }

    /// What a filter compares: the elements of a list, nothing of a map or of null, anything else itself. Elements may
    /// be null.
    pub(crate) fn scalars(&self) -> &[Value] {
        match self {
            Value::List(values) => values,
            Value::Null | Value::Map(_) => &[],
            scalar => std::slice::from_ref(scalar),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::Text(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Value {
        Value::Integer(number)
    }
}

impl From<i32> for Value {
    fn from(number: i32) -> Value {
        Value::Integer(number.into())
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Value {
        Value::Integer(number.into())
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Value {
        Value::Float(number)
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Value {
        Value::Bool(truth)
    }
}

impl From<Timestamp> for Value {
    fn from(moment: Timestamp) -> Value {
        Value::Timestamp(moment)
    }
}

impl From<BTreeMap<String, Value>> for Value {
    fn from(values: BTreeMap<String, Value>) -> Value {
        Value::Map(values)
    }
}

impl<V: Into<Value>> From<Vec<V>> for Value {
    fn from(values: Vec<V>) -> Value {
        Value::List(values.into_iter().map(Into::into).collect())
    }
}
