//! Splitting items in two: Annoy's two means of 200 steps, and the plane between them.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, SeedableRng};

use super::Metric;
use super::code::{CodePlane, Codes};
use super::layout::{Layout, Node, NodeMut, Nodes};
use super::measure::{Measure, angular, has_bit};

/// Items that pull at the two means, one after the other.
const STEPS: usize = 200;
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
            self.draw_plane(nodes, items, plane);
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
        (codes, coded): (&Codes, &CodePlane<'_>),
        items: &[u32],
        plane: Node<'_>,
    ) {
        let (mut unclear, mut places) = (std::mem::take(&mut self.unclear), std::mem::take(&mut self.places));
        for (at, (&item, side)) in items.iter().zip(&mut self.sides).enumerate() {
            if let Some(&next) = items.get(at + CODES_AHEAD) {
                crate::distance::prefetch(codes.bytes(next));
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

    fn draw_plane(&mut self, nodes: Nodes<'_>, items: &[u32], plane: &mut [u32]) {
        let first = self.below(items.len());
        let second = self.below(items.len() - 1);
        let second = second + usize::from(second >= first);
        let mut plane = NodeMut { layout: self.layout, words: plane };
        let seeds = [nodes.at(items[first] as usize), nodes.at(items[second] as usize)];
        match self.layout.metric {
            Metric::Hamming => {
                let bit = self.draw_bit(nodes, items);
                plane.set_bit(bit);
            }
            Metric::Angular | Metric::Dot => self.direction_plane(nodes, items, seeds, &mut plane),
            Metric::Euclidean | Metric::Manhattan => self.midpoint_plane(nodes, items, seeds, &mut plane),
        }
    }

    /// The plane through the origin between two mean directions.
    fn direction_plane(&mut self, nodes: Nodes<'_>, items: &[u32], seeds: [Node<'_>; 2], plane: &mut NodeMut<'_>) {
        let dot = self.layout.metric == Metric::Dot;
        let mut means = seeds.map(|seed| MeanDirection::new(seed, dot, &self.measure));
        let drawn = self.draw(items);
        for at in 0..STEPS {
            prefetch(nodes, &drawn, at + AHEAD);
            let item = nodes.at(drawn[at] as usize);
            let squared = if dot { self.measure.squared_norm(item.vector()) } else { item.squared_norm() };
            // Zero vectors have no direction to pull in.
            if squared.is_nan() || squared <= 0.0 {
                continue;
            }
            let products = [0, 1].map(|side| self.measure.kernels().dot(&means[side].sum, item.components()));
            let distances = [0, 1].map(|side| means[side].distance(products[side], squared, dot));
            if let Some(side) = nearer(distances) {
                means[side].absorb(item.components(), squared, products[side]);
            }
        }
        let [first, second] = means;
        let components = plane.components();
        for ((out, a), b) in components.iter_mut().zip(&first.sum).zip(&second.sum) {
            *out = a / first.count - b / second.count;
        }
        let factor = first.factor - second.factor;
        let norm = (self.measure.kernels().dot(components, components) + factor * factor).sqrt();
        if norm > 0.0 {
            scale(components, 1.0 / norm);
            if dot {
                plane.set_dot_factor(factor / norm);
            }
        }
    }

    /// The plane half way between two means.
    fn midpoint_plane(&mut self, nodes: Nodes<'_>, items: &[u32], seeds: [Node<'_>; 2], plane: &mut NodeMut<'_>) {
        let mut means = seeds.map(|seed| seed.components().to_vec());
        let mut counts = [1.0, 1.0];
        let kernels = self.measure.kernels();
        let drawn = self.draw(items);
        for at in 0..STEPS {
            prefetch(nodes, &drawn, at + AHEAD);
            let item = nodes.at(drawn[at] as usize).components();
            let distances = [0, 1].map(|side| {
                let distance = match self.layout.metric {
                    Metric::Manhattan => kernels.manhattan(&means[side], item),
                    _ => kernels.squared_euclidean(&means[side], item),
                };
                counts[side] * distance
            });
            let Some(side) = nearer(distances) else { continue };
            counts[side] += 1.0;
            let share = 1.0 / counts[side];
            for (mean, component) in means[side].iter_mut().zip(item) {
                *mean += (component - *mean) * share;
            }
        }
        let components = plane.components();
        for ((out, a), b) in components.iter_mut().zip(&means[0]).zip(&means[1]) {
            *out = a - b;
        }
        let norm = kernels.dot(components, components).sqrt();
        if norm > 0.0 {
            scale(components, 1.0 / norm);
        }
        let offset = -0.5 * (kernels.dot(components, &means[0]) + kernels.dot(components, &means[1]));
        plane.set_offset(offset);
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

    /// The items of all steps, so that each is on its way before it is needed.
    fn draw(&mut self, items: &[u32]) -> [u32; STEPS] {
        std::array::from_fn(|_| items[self.below(items.len())])
    }

    /// A number below `end`, which must not be 0.
    fn below(&mut self, end: usize) -> usize {
        ((u128::from(self.generator.next_u64()) * end as u128) >> 64) as usize
    }
}

/// Which of two means is nearer, if either is. Nothing branches on which one, for it cannot be guessed.
fn nearer([first, second]: [f32; 2]) -> Option<usize> {
    (first < second || second < first).then_some(usize::from(second < first))
}

/// Asks for the node of an item that is looked at soon.
fn prefetch(nodes: Nodes<'_>, items: &[u32], at: usize) {
    if let Some(&next) = items.get(at) {
        crate::distance::prefetch(bytemuck::cast_slice(nodes.at(next as usize).words()));
    }
}

/// A running mean of directions, kept as a sum so that a step needs no division of every component.
struct MeanDirection {
    sum: Vec<f32>,
    squared_norm: f32,
    count: f32,
    /// The factor of the dot metric's extra component; it stays that of the first item.
    factor: f32,
}

impl MeanDirection {
    fn new(seed: Node<'_>, dot: bool, measure: &Measure) -> MeanDirection {
        let factor = if dot { seed.dot_factor() } else { 0.0 };
        let own = measure.squared_norm(seed.vector());
        let norm = (own + factor * factor).sqrt();
        let inverse = if norm > 0.0 { 1.0 / norm } else { 1.0 };
        let mut sum = seed.components().to_vec();
        scale(&mut sum, inverse);
        MeanDirection { sum, squared_norm: own * inverse * inverse, count: 1.0, factor: factor * inverse }
    }

    /// The distance of an item, times the count, so that the fuller mean repels. `product` is the sum's with it.
    fn distance(&self, product: f32, squared: f32, dot: bool) -> f32 {
        if dot { -product } else { self.count * angular(product, self.squared_norm * squared) }
    }

    fn absorb(&mut self, components: &[f32], squared: f32, product: f32) {
        let inverse = 1.0 / squared.sqrt();
        for (sum, component) in self.sum.iter_mut().zip(components) {
            *sum += component * inverse;
        }
        self.squared_norm += 2.0 * product * inverse + 1.0;
        self.count += 1.0;
    }
}

fn scale(values: &mut [f32], factor: f32) {
    values.iter_mut().for_each(|value| *value *= factor);
}
