//! The bytes of a node: where each metric and format keeps what.
//!
//! A file is an array of nodes of one size, without a header: items first, then the nodes of the trees, then copies
//! of the roots. A node is looked at as 32-bit words, to which every field is aligned, 64-bit words of bits included.

use super::{Format, Metric};
use crate::error::{Error, Result, VectorFault};

/// Most components of a vector: so that the size of a node fits 32 bits, whatever the metric.
const MAX_DIMENSION: usize = 1 << 24;

/// Where the fields of a node are, in 32-bit words. The count of descendants is always the first word.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Layout {
    pub(super) metric: Metric,
    pub(super) format: Format,
    pub(super) dimension: usize,
    /// Words of a node.
    pub(super) node: usize,
    /// The first child, or the first id of a bucket.
    pub(super) children: usize,
    /// The vector of an item, or the normal of a plane.
    pub(super) vector: usize,
}

/// The field of a plane that is added to the product with its normal: the offset of euclidean and manhattan planes.
const OFFSET: usize = 1;
/// The squared norm of an angular item, in place of its first child.
const SQUARED_NORM: usize = 1;
/// The component that makes all vectors of a dot index equally long.
const DOT_FACTOR: usize = 3;

impl Layout {
    pub(super) fn new(dimension: usize, metric: Metric, format: Format) -> Result<Layout> {
        if dimension == 0 || dimension > MAX_DIMENSION {
            let what = format!("expected vectors of 1 to {MAX_DIMENSION} components, found {dimension}");
            return Err(Error::InvalidArgument(what));
        }
        let (children, vector) = match (metric, format) {
            (Metric::Angular, _) => (1, 3),
            (Metric::Euclidean | Metric::Manhattan, _) => (2, 4),
            (Metric::Dot, Format::Unreleased) => (1, 6),
            (Metric::Dot, _) => (1, 4),
            (Metric::Hamming, Format::Packed) => (1, 3),
            (Metric::Hamming, _) => (1, 4),
        };
        let words = match metric {
            Metric::Hamming => dimension.div_ceil(64) * 2,
            _ => dimension,
        };
        Ok(Layout { metric, format, dimension, node: vector + words, children, vector })
    }

    pub(super) fn node_bytes(&self) -> usize {
        self.node * size_of::<u32>()
    }

    /// Ids that a bucket holds: they may fill everything from the children to the end of the node.
    pub(super) fn capacity(&self) -> usize {
        self.node - self.children
    }

    /// Words of a vector.
    pub(super) fn width(&self) -> usize {
        self.node - self.vector
    }

    /// Whether a vector has the index's dimension and finite components.
    pub(super) fn check(&self, vector: &[f32]) -> Result<()> {
        let (expected, found) = (self.dimension, vector.len());
        if found != expected {
            return Err(Error::DimensionMismatch { expected, found });
        }
        // All are looked at before any decides: nearly always all are finite.
        if vector.iter().fold(true, |finite, value| finite & value.is_finite()) {
            return Ok(());
        }
        match vector.iter().enumerate().find(|(_, value)| !value.is_finite()) {
            Some((component, &value)) => Err(Error::InvalidVector(VectorFault::NotFinite { component, value })),
            None => Ok(()),
        }
    }

    /// The words that stand for a vector: its components, or its bits (the first component is the lowest bit).
    pub(super) fn encode(&self, vector: &[f32]) -> Vec<u32> {
        match self.metric {
            Metric::Hamming => {
                let mut words = vec![0; self.width()];
                for (at, _) in vector.iter().enumerate().filter(|&(_, &component)| component > 0.5) {
                    words[at / 32] |= 1 << (at % 32);
                }
                words
            }
            _ => bytemuck::cast_slice(vector).to_vec(),
        }
    }

    /// The vector that words stand for.
    pub(super) fn decode(&self, words: &[u32]) -> Vec<f32> {
        match self.metric {
            Metric::Hamming => (0..self.dimension).map(|at| (words[at / 32] >> (at % 32) & 1) as f32).collect(),
            _ => bytemuck::cast_slice(words).to_vec(),
        }
    }

    /// The word and the shift of a bit as splits number them: from the highest bit of each 64-bit word down.
    pub(super) fn split_bit(bit: usize) -> (usize, u32) {
        let place = 63 - bit % 64;
        (bit / 64 * 2 + place / 32, (place % 32) as u32)
    }
}

/// Whole nodes, numbered from 0.
#[derive(Clone, Copy)]
pub(super) struct Nodes<'a> {
    pub(super) layout: &'a Layout,
    words: &'a [u32],
}

impl<'a> Nodes<'a> {
    /// Words after the last whole node are left out.
    pub(super) fn new(layout: &'a Layout, words: &'a [u32]) -> Nodes<'a> {
        Nodes { layout, words }
    }

    pub(super) fn len(&self) -> usize {
        self.words.len() / self.layout.node
    }

    pub(super) fn words(&self) -> &'a [u32] {
        self.words
    }

    pub(super) fn get(&self, number: usize) -> Option<Node<'a>> {
        let start = number.checked_mul(self.layout.node)?;
        let words = self.words.get(start..)?.get(..self.layout.node)?;
        Some(Node { layout: self.layout, words })
    }

    /// The bytes of a node; none if there is no such node.
    pub(super) fn bytes(&self, number: u32) -> &'a [u8] {
        self.get(number as usize).map_or(&[], |node| bytemuck::cast_slice(node.words))
    }

    /// A node that is known to exist.
    pub(super) fn at(&self, number: usize) -> Node<'a> {
        let start = number * self.layout.node;
        Node { layout: self.layout, words: &self.words[start..start + self.layout.node] }
    }
}

