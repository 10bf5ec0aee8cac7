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

/// What the first codec did not have.
fn nested() -> Metadata {
    let mut inner = sample();
    inner.insert("bytes", Value::Bytes(vec![0, 255]));
    inner.insert("moment", Timestamp::from_micros(i64::MIN));
    inner.insert("moments", vec![Value::Bytes(Vec::new()), Timestamp::from_micros(-1).into()]);
    let mut metadata = Metadata::new();
    metadata.insert("map", inner);
    metadata.insert("nothing", Metadata::new());
    metadata
}

/// Maps in each other, so many in all.
fn deep(maps: usize) -> Metadata {
    (1..maps).fold(Metadata::new(), |inner, _| [("m", inner)].into_iter().collect())
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
    for metadata in [nested(), deep(16)] {
        assert_eq!(decode(&encode(&metadata).unwrap()).unwrap(), metadata);
    }
    assert_eq!(encode(&Metadata::new()).unwrap(), Vec::<u8>::new());
    assert_eq!(decode(&[]).unwrap(), Metadata::new());
}

#[test]
fn the_stored_form_is_the_documented_one() {
    let metadata: Metadata = [("a", Value::from(vec![Value::from(-1)]))].into_iter().collect();
    // Codec, entries, key, variant 5, items, variant 2, zigzag of -1.
    assert_eq!(encode(&metadata).unwrap(), [1, 1, 1, b'a', 5, 1, 2, 1]);
    // Codec 2, entries, key, variant 8, bytes of the map; its entries, key, variant 6, length, byte.
    let inner: Metadata = [("b", Value::Bytes(vec![9]))].into_iter().collect();
    let outer: Metadata = [("a", inner)].into_iter().collect();
    assert_eq!(encode(&outer).unwrap(), [2, 1, 1, b'a', 8, 6, 1, 1, b'b', 6, 1, 9]);
    let moment: Metadata = [("a", vec![Timestamp::from_micros(-1)])].into_iter().collect();
    assert_eq!(encode(&moment).unwrap(), [2, 1, 1, b'a', 5, 1, 6, 1]);
}

#[test]
fn metadata_that_is_too_large_or_too_deep_is_refused() {
    let large: Metadata = [("large", "x".repeat(1 << 20))].into_iter().collect();
    let message = refusal(encode(&large));
    assert!(message.contains("1048576 bytes") && message.contains("found 10485"), "{message}");
    let list: Metadata = [("deep", Value::from(vec![Value::from(vec![1])]))].into_iter().collect();
    let message = refusal(encode(&list));
    assert!(message.contains("\"deep\"") && message.contains("found a list"), "{message}");
    assert!(refusal(encode(&deep(17))).contains("16 maps"));
    assert!(refusal(Metadata::from_serde(&deep(17))).contains("16 maps"));
    assert_eq!(Metadata::from_serde(&deep(16)).unwrap(), deep(16));
    assert_eq!(deep(16).to_serde::<Metadata>().unwrap(), deep(16));
}

/// A hundred thousand maps inside each other are no deeper than the decoder goes.
#[test]
fn stored_maps_end_at_the_limit() {
    let mut bytes = vec![0];
    for _ in 0..100_000 {
        let length = bytes.len() as u32;
        let head = [&[1, 1, b'm', 8, 252][..], &length.to_le_bytes()].concat();
        bytes.splice(0..0, head);
        if bytes.len() > 1_000_000 {
            break;
        }
    }
    assert_eq!(decode(&[&[2], bytes.as_slice()].concat()).unwrap_err().found, "more than 16");
    bytes.resize(1 << 20, 0);
    assert!(decode(&[&[2], bytes.as_slice()].concat()).unwrap_err().expected.contains("1 MiB"));
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
    for metadata in [sample(), nested()] {
        let stored = encode(&metadata).unwrap();
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
    }
    let stored = encode(&sample()).unwrap();
    assert!(decode(&[stored.as_slice(), &[0]].concat()).unwrap_err().expected.contains("end"));
    assert_eq!(decode(&[3, 0]).unwrap_err().found, "codec 3");
}

