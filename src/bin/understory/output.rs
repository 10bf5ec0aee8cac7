//! Standard output: lines for people, or one JSON object a line.

use std::io::Write;

use serde::Serialize;
use understory::Id;

use crate::failure::{Failure, Result};

/// Writes one line at once, so that a reader sees it when it is there.
pub(crate) fn line(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(|error| match error.kind() {
        std::io::ErrorKind::BrokenPipe => Failure::OutputClosed,
        _ => Failure::Work(format!("could not write to standard output: {error}")),
    })
}

/// Writes one JSON object on a line.
pub(crate) fn json(object: &impl Serialize) -> Result<()> {
    line(&to_json(object)?)
}

pub(crate) fn to_json(object: &impl Serialize) -> Result<String> {
    serde_json::to_string(object).map_err(|error| Failure::Work(format!("could not write JSON: {error}")))
}

/// An id as JSON: a number or a string.
pub(crate) fn json_id(id: &Id) -> serde_json::Value {
    match id {
        Id::Number(number) => (*number).into(),
        Id::Text(text) => text.as_str().into(),
    }
}

/// An id on one line of a terminal, whatever characters it holds.
pub(crate) fn plain_id(id: &Id) -> String {
    let text = id.to_string();
    if text.chars().any(char::is_control) { text.escape_debug().to_string() } else { text }
}

/// 1234567 as `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3 + 1);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Bytes in a unit of a person's size.
pub(crate) fn size(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", units[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_sizes_are_readable() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
        for (bytes, text) in [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 << 40, "5.0 TiB")] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn ids_stay_on_one_line() {
        assert_eq!(plain_id(&Id::from("a b")), "a b");
        assert_eq!(plain_id(&Id::from("a\nb\u{1b}")), "a\\nb\\u{1b}");
        assert_eq!(json_id(&Id::from(u64::MAX)).to_string(), "18446744073709551615");
        assert_eq!(json_id(&Id::from("17")).to_string(), "\"17\"");
    }
}
