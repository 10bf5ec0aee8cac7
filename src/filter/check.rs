//! Which filters are refused, and why.

use std::ops::Bound;

use super::{Filter, MAX_DEPTH, MAX_SIZE, Node, Test};
use crate::error::{Error, Result};
use crate::metadata::order::compare;
use crate::metadata::{MAX_PATH_BYTES, Value};

pub(super) fn check(filter: &Filter) -> Result<()> {
    let refused = |message| Err(Error::InvalidFilter { column: None, message });
    if filter.depth > MAX_DEPTH {
        return refused(too_deep());
    }
    let mut size = 0;
    match check_node(&filter.node, &mut size) {
        Some(message) => refused(message),
        None => Ok(()),
    }
}

pub(super) fn too_deep() -> String {
    format!("expected at most {MAX_DEPTH} tests inside each other, found more")
}

/// What is wrong with a node. Adds its tests and values to `size`.
pub(super) fn check_node(node: &Node, size: &mut usize) -> Option<String> {
    if let Some(fault) = check_one(node, size) {
        return Some(fault);
    }
    match node {
        Node::And(nodes) | Node::Or(nodes) => nodes.iter().find_map(|node| check_node(node, size)),
        Node::Not(node) => check_node(node, size),
        Node::Field { .. } | Node::Ids(_) => None,
    }
}

/// What is wrong with a node, whatever is wrong with those inside it.
pub(super) fn check_one(node: &Node, size: &mut usize) -> Option<String> {
    *size += match node {
        Node::Field { test: Test::In(values), .. } => 1 + values.len(),
        Node::Ids(ids) => 1 + ids.len(),
        _ => 1,
    };
    if *size > MAX_SIZE {
        return Some(format!("expected at most {MAX_SIZE} tests and values, found more"));
    }
    match node {
        Node::Field { path, .. } if path.len() > MAX_PATH_BYTES => {
            let found = path.len();
            Some(format!("expected a path of at most {MAX_PATH_BYTES} bytes, found {found} bytes"))
        }
        Node::Field { test: Test::In(values), .. } => values.iter().find_map(check_equal),
        Node::Field { test: Test::Range { low, high }, .. } => check_range(low, high),
        Node::Ids(ids) => ids.iter().find_map(|id| id.validate().err()).map(|error| error.to_string()),
        _ => None,
    }
}

/// What nothing is equal to.
fn check_equal(value: &Value) -> Option<String> {
    match value {
        Value::Null => Some("expected a value to compare with, found null, which `is null` tests".into()),
        Value::List(_) | Value::Map(_) => {
            let found = value.kind();
            Some(format!("expected a boolean, a number, a text, bytes or a timestamp to compare with, found {found}"))
        }
        Value::Float(number) if number.is_nan() => {
            Some("expected a number to compare with, found NaN, which is equal to nothing".into())
        }
        _ => None,
    }
}

fn check_range(low: &Bound<Value>, high: &Bound<Value>) -> Option<String> {
    let bound = |bound: &Bound<Value>| match bound {
        Bound::Included(value) | Bound::Excluded(value) => Some(value.clone()),
        Bound::Unbounded => None,
    };
    let bounds = [bound(low), bound(high)];
    let unordered = bounds.iter().flatten().find_map(|value| match value {
        Value::Bool(_) => Some("expected a number, a text, bytes or a timestamp as a bound, found a boolean".into()),
        other => check_equal(other),
    });
    unordered.or_else(|| match &bounds {
        [None, None] => Some("expected a range with a bound, found one without".into()),
        [Some(low), Some(high)] if compare(low, high).is_none() => {
            let (low, high) = (low.kind(), high.kind());
            Some(format!("expected bounds of one kind, found {low} and {high}"))
        }
        _ => None,
    })
}
