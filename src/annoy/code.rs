//! Codes of items: a byte a component, which searches and builds read in place of the vectors, a quarter of the bytes.
//!
//! A code gives a bound that the item's raw distance is never below, roundings included; so a search that measures
//! whatever the bound cannot exclude finds the same items at the same distances as one without codes. It also tells on
//! which side of a plane the item is, unless it is too close to the plane; so a build that measures those that are too
//! close grows the same trees as one without codes.

mod bound;

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use super::Metric;
use super::layout::{Layout, Node, Nodes};
use super::measure::Measure;
use super::rounded::Rounded;
use crate::distance::Coded;
use crate::fs::Slots;

pub(super) use bound::{BATCH, CodeProbe};

/// Bytes before the codes of a slot: the lowest component, the step, the error and the inverse of the norm; under
/// euclidean, in the place of the last, the length of what the code stands for.
const HEADER: usize = 16;
/// What slots begin at a multiple of.
const ALIGN: usize = 16;
/// Cache lines are what the memory reads.
const LINE: usize = 64;
/// Of so many candidates a search makes the code of one at most: of what another measured before. A code costs about as
/// much as a look at a vector, and a search that makes some is to take little longer.
const SHARE: usize = 10;
/// Searches read the codes that searches made once one in so many of what one of them measured has a code: before,
/// asking which have one costs more than it spares.
const SPARED: usize = 4;
/// What stands for the slot of an item that has none: no search measured it; or one did; or its code is being made, or
/// cannot be.
const UNMET: u32 = u32::MAX;
const MET: u32 = u32::MAX - 1;
const TAKEN: u32 = u32::MAX - 2;
/// Vectors of all items that are no more bytes than this stay in a cache as they are.
const SMALL: usize = 1 << 21;
/// Beyond as many components sums of float32 are too rough to bound anything.
const MAX_DIMENSION: usize = 1 << 16;
/// Squared norms whose products, quotients and sums neither overflow nor vanish. Other vectors get no code.
const SANE: std::ops::RangeInclusive<f32> = 1e-15..=1e15;

/// A vector is at most so many times as long as the norm of its code says.
const LONGER: f64 = 1.05;
const EPSILON: f64 = f32::EPSILON as f64;

/// The codes of an index, as far as they are made: of all items by a build or a load, or by searches of what they meet.
/// They may be read and made by any number of threads at once.
pub(super) struct Codes {
    slots: Slots,
    /// What searches make codes of.
    met: Option<Met>,
    item_count: usize,
    measure: Measure,
    metric: Metric,
    dimension: usize,
    /// What bounds the rounding of a sum of as many terms, relative to the sum of their magnitudes, several times over.
    rounding: f64,
}

/// What searches met of the items.
struct Met {
    /// The slot of each item. Slots are taken one after the other, so that no memory is touched before there are codes
    /// for it, and what is met together lies together.
    places: Box<[AtomicU32]>,
    taken: AtomicUsize,
    /// Whether there are codes of enough that searches meet.
    awake: AtomicBool,
}

/// A plane that codes are asked for their side of.
pub(super) struct CodePlane {
    rounded: Rounded,
    /// What is added to the product with an item to make its margin.
    addend: f64,
    /// How far from the product with the vector that with its code may be, over the code's error.
    reach: f64,
    /// The rounding of the addition.
    slack: f64,
}

impl Codes {
    /// `None` where codes gain nothing, or the system has no addresses for them.
    pub(super) fn new(layout: &Layout, item_count: usize) -> Option<Codes> {
        if item_count.saturating_mul(layout.node_bytes()) <= SMALL { None } else { Codes::of_any(layout, item_count) }
    }

    /// The same for small indexes too.
    pub(super) fn of_any(layout: &Layout, item_count: usize) -> Option<Codes> {
        let dimension = layout.dimension;
        let slot_bytes = (HEADER + dimension).next_multiple_of(ALIGN);
        let read = slot_bytes.next_multiple_of(LINE);
        if layout.metric == Metric::Hamming || dimension > MAX_DIMENSION || 2 * read > layout.node_bytes() {
            return None;
        }
        let slots = Slots::new(item_count, slot_bytes)?;
        let rounding = (dimension + 16) as f64 * EPSILON;
        Some(Codes {
            slots,
            met: None,
            item_count,
            measure: Measure::new(layout),
            metric: layout.metric,
            dimension,
            rounding,
        })
    }

