//! Metadata as a source for serde: a map whose values describe themselves. A timestamp is a text here, which the type
//! [`Timestamp`](super::Timestamp) and those of other crates read.

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{Deserializer, Error as _, IntoDeserializer, Unexpected, Visitor};
use serde::forward_to_deserialize_any;

use super::fault::Fault;
use super::{Metadata, Value};
use crate::error::Result;

pub(super) fn from_metadata<T: serde::de::DeserializeOwned>(metadata: &Metadata) -> Result<T> {
    Ok(T::deserialize(Map { metadata })?)
}

/// The whole map.
struct Map<'a> {
    metadata: &'a Metadata,
}

impl<'de> Deserializer<'de> for Map<'_> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let entries = self.metadata.iter().map(|(key, value)| (key, Entry { key, value }));
        visitor.visit_map(MapDeserializer::new(entries))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct enum identifier ignored_any
    }
}

/// A value, and the key that an error names.
#[derive(Clone, Copy)]
struct Entry<'a> {
    key: &'a str,
    value: &'a Value,
}

impl Entry<'_> {
    fn visit<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(truth) => visitor.visit_bool(*truth),
            Value::Integer(number) => visitor.visit_i64(*number),
            Value::Float(number) => visitor.visit_f64(*number),
            Value::Text(text) => visitor.visit_str(text),
            Value::Bytes(bytes) => visitor.visit_bytes(bytes),
            Value::Timestamp(moment) => visitor.visit_string(moment.to_string()),
            Value::Map(values) => {
                let entries = values.iter().map(|(key, value)| (key.as_str(), Entry { key, value }));
                visitor.visit_map(MapDeserializer::new(entries))
            }
            Value::List(values) => {
                let mut list = SeqDeserializer::new(values.iter().map(|value| Entry { key: self.key, value }));
                let found = visitor.visit_seq(&mut list)?;
                list.end()?;
                Ok(found)
            }
        }
    }
}

impl<'de> IntoDeserializer<'de, Fault> for Entry<'_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Entry<'_> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.visit(visitor).map_err(|fault| fault.at(self.key))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    /// Bytes are a list of numbers where a list is asked for.
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.value {
            Value::Bytes(bytes) => {
                let list = SeqDeserializer::<_, Fault>::new(bytes.iter().copied());
                visitor.visit_seq(list).map_err(|fault| fault.at(self.key))
            }
            _ => self.deserialize_any(visitor),
        }
    }

    /// An enum's variant without data is stored as its name.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let outcome = match self.value {
            Value::Text(name) => visitor.visit_enum(name.as_str().into_deserializer()),
            other => Err(Fault::invalid_type(Unexpected::Other(other.kind()), &"the name of a variant")),
        };
        outcome.map_err(|fault| fault.at(self.key))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct tuple
        tuple_struct map struct identifier ignored_any
    }
}
