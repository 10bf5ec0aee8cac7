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
            kernels.approach(&mut means[side], item, share);
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
                codes.prefetch(next);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::annoy::Format;
    use crate::annoy::layout::Layout;

    const DIMENSION: usize = 100;

    /// Two kinds of items, in turns, `apart` from each other in each component of a span of about 200.
    fn items(layout: &Layout, apart: f32) -> Vec<u32> {
        let item = |number: usize| {
            let mut words = vec![0; layout.node];
            let mut node = NodeMut { layout, words: &mut words };
            node.set_descendants(1);
            for (at, component) in node.components().iter_mut().enumerate() {
                let common = (at * 37 % 101) as f32 * 2.0 - 100.0;
                let own = (at * 13 + number * 7) % 11;
                let side = if (at + number).is_multiple_of(2) { 1.0 } else { -1.0 };
                *component = common + apart * (side + 0.01 * own as f32);
            }
            let norm = Measure::new(layout).squared_norm(Node::new(layout, node.words).vector());
            if layout.metric == Metric::Angular {
                node.set_squared_norm(norm);
            }
            words
        };
        (0..STEPS).flat_map(item).collect()
    }

    /// The planes of two means of items: as builds take it, from the codes whatever they are worth, from the vectors.
    fn planes(metric: Metric, apart: f32) -> [Vec<u32>; 3] {
        let layout = Layout::new(DIMENSION, metric, Format::Release).unwrap();
        let words = items(&layout, apart);
        let (nodes, measure) = (Nodes::new(&layout, &words), Measure::new(&layout));
        let codes = Codes::of_any(&layout, STEPS).expect("codes");
        (0..STEPS).for_each(|item| codes.add(item as u32, nodes.at(item)));
        let drawn: [u32; STEPS] = std::array::from_fn(|at| (at * 77 % STEPS) as u32);
        let drawn = Drawn { nodes, measure: &measure, seeds: [0, 1].map(|seed| nodes.at(seed)), items: &drawn };
        let plane = |draw: &dyn Fn(&mut NodeMut<'_>)| {
            let mut words = vec![0; layout.node];
            draw(&mut NodeMut { layout: &layout, words: &mut words });
            words
        };
        let of_codes = |plane: &mut NodeMut<'_>| match metric {
            Metric::Angular | Metric::Dot => drop(drawn.between_directions(Some(&codes), plane)),
            _ => drop(drawn.half_way(Some(&codes), plane)),
        };
        [plane(&|plane| drawn.plane(Some(&codes), plane)), plane(&of_codes), plane(&|plane| drawn.plane(None, plane))]
    }

    const METRICS: [Metric; 4] = [Metric::Angular, Metric::Dot, Metric::Euclidean, Metric::Manhattan];

    #[test]
    fn means_that_are_closer_than_codes_can_tell_are_made_of_the_vectors() {
        for metric in METRICS {
            let [taken, of_codes, of_vectors] = planes(metric, 1e-3);
            assert!(taken == of_vectors, "{metric}");
            assert!(taken != of_codes, "{metric}: the codes give the same plane, so this shows nothing");
        }
    }

    #[test]
    fn means_that_codes_tell_apart_are_made_of_codes() {
        for metric in METRICS {
            let [taken, of_codes, of_vectors] = planes(metric, 30.0);
            assert!(taken == of_codes, "{metric}");
            assert!(taken != of_vectors, "{metric}: the vectors give the same plane, so this shows nothing");
        }
    }
}
