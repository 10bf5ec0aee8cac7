//! The meaning of each test, the limits, and text: what is printed parses back, and no text panics.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::error::Error;
use crate::metadata::Timestamp;

fn item() -> Metadata {
    let json = serde_json::json!({
        "year": 2020, "score": 0.5, "title": "On trees", "draft": false, "tags": ["a", "b", null, 3], "empty": [],
        "gone": null, "author": {"name": "Hesse"}, "big": 9_007_199_254_740_993i64, "odd name": 1, "id": 7,
    });
    let mut metadata = Metadata::from_serde(&json).unwrap();
    metadata.insert("nan", f64::NAN);
    metadata.insert("raw", Value::Bytes(vec![0, 255]));
    metadata.insert("at", "2026-01-01T00:00:00Z".parse::<Timestamp>().unwrap());
    metadata
}

fn truth(text: &str) -> Option<bool> {
    Filter::parse(text).unwrap_or_else(|error| panic!("{text}: {error}")).node.matches(&Id::Number(5), &item())
}

#[test]
fn tests_are_true_false_or_unknown() {
    let truths = [
        r#"year = 2020 and year = 2020.0 and year != 2021 and not year = "2020""#,
        "score >= 0.5 and score < 1 and score > 0 and year between 2020 and 2020 and not year between 2021 and 2030",
        "big != 9007199254740992.0 and big > 9007199254740992.0 and big <= 9007199254740993",
        r#"title starts with "On" and title contains 'tree' and not title starts with "on" and title >= "On""#,
        r#"draft = false and draft != true and draft != 0 and not draft in (0, "false")"#,
        r#"tags = "a" and tags in ("z", "b") and tags contains all ("a", 3) and not tags contains all ("a", "z")"#,
        r#"tags contains any ("z", 3.0) and tags contains "b" and tags != "z" and tags > 2 and not tags > 3"#,
        "empty is not null and not empty = 1 and empty != 1 and not empty contains ''",
        "gone is null and missing is null and author is not null and author.name = 'Hesse'",
        "author != 1 and not author > 1 and author.name.first is null",
        r#"nan is not null and nan != 0 and not nan > 0 and not nan <= 0 and raw = x"00ff" and raw > x"00""#,
        r#"at = ts"2026-01-01T01:00:00+01:00" and at < ts"2027-01-01T00:00:00Z" and at != "2026-01-01T00:00:00Z""#,
        r#"id in (1, 5, "a") and id = 5 and id != 6 and id not in ("5") and `id` = 7 and `odd name` = 1"#,
        "missing = 1 or year = 2020",
        "true and not false and not (false or false)",
        "year <> 1 AND YEAR is null Or false",
    ];
    let unknown = [
        "missing = 1",
        "missing != 1",
        "gone between 1 and 2",
        "not missing starts with 'a'",
        "missing contains any ()",
        "missing = 1 and year = 2020",
        "missing = 1 or year = 1",
        "not (missing = 1 or year = 1)",
    ];
    let falsehoods =
        ["missing = 1 and year = 1", "not (missing = 1 or year = 2020)", "year in ()", "not year is not null"];
    for (texts, expected) in [(&truths[..], Some(true)), (&unknown, None), (&falsehoods, Some(false))] {
        for text in texts {
            assert_eq!(truth(text), expected, "{text}");
        }
    }
    assert!(!Filter::parse("missing != 1").unwrap().matches(&Id::Number(5), &item()));
}

fn refusal(filter: Filter) -> String {
    match filter.check().unwrap_err() {
        Error::InvalidFilter { column: None, message } => message,
        other => panic!("expected an invalid filter, found {other}"),
    }
}

#[test]
fn what_can_never_be_meant_is_refused() {
    let cases = [
        (field("a").is(Value::Null), "found null"),
        (field("a").is_in([f64::NAN]), "found NaN"),
        (field("a").lt(f64::NAN), "found NaN"),
        (field("a").ge(true), "found a boolean"),
        (field("a").gt(vec![1]), "found a list"),
        (field("a").contains_all([Metadata::new()]), "found a map"),
        (field("a").between(1, "b"), "found an integer and a text"),
        (field("a").between(Timestamp::default(), 1.5), "found a timestamp and a float"),
        (field("k".repeat(1025)).exists(), "1025 bytes"),
        (ids(["i".repeat(1025)]), "1025 bytes"),
        (field("a").is_in(0..10_000), "at most 10000"),
        (Filter::all((0..10_000).map(|number| field("a").is(number))), "at most 10000"),
    ];
    for (filter, expected) in cases {
        let message = refusal(filter);
        assert!(message.contains(expected), "{message}");
    }
    field("a").is_in(0..9_999).check().unwrap();
    field("k".repeat(1024)).between(1, 1.5).check().unwrap();
}

