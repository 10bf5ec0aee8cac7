//! The true recall of searches on a store's own items, or on queries of the caller's.

use rayon::prelude::*;

use super::Store;
use super::query::{Hit, Query};
use super::snapshot::Snapshot;
use crate::error::Result;
use crate::types::Id;
use crate::vector::Vector;

/// How many of the true neighbours searches found. See [`Store::measure_recall`].
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct RecallReport {
    /// The share of the true nearest neighbours that were found, from 0 to 1. Others at the same distance as the
    /// farthest of them count as well. 1 if there was nothing to find.
    pub recall: f64,
    /// The standard error of `recall`, since the queries are a sample.
    pub standard_error: f64,
    /// Queries it was measured with.
    pub queries: usize,
    /// Neighbours asked for, a query.
    pub k: usize,
}

impl Store {
    /// Measures the recall of default searches for ten neighbours, with `sample` of the store's own items as queries.
    /// See [`Snapshot::measure_recall`].
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = understory::Store::open(dir.path().join("a.understory"))?;
    /// # for id in 0..200u64 { store.insert(id, &[id as f32, 1.0])?; }
    /// let report = store.measure_recall(50)?;
    /// assert_eq!((report.queries, report.k), (50, 10));
    /// assert!(report.recall > 0.9);
    /// # Ok::<(), understory::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Query::run`].
    pub fn measure_recall(&self, sample: usize) -> Result<RecallReport> {
        self.snapshot()?.measure_recall(sample, |query| query)
    }
}

impl Snapshot {
    /// Measures the recall of searches, with `sample` of the store's own items as queries, spread evenly over the ids.
    /// `setting` makes each search what is to be measured, a filter included; the item itself is left out.
    ///
    /// Items are easier to search by than strangers are, the more so the more near-copies there are: where real queries
    /// are at hand, use [`Snapshot::measure_recall_of`]. Costs an exact search a query, on as many threads as the
    /// options say, and a pass over the ids.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = understory::Store::open(dir.path().join("a.understory"))?;
    /// # for id in 0..200u64 { store.insert(id, &[id as f32, 1.0])?; }
    /// let report = store.snapshot()?.measure_recall(20, |query| query.k(5).recall(0.99))?;
    /// assert_eq!(report.k, 5);
    /// # Ok::<(), understory::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Query::run`].
    pub fn measure_recall(&self, sample: usize, setting: impl Fn(Query) -> Query + Sync) -> Result<RecallReport> {
        let step = (self.len() / (sample as u64).max(1)).max(1);
        let ids = self.ids().step_by(step as usize).take(sample).collect::<Result<Vec<Id>>>()?;
        let measured = self.on_threads(|| {
            let one = |id: Id| {
                let mut query = setting(self.query_near(id.clone())?);
                let k = query.k;
                query.k = k.saturating_add(1);
                let others = |mut hits: Vec<Hit>| {
                    hits.retain(|hit| hit.id != id);
                    hits.truncate(k);
                    hits
                };
                Ok(share_found(&others(query.run()?), &others(query.clone().exact().run()?)))
            };
            ids.into_par_iter().map(one).collect::<Result<Vec<f64>>>()
        })?;
        self.report(&measured, setting)
    }

    /// Measures the recall of searches with queries of the caller's.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = understory::Store::open(dir.path().join("a.understory"))?;
    /// # for id in 0..200u64 { store.insert(id, &[id as f32, 1.0])?; }
    /// let queries = [[10.5, 1.0], [70.2, 0.9]];
    /// assert_eq!(store.snapshot()?.measure_recall_of(&queries, |query| query.recall(0.9))?.queries, 2);
    /// # Ok::<(), understory::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Snapshot::query`] and [`Query::run`].
    pub fn measure_recall_of<V: Vector + Sync>(
        &self,
        queries: &[V],
        setting: impl Fn(Query) -> Query + Sync,
    ) -> Result<RecallReport> {
        let measured = self.on_threads(|| {
            let one = |vector: &V| {
                let query = setting(self.query(vector)?);
                Ok(share_found(&query.run()?, &query.exact().run()?))
            };
            queries.par_iter().map(one).collect::<Result<Vec<f64>>>()
        })?;
        self.report(&measured, setting)
    }

    fn report(&self, measured: &[f64], setting: impl Fn(Query) -> Query) -> Result<RecallReport> {
        let queries = measured.len();
        let recall = if queries == 0 { 1.0 } else { measured.iter().sum::<f64>() / queries as f64 };
        let squares: f64 = measured.iter().map(|share| (share - recall).powi(2)).sum();
        let standard_error = (squares / (queries.max(2) - 1) as f64 / queries.max(1) as f64).sqrt();
        let k = setting(Query::new(self.clone(), Vec::new())).k;
        Ok(RecallReport { recall, standard_error, queries, k })
    }
}

/// The share of the nearest that a search found, by distance.
fn share_found(found: &[Hit], nearest: &[Hit]) -> f64 {
    let Some(farthest) = nearest.last() else { return 1.0 };
    let count = found.iter().filter(|hit| hit.distance <= farthest.distance).count();
    count.min(nearest.len()) as f64 / nearest.len() as f64
}
