//! The search: the most promising node of all trees first, until enough candidates are collected.
//!
//! A node's promise is the worst margin on its path, so a vector close to a plane is looked for on both sides. Among
//! equals the larger node goes first, as in Annoy, so that both collect the same candidates. Every number that comes
//! from a node is checked before it is followed, and no search visits more nodes than trees can have.

use std::collections::BinaryHeap;
use std::path::Path;

use super::Metric;
use super::layout::Nodes;
use super::measure::{Measure, Probe, has_bit};
use super::open::{is_child, no_child};
use crate::error::{Error, Result};

/// Candidates ahead whose vectors are asked for.
const AHEAD: usize = 3;

/// Candidates are sorted if they are fewer than one in so many words of bits; else the bits are read in order.
const DENSE: usize = 8;

/// What is searched.
#[derive(Clone, Copy)]
pub(super) struct Forest<'a> {
    pub(super) nodes: Nodes<'a>,
    pub(super) item_count: usize,
    pub(super) roots: &'a [u32],
    /// Where the nodes are from.
    pub(super) path: &'a Path,
}

/// Reused from search to search, so that none allocates; empty between two.
#[derive(Default)]
pub(super) struct Scratch {
    heap: BinaryHeap<Promise>,
    /// A bit an item: whether it is a candidate already.
    seen: Vec<u64>,
    candidates: Vec<u32>,
    found: Vec<Promise>,
}

/// A number that stands for a float or a count, above the number of a node or an item: ordered by one, then the other.
type Promise = u64;

fn promise(value: u32, number: u32) -> Promise {
    u64::from(value) << 32 | u64::from(number)
}

/// A number that is ordered like the float.
fn ordered(value: f32) -> u32 {
    let bits = (value + 0.0).to_bits();
    if bits >> 31 == 1 { !bits } else { bits | 1 << 31 }
}

fn from_ordered(number: u32) -> f32 {
    f32::from_bits(if number >> 31 == 1 { number & !(1 << 31) } else { !number })
}

/// The `count` nearest candidates of at least `budget` collected ones, repetitions counted, with raw distances.
pub(super) fn nearest(
    forest: Forest<'_>,
    words: &[u32],
    count: usize,
    budget: usize,
    scratch: &mut Scratch,
) -> Result<Vec<(u32, f32)>> {
    let measure = Measure::new(forest.nodes.layout);
    scratch.seen.resize(forest.item_count.div_ceil(64), 0);
    let collected = collect(forest, &measure, words, budget, scratch);
    scratch.heap.clear();
    put_in_order(scratch);
    let ranked = collected.map(|()| rank(forest, &measure, &measure.probe(words), count, scratch));
    scratch.candidates.clear();
    ranked
}

fn collect(forest: Forest<'_>, measure: &Measure, words: &[u32], budget: usize, scratch: &mut Scratch) -> Result<()> {
    let Forest { nodes, item_count, roots, .. } = forest;
    let capacity = i32::try_from(nodes.layout.capacity()).unwrap_or(i32::MAX);
    let most = if nodes.layout.metric == Metric::Hamming { u32::MAX } else { ordered(f32::INFINITY) };
    scratch.heap.extend(roots.iter().map(|&root| promise(most, root)));
    // Each tree node but a root is the child of one other.
    let mut visits = roots.len() + 2 * (nodes.len() - item_count);
    let mut collected = 0;
    while collected < budget
        && let Some(best) = scratch.heap.pop()
    {
        let number = best as u32;
        let Some(node) = nodes.get(number as usize) else {
            return Err(no_child(forest.path, item_count, number, number));
        };
        visits = visits.checked_sub(1).ok_or_else(|| endless(forest, number))?;
        let descendants = node.descendants();
        if (number as usize) < item_count {
            match descendants {
                0 => {}
                1 => {
                    collected += 1;
                    add(scratch, number);
                }
                _ => return Err(not_an_item(forest, number, descendants)),
            }
        } else if descendants <= capacity {
            let Some(ids) = node.bucket() else { return Err(not_a_bucket(forest, number, descendants)) };
            collected += ids.len();
            for &id in ids {
                if id as usize >= item_count {
                    return Err(no_child(forest.path, item_count, number, id));
                }
                add(scratch, id);
            }
        } else {
            let children = node.children();
            for child in children {
                if !is_child(item_count, number, child) {
                    return Err(no_child(forest.path, item_count, number, child));
                }
                crate::distance::prefetch(node_bytes(nodes, child));
            }
            let sides = if nodes.layout.metric == Metric::Hamming {
                let bit = node.bit().ok_or_else(|| no_bit(forest, number))?;
                let other = (best >> 32) as u32;
                let disagrees = usize::from(!has_bit(words, bit));
                let mut sides = [other; 2];
                sides[disagrees] = other.saturating_sub(1);
                sides
            } else {
                let margin = measure.margin(node, words);
                let limit = from_ordered((best >> 32) as u32);
                [ordered(limit.min(-margin)), ordered(limit.min(margin))]
            };
            scratch.heap.push(promise(sides[1], children[1]));
            scratch.heap.push(promise(sides[0], children[0]));
        }
    }
    Ok(())
}

