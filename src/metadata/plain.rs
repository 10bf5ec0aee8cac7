//! The form of values in any serde format: plain data.
//!
//! Reading accepts lists of scalars and maps up to [`MAX_MAPS`], so that hostile nesting ends early.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::ser::{Serialize, Serializer};

use super::Value;
use super::value::MAX_MAPS;

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Null => serializer.serialize_none(),
            Value::Bool(truth) => serializer.serialize_bool(*truth),
            Value::Integer(number) => serializer.serialize_i64(*number),
            Value::Float(number) => serializer.serialize_f64(*number),
            Value::Text(text) => serializer.serialize_str(text),
            Value::List(values) => values.serialize(serializer),
            Value::Bytes(bytes) => serializer.serialize_bytes(bytes),
            Value::Timestamp(moment) => moment.serialize(serializer),
            Value::Map(values) => values.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(ValueVisitor::Anywhere { maps: MAX_MAPS - 1 })
    }
}

/// Reads a value.
#[derive(Clone, Copy)]
enum ValueVisitor {
    /// Where a list may stand, and so many maps inside each other.
    Anywhere { maps: usize },
    /// Inside a list.
    InList,
}

impl<'de> DeserializeSeed<'de> for ValueVisitor {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ValueVisitor::Anywhere { maps: 0 } => {
                write!(f, "null, a boolean, a number, a text or a list of these inside {MAX_MAPS} maps")
            }
            ValueVisitor::Anywhere { .. } => {
                f.write_str("null, a boolean, a number, a text, a list of these or a map")
            }
            ValueVisitor::InList => f.write_str("null, a boolean, a number or a text inside a list"),
        }
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Value, E> {
        Ok(Value::Bool(truth))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Integer(number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Value, E> {
        let out_of_range = || E::custom(format!("expected an integer up to {}, found {number}", i64::MAX));
        i64::try_from(number).map(Value::Integer).map_err(|_| out_of_range())
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Float(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::Text(text))
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Value, E> {
        Ok(Value::Bytes(bytes.to_owned()))
    }

    fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Value, E> {
        Ok(Value::Bytes(bytes))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        if matches!(self, ValueVisitor::InList) {
            return Err(Error::invalid_type(Unexpected::Seq, &self));
        }
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(ValueVisitor::InList)? {
            values.push(value);
        }
        Ok(Value::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let ValueVisitor::Anywhere { maps: maps @ 1.. } = self else {
            return Err(Error::invalid_type(Unexpected::Map, &self));
        };
        let mut values = BTreeMap::new();
        while let Some(key) = map.next_key::<String>()? {
            values.insert(key, map.next_value_seed(ValueVisitor::Anywhere { maps: maps - 1 })?);
        }
        Ok(Value::Map(values))
    }
}
