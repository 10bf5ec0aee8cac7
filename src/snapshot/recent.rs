//! The few values that were asked for last, by their keys.

use std::sync::Arc;

use crate::sync::Mutex;

/// Values that are kept.
const KEPT: usize = 4;

/// A cache so small that it is searched from end to end.
pub(crate) struct Recent<K, V> {
    /// The one asked for last comes last.
    entries: Mutex<Vec<(K, Arc<V>)>>,
}

impl<K, V> Default for Recent<K, V> {
    fn default() -> Self {
        Recent { entries: Mutex::new(Vec::new()) }
    }
}

impl<K: PartialEq, V> Recent<K, V> {
    /// The value of a key that `is` the one looked for.
    pub(crate) fn get(&self, is: impl Fn(&K) -> bool) -> Option<Arc<V>> {
        let mut entries = self.entries.lock();
        let found = entries.iter().rposition(|(key, _)| is(key))?;
        let last = entries.len() - 1;
        if found != last {
            entries[found..].rotate_left(1);
        }
        entries.last().map(|(_, value)| value.clone())
    }

    /// Keeps a value, in place of the one that was not asked for the longest.
    pub(crate) fn put(&self, key: K, value: Arc<V>) {
        let mut entries = self.entries.lock();
        entries.retain(|(kept, _)| *kept != key);
        if entries.len() == KEPT {
            entries.remove(0);
        }
        entries.push((key, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_for_last_is_kept() {
        let recent = Recent::default();
        (0..KEPT).for_each(|key| recent.put(key, Arc::new(10 * key)));
        let get = |key: usize| recent.get(|&kept| kept == key).map(|value| *value);
        assert_eq!(get(0), Some(0));
        recent.put(KEPT, Arc::new(0));
        recent.put(0, Arc::new(7));
        assert_eq!((get(0), get(1), get(2), get(KEPT)), (Some(7), None, Some(20), Some(0)));
    }
}
