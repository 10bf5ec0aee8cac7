//! Annoy's two means of 200 steps, and the plane between them.

use super::Metric;
use super::code::Codes;
use super::layout::{Node, NodeMut, Nodes};
use super::measure::{Measure, angular};

/// Items that pull at the two means, one after the other.
pub(super) const STEPS: usize = 200;
/// Items ahead whose vectors are asked for: their order is known, and the processor cannot guess it.
const AHEAD: usize = 3;
/// Items ahead whose codes are asked for, which are smaller.
const CODES_AHEAD: usize = 8;
/// Means of codes are taken if they are so many times as far apart as the largest error of a code: then the plane
/// between them is turned by less than asin(1/4) from that between the means of the vectors.
const CLEAR: f32 = 8.0;

/// What a plane is made of.
pub(super) struct Drawn<'a> {
    pub(super) nodes: Nodes<'a>,
    pub(super) measure: &'a Measure,
    /// Where the means begin.
    pub(super) seeds: [Node<'a>; 2],
    /// What pulls at them.
    pub(super) items: &'a [u32],
}

/// How far apart two means are, and the largest error of what they are made of.
struct Clearness {
    apart: f32,
    error: f32,
}

impl Drawn<'_> {
    /// Writes the plane between the means. With codes the items pull as their codes have them, a quarter of the bytes
    /// to read in no order; where that could turn the plane by much, as among items that are nearly equal, the vectors
    /// are read after all.
    pub(super) fn plane(&self, codes: Option<&Codes>, plane: &mut NodeMut<'_>) {
        let draw = |codes, plane: &mut NodeMut<'_>| match self.nodes.layout.metric {
            Metric::Angular | Metric::Dot => self.between_directions(codes, plane),
            _ => self.half_way(codes, plane),
        };
        if codes.is_some() {
            let Clearness { apart, error } = draw(codes, plane);
            if apart > CLEAR * error {
                return;
            }
            plane.words.fill(0);
        }
        draw(None, plane);
    }

    /// The plane through the origin between two mean directions.
    fn between_directions(&self, codes: Option<&Codes>, plane: &mut NodeMut<'_>) -> Clearness {
        let (kernels, dot) = (self.measure.kernels(), self.nodes.layout.metric == Metric::Dot);
        let mut means = self.seeds.map(|seed| MeanDirection::new(seed, dot, self.measure));
        let mut reader = Reader::new(self, codes);
        for at in 0..self.items.len() {
            let (components, node) = reader.read(at);
            let squared = match node {
                Some(node) if !dot => node.squared_norm(),
                _ => kernels.dot(components, components),
            };
            // Zero vectors have no direction to pull in.
            if squared.is_nan() || squared <= 0.0 {
                continue;
            }
            let products = [0, 1].map(|side| kernels.dot(&means[side].sum, components));
            let distances = [0, 1].map(|side| means[side].distance(products[side], squared, dot));
            if let Some(side) = nearer(distances) {
                means[side].absorb(components, squared, products[side]);
            }
        }
        let [first, second] = means;
        let components = plane.components();
        for ((out, a), b) in components.iter_mut().zip(&first.sum).zip(&second.sum) {
            *out = a / first.count - b / second.count;
        }
        let factor = first.factor - second.factor;
        let norm = (kernels.dot(components, components) + factor * factor).sqrt();
        if norm > 0.0 {
            scale(components, 1.0 / norm);
            if dot {
                plane.set_dot_factor(factor / norm);
            }
        }
        Clearness { apart: norm, error: reader.error }
    }

    /// The plane half way between two means.
    fn half_way(&self, codes: Option<&Codes>, plane: &mut NodeMut<'_>) -> Clearness {
        let (kernels, manhattan) = (self.measure.kernels(), self.nodes.layout.metric == Metric::Manhattan);
        let mut means = self.seeds.map(|seed| seed.components().to_vec());
        let mut counts = [1.0, 1.0];
        let mut reader = Reader::new(self, codes);
        for at in 0..self.items.len() {
            let (item, _) = reader.read(at);
            let distances = [0, 1].map(|side| {
                let distance = match manhattan {
                    true => kernels.manhattan(&means[side], item),
                    false => kernels.squared_euclidean(&means[side], item),
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
        // Errors are in the metric's own measure.
        let apart = if manhattan { kernels.manhattan(&means[0], &means[1]) } else { norm };
        Clearness { apart, error: reader.error }
    }
}

/// Reads the vectors of the drawn items, from their codes where there are any.
struct Reader<'a> {
    drawn: &'a Drawn<'a>,
    codes: Option<&'a Codes>,
    decoded: Vec<f32>,
    /// The largest error of what was decoded.
    error: f32,
}

impl<'a> Reader<'a> {
    fn new(drawn: &'a Drawn<'a>, codes: Option<&'a Codes>) -> Reader<'a> {
        let decoded = vec![0.0; if codes.is_some() { drawn.nodes.layout.dimension } else { 0 }];
        Reader { drawn, codes, decoded, error: 0.0 }
    }

    /// The components of an item; and its node, if they are the node's own.
    fn read(&mut self, at: usize) -> (&[f32], Option<Node<'a>>) {
        let (nodes, items) = (self.drawn.nodes, self.drawn.items);
        if let Some(codes) = self.codes {
            if let Some(&next) = items.get(at + CODES_AHEAD) {
                crate::distance::prefetch(codes.bytes(next));
            }
            if let Some(code) = codes.get(items[at]) {
                self.error = self.error.max(codes.decode(code, &mut self.decoded));
                return (&self.decoded, None);
            }
        } else if let Some(&next) = items.get(at + AHEAD) {
            crate::distance::prefetch(nodes.bytes(next));
        }
        let node = nodes.at(items[at] as usize);
        (node.components(), Some(node))
    }
}

/// Which of two means is nearer, if either is. Nothing branches on which one, for it cannot be guessed.
fn nearer([first, second]: [f32; 2]) -> Option<usize> {
    (first < second || second < first).then_some(usize::from(second < first))
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
