//! The k nearest candidates seen so far, ties broken by id.

use crate::error::Result;

/// Where a candidate is, and how far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    pub(crate) distance: f32,
    pub(crate) place: Place,
    /// The effort spent when it was found.
    pub(crate) found_at: u32,
}

/// Where a candidate's id and vector are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    /// Segment (counted among those the query searches) and position.
    Segment(u32, u32),
    /// Place in the delta.
    Delta(u32),
    /// Index into the rows that the query has read.
    Row(u32),
}

/// Reads stored ids. Asked only where two distances are equal, for a candidate's id is rarely in the cache.
pub(crate) trait Ids {
    fn stored_id(&self, place: Place) -> Result<Vec<u8>>;

    /// Whether of equal distances those found first come first, instead of those of the smallest ids.
    fn first_found(&self) -> bool {
        false
    }
}

/// A bounded max-heap on (distance, id).
pub(crate) struct Top {
    k: usize,
    limit: f32,
    heap: Vec<Candidate>,
}

impl Top {
    /// Room for `k` candidates at a distance of at most `limit`.
    pub(crate) fn new(k: usize, limit: f32) -> Top {
        Top { k, limit, heap: Vec::with_capacity(k.min(1 << 12)) }
    }

    /// A candidate farther than this is none.
    pub(crate) fn threshold(&self) -> f32 {
        match self.heap.first() {
            Some(farthest) if self.is_full() => farthest.distance,
            _ => self.limit,
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.heap.len() == self.k
    }

    /// Takes a candidate in if it is among the k nearest. Whether it did.
    pub(crate) fn offer(&mut self, candidate: Candidate, ids: &dyn Ids) -> Result<bool> {
        if self.k == 0 || candidate.distance > self.threshold() {
            return Ok(false);
        }
        if !self.is_full() {
            self.heap.push(candidate);
            self.rise(ids)?;
            return Ok(true);
        }
        if !before(&candidate, &self.heap[0], ids)? {
            return Ok(false);
        }
        self.heap[0] = candidate;
        self.sink(ids)?;
        Ok(true)
    }

    /// The candidates, nearest first.
    pub(crate) fn into_sorted(mut self, ids: &dyn Ids) -> Result<Vec<Candidate>> {
        let mut sorted = Vec::with_capacity(self.heap.len());
        while let Some(last) = self.heap.pop() {
            match self.heap.first_mut() {
                Some(farthest) => {
                    sorted.push(std::mem::replace(farthest, last));
                    self.sink(ids)?;
                }
                None => sorted.push(last),
            }
        }
        sorted.reverse();
        Ok(sorted)
    }

    fn rise(&mut self, ids: &dyn Ids) -> Result<()> {
        let mut child = self.heap.len() - 1;
        while child > 0 {
            let parent = (child - 1) / 2;
            if !before(&self.heap[parent], &self.heap[child], ids)? {
                break;
            }
            self.heap.swap(parent, child);
            child = parent;
        }
        Ok(())
    }

    fn sink(&mut self, ids: &dyn Ids) -> Result<()> {
        let mut parent = 0;
        loop {
            let mut largest = parent;
            for child in [2 * parent + 1, 2 * parent + 2] {
                if child < self.heap.len() && before(&self.heap[largest], &self.heap[child], ids)? {
                    largest = child;
                }
            }
            if largest == parent {
                return Ok(());
            }
            self.heap.swap(parent, largest);
            parent = largest;
        }
    }
}

/// Whether `a` comes before `b` in the answer.
fn before(a: &Candidate, b: &Candidate, ids: &dyn Ids) -> Result<bool> {
    match a.distance.total_cmp(&b.distance) {
        std::cmp::Ordering::Less => Ok(true),
        std::cmp::Ordering::Greater => Ok(false),
        std::cmp::Ordering::Equal if ids.first_found() => Ok(a.found_at < b.found_at),
        std::cmp::Ordering::Equal => Ok(ids.stored_id(a.place)? < ids.stored_id(b.place)?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The place in the delta is the id.
    struct Numbers;

    impl Ids for Numbers {
        fn stored_id(&self, place: Place) -> Result<Vec<u8>> {
            match place {
                Place::Delta(number) => Ok(number.to_be_bytes().to_vec()),
                other => unreachable!("{other:?} was never offered"),
            }
        }
    }

    fn nearest(k: usize, limit: f32, distances: &[f32]) -> Vec<(f32, Place)> {
        let mut top = Top::new(k, limit);
        for (number, &distance) in distances.iter().enumerate() {
            let candidate = Candidate { distance, place: Place::Delta(number as u32), found_at: 0 };
            top.offer(candidate, &Numbers).unwrap();
        }
        top.into_sorted(&Numbers).unwrap().iter().map(|found| (found.distance, found.place)).collect()
    }

    #[test]
    fn keeps_the_k_nearest_in_order_of_distance_then_id() {
        let distances: [f32; 7] = [3.0, 1.0, 2.0, 1.0, 9.0, 1.0, 2.0];
        for k in 0..9 {
            let mut expected: Vec<_> =
                distances.iter().enumerate().map(|(number, &distance)| (distance, number as u32)).collect();
            expected.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            expected.truncate(k);
            let expected: Vec<_> =
                expected.into_iter().map(|(distance, number)| (distance, Place::Delta(number))).collect();
            assert_eq!(nearest(k, f32::INFINITY, &distances), expected, "k = {k}");
        }
    }

    #[test]
    fn the_limit_is_inclusive() {
        assert_eq!(nearest(5, 1.0, &[1.0, 1.1, 0.5]), [(0.5, Place::Delta(2)), (1.0, Place::Delta(0))]);
    }
}
