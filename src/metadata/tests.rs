//! Metadata to disk and back, to serde and back, and against hostile bytes.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::codec::{decode, encode};
use super::*;
use crate::error::Error;

fn sample() -> Metadata {
    let mut metadata = Metadata::new();
    metadata.insert("null", Value::Null);
    metadata.insert("bool", true);
    metadata.insert("least", i64::MIN);
    metadata.insert("float", -0.5);
    metadata.insert("text", "\u{e4}\u{1f332}");
    metadata.insert("", "");
    metadata.insert("list", vec![Value::Null, false.into(), 300.into(), 1e300.into(), "fern".into()]);
    metadata.insert("empty", Value::List(Vec::new()));
    metadata
}

fn refusal(result: Result<impl std::fmt::Debug>) -> String {
    match result.unwrap_err() {
        Error::InvalidMetadata(message) => message,
        other => panic!("expected invalid metadata, found {other}"),
    }
}

#[test]
fn metadata_comes_back_from_its_stored_form() {
    let metadata = sample();
    assert_eq!(decode(&encode(&metadata).unwrap()).unwrap(), metadata);
    assert_eq!(encode(&Metadata::new()).unwrap(), Vec::<u8>::new());
    assert_eq!(decode(&[]).unwrap(), Metadata::new());
}

#[test]
fn the_stored_form_is_the_documented_one() {
    let metadata: Metadata = [("a", Value::from(vec![Value::from(-1)]))].into_iter().collect();
    // Codec, entries, key, variant 5, items, variant 2, zigzag of -1.
    assert_eq!(encode(&metadata).unwrap(), [1, 1, 1, b'a', 5, 1, 2, 1]);
}

#[test]
fn metadata_that_is_too_large_or_too_deep_is_refused() {
    let large: Metadata = [("large", "x".repeat(1 << 20))].into_iter().collect();
    let message = refusal(encode(&large));
    assert!(message.contains("1048576 bytes") && message.contains("found 10485"), "{message}");
    let deep: Metadata = [("deep", Value::from(vec![Value::from(vec![1])]))].into_iter().collect();
    let message = refusal(encode(&deep));
    assert!(message.contains("\"deep\"") && message.contains("found a list"), "{message}");
}

/// The limit of the decoder counts more than the stored bytes: what was accepted must always come back.
#[test]
fn the_densest_metadata_that_is_accepted_comes_back() {
    let dense = [
        Value::List(vec![Value::Null; 1_048_500]),
        Value::List(vec![Value::from(0); 524_200]),
        Value::List(vec![Value::from(""); 524_200]),
        Value::from("x".repeat(1_048_500)),
    ];
    for value in dense {
        let metadata: Metadata = [("d", value)].into_iter().collect();
        assert_eq!(decode(&encode(&metadata).unwrap()).unwrap(), metadata);
    }
    let keys: Metadata = (0..150_000).map(|number| (format!("{number:x}"), Value::Null)).collect();
    assert_eq!(decode(&encode(&keys).unwrap()).unwrap(), keys);
}

#[test]
fn damaged_bytes_give_a_fault_or_other_metadata_but_never_a_panic() {
    let stored = encode(&sample()).unwrap();
    for end in 1..stored.len() {
        assert!(decode(&stored[..end]).is_err(), "{end} of {} bytes", stored.len());
    }
    let mut faults = 0;
    for at in 0..stored.len() {
        for bits in 1..=255u8 {
            let mut damaged = stored.clone();
            damaged[at] ^= bits;
            faults += usize::from(decode(&damaged).is_err());
        }
    }
    assert!(faults > stored.len());
    assert!(decode(&[stored.as_slice(), &[0]].concat()).unwrap_err().expected.contains("end"));
    assert_eq!(decode(&[2, 0]).unwrap_err().found, "codec 2");
}