#[test]
fn chains_stay_flat_and_what_is_too_deep_is_refused() {
    let alternating = |depth: usize| {
        (1..depth).fold(field("a").is(1), |inner, level| match level % 2 {
            0 => Filter::all([field("b").is(2), inner]),
            _ => Filter::any([inner, field("b").is(2)]),
        })
    };
    alternating(64).check().unwrap();
    assert_eq!(Filter::parse(&alternating(64).to_string()).unwrap(), alternating(64));
    assert!(refusal(alternating(65)).contains("64 tests inside each other"));
    assert!(refusal(!alternating(100_000)).contains("64 tests inside each other"));
    let chain = (0..1000).fold(field("a").is(1), |chain, _| chain & field("a").is(1));
    let other = (0..1000).fold(field("a").is(1), |chain, _| field("a").is(1) | chain);
    let negated = (0..1001).fold(field("a").is(1), |negated, _| !negated);
    for filter in [chain, other, negated] {
        filter.check().unwrap();
        assert!(filter.depth == 2);
    }
}

#[test]
fn faults_in_a_text_are_found_at_their_column() {
    let long = format!("a in ({})", vec!["1"; 10_000].join(","));
    let parentheses = format!("a = 1 and {}a = 1", "(".repeat(100_000));
    let negations = "not ".repeat(100_000);
    let cases = [
        ("", 1, "expected a field, found the end"),
        ("year >= ", 9, "expected a value, found the end"),
        ("year 2020", 6, "expected an operator, found `2020`"),
        ("year = 1 lang = 2", 10, "expected `and`, `or` or the end, found `lang`"),
        ("(a = 1", 7, "expected `and`, `or` or `)`, found the end"),
        ("a = 1 and or b = 2", 11, "expected a field, found `or`"),
        ("\u{e4} = 'x", 5, "expected a closing quote, found the end"),
        ("a = null", 5, "`is null`"),
        ("a is 1", 6, "expected `null`, found `1`"),
        ("a > true", 1, "found a boolean"),
        ("b = 1 and a between 1 and 'x'", 11, "found an integer and a text"),
        ("a between 1 or 2", 13, "expected `and`, found `or`"),
        ("a = 12x", 5, "expected a number, found `12x`"),
        ("a = 1e999", 5, "expected a number, found `1e999`"),
        ("a = 9223372036854775808", 5, "expected an integer"),
        ("a = ts'noon'", 5, "\"noon\""),
        ("a = x'0g'", 5, "hexadecimal"),
        ("a = x'0'", 5, "hexadecimal"),
        ("a = '\\q'", 6, "backslash"),
        ("a = '\\u{110000}'", 6, "backslash"),
        ("a ~ 1", 3, "found '~'"),
        ("`a = 1", 1, "back-quote"),
        ("id > 1", 4, "back-quotes"),
        ("id in (-1)", 8, "expected an id"),
        ("a in 1", 6, "expected `(`, found `1`"),
        ("a in (1 2)", 9, "expected `,` or `)`, found `2`"),
        ("a in (1,)", 9, "expected a value, found `)`"),
        ("a starts 'x'", 10, "expected `with`"),
        ("a starts with 5", 15, "expected a text in quotes, found `5`"),
        ("a not = 1", 7, "expected an operator, found `=`"),
        ("a = (1)", 5, "expected a value, found `(`"),
        (long.as_str(), 1, "at most 10000 tests and values"),
        (parentheses.as_str(), 75, "64 tests inside each other"),
        (negations.as_str(), 257, "64 tests inside each other"),
    ];
    for (text, at, expected) in cases {
        match Filter::parse(text) {
            Err(Error::InvalidFilter { column: Some(column), message }) => {
                let text = &text[..text.len().min(80)];
                assert!(column == at && message.contains(expected), "{text}: column {column}: {message}");
            }
            other => panic!("{text}: {other:?}"),
        }
    }
}