/// One node: exactly the words that the layout says.
#[derive(Clone, Copy)]
pub(super) struct Node<'a> {
    layout: &'a Layout,
    words: &'a [u32],
}

impl<'a> Node<'a> {
    pub(super) fn new(layout: &'a Layout, words: &'a [u32]) -> Node<'a> {
        assert_eq!(words.len(), layout.node, "the words of one node");
        Node { layout, words }
    }

    pub(super) fn words(&self) -> &'a [u32] {
        self.words
    }

    pub(super) fn descendants(&self) -> i32 {
        self.words[0].cast_signed()
    }

    /// Both children, the negative side first.
    pub(super) fn children(&self) -> [u32; 2] {
        [self.words[self.layout.children], self.words[self.layout.children + 1]]
    }

    /// The ids of a bucket; `None` if it claims more than it can hold.
    pub(super) fn bucket(&self) -> Option<&'a [u32]> {
        let count = usize::try_from(self.descendants()).ok()?;
        self.words[self.layout.children..].get(..count)
    }

    /// The words of the vector.
    pub(super) fn vector(&self) -> &'a [u32] {
        &self.words[self.layout.vector..]
    }

    pub(super) fn components(&self) -> &'a [f32] {
        bytemuck::cast_slice(self.vector())
    }

    /// The words between the count of descendants and the vector.
    pub(super) fn header(&self) -> &'a [u32] {
        &self.words[1..self.layout.vector]
    }

    pub(super) fn squared_norm(&self) -> f32 {
        f32::from_bits(self.words[SQUARED_NORM])
    }

    pub(super) fn offset(&self) -> f32 {
        f32::from_bits(self.words[OFFSET])
    }

    pub(super) fn dot_factor(&self) -> f32 {
        f32::from_bits(self.words[DOT_FACTOR])
    }

    /// The bit that a plane of a hamming index looks at; `None` if vectors have no such bit.
    pub(super) fn bit(&self) -> Option<usize> {
        let [low, high, ..] = *self.vector() else { return None };
        (high == 0 && (low as usize) < self.layout.width() * 32).then_some(low as usize)
    }
}

/// Writing the fields of a node that is still in memory.
pub(super) struct NodeMut<'a> {
    pub(super) layout: &'a Layout,
    pub(super) words: &'a mut [u32],
}

impl NodeMut<'_> {
    pub(super) fn set_descendants(&mut self, count: usize) {
        self.words[0] = count as u32;
    }

    pub(super) fn set_children(&mut self, children: [u32; 2]) {
        self.words[self.layout.children..][..2].copy_from_slice(&children);
    }

    pub(super) fn set_bucket(&mut self, ids: impl Iterator<Item = u32>) {
        for (slot, id) in self.words[self.layout.children..].iter_mut().zip(ids) {
            *slot = id;
        }
    }

    pub(super) fn set_vector(&mut self, words: &[u32]) {
        self.words[self.layout.vector..].copy_from_slice(words);
    }

    pub(super) fn components(&mut self) -> &mut [f32] {
        bytemuck::cast_slice_mut(&mut self.words[self.layout.vector..])
    }

    pub(super) fn set_squared_norm(&mut self, norm: f32) {
        self.words[SQUARED_NORM] = norm.to_bits();
    }

    pub(super) fn set_offset(&mut self, offset: f32) {
        self.words[OFFSET] = offset.to_bits();
    }

    pub(super) fn set_dot_factor(&mut self, factor: f32) {
        self.words[DOT_FACTOR] = factor.to_bits();
    }

    pub(super) fn set_bit(&mut self, bit: usize) {
        self.words[self.layout.vector] = bit as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_have_the_sizes_and_capacities_of_the_files() {
        let bytes = |metric, format, dimension| {
            let layout = Layout::new(dimension, metric, format).unwrap();
            (layout.node_bytes(), layout.capacity())
        };
        let newest = Format::Release;
        assert_eq!(bytes(Metric::Angular, newest, 10), (52, 12));
        assert_eq!(bytes(Metric::Euclidean, newest, 10), (56, 12));
        assert_eq!(bytes(Metric::Manhattan, newest, 10), (56, 12));
        assert_eq!(bytes(Metric::Dot, newest, 10), (56, 13));
        assert_eq!(bytes(Metric::Dot, Format::Unreleased, 10), (64, 15));
        assert_eq!(bytes(Metric::Hamming, newest, 65), (32, 7));
        assert_eq!(bytes(Metric::Hamming, Format::Packed, 65), (28, 6));
        assert!(
            Layout::new(0, Metric::Dot, newest).is_err() && Layout::new(usize::MAX, Metric::Dot, newest).is_err()
        );
    }

    #[test]
    fn bits_come_back_and_splits_count_from_the_other_end() {
        let layout = Layout::new(70, Metric::Hamming, Format::Release).unwrap();
        let vector: Vec<f32> = (0..70).map(|at| (at % 3 == 0) as u8 as f32).collect();
        let words = layout.encode(&vector);
        assert_eq!(words.len(), 4);
        assert_eq!(layout.decode(&words), vector);
        assert_eq!(Layout::split_bit(0), (1, 31));
        assert_eq!(Layout::split_bit(63), (0, 0));
        assert_eq!(Layout::split_bit(64), (3, 31));
    }
}