#[test]
fn lengths_that_lie_allocate_nothing() {
    let huge = [0xfd, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
    let heads: [&[u8]; 6] =
        [&[1], &[1, 1], &[1, 1, 1, b'a', 4], &[1, 1, 1, b'a', 5], &[2, 1, 1, b'a', 6], &[2, 1, 1, b'a', 8]];
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
    let json = serde_json::json!({"a": [1, "b", null], "c": 0.5, "d": null, "e": false, "f": {"g": {}}});
    let metadata: Metadata = serde_json::from_value(json.clone()).unwrap();
    assert_eq!(Metadata::from_serde(&json).unwrap(), metadata);
    assert_eq!(metadata.to_serde::<serde_json::Value>().unwrap(), json);
    assert_eq!(serde_json::to_value(&metadata).unwrap(), json);
    assert!(serde_json::from_str::<Metadata>(&format!(r#"{{"a": {}"#, "[".repeat(100_000))).is_err());
    assert!(serde_json::from_str::<Value>("9223372036854775808").is_err());
    let deep = format!("{}1{}", r#"{"m":"#.repeat(17), "}".repeat(17));
    assert!(serde_json::from_str::<Metadata>(&deep).unwrap_err().to_string().contains("16 maps"));
    assert!(serde_json::from_str::<Metadata>(&deep[5..deep.len() - 1]).is_ok());
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Picture {
    at: Timestamp,
    taken: Vec<Timestamp>,
    place: BTreeMap<String, f64>,
    camera: Option<Camera>,
    thumbnail: Raw,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Camera {
    name: String,
    serial: (u8, u8),
}

/// Serializes as bytes, and reads them as a list.
#[derive(Debug, PartialEq, Deserialize)]
struct Raw(Vec<u8>);

impl Serialize for Raw {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

#[test]
fn bytes_times_and_nested_structs_go_to_metadata_and_back() {
    let moment: Timestamp = "2026-02-03T04:05:06.789Z".parse().unwrap();
    let picture = Picture {
        at: moment,
        taken: vec![moment, Timestamp::default()],
        place: BTreeMap::from([("x".to_owned(), 0.5)]),
        camera: Some(Camera { name: "Leica".into(), serial: (1, 2) }),
        thumbnail: Raw(vec![0, 1, 255]),
    };
    let metadata = Metadata::from_serde(&picture).unwrap();
    assert_eq!(metadata.get("at"), Some(&Value::Timestamp(moment)));
    assert_eq!(metadata.at("camera.name"), Some(&Value::from("Leica")));
    assert_eq!(metadata.get("thumbnail"), Some(&Value::Bytes(vec![0, 1, 255])));
    let stored = decode(&encode(&metadata).unwrap()).unwrap();
    assert_eq!(stored.to_serde::<Picture>().unwrap(), picture);
    assert_eq!(Metadata::from_serde(&stored).unwrap(), metadata);
    let json = serde_json::to_value(&metadata).unwrap();
    assert_eq!(json["at"], "2026-02-03T04:05:06.789Z");
    assert_eq!(json["thumbnail"], serde_json::json!([0, 1, 255]));
    assert_eq!(serde_json::from_value::<Picture>(json).unwrap(), picture);
    let message =
        refusal([("at", "noon")].into_iter().collect::<Metadata>().to_serde::<BTreeMap<String, Timestamp>>());
    assert!(message.contains("\"at\"") && message.contains("noon"), "{message}");
}

#[test]
fn every_path_leads_to_its_value() {
    let json = serde_json::json!({
        "a": {"b": {"c": 1, "": 2}, "b.c": 3, "x": {}}, "a.b": {"c": 4, "d": 5}, "a.b.d": 6, "": {"": 7}, "e": {"f": 8},
    });
    let metadata = Metadata::from_serde(&json).unwrap();
    let paths = metadata.paths();
    for (path, value) in &paths {
        assert!(std::ptr::eq(metadata.at(path).unwrap(), *value), "{path:?}");
    }
    let leaf = |path: &str| metadata.at(path).cloned();
    assert_eq!(leaf("a.b.c"), Some(4.into()), "the longest key first");
    assert_eq!((leaf("a.b.d"), leaf("a.b."), leaf(".")), (Some(6.into()), Some(2.into()), Some(7.into())));
    assert_eq!((leaf("e.f"), leaf("e.f.g"), leaf("e."), leaf("f")), (Some(8.into()), None, None, None));
    // Of 16 places the map at `a.b`, and what lies at `a.b.c` twice and at `a.b.d`, have paths that lead elsewhere.
    let named: Vec<&str> = paths.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(named, ["", ".", "a", "a.b.", "a.x", "a.b", "a.b.c", "a.b.d", "e", "e.f"]);
    let long: Metadata = [("k".repeat(1025), 1), ("k".repeat(1024), 2)].into_iter().collect();
    assert_eq!(long.paths().len(), 1);
}

#[test]
fn numbers_compare_by_value_and_kinds_apart() {
    use std::cmp::Ordering::{Equal, Greater, Less};

    use super::order::{compare, total_order};
    let big = (1i64 << 53) + 1;
    let cases = [
        (Value::from(1), Value::from(1.0), Some(Equal)),
        (Value::from(0), Value::from(-0.0), Some(Equal)),
        (Value::from(big), Value::from(big as f64), Some(Greater)),
        (Value::from(i64::MAX), Value::from(i64::MAX as f64), Some(Less)),
        (Value::from(i64::MIN), Value::from(i64::MIN as f64), Some(Equal)),
        (Value::from(-1), Value::from(-1.5), Some(Greater)),
        (Value::from(-2), Value::from(-1.5), Some(Less)),
        (Value::from(1), Value::from(1.5), Some(Less)),
        (Value::from(i64::MIN), Value::from(f64::NEG_INFINITY), Some(Greater)),
        (Value::from(1), Value::from(f64::NAN), None),
        (Value::from(1), Value::from("1"), None),
        (Value::from(1), Value::from(true), None),
        (Value::Null, Value::Null, None),
    ];
    for (left, right, expected) in cases {
        assert_eq!(compare(&left, &right), expected, "{left:?} and {right:?}");
        assert_eq!(compare(&right, &left), expected.map(std::cmp::Ordering::reverse), "{right:?} and {left:?}");
    }
    // Ascending.
    let line: Vec<Value> = vec![
        Value::Null,
        false.into(),
        true.into(),
        f64::NEG_INFINITY.into(),
        i64::MIN.into(),
        (-0.5).into(),
        0.into(),
        0.5.into(),
        (big - 1).into(),
        big.into(),
        i64::MAX.into(),
        (i64::MAX as f64).into(),
        f64::NAN.into(),
        "".into(),
        "a".into(),
        Value::Bytes(vec![]),
        Timestamp::default().into(),
        Value::List(vec![]),
        Metadata::new().into(),
    ];
    for (at, left) in line.iter().enumerate() {
        for (other, right) in line.iter().enumerate() {
            assert_eq!(total_order(left, right), at.cmp(&other), "{left:?} and {right:?}");
        }
    }
}

#[test]
fn what_metadata_cannot_hold_is_refused_by_key() {
    let refused: [(&str, Result<Metadata>, &str); 7] = [
        ("a map in a list", Metadata::from_serde(&serde_json::json!({"key": [{"b": 1}]})), "found a map"),
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
