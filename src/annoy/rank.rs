//! The nearest of the candidates, measured or excluded by a bound. Both ways give the same.

use super::code::{CodeProbe, Codes};
use super::layout::Nodes;
use super::measure::{Measure, Probe};

/// Candidates ahead whose vectors are asked for.
const AHEAD: usize = 3;
/// Candidates ahead whose codes are asked for, which are smaller.
const CODES_AHEAD: usize = 8;

/// A number that stands for a float or a count, above the number of a node or an item: ordered by one, then the other.
pub(super) type Promise = u64;

pub(super) fn promise(value: u32, number: u32) -> Promise {
    u64::from(value) << 32 | u64::from(number)
}

/// A number that is ordered like the float.
pub(super) fn ordered(value: f32) -> u32 {
    let bits = (value + 0.0).to_bits();
    if bits >> 31 == 1 { !bits } else { bits | 1 << 31 }
}

pub(super) fn from_ordered(number: u32) -> f32 {
    f32::from_bits(if number >> 31 == 1 { number & !(1 << 31) } else { !number })
}

/// What ranks the candidates of a search.
pub(super) struct Ranking<'a> {
    pub(super) nodes: Nodes<'a>,
    pub(super) measure: &'a Measure,
    pub(super) probe: &'a Probe<'a>,
    pub(super) count: usize,
}

impl Ranking<'_> {
    /// Leaves the nearest in `found`, by distance and then by item. Holes are no items.
    pub(super) fn measured(&self, candidates: &[u32], found: &mut Vec<Promise>) {
        for (at, &item) in candidates.iter().enumerate() {
            if let Some(&next) = candidates.get(at + AHEAD) {
                crate::distance::prefetch(self.nodes.bytes(next));
            }
            found.extend(self.measure(item));
        }
        self.keep_nearest(found);
    }

    /// The same with codes: bounds whatever has one, measures the others, and then measures what its bound does not
    /// exclude. Leaves those without a code in `candidates`, and makes codes of some items if there are any.
    pub(super) fn bounded(
        &self,
        candidates: &mut Vec<u32>,
        (codes, probe): (&Codes, &CodeProbe<'_>),
        bounds: &mut Vec<Promise>,
        found: &mut Vec<Promise>,
    ) {
        bounds.clear();
        let mut without = 0;
        for &first in &candidates[..CODES_AHEAD.min(candidates.len())] {
            crate::distance::prefetch(codes.bytes(first));
        }
        for at in 0..candidates.len() {
            if let Some(&next) = candidates.get(at + CODES_AHEAD) {
                crate::distance::prefetch(codes.bytes(next));
            }
            let item = candidates[at];
            if let Some(code) = codes.get(item) {
                bounds.push(promise(ordered(codes.bound(probe, code)), item));
            } else {
                candidates[without] = item;
                without += 1;
            }
        }
        // In the order of their addresses, which the processor finds sooner.
        candidates.truncate(without);
        candidates.sort_unstable();
        for (at, &item) in candidates.iter().enumerate() {
            if let Some(&next) = candidates.get(at + AHEAD) {
                crate::distance::prefetch(self.nodes.bytes(next));
            }
            found.extend(self.measure(item));
        }
        // No search takes much longer for making codes.
        codes.make(self.nodes, without.div_ceil(2));
        // Whatever has the lowest bounds is near: measured first, it excludes the others.
        let first = self.count.min(bounds.len());
        if (1..bounds.len()).contains(&first) {
            bounds.select_nth_unstable(first - 1);
        }
        let (first, others) = bounds.split_at(first);
        for &bound in first {
            crate::distance::prefetch(self.nodes.bytes(bound as u32));
        }
        found.extend(first.iter().filter_map(|&bound| self.measure(bound as u32)));
        self.keep_nearest(found);
        for &bound in others {
            // There are others only if as many as are asked for were measured.
            if found.last().is_some_and(|&last| bound < last)
                && let Some(measured) = self.measure(bound as u32)
            {
                let place = found.partition_point(|&nearer| nearer < measured);
                found.insert(place, measured);
                found.pop();
            }
        }
    }

    fn measure(&self, item: u32) -> Option<Promise> {
        let node = self.nodes.at(item as usize);
        (node.descendants() == 1).then(|| promise(ordered(self.measure.raw(self.probe, node)), item))
    }

    fn keep_nearest(&self, found: &mut Vec<Promise>) {
        if self.count < found.len() {
            if self.count > 0 {
                found.select_nth_unstable(self.count - 1);
            }
            found.truncate(self.count);
        }
        found.sort_unstable();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_for_floats_in_order() {
        let floats = [f32::NEG_INFINITY, -2.0, -f32::MIN_POSITIVE, 0.0, 1e-40, 1.0, f32::MAX, f32::INFINITY];
        for pair in floats.windows(2) {
            assert!(ordered(pair[0]) < ordered(pair[1]));
        }
        for float in floats {
            assert_eq!(from_ordered(ordered(float)), float);
        }
        assert_eq!(ordered(-0.0), ordered(0.0));
    }
}
