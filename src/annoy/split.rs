//! Splitting items in two: a plane between two means of some of them, and the side of it that each item is on.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, SeedableRng};

use super::Metric;
use super::code::{CodePlane, Codes};
use super::layout::{Layout, Node, NodeMut, Nodes};
use super::means::{Drawn, STEPS};
use super::measure::{Measure, has_bit};

/// Bits drawn before the first one that separates anything is taken.
const BITS_DRAWN: usize = 20;
/// Planes tried.
const ATTEMPTS: usize = 3;
/// A plane is taken at once if its larger side has less than this share of the items,
const GOOD_SHARE: f64 = 0.95;
/// and items are assigned at random if the last one's has more than this.
const POOR_SHARE: f64 = 0.99;
/// Items ahead whose vectors are asked for: their order is known, and the processor cannot guess it.
const AHEAD: usize = 3;
/// Items ahead whose codes are asked for, which are smaller.
const CODES_AHEAD: usize = 8;

/// Draws planes for one tree. The outcome depends on items and seed alone.
pub(super) struct Splitter<'a> {
    layout: &'a Layout,
    measure: Measure,
    generator: Xoshiro256PlusPlus,
    /// Which side each item of the last split is on.
    sides: Vec<bool>,
    /// Reused: items whose codes do not tell their side, and where they are among the items of the split.
    unclear: Vec<u32>,
    places: Vec<u32>,
}

impl<'a> Splitter<'a> {
    pub(super) fn new(layout: &'a Layout, seed: u64, tree: u64) -> Splitter<'a> {
        let seed = seed ^ tree.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let generator = Xoshiro256PlusPlus::seed_from_u64(seed);
        Splitter {
            layout,
            measure: Measure::new(layout),
            generator,
            sides: Vec::new(),
            unclear: Vec::new(),
            places: Vec::new(),
        }
    }

    /// Writes a plane between items (two or more) and returns each item's side of it. Both sides have an item. Codes,
    /// which are those of the nodes, spare reading most vectors and change nothing.
    pub(super) fn split(
        &mut self,
        nodes: Nodes<'_>,
        codes: Option<&Codes>,
        items: &[u32],
        plane: &mut [u32],
    ) -> &[bool] {
        for _ in 0..ATTEMPTS {
            plane.fill(0);
            self.draw_plane(nodes, codes, items, plane);
            self.take_sides(nodes, codes, items, plane);
            if self.larger_share() < GOOD_SHARE {
                return &self.sides;
            }
        }
        while self.larger_share() > POOR_SHARE {
            plane.fill(0);
            for side in &mut self.sides {
                *side = self.generator.next_u64() >> 63 == 1;
            }
        }
        &self.sides
    }

    fn larger_share(&self) -> f64 {
        let right = self.sides.iter().filter(|&&side| side).count();
        right.max(self.sides.len() - right) as f64 / self.sides.len() as f64
    }

    fn take_sides(&mut self, nodes: Nodes<'_>, codes: Option<&Codes>, items: &[u32], plane: &[u32]) {
        let plane = Node::new(self.layout, plane);
        self.sides.clear();
        self.sides.resize(items.len(), false);
        if let Some(codes) = codes
            && let Some(coded) = codes.plane(plane)
        {
            return self.take_sides_by_codes(nodes, (codes, &coded), items, plane);
        }
        for (at, &item) in items.iter().enumerate() {
            prefetch(nodes, items, at + AHEAD);
            self.sides[at] = self.side(plane, nodes.at(item as usize));
        }
    }

    /// Measures those items alone whose codes do not tell.
    fn take_sides_by_codes(
        &mut self,
        nodes: Nodes<'_>,
        (codes, coded): (&Codes, &CodePlane),
        items: &[u32],
        plane: Node<'_>,
    ) {
        let (mut unclear, mut places) = (std::mem::take(&mut self.unclear), std::mem::take(&mut self.places));
        for (at, (&item, side)) in items.iter().zip(&mut self.sides).enumerate() {
            if let Some(&next) = items.get(at + CODES_AHEAD) {
                codes.prefetch(next);
            }
            match codes.get(item).and_then(|code| codes.side(coded, code)) {
                Some(known) => *side = known,
                None => {
                    unclear.push(item);
                    places.push(at as u32);
                }
            }
        }
        for (at, (&item, &place)) in unclear.iter().zip(&places).enumerate() {
            prefetch(nodes, &unclear, at + AHEAD);
            self.sides[place as usize] = self.side(plane, nodes.at(item as usize));
        }
        unclear.clear();
        places.clear();
        (self.unclear, self.places) = (unclear, places);
    }

    /// Whether an item's margin is above zero, by chance if it is zero. Sides cannot be guessed, so nothing branches on
    /// which one it is.
    fn side(&mut self, plane: Node<'_>, item: Node<'_>) -> bool {
        let vector = item.vector();
        if self.layout.metric == Metric::Hamming {
            return plane.bit().is_some_and(|bit| has_bit(vector, bit));
        }
        let margin = self.measure.margin(plane, vector);
        if margin == 0.0 || margin.is_nan() { self.generator.next_u64() >> 63 == 1 } else { margin > 0.0 }
    }

    fn draw_plane(&mut self, nodes: Nodes<'_>, codes: Option<&Codes>, items: &[u32], plane: &mut [u32]) {
        let first = self.below(items.len());
        let second = self.below(items.len() - 1);
        let second = second + usize::from(second >= first);
        let mut plane = NodeMut { layout: self.layout, words: plane };
        if self.layout.metric == Metric::Hamming {
            let bit = self.draw_bit(nodes, items);
            return plane.set_bit(bit);
        }
        let seeds = [first, second].map(|at| nodes.at(items[at] as usize));
        // The items of all steps, so that each is on its way before it is needed.
        let drawn: [u32; STEPS] = std::array::from_fn(|_| items[self.below(items.len())]);
        Drawn { nodes, measure: &self.measure, seeds, items: &drawn }.plane(codes, &mut plane);
    }

    /// A bit that some items have and others lack, if there is one.
    fn draw_bit(&mut self, nodes: Nodes<'_>, items: &[u32]) -> usize {
        let separates = |bit: usize| {
            let has = |item: &u32| has_bit(nodes.at(*item as usize).vector(), bit);
            items.split_first().is_some_and(|(first, rest)| {
                let first = has(first);
                rest.iter().any(|item| has(item) != first)
            })
        };
        let bits = self.layout.width() * 32;
        for _ in 0..BITS_DRAWN {
            let bit = self.below(bits);
            if separates(bit) {
                return bit;
            }
        }
        (0..bits).find(|&bit| separates(bit)).unwrap_or(0)
    }

    /// A number below `end`, which must not be 0.
    fn below(&mut self, end: usize) -> usize {
        ((u128::from(self.generator.next_u64()) * end as u128) >> 64) as usize
    }
}

/// Asks for the node of an item that is looked at soon.
fn prefetch(nodes: Nodes<'_>, items: &[u32], at: usize) {
    if let Some(&next) = items.get(at) {
        crate::distance::prefetch(bytemuck::cast_slice(nodes.at(next as usize).words()));
    }
}