    /// The same, for searches to make of what they meet.
    pub(super) fn of_what_is_met(self) -> Codes {
        let places = (0..self.item_count).map(|_| AtomicU32::new(UNMET)).collect();
        Codes { met: Some(Met { places, taken: AtomicUsize::new(0), awake: AtomicBool::new(false) }), ..self }
    }

    /// The code of an item, if it was made.
    pub(super) fn get(&self, item: u32) -> Option<&[u8]> {
        match &self.met {
            None => self.slots.get(item as usize),
            Some(met) => self.slots.get(met.places.get(item as usize)?.load(Ordering::Acquire) as usize),
        }
    }

    /// Asks for the bytes of an item's code, if it was made.
    pub(super) fn prefetch(&self, item: u32) {
        crate::distance::prefetch(self.get(item).unwrap_or_default());
    }

    /// `None` if the plane is none, or so strange that no code could tell a side.
    pub(super) fn plane(&self, plane: Node<'_>) -> Option<CodePlane> {
        let components = plane.components();
        let squared = self.measure.squared_norm(plane.vector());
        let addend = f64::from(self.measure.addend(plane));
        let reach = match self.metric {
            // The errors are sums of magnitudes.
            Metric::Manhattan => {
                f64::from(components.iter().fold(0.0f32, |most, component| most.max(component.abs())))
            }
            _ => f64::from(squared).sqrt() * (1.0 + self.rounding),
        };
        (SANE.contains(&squared) && addend.is_finite()).then(|| CodePlane {
            rounded: Rounded::new(components),
            addend,
            reach,
            slack: addend.abs() * EPSILON * EPSILON,
        })
    }

    /// Writes the components of a code and returns its error: of normalised vectors for angular and dot, a sum of
    /// magnitudes for manhattan.
    pub(super) fn decode(&self, slot: &[u8], components: &mut [f32]) -> f32 {
        let (header, codes) = slot.split_at(HEADER);
        let [low, step, error, inverse_norm]: [f32; HEADER / 4] = bytemuck::pod_read_unaligned(header);
        self.measure.kernels().widen_bytes(&codes[..self.dimension], low, step, components);
        if self.metric == Metric::Dot { error * inverse_norm } else { error }
    }

    /// Whether the margin of a code's item from a plane is above zero; `None` if it is too close to tell.
    pub(super) fn side(&self, plane: &CodePlane, slot: &[u8]) -> Option<bool> {
        let (header, codes) = slot.split_at(HEADER);
        let [low, step, error, size]: [f32; HEADER / 4] = bytemuck::pod_read_unaligned(header);
        let sum = plane.rounded.sum_of_codes(self.measure.kernels(), &codes[..self.dimension]);
        let margin = plane.rounded.product(low, step, f64::from(sum)) + plane.addend;
        let error = f64::from(error);
        // All over the item's norm, where that is at hand; the errors of angular codes are so already. What rounding the
        // plane is off by grows with the length of what the code stands for, an error at most longer than the item.
        let (over, error, slack, length) = match self.metric {
            Metric::Euclidean => (1.0, error, plane.slack, f64::from(size) * (1.0 + EPSILON)),
            Metric::Angular => (f64::from(size), error, 0.0, LONGER + error),
            _ => {
                let over = f64::from(size);
                (over, error * over, plane.slack * over, LONGER + error * over)
            }
        };
        let off = plane.reach * error + slack + plane.rounded.error * length;
        (margin.abs() * over > off * (1.0 + EPSILON)).then_some(margin > 0.0)
    }

    /// Whether searches read codes: those that were made at once, or those of searches, once they are enough.
    pub(super) fn awake(&self) -> bool {
        self.met.as_ref().is_none_or(|met| met.awake.load(Ordering::Relaxed))
    }

