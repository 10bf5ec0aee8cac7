//! Metadata as a target for serde: a map or a struct of scalars, lists of scalars, and further maps.
//!
//! Each serializer accepts its level and refuses the rest; maps recurse as far as [`MAX_MAPS`].

use std::collections::BTreeMap;
use std::fmt::Display;
use std::marker::PhantomData;

use serde::Serialize;
use serde::ser::{
    Error as _, Impossible, SerializeMap, SerializeSeq, SerializeStruct, SerializeTuple, SerializeTupleStruct,
    Serializer,
};

use super::fault::Fault;
use super::value::MAX_MAPS;
use super::{Metadata, Timestamp, Value};
use crate::error::Result;

pub(super) fn metadata<T: Serialize + ?Sized>(source: &T) -> Result<Metadata> {
    Ok(source.serialize(MapLevel)?)
}

/// The methods of `Serializer` that a level refuses, with what it expects instead.
macro_rules! refuse {
    ($($method:ident($($argument:ident: $kind:ty),*) -> $ok:ty, $found:literal;)*) => {$(
        fn $method(self $(, $argument: $kind)*) -> Result<$ok, Fault> {
            $(let _ = $argument;)*
            Err(self.refused($found))
        }
    )*};
}

/// Refuses what carries a value of any type.
macro_rules! refuse_variants {
    () => {
        type SerializeTupleVariant = Impossible<Self::Ok, Fault>;
        type SerializeStructVariant = Impossible<Self::Ok, Fault>;

        fn serialize_newtype_variant<T: Serialize + ?Sized>(
            self,
            _name: &'static str,
            _index: u32,
            _variant: &'static str,
            _value: &T,
        ) -> Result<Self::Ok, Fault> {
            Err(self.refused("an enum with data"))
        }

        fn serialize_tuple_variant(
            self,
            _name: &'static str,
            _index: u32,
            _variant: &'static str,
            _len: usize,
        ) -> Result<Self::SerializeTupleVariant, Fault> {
            Err(self.refused("an enum with data"))
        }

        fn serialize_struct_variant(
            self,
            _name: &'static str,
            _index: u32,
            _variant: &'static str,
            _len: usize,
        ) -> Result<Self::SerializeStructVariant, Fault> {
            Err(self.refused("an enum with data"))
        }

        fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Self::Ok, Fault> {
            value.serialize(self)
        }
    };
}

/// A newtype is what it wraps.
macro_rules! unwrap_newtypes {
    () => {
        fn serialize_newtype_struct<T: Serialize + ?Sized>(
            self,
            _name: &'static str,
            value: &T,
        ) -> Result<Self::Ok, Fault> {
            value.serialize(self)
        }
    };
}

