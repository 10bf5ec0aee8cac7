//! Hits that differ: maximal marginal relevance over a pool of candidates (Carbonell and Goldstein, 1998).

use super::Query;
use crate::error::{Error, Result};
use crate::filter::ids;
use crate::search::Found;
use crate::types::Id;

/// Candidates for each hit, and the least number of them, unless told.
const POOL_A_HIT: usize = 4;
const LEAST_POOL: usize = 32;

/// How hits are chosen among candidates.
#[derive(Clone, Copy, Debug)]
pub(super) struct Diversity {
    lambda: f32,
    pool: Option<usize>,
}

impl Query {
    /// Chooses hits that are near the query and far from each other: each next hit is the candidate of the least
    /// `lambda * distance to the query - (1 - lambda) * distance to the nearest hit chosen before`. 1 is the plain
    /// search, 0 looks at the query for the first hit only; 0.5 to 0.8 are usual. The hits come in the order in which
    /// they were chosen.
    ///
    /// The candidates are the four times `k` nearest items, 32 at least; see [`Query::pool`]. Costs a search by each hit
    /// among the candidates.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = understory::Store::open(dir.path().join("a.understory"))?;
    /// for (id, vector) in [("near", [1.0, 0.1]), ("as near", [1.0, 0.11]), ("other", [1.0, -0.3])] {
    ///     store.insert(id, &vector)?;
    /// }
    /// let hits = store.query(&[1.0, 0.0])?.k(2).diverse(0.5).run()?;
    /// assert_eq!((&hits[0].id, &hits[1].id), (&"near".into(), &"other".into()));
    /// # Ok::<(), understory::Error>(())
    /// ```
    pub fn diverse(mut self, lambda: f32) -> Query {
        let pool = self.diversity.and_then(|diversity| diversity.pool);
        self.diversity = Some(Diversity { lambda, pool });
        self
    }

    /// The number of candidates that [`Query::diverse`] chooses from; never fewer than `k`. Without it, this does
    /// nothing.
    pub fn pool(mut self, candidates: usize) -> Query {
        let lambda = self.diversity.map_or(1.0, |diversity| diversity.lambda);
        self.diversity = Some(Diversity { lambda, pool: Some(candidates) });
        self
    }

    /// How many items to search for.
    pub(super) fn candidates(&self) -> Result<usize> {
        let k = self.wanted();
        match self.diversity {
            Some(Diversity { lambda, .. }) if !(0.0..=1.0).contains(&lambda) => {
                Err(Error::InvalidArgument(format!("expected a lambda from 0 to 1, found {lambda}")))
            }
            Some(Diversity { lambda, pool }) if lambda < 1.0 && k > 1 => {
                Ok(pool.unwrap_or_else(|| k.saturating_mul(POOL_A_HIT).max(LEAST_POOL)).max(k))
            }
            _ => Ok(k),
        }
    }

    /// The hits among the candidates, which are sorted by their distance.
    pub(super) fn chosen(&self, mut candidates: Vec<Found>) -> Result<Vec<Found>> {
        let Some(Diversity { lambda, .. }) = self.diversity.filter(|diversity| diversity.lambda < 1.0) else {
            return Ok(candidates);
        };
        if candidates.len() < 2 {
            return Ok(candidates);
        }
        let mut hits = vec![candidates.remove(0)];
        // Of each candidate the distance to the nearest hit.
        let mut apart = vec![f32::INFINITY; candidates.len()];
        while hits.len() < self.wanted() && !candidates.is_empty() {
            self.come_nearer(&hits[hits.len() - 1], &candidates, &mut apart)?;
            let cost = |index: usize| lambda * candidates[index].distance - (1.0 - lambda) * apart[index];
            let best = (0..candidates.len()).min_by(|&one, &other| cost(one).total_cmp(&cost(other)));
            let Some(best) = best else { break };
            hits.push(candidates.remove(best));
            apart.remove(best);
        }
        Ok(hits)
    }

    /// Takes the distances of a hit into account. The store measures them, in its metric, as of any query.
    fn come_nearer(&self, hit: &Found, candidates: &[Found], apart: &mut [f32]) -> Result<()> {
        let among = ids(candidates.iter().map(|candidate| candidate.id.clone()));
        let vector = self.snapshot().item(hit.sequence)?.vector;
        let around = Query::new(self.snapshot().clone(), vector).filter(among).k(candidates.len()).exact().run()?;
        let distances: std::collections::HashMap<&Id, f32> =
            around.iter().map(|hit| (&hit.id, hit.distance)).collect();
        for (candidate, apart) in candidates.iter().zip(apart) {
            if let Some(&distance) = distances.get(&candidate.id) {
                *apart = apart.min(distance);
            }
        }
        Ok(())
    }
}
