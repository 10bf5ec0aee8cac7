//! Stored metadata from bytes that nobody stored.

use super::codec::{decode, encode};
use super::{Metadata, Timestamp, Value};
use crate::hostile::edit;

/// Metadata of every kind of value: what the first codec stores, or what takes the second.
fn samples() -> [Metadata; 2] {
    let values = [
        ("text", Value::Text("umlaut \u{fc}".into())),
        ("list", Value::List(vec![Value::Integer(-3), Value::Null, Value::Text("x".into())])),
        ("number", Value::Float(f64::NAN)),
        ("yes", Value::Bool(true)),
    ];
    let plain: Metadata = values.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    let mut nested = plain.clone();
    // Nearly as deep as maps may lie in each other, so that an edit can make it one too many.
    for depth in 0..14 {
        nested = Metadata::from_iter([("map", Value::Map(nested.values)), ("depth", Value::Integer(depth))]);
    }
    nested.insert("raw", Value::Bytes(vec![0, 1, 254, 255]));
    nested.insert("at", Timestamp::from_micros(-1));
    nested.insert("list", Value::List(vec![Value::Bytes(vec![7; 3]), Value::Timestamp(Timestamp::from_micros(5))]));
    [plain, nested]
}

/// Stored metadata edited as a script says: its first byte chooses the codec.
pub(crate) fn edited(script: &[u8]) {
    let Some((choice, edits)) = script.split_first() else { return };
    let [plain, nested] = samples();
    let sample = if choice % 2 == 0 { plain } else { nested };
    let mut bytes = encode(&sample).unwrap_or_default();
    edit(&mut bytes, edits, &[]);
    reread(&bytes);
}

/// Reads any bytes as the stored form; what they hold must come back as it is when it is stored and read again.
pub(crate) fn reread(bytes: &[u8]) {
    let Ok(metadata) = decode(bytes) else { return };
    // What can be read is not always what may be stored: it may be too large.
    let Ok(stored) = encode(&metadata) else { return };
    let again = decode(&stored).unwrap_or_else(|fault| panic!("{metadata:?} is stored but not read: {fault:?}"));
    assert!(encode(&again).is_ok_and(|twice| twice == stored), "{metadata:?} comes back as {again:?}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hostile::scripts;

    #[test]
    fn edited_metadata_is_refused_or_comes_back() {
        for (sample, codec) in samples().iter().zip([1, 2]) {
            let stored = encode(sample).unwrap();
            assert_eq!(stored[0], codec);
            assert!(encode(&decode(&stored).unwrap()).unwrap() == stored);
        }
        scripts(4, 40_000).for_each(|script| edited(&script));
    }
}
