//! Vectors and metadata as JSON lines.

use std::path::Path;

use serde_json::Value;
use understory::{Id, Metadata};

use super::lines::{Lines, count_lines};
use super::{Row, RowSource};
use crate::failure::Result;

pub(crate) type Object = serde_json::Map<String, Value>;

/// A .jsonl file of vectors: an array a line, or an object with `vector` and perhaps `id` and `metadata`.
pub(super) struct VectorLines {
    lines: Lines,
    rows: u64,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    id: Option<Value>,
    vector: Vec<f32>,
    metadata: Option<Object>,
}

impl VectorLines {
    pub(super) fn open(path: &Path) -> Result<VectorLines> {
        Ok(VectorLines { rows: count_lines(path)?, lines: Lines::open(path)? })
    }
}

impl RowSource for VectorLines {
    fn rows(&self) -> u64 {
        self.rows
    }

    fn read(&mut self, row: &mut Row) -> Result<bool> {
        let Some(line) = self.lines.next_line()? else { return Ok(false) };
        let parsed = parse(line);
        *row = parsed.map_err(|what| self.lines.fault(what))?;
        Ok(true)
    }
}

fn parse(line: &str) -> Result<Row, String> {
    if line.trim_start().starts_with('[') {
        let vector = serde_json::from_str(line).map_err(|error| fault("an array of numbers", &error))?;
        return Ok(Row { vector, ..Row::default() });
    }
    let line: Line =
        serde_json::from_str(line).map_err(|error| fault("an array, or an object with a vector", &error))?;
    let id = match line.id {
        None => None,
        Some(Value::String(text)) => Some(Id::from(text)),
        Some(other) => {
            let number = other.as_u64();
            Some(Id::from(number.ok_or_else(|| format!("expected an id (a text or a u64), found {other}"))?))
        }
    };
    if let Some(metadata) = &line.metadata {
        check(metadata)?;
    }
    Ok(Row { vector: line.vector, id, metadata: line.metadata })
}

/// What a line is not. The parser knows one line only, whose number in the file it does not have.
fn fault(expected: &str, error: &serde_json::Error) -> String {
    format!("expected {expected}: {}", error.to_string().replace(" at line 1 column ", " at column "))
}

/// The metadata on one line: an object.
pub(crate) fn metadata_object(line: &str) -> Result<Object, String> {
    let value: Value = serde_json::from_str(line).map_err(|error| fault("a JSON object", &error))?;
    let Value::Object(object) = value else {
        return Err(format!("expected a JSON object, found {value}"));
    };
    check(&object)?;
    Ok(object)
}

/// Refuses what the store would refuse, while the line is known.
fn check(object: &Object) -> Result<(), String> {
    Metadata::from_serde(object).map(drop).map_err(|error| error.to_string())
}