macro_rules! refuse_lists {
    () => {
        type SerializeSeq = Impossible<Self::Ok, Fault>;
        type SerializeTuple = Impossible<Self::Ok, Fault>;
        type SerializeTupleStruct = Impossible<Self::Ok, Fault>;

        refuse! {
            serialize_seq(_len: Option<usize>) -> Self::SerializeSeq, "a list";
            serialize_tuple(_len: usize) -> Self::SerializeTuple, "a list";
            serialize_tuple_struct(_name: &'static str, _len: usize) -> Self::SerializeTupleStruct, "a list";
        }
    };
}

macro_rules! refuse_bytes {
    () => {
        refuse! {
            serialize_bytes(_bytes: &[u8]) -> Self::Ok, "bytes";
        }
    };
}

macro_rules! refuse_maps {
    () => {
        type SerializeMap = Impossible<Self::Ok, Fault>;
        type SerializeStruct = Impossible<Self::Ok, Fault>;

        refuse! {
            serialize_map(_len: Option<usize>) -> Self::SerializeMap, "a map";
            serialize_struct(_name: &'static str, _len: usize) -> Self::SerializeStruct, "a struct";
        }
    };
}

macro_rules! refuse_numbers {
    () => {
        refuse! {
            serialize_bool(_value: bool) -> Self::Ok, "a boolean";
            serialize_i8(_value: i8) -> Self::Ok, "a number";
            serialize_i16(_value: i16) -> Self::Ok, "a number";
            serialize_i32(_value: i32) -> Self::Ok, "a number";
            serialize_i64(_value: i64) -> Self::Ok, "a number";
            serialize_u8(_value: u8) -> Self::Ok, "a number";
            serialize_u16(_value: u16) -> Self::Ok, "a number";
            serialize_u32(_value: u32) -> Self::Ok, "a number";
            serialize_u64(_value: u64) -> Self::Ok, "a number";
            serialize_f32(_value: f32) -> Self::Ok, "a number";
            serialize_f64(_value: f64) -> Self::Ok, "a number";
            serialize_none() -> Self::Ok, "null";
            serialize_unit() -> Self::Ok, "null";
            serialize_unit_struct(_name: &'static str) -> Self::Ok, "null";
        }
    };
}

/// The whole: a map or a struct.
struct MapLevel;

impl MapLevel {
    fn refused(&self, found: impl Display) -> Fault {
        Fault::new(format!("expected a map or a struct, found {found}"))
    }
}

impl Serializer for MapLevel {
    type Ok = Metadata;
    type Error = Fault;
    type SerializeMap = Fields<Metadata>;
    type SerializeStruct = Fields<Metadata>;

    refuse_variants!();
    unwrap_newtypes!();
    refuse_lists!();
    refuse_bytes!();
    refuse_numbers!();
    refuse! {
        serialize_char(_value: char) -> Metadata, "a text";
        serialize_str(_value: &str) -> Metadata, "a text";
        serialize_unit_variant(_name: &'static str, _index: u32, _variant: &'static str) -> Metadata, "an enum";
    }

    fn serialize_map(self, _len: Option<usize>) -> Result<Fields<Metadata>, Fault> {
        Ok(Fields::new(MAX_MAPS - 1))
    }

    fn serialize_struct(self, _name: &'static str, _len: usize) -> Result<Fields<Metadata>, Fault> {
        Ok(Fields::new(MAX_MAPS - 1))
    }
}

/// The fields so far of the whole, or of a map inside it.
struct Fields<O> {
    values: BTreeMap<String, Value>,
    key: Option<String>,
    /// So many maps may lie in each other in its values.
    maps: usize,
    output: PhantomData<O>,
}

impl<O> Fields<O> {
    fn new(maps: usize) -> Fields<O> {
        Fields { values: BTreeMap::new(), key: None, maps, output: PhantomData }
    }

    fn set<T: Serialize + ?Sized>(&mut self, key: String, value: &T) -> Result<(), Fault> {
        let value = value.serialize(ValueLevel { maps: self.maps }).map_err(|fault| fault.at(&key))?;
        self.values.insert(key, value);
        Ok(())
    }
}

impl<O: From<BTreeMap<String, Value>>> SerializeMap for Fields<O> {
    type Ok = O;
    type Error = Fault;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Fault> {
        self.key = Some(key.serialize(KeyLevel)?);
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Fault> {
        let key = self.key.take().ok_or_else(|| Fault::new("expected a key before its value, found none"))?;
        self.set(key, value)
    }

    fn end(self) -> Result<O, Fault> {
        Ok(self.values.into())
    }
}

impl<O: From<BTreeMap<String, Value>>> SerializeStruct for Fields<O> {
    type Ok = O;
    type Error = Fault;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), Fault> {
        self.set(key.to_owned(), value)
    }

    fn end(self) -> Result<O, Fault> {
        Ok(self.values.into())
    }
}

/// A key: a text.
struct KeyLevel;

impl KeyLevel {
    fn refused(&self, found: impl Display) -> Fault {
        Fault::new(format!("expected texts as keys, found {found}"))
    }
}

impl Serializer for KeyLevel {
    type Ok = String;
    type Error = Fault;

    refuse_variants!();
    unwrap_newtypes!();
    refuse_lists!();
    refuse_bytes!();
    refuse_maps!();
    refuse_numbers!();

    fn serialize_char(self, value: char) -> Result<String, Fault> {
        Ok(value.to_string())
    }

    fn serialize_str(self, value: &str) -> Result<String, Fault> {
        Ok(value.to_owned())
    }

    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<String, Fault> {
        Ok(variant.to_owned())
    }
}

/// The scalars, which a value and an item of a list have in common.
macro_rules! accept_scalars {
    () => {
        fn serialize_bool(self, value: bool) -> Result<Value, Fault> {
            Ok(Value::Bool(value))
        }

        fn serialize_i8(self, value: i8) -> Result<Value, Fault> {
            integer(value)
        }

        fn serialize_i16(self, value: i16) -> Result<Value, Fault> {
            integer(value)
        }

        fn serialize_i32(self, value: i32) -> Result<Value, Fault> {
            integer(value)
        }

        fn serialize_i64(self, value: i64) -> Result<Value, Fault> {
            integer(value)
        }

        fn serialize_i128(self, value: i128) -> Result<Value, Fault> {
            integer(value)
        }

        fn serialize_u8(self, value: u8) -> Result<Value, Fault> {
            integer(value)
        }

        fn serialize_u16(self, value: u16) -> Result<Value, Fault> {
            integer(value)
        }

        fn serialize_u32(self, value: u32) -> Result<Value, Fault> {
            integer(value)
        }

        fn serialize_u64(self, value: u64) -> Result<Value, Fault> {
            integer(value)
        }

        fn serialize_u128(self, value: u128) -> Result<Value, Fault> {
            integer(value)
        }

        fn serialize_f32(self, value: f32) -> Result<Value, Fault> {
            Ok(Value::Float(value.into()))
        }

        fn serialize_f64(self, value: f64) -> Result<Value, Fault> {
            Ok(Value::Float(value))
        }

        fn serialize_char(self, value: char) -> Result<Value, Fault> {
            Ok(Value::Text(value.to_string()))
        }

        fn serialize_str(self, value: &str) -> Result<Value, Fault> {
            Ok(Value::from(value))
        }

        fn serialize_bytes(self, bytes: &[u8]) -> Result<Value, Fault> {
            Ok(Value::Bytes(bytes.to_owned()))
        }

        /// A newtype is what it wraps, but for the one that says that its text is a time.
        fn serialize_newtype_struct<T: Serialize + ?Sized>(
            self,
            name: &'static str,
            value: &T,
        ) -> Result<Value, Fault> {
            match value.serialize(self)? {
                Value::Text(text) if name == Timestamp::SERDE_NAME => {
                    text.parse().map(Value::Timestamp).map_err(Fault::custom)
                }
                value => Ok(value),
            }
        }

        fn serialize_none(self) -> Result<Value, Fault> {
            Ok(Value::Null)
        }

        fn serialize_unit(self) -> Result<Value, Fault> {
            Ok(Value::Null)
        }

        fn serialize_unit_struct(self, _name: &'static str) -> Result<Value, Fault> {
            Ok(Value::Null)
        }

        fn serialize_unit_variant(
            self,
            _name: &'static str,
            _index: u32,
            variant: &'static str,
        ) -> Result<Value, Fault> {
            Ok(Value::from(variant))
        }
    };
}

fn integer<N: TryInto<i64> + Display + Copy>(number: N) -> Result<Value, Fault> {
    match number.try_into() {
        Ok(number) => Ok(Value::Integer(number)),
        Err(_) => Err(Fault::new(format!("expected an integer from {} to {}, found {number}", i64::MIN, i64::MAX))),
    }
}

/// A value: a scalar, a list or a map.
struct ValueLevel {
    /// So many maps may lie in each other here.
    maps: usize,
}

impl ValueLevel {
    fn refused(&self, found: impl Display) -> Fault {
        Fault::new(format!(
            "expected null, a boolean, a number, a text, bytes, a list of these or a map, found {found}"
        ))
    }

    fn map(self) -> Result<Fields<Value>, Fault> {
        let too_deep = || Fault::new(format!("expected at most {MAX_MAPS} maps inside each other, found one more"));
        self.maps.checked_sub(1).map(Fields::new).ok_or_else(too_deep)
    }
}

impl Serializer for ValueLevel {
    type Ok = Value;
    type Error = Fault;
    type SerializeSeq = List;
    type SerializeTuple = List;
    type SerializeTupleStruct = List;
    type SerializeMap = Fields<Value>;
    type SerializeStruct = Fields<Value>;

    accept_scalars!();
    refuse_variants!();

    fn serialize_map(self, _len: Option<usize>) -> Result<Fields<Value>, Fault> {
        self.map()
    }

    fn serialize_struct(self, _name: &'static str, _len: usize) -> Result<Fields<Value>, Fault> {
        self.map()
    }

    fn serialize_seq(self, _len: Option<usize>) -> Result<List, Fault> {
        Ok(List::default())
    }

    fn serialize_tuple(self, _len: usize) -> Result<List, Fault> {
        Ok(List::default())
    }

    fn serialize_tuple_struct(self, _name: &'static str, _len: usize) -> Result<List, Fault> {
        Ok(List::default())
    }
}

/// An item of a list: a scalar.
struct ScalarLevel;

impl ScalarLevel {
    fn refused(&self, found: impl Display) -> Fault {
        Fault::new(format!("expected null, a boolean, a number, a text or bytes inside a list, found {found}"))
    }
}

impl Serializer for ScalarLevel {
    type Ok = Value;
    type Error = Fault;

    accept_scalars!();
    refuse_variants!();
    refuse_lists!();
    refuse_maps!();
}

/// The items of a list so far.
#[derive(Default)]
struct List {
    values: Vec<Value>,
}

impl List {
    fn push<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Fault> {
        self.values.push(value.serialize(ScalarLevel)?);
        Ok(())
    }
}

/// The kinds of lists, which are one here.
macro_rules! lists {
    ($($kind:ident $method:ident;)*) => {$(
        impl $kind for List {
            type Ok = Value;
            type Error = Fault;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Fault> {
                self.push(value)
            }

            fn end(self) -> Result<Value, Fault> {
                Ok(Value::List(self.values))
            }
        }
    )*};
}

lists! {
    SerializeSeq serialize_element;
    SerializeTuple serialize_element;
    SerializeTupleStruct serialize_field;
}
