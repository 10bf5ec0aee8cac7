//! Dotted paths into nested maps.

use std::collections::BTreeMap;

use super::Value;

type Map = BTreeMap<String, Value>;

/// Longest path by which items can be filtered.
pub(crate) const MAX_PATH_BYTES: usize = 1024;

/// The value at a path. Of several keys that begin the path the longest counts that leads somewhere; each value is
/// looked at once at most, for the keys above it are a part of the path.
pub(super) fn at<'m>(map: &'m Map, path: &str) -> Option<&'m Value> {
    map.get(path).or_else(|| {
        path.rmatch_indices('.').find_map(|(dot, _)| match map.get(&path[..dot]) {
            Some(Value::Map(inner)) => at(inner, &path[dot + 1..]),
            _ => None,
        })
    })
}

/// Every path that leads to a value, and that value, but for paths longer than [`MAX_PATH_BYTES`].
pub(super) fn all(map: &Map) -> Vec<(String, &Value)> {
    let mut found = Vec::new();
    let dotted = collect(map, "", &mut found);
    if dotted {
        // Only where keys contain dots can two values have one path.
        found.retain(|(path, value)| at(map, path).is_some_and(|reached| std::ptr::eq(reached, *value)));
    }
    found
}

/// Whether a key contains a dot.
fn collect<'m>(map: &'m Map, prefix: &str, found: &mut Vec<(String, &'m Value)>) -> bool {
    let mut dotted = false;
    for (key, value) in map {
        if prefix.len() + key.len() > MAX_PATH_BYTES {
            continue;
        }
        let path = format!("{prefix}{key}");
        dotted |= key.contains('.');
        let below = format!("{path}.");
        found.push((path, value));
        if let Value::Map(inner) = value {
            dotted |= collect(inner, &below, found);
        }
    }
    dotted
}