#[test]
fn lengths_that_lie_allocate_nothing() {
    let huge = [0xfd, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
    let heads: [&[u8]; 4] = [&[1], &[1, 1], &[1, 1, 1, b'a', 4], &[1, 1, 1, b'a', 5]];
    for head in heads {
        assert!(decode(&[head, &huge].concat()).is_err());
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Kind {
    Moss,
    Fern,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Pages(u32);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Note {
    title: String,
    kind: Kind,
    kinds: Vec<Kind>,
    pages: Pages,
    year: Option<i16>,
    month: Option<u8>,
    place: (f32, f64),
    letter: char,
    draft: bool,
    nothing: (),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Wrapper(Note);

fn note() -> Note {
    Note {
        title: "Undergrowth".into(),
        kind: Kind::Moss,
        kinds: vec![Kind::Fern, Kind::Moss],
        pages: Pages(212),
        year: None,
        month: Some(4),
        place: (0.25, 1e-300),
        letter: 'u',
        draft: true,
        nothing: (),
    }
}

#[test]
fn structs_and_maps_go_to_metadata_and_back() {
    let metadata = Metadata::from_serde(&Wrapper(note())).unwrap();
    assert_eq!(metadata.get("kind"), Some(&Value::from("Moss")));
    assert_eq!(metadata.get("place"), Some(&Value::from(vec![0.25, 1e-300])));
    assert_eq!(metadata.get("year"), Some(&Value::Null));
    assert_eq!(metadata.to_serde::<Wrapper>().unwrap(), Wrapper(note()));
    assert_eq!(metadata.to_serde::<Option<Note>>().unwrap(), Some(note()));
    let stored = decode(&encode(&metadata).unwrap()).unwrap();
    assert_eq!(stored.to_serde::<Note>().unwrap(), note());
    let map = HashMap::from([("a".to_owned(), 1u8), ("b".to_owned(), 2)]);
    assert_eq!(Metadata::from_serde(&map).unwrap().to_serde::<HashMap<String, u8>>().unwrap(), map);
}

#[test]
fn metadata_is_plain_data_in_other_formats() {
    let json = serde_json::json!({"a": [1, "b", null], "c": 0.5, "d": null, "e": false});
    let metadata: Metadata = serde_json::from_value(json.clone()).unwrap();
    assert_eq!(Metadata::from_serde(&json).unwrap(), metadata);
    assert_eq!(metadata.to_serde::<serde_json::Value>().unwrap(), json);
    assert_eq!(serde_json::to_value(&metadata).unwrap(), json);
    assert!(serde_json::from_str::<Metadata>(&format!(r#"{{"a": {}"#, "[".repeat(100_000))).is_err());
    assert!(serde_json::from_str::<Value>("9223372036854775808").is_err());
}

#[test]
fn what_metadata_cannot_hold_is_refused_by_key() {
    let refused: [(&str, Result<Metadata>, &str); 7] = [
        ("a nested map", Metadata::from_serde(&serde_json::json!({"key": {"b": 1}})), "found a map"),
        ("a nested list", Metadata::from_serde(&serde_json::json!({"key": [[1]]})), "found a list"),
        ("a large number", Metadata::from_serde(&BTreeMap::from([("key", u64::MAX)])), "18446744073709551615"),
        ("an enum", Metadata::from_serde(&BTreeMap::from([("key", Err::<(), i32>(1))])), "an enum with data"),
        ("a map of numbers", Metadata::from_serde(&BTreeMap::from([(1, 1)])), "texts as keys, found a number"),
        ("a list", Metadata::from_serde(&[1]), "a map or a struct, found a list"),
        ("a text", Metadata::from_serde("a"), "a map or a struct, found a text"),
    ];
    for (index, (what, result, expected)) in refused.into_iter().enumerate() {
        let message = refusal(result);
        assert!(message.contains(expected), "{what}: {message}");
        assert_eq!(index < 4, message.contains("\"key\""), "{what}: {message}");
    }
}

#[test]
fn a_struct_that_does_not_fit_names_the_key() {
    let mut metadata = Metadata::from_serde(&note()).unwrap();
    metadata.insert("month", 300);
    let message = refusal(metadata.to_serde::<Note>());
    assert!(message.contains("\"month\"") && message.contains("300"), "{message}");
    metadata.remove("month");
    metadata.insert("kind", 1);
    let message = refusal(metadata.to_serde::<Note>());
    assert!(message.contains("\"kind\"") && message.contains("an integer"), "{message}");
    metadata.remove("kind");
    assert!(refusal(metadata.to_serde::<Note>()).contains("kind"));
}
