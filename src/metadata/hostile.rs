//! Stored metadata from bytes that nobody stored.

use super::codec::{decode, encode};

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
    use crate::hostile::{edit, scripts};
    use crate::metadata::{Metadata, Value};

    #[test]
    fn edited_metadata_is_refused_or_comes_back() {
        let values = [
            ("text", Value::Text("umlaut \u{fc}".into())),
            ("list", Value::List(vec![Value::Integer(-3), Value::Null, Value::Text("x".into())])),
            ("number", Value::Float(f64::NAN)),
            ("yes", Value::Bool(true)),
        ];
        let metadata: Metadata = values.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        let stored = encode(&metadata).unwrap();
        reread(&stored);
        for script in scripts(4, 20_000) {
            let mut bytes = stored.clone();
            edit(&mut bytes, &script[1..], &[]);
            reread(&bytes);
        }
    }
}
