//! What a filter means, test by test: the reference for every faster way to find what matches.

use std::cmp::Ordering;
use std::ops::Bound;

use super::{Node, Test};
use crate::metadata::order::compare;
use crate::metadata::{Metadata, Value};
use crate::types::Id;

impl Node {
    /// Whether an item matches: `None` is unknown. False wins over unknown in `And`, true in `Or`; `Not` keeps it.
    pub(crate) fn matches(&self, id: &Id, metadata: &Metadata) -> Option<bool> {
        match self {
            Node::And(nodes) => decide(nodes, id, metadata, false),
            Node::Or(nodes) => decide(nodes, id, metadata, true),
            Node::Not(node) => node.matches(id, metadata).map(|truth| !truth),
            Node::Field { path, test } => test.matches(metadata.at(path)),
            Node::Ids(ids) => Some(ids.contains(id)),
        }
    }
}

/// `winner` if any node is; else unknown if any is; else the other.
fn decide(nodes: &[Node], id: &Id, metadata: &Metadata, winner: bool) -> Option<bool> {
    let mut outcome = Some(!winner);
    for node in nodes {
        match node.matches(id, metadata) {
            Some(truth) if truth == winner => return Some(winner),
            Some(_) => {}
            None => outcome = None,
        }
    }
    outcome
}

impl Test {
    /// Whether what is at the test's path satisfies it.
    pub(crate) fn matches(&self, found: Option<&Value>) -> Option<bool> {
        let found = found.filter(|value| **value != Value::Null);
        match self {
            Test::IsNull => Some(found.is_none()),
            _ => found.map(|value| value.scalars().iter().any(|scalar| self.holds(scalar))),
        }
    }

    /// Whether one scalar satisfies the test, which is not `IsNull`.
    pub(crate) fn holds(&self, scalar: &Value) -> bool {
        match (self, scalar) {
            (Test::In(values), _) => values.iter().any(|value| compare(scalar, value) == Some(Ordering::Equal)),
            (Test::Range { low, high }, _) => {
                let above = match low {
                    Bound::Included(low) => compare(scalar, low).is_some_and(Ordering::is_ge),
                    Bound::Excluded(low) => compare(scalar, low).is_some_and(Ordering::is_gt),
                    Bound::Unbounded => true,
                };
                above
                    && match high {
                        Bound::Included(high) => compare(scalar, high).is_some_and(Ordering::is_le),
                        Bound::Excluded(high) => compare(scalar, high).is_some_and(Ordering::is_lt),
                        Bound::Unbounded => true,
                    }
            }
            (Test::Prefix(prefix), Value::Text(text)) => text.starts_with(prefix),
            (Test::Contains(part), Value::Text(text)) => text.contains(part),
            (Test::Prefix(_) | Test::Contains(_) | Test::IsNull, _) => false,
        }
    }
}
