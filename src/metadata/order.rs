//! How values compare: by kind, numbers exactly by their value.

use std::cmp::Ordering;

use super::Value;

/// How two scalars compare in a filter. `None` where they do not: values of different kinds, NaN, null, lists and maps.
/// Integers and floats are one kind.
pub(crate) fn compare(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Bool(left), Value::Bool(right)) => Some(left.cmp(right)),
        (Value::Integer(left), Value::Integer(right)) => Some(left.cmp(right)),
        (Value::Integer(left), Value::Float(right)) => compare_mixed(*left, *right),
        (Value::Float(left), Value::Integer(right)) => compare_mixed(*right, *left).map(Ordering::reverse),
        (Value::Float(left), Value::Float(right)) => left.partial_cmp(right),
        (Value::Text(left), Value::Text(right)) => Some(left.cmp(right)),
        (Value::Bytes(left), Value::Bytes(right)) => Some(left.cmp(right)),
        (Value::Timestamp(left), Value::Timestamp(right)) => Some(left.cmp(right)),
        _ => None,
    }
}

/// A total order of scalars: booleans, numbers, NaN, texts, bytes, timestamps; null comes before them, lists and maps
/// after them. Equal are just what [`compare`] calls equal, and NaN with NaN, null with null, any list or map with
/// another.
pub(crate) fn total_order(left: &Value, right: &Value) -> Ordering {
    let ranks = rank(left).cmp(&rank(right));
    ranks.then_with(|| compare(left, right).unwrap_or(Ordering::Equal))
}

fn rank(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Float(number) if number.is_nan() => 3,
        Value::Integer(_) | Value::Float(_) => 2,
        Value::Text(_) => 4,
        Value::Bytes(_) => 5,
        Value::Timestamp(_) => 6,
        Value::List(_) => 7,
        Value::Map(_) => 8,
    }
}

/// Two to the power of 63, the first float above every integer.
const BEYOND: f64 = 9_223_372_036_854_775_808.0;

fn compare_mixed(integer: i64, float: f64) -> Option<Ordering> {
    if float.is_nan() {
        return None;
    }
    if float >= BEYOND {
        return Some(Ordering::Less);
    }
    if float < -BEYOND {
        return Some(Ordering::Greater);
    }
    // The whole part is an integer now, exactly; what is left decides where it is the same.
    let whole = float.trunc();
    match integer.cmp(&(whole as i64)) {
        Ordering::Equal => 0.0.partial_cmp(&(float - whole)),
        unequal => Some(unequal),
    }
}
