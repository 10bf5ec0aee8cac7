//! Changes of an item's metadata without its vector, and how they become plain writes inside the transaction.
//!
//! A change reads the item as the writes before it left it, those of the same commit included, so it is resolved where
//! nothing can come between: by the one writer, in its transaction.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use super::batch::Operation;
use crate::error::{Error, Result};
use crate::items::WriteRows;
use crate::metadata::{Metadata, Value, codec};
use crate::types::Id;

/// What becomes of metadata.
#[derive(Clone, Debug)]
pub(super) enum Change {
    /// The stored form of other metadata.
    Replace(Vec<u8>),
    /// A patch.
    Patch(Metadata),
}

impl Change {
    pub(super) fn replace(metadata: &impl Serialize) -> Result<Change> {
        Ok(Change::Replace(codec::encode(&Metadata::from_serde(metadata)?)?))
    }

    pub(super) fn patch(patch: &impl Serialize) -> Result<Change> {
        Ok(Change::Patch(Metadata::from_serde(patch)?))
    }

    /// The stored form of the metadata after the change. `corrupt` tells what was found instead of metadata.
    fn of(self, stored: &[u8], corrupt: impl Fn(String, String) -> Error) -> Result<Vec<u8>> {
        match self {
            Change::Replace(other) => Ok(other),
            Change::Patch(patch) => {
                let before = codec::decode(stored).map_err(|fault| corrupt(fault.expected, fault.found))?;
                codec::encode(&merged(before.into_iter().collect(), patch).into())
            }
        }
    }
}

/// A map after a patch, by the rules of JSON merge patches (RFC 7396).
fn merged(
    mut values: BTreeMap<String, Value>,
    patch: impl IntoIterator<Item = (String, Value)>,
) -> BTreeMap<String, Value> {
    for (key, value) in patch {
        match value {
            Value::Null => drop(values.remove(&key)),
            Value::Map(inner) => {
                let before = match values.remove(&key) {
                    Some(Value::Map(before)) => before,
                    _ => BTreeMap::new(),
                };
                values.insert(key, Value::Map(merged(before, inner)));
            }
            other => drop(values.insert(key, other)),
        }
    }
    values
}

/// Makes inserts of changes, and removals of those that are not yet out of date; drops the others.
pub(super) fn resolve<'a>(rows: &WriteRows, operations: &'a [Operation]) -> Result<Cow<'a, [Operation]>> {
    let plain = |operation: &Operation| matches!(operation, Operation::Insert { .. } | Operation::Remove { .. });
    if operations.iter().all(plain) {
        return Ok(Cow::Borrowed(operations));
    }
    let mut resolved: Vec<Operation> = Vec::with_capacity(operations.len());
    let mut last: HashMap<Id, usize> = HashMap::new();
    for operation in operations.iter().cloned() {
        let before = last.get(operation.id()).and_then(|&index| resolved.get_mut(index));
        let operation = match (operation, before) {
            (Operation::Change { change, .. }, Some(Operation::Insert { id, metadata, .. })) => {
                let place = format!("the batch's own write of {id:?}");
                *metadata = change.of(metadata, |expected, found| rows.corrupt(place.clone(), expected, found))?;
                continue;
            }
            (Operation::Change { id, .. }, Some(_)) => return Err(Error::NotFound(id)),
            (Operation::Change { id, change }, None) => changed_row(rows, id, change)?,
            (Operation::RemoveUnchanged { id, sequence }, _) => match rows.sequence_of(&id)? {
                Some(found) if found == sequence => Operation::Remove { id },
                _ => continue,
            },
            (plain, _) => plain,
        };
        last.insert(operation.id().clone(), resolved.len());
        resolved.push(operation);
    }
    Ok(Cow::Owned(resolved))
}

/// The write of a stored item with other metadata.
fn changed_row(rows: &WriteRows, id: Id, change: Change) -> Result<Operation> {
    let Some(sequence) = rows.sequence_of(&id)? else { return Err(Error::NotFound(id)) };
    let corrupt = |expected: String, found: String| rows.corrupt(format!("row {sequence}"), expected, found);
    let row = rows.row(sequence)?.ok_or_else(|| corrupt("the row of a live item".into(), "no row".into()))?;
    let metadata = change.of(&row.metadata, corrupt)?;
    Ok(Operation::Insert { id, vector: row.vector, metadata })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(json: serde_json::Value) -> BTreeMap<String, Value> {
        serde_json::from_value(json).unwrap()
    }

    /// The cases of RFC 7396, appendix A, whose documents are maps.
    #[test]
    fn patches_merge_as_the_rfc_says() {
        use serde_json::json;
        let cases = [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
            (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ];
        for (before, patch, after) in cases {
            assert_eq!(merged(map(before.clone()), map(patch.clone())), map(after), "{before} and {patch}");
        }
    }
}
