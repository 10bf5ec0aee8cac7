//! Hits in groups: the nearest items of each value of a field.

use super::select::distinct_scalars;
use super::{Hit, Query};
use crate::error::Result;
use crate::filter::field;
use crate::metadata::Value;
use crate::metadata::order::{compare, total_order};

/// Hits first asked for, at least.
const LEAST_HITS: usize = 64;
/// How many times more hits are asked for where too few groups were among them.
const WIDENED: usize = 4;

/// The hits of one value of a field. See [`Query::group_by`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Group {
    /// The value.
    pub value: Value,
    /// Its items, nearest first; one at least.
    pub hits: Vec<Hit>,
}

impl Query {
    /// Runs the query and groups what it finds by a field: `groups` groups in the order of their nearest hits, with at
    /// most `hits` each, in place of `k`. There are fewer only if fewer values, or items of a value, are live and match.
    ///
    /// Items without a value of the field are in no group, and those with a list of them in the group of each. Where
    /// the nearest items are of too few groups, more of them are searched, all in the end. Costs a search and a row for
    /// each item searched, and a search for each group that lacks hits; [`diverse`](Query::diverse) does not matter.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = understory::Store::open(dir.path().join("a.understory"))?;
    /// for (id, file) in [(1, "a.txt"), (2, "a.txt"), (3, "b.txt")] {
    ///     store.insert_with(id, &[1.0, id as f32], &serde_json::json!({"file": file}))?;
    /// }
    /// let groups = store.query(&[1.0, 0.0])?.group_by("file", 5, 1)?;
    /// assert_eq!((&groups[0].value, &groups[0].hits[0].id), (&"a.txt".into(), &1.into()));
    /// assert_eq!((&groups[1].value, &groups[1].hits[0].id), (&"b.txt".into(), &3.into()));
    /// # Ok::<(), understory::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`run`](Query::run).
    pub fn group_by(&self, path: &str, groups: usize, hits: usize) -> Result<Vec<Group>> {
        if groups == 0 || hits == 0 {
            return Ok(Vec::new());
        }
        let mut plain = self.clone();
        plain.diversity = None;
        let mut asked = groups.saturating_mul(hits).max(LEAST_HITS);
        loop {
            let found = plain.narrowed(field(path).exists(), asked).with_metadata().run()?;
            let everything = found.len() < asked;
            let mut grouped = grouped(&found, path, groups, hits);
            if grouped.len() < groups && !everything {
                asked = asked.saturating_mul(WIDENED);
                continue;
            }
            if !everything {
                for group in grouped.iter_mut().filter(|group| group.hits.len() < hits) {
                    group.hits = plain.narrowed(field(path).is(group.value.clone()), hits).with_metadata().run()?;
                }
                grouped.retain(|group| !group.hits.is_empty());
            }
            let nearest = |group: &Group| group.hits[0].distance;
            grouped.sort_by(|one, other| {
                nearest(one).total_cmp(&nearest(other)).then_with(|| one.hits[0].id.cmp(&other.hits[0].id))
            });
            if !self.has_metadata() {
                grouped.iter_mut().flat_map(|group| &mut group.hits).for_each(|hit| hit.metadata = None);
            }
            return Ok(grouped);
        }
    }
}

/// The first groups among hits, which are sorted.
fn grouped(found: &[Hit], path: &str, groups: usize, hits: usize) -> Vec<Group> {
    let mut grouped: Vec<Group> = Vec::new();
    for hit in found {
        let values = hit.metadata.as_ref().map_or(Vec::new(), |metadata| distinct_scalars(metadata, path));
        // NaN is equal to nothing, so no filter finds its group.
        for value in values.into_iter().filter(|value| compare(value, value).is_some()) {
            match grouped.iter().position(|group| total_order(&group.value, value).is_eq()) {
                Some(group) if grouped[group].hits.len() < hits => grouped[group].hits.push(hit.clone()),
                None if grouped.len() < groups => {
                    grouped.push(Group { value: value.clone(), hits: vec![hit.clone()] })
                }
                _ => {}
            }
        }
    }
    grouped
}
