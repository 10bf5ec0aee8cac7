//! Filters from texts that nobody wrote.

use super::Filter;
use crate::metadata::{Metadata, Timestamp, Value};
use crate::types::Id;

/// What texts are made of, so that most of a script's bytes lead somewhere.
const WORDS: [&str; 48] = [
    "a",
    "year",
    "a.b",
    "`odd name`",
    "id",
    "and",
    "or",
    "not",
    "(",
    ")",
    "true",
    "false",
    "=",
    "!=",
    "<>",
    "<",
    "<=",
    ">",
    ">=",
    "in",
    ",",
    "between",
    "is",
    "null",
    "starts",
    "with",
    "contains",
    "all",
    "any",
    "1",
    "-2",
    "0.5",
    "1e3",
    "-inf",
    "inf",
    "'x'",
    "\"y\\n\"",
    "x'00ff'",
    "ts'2026-01-01T00:00:00Z'",
    "18446744073709551615",
    "`",
    "\"",
    "\\u{85}",
    "\u{e4}",
    "is null",
    "is not null",
    "and not (",
    ") or (",
];

/// A text of words, one a byte.
pub(crate) fn words(script: &[u8]) -> String {
    let words: Vec<&str> = script.iter().map(|&byte| WORDS[usize::from(byte) % WORDS.len()]).collect();
    words.join(" ")
}

fn item() -> Metadata {
    let inner = Metadata::from_iter([("b", 1)]);
    Metadata::from_iter([
        ("a", Value::from(inner)),
        ("year", Value::List(vec![Value::Integer(1), Value::Float(0.5), Value::Text("x".into())])),
        ("odd name", Value::Timestamp(Timestamp::from_micros(0))),
        ("none", Value::Null),
    ])
}

/// Parses any bytes. A filter that is accepted must come back from its own text, and mean what its parts mean.
pub(crate) fn reread(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let Ok(filter) = Filter::parse(&text) else { return };
    filter.check().unwrap_or_else(|error| panic!("{text}: accepted, and refused later: {error}"));
    let printed = filter.to_string();
    let again = Filter::parse(&printed).unwrap_or_else(|error| panic!("{text}: printed as {printed}: {error}"));
    assert!(again == filter, "{text}: comes back as {again}");

    let (id, item) = (Id::Number(1), item());
    let truth = |filter: &Filter| filter.node.matches(&id, &item);
    let found = truth(&filter);
    let negated = !filter.clone();
    let both = Filter::all([filter.clone(), negated.clone()]);
    let either = Filter::any([filter.clone(), negated.clone()]);
    // What is one level too deep is not kept, and never used.
    if negated.check().is_ok() {
        assert_eq!(truth(&negated), found.map(|truth| !truth), "not ({text})");
    }
    if both.check().is_ok() && either.check().is_ok() {
        assert_eq!(truth(&both), found.map(|_| false), "({text}) and not ({text})");
        assert_eq!(truth(&either), found.map(|_| true), "({text}) or not ({text})");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hostile::{edit, scripts};

    #[test]
    fn any_text_is_refused_or_comes_back_and_means_what_it_says() {
        let valid =
            r#"year >= 1 and (a.b in (1, 2.5) or not `odd name` = ts"1970-01-01T00:00:00Z") and id not in ("x")"#;
        reread(valid.as_bytes());
        let mut accepted = 0;
        for script in scripts(7, 20_000) {
            let mut bytes = valid.as_bytes().to_vec();
            edit(&mut bytes, &script[1..], &[]);
            reread(&bytes);
            let text = words(&script[..1 + usize::from(script[0]) % 6]);
            accepted += u32::from(Filter::parse(&text).is_ok());
            reread(text.as_bytes());
        }
        assert!(accepted > 0, "expected some texts of words to be filters");
    }
}