const NAMES: [&str; 9] = ["a", "a.b", "year", "id", "True", "odd `name`", "", "\u{e4}.", "x-y"];
const TEXTS: [&str; 6] = ["", "de", "it's \"so\"", "\\", "\n\t\r\u{0}\u{85}", "\u{1f332}"];

fn random_value(random: &mut StdRng) -> Value {
    match random.random_range(0..9) {
        0 => random.random_bool(0.5).into(),
        1 => random.random::<i64>().into(),
        2 => random.random_range(-2..3).into(),
        3 => f64::from_bits(random.random()).into(),
        4 => [0.5, -0.0, 1e300, f64::INFINITY, f64::NEG_INFINITY][random.random_range(0..5)].into(),
        5 => Value::Bytes((0..random.random_range(0..4)).map(|_| random.random()).collect()),
        6 => Timestamp::from_micros(random.random()).into(),
        _ => TEXTS[random.random_range(0..TEXTS.len())].into(),
    }
}

fn random_filter(random: &mut StdRng, depth: usize) -> Filter {
    let several = |random: &mut StdRng| -> Vec<Filter> {
        (0..random.random_range(0..4)).map(|_| random_filter(random, depth - 1)).collect()
    };
    match random.random_range(0..8) {
        0 if depth > 1 => Filter::all(several(random)),
        1 if depth > 1 => Filter::any(several(random)),
        2 if depth > 1 => !random_filter(random, depth - 1),
        3 if depth > 1 => random_filter(random, depth - 1) & random_filter(random, depth - 1),
        4 if depth > 1 => random_filter(random, depth - 1) | random_filter(random, depth - 1),
        5 => match random.random_bool(0.5) {
            true => ids((0..random.random_range(0..3)).map(|_| random.random::<u64>())),
            false => ids(TEXTS),
        },
        _ => random_test(random),
    }
}

fn random_test(random: &mut StdRng) -> Filter {
    let field = field(NAMES[random.random_range(0..NAMES.len())]);
    let text = TEXTS[random.random_range(0..TEXTS.len())];
    let value = random_value(random);
    match random.random_range(0..12) {
        0 => field.is(value),
        1 => field.ne(value),
        2 => field.lt(value),
        3 => field.le(value),
        4 => field.gt(value),
        5 => field.ge(value),
        6 => field.between(value.clone(), value),
        7 => field.is_null(),
        8 => field.exists(),
        9 => field.starts_with(text),
        10 => field.contains(text),
        _ => field.is_in((0..random.random_range(0..4)).map(|_| random_value(random))),
    }
}

#[test]
fn what_is_printed_parses_back() {
    let mut random = StdRng::seed_from_u64(5);
    let mut accepted = 0;
    for _ in 0..20_000 {
        let filter = random_filter(&mut random, 5);
        let text = filter.to_string();
        match filter.check() {
            Ok(()) => {
                assert_eq!(Filter::parse(&text).unwrap_or_else(|error| panic!("{text}: {error}")), filter, "{text}");
                accepted += 1;
            }
            Err(_) => assert!(Filter::parse(&text).is_err(), "{text}"),
        }
    }
    assert!(accepted > 10_000, "{accepted}");
}

#[test]
fn no_text_panics() {
    let mut random = StdRng::seed_from_u64(6);
    let words = [
        "a", "`", "\"", "'", "(", ")", ",", "and", "not", "in", "id", "=", "<", "x'", "ts'", "-", "1e", ".", "\\",
        " ",
    ];
    for _ in 0..20_000 {
        let mut text: Vec<char> = random_filter(&mut random, 3).to_string().chars().collect();
        for _ in 0..random.random_range(0..4) {
            let at = random.random_range(0..=text.len());
            match random.random_range(0..3) {
                0 => text.truncate(at),
                1 => text.insert(at, char::from_u32(random.random_range(0..0x3000)).unwrap_or('`')),
                _ => text.splice(at..at, words[random.random_range(0..words.len())].chars()).for_each(drop),
            }
        }
        let text: String = text.into_iter().collect();
        if let Ok(filter) = Filter::parse(&text) {
            filter.check().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(Filter::parse(&filter.to_string()).unwrap(), filter, "{text}");
        }
        let garbage: String = (0..8).map(|_| words[random.random_range(0..words.len())]).collect();
        let _ = Filter::parse(&garbage);
    }
}
