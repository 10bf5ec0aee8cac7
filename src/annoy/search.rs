//! The search: the most promising node of all trees first, until enough candidates are collected.
//!
//! A node's promise is the worst margin on its path, so a vector close to a plane is looked for on both sides. Among
//! equals the larger node goes first, as in Annoy, so that both collect the same candidates. Every number that comes
//! from a node is checked before it is followed, and no search visits more nodes than trees can have.

use std::collections::BinaryHeap;
use std::path::Path;

use super::Metric;
use super::code::Codes;
use super::layout::Nodes;
use super::measure::{Measure, has_bit};
use super::open::{is_child, no_child};
use super::rank::{Promise, Ranking, from_ordered, ordered, promise};
use crate::error::{Error, Result};

/// Candidates are sorted if they are fewer than one in so many words of bits; else the bits are read in order.
const DENSE: usize = 8;

/// What is searched.
#[derive(Clone, Copy)]
pub(super) struct Forest<'a> {
    pub(super) nodes: Nodes<'a>,
    pub(super) item_count: usize,
    pub(super) roots: &'a [u32],
    /// What spares reading vectors, if it is kept.
    pub(super) codes: Option<&'a Codes>,
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
    bounds: Vec<Promise>,
    found: Vec<Promise>,
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
    let probe = measure.probe(words);
    let codes = forest.codes.filter(|codes| codes.awake()).and_then(|codes| Some((codes, codes.probe(&probe)?)));
    forget_seen(scratch, codes.is_none());
    let ranking = Ranking { nodes: forest.nodes, measure: &measure, probe: &probe, count };
    let Scratch { candidates, bounds, found, .. } = scratch;
    found.clear();
    match codes {
        _ if collected.is_err() => {}
        Some((codes, probe)) => ranking.bounded(candidates, (codes, &probe), bounds, found),
        None => {
            ranking.measured(candidates, found);
            forest.codes.inspect(|codes| codes.make_some(forest.nodes, candidates, candidates.len()));
        }
    }
    candidates.clear();
    collected.map(|()| found.iter().map(|&found| (found as u32, from_ordered((found >> 32) as u32))).collect())
}

fn collect(forest: Forest<'_>, measure: &Measure, words: &[u32], budget: usize, scratch: &mut Scratch) -> Result<()> {
    let Forest { nodes, item_count, roots, .. } = forest;
    let capacity = i32::try_from(nodes.layout.capacity()).unwrap_or(i32::MAX);
    let most = if nodes.layout.metric == Metric::Hamming { u32::MAX } else { ordered(f32::INFINITY) };
    scratch.heap.extend(roots.iter().map(|&root| promise(most, root)));
    // Each tree node but a root is the child of one other.
    let mut visits = roots.len() + 2 * (nodes.len() - item_count);
    let mut collected = 0;
    // The better child of the last node, which is mostly the best of all: it goes to the heap only if it is not.
    let mut better = None;
    while collected < budget
        && let Some(best) = take_best(&mut scratch.heap, better.take())
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
                    add(scratch, &[number]);
                }
                _ => return Err(not_an_item(forest, number, descendants)),
            }
        } else if descendants <= capacity {
            let Some(ids) = node.bucket() else { return Err(not_a_bucket(forest, number, descendants)) };
            collected += ids.len();
            if let Some(&id) = ids.iter().find(|&&id| id as usize >= item_count) {
                return Err(no_child(forest.path, item_count, number, id));
            }
            add(scratch, ids);
        } else {
            let children = node.children();
            for child in children {
                if !is_child(item_count, number, child) {
                    return Err(no_child(forest.path, item_count, number, child));
                }
                crate::distance::prefetch(nodes.bytes(child));
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
            let promises = [0, 1].map(|side| promise(sides[side], children[side]));
            better = Some(promises[0].max(promises[1]));
            scratch.heap.push(promises[0].min(promises[1]));
        }
    }
    Ok(())
}

/// Takes the best of a heap and one promise more.
fn take_best(heap: &mut BinaryHeap<Promise>, more: Option<Promise>) -> Option<Promise> {
    let Some(more) = more else { return heap.pop() };
    match heap.peek_mut() {
        Some(mut top) if *top > more => Some(std::mem::replace(&mut *top, more)),
        _ => Some(more),
    }
}

/// Adds the items that are no candidates yet. Whether one is cannot be guessed, so nothing branches on it.
fn add(scratch: &mut Scratch, items: &[u32]) {
    let Scratch { seen, candidates, .. } = scratch;
    let mut count = candidates.len();
    candidates.resize(count + items.len(), 0);
    for &item in items {
        let (word, bit) = (&mut seen[item as usize / 64], 1 << (item % 64));
        candidates[count] = item;
        count += usize::from(*word & bit == 0);
        *word |= bit;
    }
    candidates.truncate(count);
}

/// Forgets which items were seen and, if asked to, orders the candidates by item, which is the order of their addresses.
fn forget_seen(scratch: &mut Scratch, order: bool) {
    let Scratch { seen, candidates, .. } = scratch;
    if candidates.len() < seen.len() / DENSE {
        for &item in candidates.iter() {
            seen[item as usize / 64] = 0;
        }
        if order {
            candidates.sort_unstable();
        }
        return;
    }
    if !order {
        return seen.fill(0);
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
