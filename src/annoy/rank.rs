//! The nearest of the candidates, measured or excluded by a bound. Both ways give the same.

use super::code::{BATCH, CodeProbe, Codes};
use super::layout::Nodes;
use super::measure::{Measure, Probe};

/// Candidates ahead whose vectors are asked for.
const AHEAD: usize = 3;
/// Bytes of these that are asked for: the hardware's own prefetching goes on from there.
const AHEAD_BYTES: usize = 1024;

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
        self.measure_all(candidates, found);
        self.keep_nearest(found);
    }

    fn measure_all(&self, items: &[u32], found: &mut Vec<Promise>) {
        for (at, &item) in items.iter().enumerate() {
            if let Some(&next) = items.get(at + AHEAD) {
                let bytes = self.nodes.bytes(next);
                crate::distance::prefetch(&bytes[..bytes.len().min(AHEAD_BYTES)]);
            }
            found.extend(self.measure(item));
        }
    }

    /// The same with codes: bounds whatever has one, measures the others, and then measures what its bound does not
    /// exclude. Leaves those without a code in `candidates`, and makes codes of some of them.
    pub(super) fn bounded(
        &self,
        candidates: &mut Vec<u32>,
        (codes, probe): (&Codes, &CodeProbe<'_>),
        bounds: &mut Vec<Promise>,
        found: &mut Vec<Promise>,
    ) {
        bounds.clear();
        for &first in &candidates[..BATCH.min(candidates.len())] {
            codes.prefetch(first);
        }
        let mut without = 0;
        for start in (0..candidates.len()).step_by(BATCH) {
            let end = candidates.len().min(start + BATCH);
            let (mut items, mut slots, mut count) = ([0; BATCH], [&[][..]; BATCH], 0);
            for at in start..end {
                let item = candidates[at];
                if let Some(code) = codes.get(item) {
                    (items[count], slots[count]) = (item, code);
                    count += 1;
                } else {
                    candidates[without] = item;
                    without += 1;
                }
            }
            // The next batch is asked for one by one, so that no request waits for room.
            let mut next = candidates[end..].iter();
            let slots = slots[..count].iter().map(|&slot| {
                next.next().inspect(|&&item| codes.prefetch(item));
                slot
            });
            if count > 0 {
                let lower = codes.bounds(probe, slots);
                bounds.extend(items[..count].iter().zip(lower).map(|(&item, lower)| promise(ordered(lower), item)));
            }
        }
        // In the order of their addresses, which the processor finds sooner.
        let all = candidates.len();
        candidates.truncate(without);
        candidates.sort_unstable();
        self.measure_all(candidates, found);
        codes.make_some(self.nodes, candidates, all);
        self.measure_nearest(bounds, found);
    }

    /// Measures what bounds do not exclude, and leaves the nearest of that and of what was found before.
    fn measure_nearest(&self, bounds: &mut [Promise], found: &mut Vec<Promise>) {
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