fn add(scratch: &mut Scratch, item: u32) {
    let (word, bit) = (item as usize / 64, 1 << (item % 64));
    if scratch.seen[word] & bit == 0 {
        scratch.seen[word] |= bit;
        scratch.candidates.push(item);
    }
}

/// Orders the candidates by id, which is the order of their addresses, and forgets which were seen.
fn put_in_order(scratch: &mut Scratch) {
    let Scratch { seen, candidates, .. } = scratch;
    if candidates.len() < seen.len() / DENSE {
        for &item in candidates.iter() {
            seen[item as usize / 64] = 0;
        }
        candidates.sort_unstable();
        return;
    }
    candidates.clear();
    for (at, word) in seen.iter_mut().enumerate() {
        let mut bits = std::mem::take(word);
        while bits != 0 {
            candidates.push((at * 64) as u32 + bits.trailing_zeros());
            bits &= bits - 1;
        }
    }
}

fn node_bytes(nodes: Nodes<'_>, number: u32) -> &[u8] {
    nodes.get(number as usize).map_or(&[], |node| bytemuck::cast_slice(node.words()))
}

/// The nearest of the candidates, by distance and then by id. Holes are no items.
fn rank(
    forest: Forest<'_>,
    measure: &Measure,
    probe: &Probe<'_>,
    count: usize,
    scratch: &mut Scratch,
) -> Vec<(u32, f32)> {
    let (nodes, candidates, found) = (forest.nodes, &scratch.candidates, &mut scratch.found);
    found.clear();
    for (at, &item) in candidates.iter().enumerate() {
        if let Some(&next) = candidates.get(at + AHEAD) {
            crate::distance::prefetch(node_bytes(nodes, next));
        }
        let node = nodes.at(item as usize);
        if node.descendants() == 1 {
            found.push(promise(ordered(measure.raw(probe, node)), item));
        }
    }
    if count < found.len() {
        if count > 0 {
            found.select_nth_unstable(count - 1);
        }
        found.truncate(count);
    }
    found.sort_unstable();
    found.iter().map(|&found| (found as u32, from_ordered((found >> 32) as u32))).collect()
}

#[cold]
fn damaged(forest: Forest<'_>, number: u32, expected: String, found: String) -> Error {
    Error::corrupt(forest.path, format!("node {number}"), expected, found)
}

#[cold]
fn endless(forest: Forest<'_>, number: u32) -> Error {
    damaged(forest, number, "trees".to_owned(), "nodes that several others have as their child".to_owned())
}

#[cold]
fn not_an_item(forest: Forest<'_>, number: u32, found: i32) -> Error {
    damaged(forest, number, "an item with one descendant, or a hole with none".to_owned(), found.to_string())
}

#[cold]
fn not_a_bucket(forest: Forest<'_>, number: u32, found: i32) -> Error {
    damaged(forest, number, "a count of descendants".to_owned(), found.to_string())
}

#[cold]
fn no_bit(forest: Forest<'_>, number: u32) -> Error {
    let expected = format!("a bit below {}", forest.nodes.layout.width() * 32);
    damaged(forest, number, expected, "another number".to_owned())
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
