//! A search under construction, and what it finds.

use std::borrow::{Borrow, Cow};
use std::collections::BTreeSet;
use std::sync::Arc;

use super::diverse::Diversity;
use super::snapshot::Snapshot;
use crate::error::{Error, Result};
use crate::filter::{Filter, Node};
use crate::metadata::Metadata;
use crate::search::{self, Answer, Reach, Request};
use crate::types::Id;

/// The recall at ten neighbours that a search without a stated effort aims at.
pub(super) const DEFAULT_RECALL: f32 = 0.95;

/// Hits that a query asks for unless told.
pub(super) const DEFAULT_K: usize = 10;

/// An item that a search found.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Hit {
    /// The item's id.
    pub id: Id,
    /// Its exact distance from the query.
    pub distance: f32,
    /// Its vector, if [`Query::with_vectors`] asked for it.
    pub vector: Option<Vec<f32>>,
    /// Its metadata, if [`Query::with_metadata`] asked for it.
    pub metadata: Option<Metadata>,
}

/// How a query went about the items of segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum QueryPlan {
    /// Leaves were scanned by their codes, the best first; those without a match were passed over.
    LeavesScanned,
    /// The exact distance of every match was taken, since there were few.
    MatchesMeasured,
}

/// What a query looked at.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct QueryReport {
    /// Live items that match the filter; all of them where there is none.
    pub matches: u64,
    /// Items of segments whose codes were compared, matches only where there is a filter.
    pub scanned: u64,
    /// Exact distances that were taken.
    pub measured: u64,
    /// How the segments were searched.
    pub plan: QueryPlan,
    /// Fields of the filter that no item has a value in: a misspelled name matches nothing, and is named here.
    pub unknown_fields: Vec<String>,
}

/// Hits that are found beyond half as many again, where their distances are measured again.
const SPARE_HITS: usize = 8;

/// How far a query goes.
#[derive(Clone, Copy, Debug)]
enum Effort {
    Recall(f32),
    Items(usize),
    Exact,
}

/// A search: set what matters, then [`run`](Query::run) it, as often as wanted.
///
/// ```
/// use understory::Store;
/// # let dir = tempfile::tempdir().unwrap();
/// let store = Store::open(dir.path().join("a.understory"))?;
/// store.insert("east", &[1.0, 0.0])?;
/// store.insert("north", &[0.0, 1.0])?;
/// let hits = store.query(&[0.9, 0.1])?.k(2).max_distance(0.5).with_vectors().run()?;
/// assert_eq!(hits.len(), 1);
/// assert_eq!(hits[0].vector.as_deref(), Some(&[1.0, 0.0][..]));
/// # Ok::<(), understory::Error>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct Query {
    snapshot: Snapshot,
    vector: Vec<f32>,
    pub(super) k: usize,
    effort: Effort,
    max_distance: f32,
    filter: Option<Arc<Filter>>,
    /// Ids that are no answers, whatever the filter says.
    left_out: BTreeSet<Id>,
    pub(super) diversity: Option<Diversity>,
    exact_distances: bool,
    vectors: bool,
    metadata: bool,
}

impl Query {
    /// The vector is valid for the snapshot.
    pub(super) fn new(snapshot: Snapshot, vector: Vec<f32>) -> Query {
        Query {
            snapshot,
            vector,
            k: DEFAULT_K,
            effort: Effort::Recall(DEFAULT_RECALL),
            max_distance: f32::INFINITY,
            filter: None,
            left_out: BTreeSet::new(),
            diversity: None,
            exact_distances: false,
            vectors: false,
            metadata: false,
        }
    }

    /// Leaves out the items of these ids.
    pub(super) fn without(mut self, ids: impl IntoIterator<Item = Id>) -> Query {
        self.left_out.extend(ids);
        self
    }

    pub(super) fn vector(&self) -> &[f32] {
        &self.vector
    }

    pub(super) fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// The hits asked for.
    pub(super) fn wanted(&self) -> usize {
        self.k
    }

    pub(super) fn has_metadata(&self) -> bool {
        self.metadata
    }

    /// The same query of what also matches another filter, and of as many hits as said.
    pub(super) fn narrowed(&self, filter: Filter, k: usize) -> Query {
        let filter = match &self.filter {
            Some(own) => Filter::all([Filter::clone(own), filter]),
            None => filter,
        };
        self.clone().filter(filter).k(k)
    }

    /// How many hits. Default: 10. There are fewer only if fewer items are live, or near enough.
    pub fn k(mut self, k: usize) -> Query {
        self.k = k;
        self
    }