    /// Makes the codes of some of the items that a search of so many candidates had to measure, while their vectors are in
    /// the cache: of those that a search measured before, one in [`SHARE`] candidates at most. Where threads meet, an
    /// item may have to be met once more.
    pub(super) fn make_some(&self, nodes: Nodes<'_>, measured: &[u32], candidates: usize) {
        let Some(met) = &self.met else { return };
        let (mut room, mut new, mut coded) = (candidates.div_ceil(SHARE), 0, 0);
        for (at, &item) in measured.iter().enumerate() {
            let place = &met.places[item as usize];
            match place.load(Ordering::Relaxed) {
                UNMET => {
                    new += 1;
                    place.store(MET, Ordering::Relaxed);
                }
                // Where most is new, little will be met again soon.
                MET if room > 0 && 2 * new <= at && nodes.at(item as usize).descendants() == 1 => {
                    room -= 1;
                    self.add(item, nodes.at(item as usize));
                }
                MET | TAKEN => {}
                _ => coded += 1,
            }
        }
        if coded > 0 && coded >= measured.len() / SPARED {
            met.awake.store(true, Ordering::Relaxed);
        }
    }

    /// Makes the codes of all items.
    pub(super) fn make_all(&self, nodes: Nodes<'_>) {
        for item in 0..self.item_count {
            if let Some(node) = nodes.get(item).filter(|node| node.descendants() == 1) {
                self.add(item as u32, node);
            }
        }
        if let Some(met) = &self.met {
            met.awake.store(true, Ordering::Relaxed);
        }
    }

    /// Makes the code of an item, unless it was made.
    pub(super) fn add(&self, item: u32, node: Node<'_>) {
        let encode = |slot: &mut [u8]| self.encode(node, slot).is_some();
        let Some(met) = &self.met else { return self.slots.write(item as usize, encode) };
        let place = &met.places[item as usize];
        let known = place.load(Ordering::Relaxed);
        if known <= TAKEN || place.compare_exchange(known, TAKEN, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            return;
        }
        // Each item takes one slot at most, so there are enough.
        let slot = met.taken.fetch_add(1, Ordering::Relaxed);
        self.slots.write(slot, encode);
        place.store(slot as u32, Ordering::Release);
    }

    /// Writes the code of an item. `None` if its vector cannot be bounded.
    fn encode(&self, node: Node<'_>, slot: &mut [u8]) -> Option<()> {
        let components = node.components();
        let squared = self.measure.squared_norm(node.vector());
        let stored = if self.metric == Metric::Angular { self.measure.item_norm(node) } else { squared };
        if !SANE.contains(&squared) || !SANE.contains(&stored) {
            return None;
        }
        // A stored norm that is another vector's says nothing about this one's length.
        if squared > 1.05 * stored {
            return None;
        }
        let (header, codes) = slot.split_at_mut(HEADER);
        let codes = &mut codes[..self.dimension];
        let (low, step) = self.measure.kernels().quantise(components, codes);
        let coded = Coded { low, step, codes };
        let (kernels, root) = (self.measure.kernels(), (self.dimension as f64).sqrt());
        // What sums of the query's products or differences with the vector or the code may be made of.
        let norm = f64::from(squared).sqrt() * (1.0 + self.rounding);
        let size = norm + root * (255.0 * f64::from(step) + f64::from(low).abs());
        let error = match self.metric {
            Metric::Manhattan => f64::from(kernels.manhattan_coded(components, &coded)) + root * self.rounding * size,
            _ => f64::from(kernels.squared_euclidean_coded(components, &coded)).sqrt() + self.rounding * size,
        };
        let inverse_norm = 1.0 / f64::from(stored).sqrt();
        let error = error * (1.0 + 3.0 * self.rounding);
        let error = if self.metric == Metric::Angular { error * inverse_norm + 16.0 * EPSILON } else { error };
        let error = (error * (1.0 + EPSILON)) as f32;
        let size = if self.metric == Metric::Euclidean { coded.squared_norm().sqrt() } else { inverse_norm };
        header.copy_from_slice(bytemuck::bytes_of(&[low, step, error, size as f32]));
        error.is_finite().then_some(())
    }
}

#[cfg(test)]
mod tests;