    /// The recall to aim at, from 0 to 1. Default: 0.95. How much that takes was measured on the store's own items, for
    /// 1, 10 and 100 neighbours; for .95 no less is spent than 24 roots of each segment's items, and no fewer than six
    /// are scanned. Queries far from all items may find less:
    /// [`Snapshot::measure_recall_of`](crate::Snapshot::measure_recall_of) measures yours. 1 scans every leaf. What is not
    /// from 0 to 1 is an error when the query runs.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = understory::Store::open(dir.path().join("a.understory"))?;
    /// store.insert(1, &[1.0, 0.0])?;
    /// assert_eq!(store.query(&[0.9, 0.1])?.recall(0.99).run()?.len(), 1);
    /// assert!(store.query(&[0.9, 0.1])?.recall(99.0).run().is_err());
    /// # Ok::<(), understory::Error>(())
    /// ```
    pub fn recall(mut self, recall: f32) -> Query {
        self.effort = Effort::Recall(recall);
        self
    }

    /// How far to go, in place of a recall: the items of segments to scan, each counting as many times as the leaf that comes
    /// next is farther than the k-th neighbour found (the ratio of their squared distances, squared; 1/16 to 16). So
    /// about as many are scanned, fewer where what is left is far, more where it is not. Under dot each counts once. More
    /// is slower and finds more; 16 times the items there are scans every leaf.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = understory::Store::open(dir.path().join("a.understory"))?;
    /// store.insert(1, &[1.0, 0.0])?;
    /// let usual = store.stats()?.default_effort as usize;
    /// let hits = store.query(&[0.9, 0.1])?.effort(4 * usual).run()?;
    /// # assert_eq!(hits.len(), 1);
    /// # Ok::<(), understory::Error>(())
    /// ```
    pub fn effort(mut self, items: usize) -> Query {
        self.effort = Effort::Items(items);
        self
    }

    /// The same as [`effort`](Query::effort), under the name it has in Annoy.
    pub fn search_k(self, items: usize) -> Query {
        self.effort(items)
    }

    /// Compares with every vector: a recall of 1, in time that grows with the store.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = understory::Store::open(dir.path().join("a.understory"))?;
    /// (0..100u64).for_each(|id| store.insert(id, &[id as f32, 50.0]).unwrap());
    /// let (found, all) = (store.search(&[50.0, 50.0], 5)?, store.query(&[50.0, 50.0])?.k(5).exact().run()?);
    /// assert_eq!(found[0], all[0]);
    /// # Ok::<(), understory::Error>(())
    /// ```
    pub fn exact(mut self) -> Query {
        self.effort = Effort::Exact;
        self
    }

    /// Whether distances are exact where segments hold [rounded vectors](crate::SegmentVectors): half as many hits again
    /// are found, measured by their rows, and the nearest of them returned. Costs a read of the row of each. Elsewhere
    /// distances always are exact. Default: false.
    pub fn exact_distances(mut self, exact: bool) -> Query {
        self.exact_distances = exact;
        self
    }

    /// Leaves out what is farther than this. Where fewer than `k` items are near enough, every leaf is scanned to make sure.
    pub fn max_distance(mut self, distance: f32) -> Query {
        self.max_distance = distance;
        self
    }

    /// Finds only what matches a filter: `min(k, matches)` hits, never fewer, with the recall that the query has
    /// without it. A second filter takes the place of the first.
    ///
    /// Where few items match, exactly these are measured; where many do, leaves are scanned and matches counted.
    ///
    /// ```
    /// use understory::{Store, field};
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = Store::open(dir.path().join("a.understory"))?;
    /// # #[derive(serde::Serialize)]
    /// # struct Note { year: u16 }
    /// store.insert_with("old", &[1.0, 0.0], &Note { year: 1998 })?;
    /// store.insert_with("new", &[0.0, 1.0], &Note { year: 2026 })?;
    /// let hits = store.query(&[0.9, 0.1])?.filter(field("year").ge(2020)).run()?;
    /// assert_eq!(hits[0].id, "new".into());
    /// # Ok::<(), understory::Error>(())
    /// ```
    pub fn filter(mut self, filter: impl Borrow<Filter>) -> Query {
        self.filter = Some(Arc::new(filter.borrow().clone()));
        self
    }

    /// Hits carry their vectors. Costs a read of the row of each hit.
    pub fn with_vectors(mut self) -> Query {
        self.vectors = true;
        self
    }

    /// Hits carry their metadata. Costs a read of the row of each hit.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = understory::Store::open(dir.path().join("a.understory"))?;
    /// store.insert_with(1, &[1.0, 0.0], &serde_json::json!({"title": "On trees"}))?;
    /// let hits = store.query(&[0.9, 0.1])?.with_metadata().run()?;
    /// assert_eq!(hits[0].metadata.as_ref().unwrap().get("title"), Some(&"On trees".into()));
    /// # Ok::<(), understory::Error>(())
    /// ```
    pub fn with_metadata(mut self) -> Query {
        self.metadata = true;
        self
    }

    /// The hits, nearest first, those of one distance in the order of their ids. `k = 0` finds nothing.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] for a recall or a distance that is NaN, [`Error::InvalidFilter`] for a filter that
    /// [`Filter::check`] refuses; [`Error::Corrupt`] if rows are damaged. A
    /// damaged segment is no error: the rows answer for its items.
    pub fn run(&self) -> Result<Vec<Hit>> {
        let answer = self.answer()?;
        self.chosen(answer.found)?.into_iter().map(|found| self.hit(found)).collect()
    }

    /// The hits, and what was looked at to find them.
    ///
    /// Costs more than [`run`](Query::run) where there is a filter: its matches in the delta are counted, and whether
    /// any item has its fields.
    ///
    /// ```
    /// use understory::field;
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = understory::Store::open(dir.path().join("a.understory"))?;
    /// store.insert_with(1, &[1.0, 0.0], &serde_json::json!({"year": 2026}))?;
    /// let (hits, report) = store.query(&[0.9, 0.1])?.filter(field("yaer").gt(2000)).run_with_report()?;
    /// assert_eq!((hits.len(), report.matches, report.unknown_fields), (0, 0, vec!["yaer".to_owned()]));
    /// # Ok::<(), understory::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`run`](Query::run).
    pub fn run_with_report(&self) -> Result<(Vec<Hit>, QueryReport)> {
        let answer = self.answer()?;
        let view = self.snapshot.view();
        let mut report = QueryReport {
            matches: view.len,
            scanned: answer.examined.scanned,
            measured: answer.examined.measured,
            plan: match answer.examined.plan {
                search::Plan::LeavesScanned => QueryPlan::LeavesScanned,
                search::Plan::MatchesMeasured => QueryPlan::MatchesMeasured,
            },
            unknown_fields: Vec::new(),
        };
        if let Some(node) = self.node() {
            report.matches = search::count_matches(view, &node)?.0;
            report.unknown_fields = search::unknown_fields(view, &node)?;
        }
        let hits = self.chosen(answer.found)?.into_iter().map(|found| self.hit(found)).collect::<Result<_>>()?;
        Ok((hits, report))
    }

    fn answer(&self) -> Result<Answer> {
        if self.max_distance.is_nan() {
            return Err(Error::InvalidArgument("expected a largest distance, found NaN".into()));
        }
        if let Some(filter) = &self.filter {
            filter.check()?;
        }
        let view = self.snapshot.view();
        let k = self.candidates()?;
        let reach = match self.effort {
            Effort::Recall(recall) if !(0.0..=1.0).contains(&recall) => {
                return Err(Error::InvalidArgument(format!("expected a recall from 0 to 1, found {recall}")));
            }
            Effort::Recall(recall) => search::reach_for(view, recall, k),
            Effort::Items(items) => Reach::Effort { effort: items as u64, items: 0 },
            Effort::Exact => Reach::Exact,
        };
        let node = self.node();
        let filter = node.as_deref();
        let rounded = self.exact_distances && k > 0 && reach != Reach::Exact && search::has_rounded(view);
        let (found, max_distance) = if rounded {
            (k.saturating_add(k / 2).saturating_add(SPARE_HITS), f32::INFINITY)
        } else {
            (k, self.max_distance)
        };
        let request = Request { vector: &self.vector, k: found, reach, max_distance, filter, first_found: false };
        let mut answer = search::search(view, &request)?;
        if rounded {
            search::measure_again(view, &self.vector, &mut answer.found)?;
            answer.found.retain(|found| found.distance <= self.max_distance);
            answer.found.truncate(k);
        }
        if answer.set_aside {
            self.snapshot.report_damage();
        }
        Ok(answer)
    }

    /// What a hit must match, if anything.
    fn node(&self) -> Option<Cow<'_, Node>> {
        let filter = self.filter.as_deref().map(|filter| &filter.node);
        if self.left_out.is_empty() {
            return filter.map(Cow::Borrowed);
        }
        let others = Node::Not(Box::new(Node::Ids(self.left_out.clone())));
        Some(Cow::Owned(Node::And([Some(others), filter.cloned()].into_iter().flatten().collect())))
    }

    fn hit(&self, found: search::Found) -> Result<Hit> {
        let mut hit = Hit { id: found.id, distance: found.distance, vector: None, metadata: None };
        if self.vectors || self.metadata {
            let item = self.snapshot.item(found.sequence)?;
            hit.vector = self.vectors.then_some(item.vector);
            hit.metadata = self.metadata.then_some(item.metadata);
        }
        Ok(hit)
    }
}
