//! Growing trees. Each has a generator of its own, so that the trees depend on items and seed, not on threads.

use rayon::prelude::*;

use super::code::Codes;
use super::disk::Growing;
use super::layout::{Layout, NodeMut, Nodes};
use super::open::whole_nodes;
use super::split::Splitter;
use crate::error::{Error, Result};
use crate::fs::Map;

/// Once a subset of items is no larger than this and there are no codes, its nodes are copied side by side: every
/// further level then reads them from the cache instead of gathering them from memory again. Of codes so many more fit
/// the cache that copying costs more than it saves.
const GATHER_BYTES: usize = 1 << 20;

/// Items ahead whose nodes are asked for while others are copied.
const GATHER_AHEAD: usize = 4;

/// How many trees to grow, on how many threads, from which seed.
#[derive(Clone, Copy)]
pub(super) struct Plan {
    /// `None`: until the trees have as many nodes as there are items.
    pub(super) trees: Option<usize>,
    pub(super) threads: usize,
    pub(super) seed: u64,
}

/// A tree: its nodes, children before parents, the root last. Children that are nodes of the tree are numbered from
/// the count of items.
struct Tree {
    words: Vec<u32>,
}

impl Tree {
    /// Numbers children for a tree that begins at a node.
    fn place(&mut self, layout: &Layout, item_count: usize, start: usize) {
        for words in self.words.chunks_exact_mut(layout.node) {
            // A root of one bucket may claim more than a bucket holds; what reads as its children are then items.
            if words[0] as usize <= layout.capacity() {
                continue;
            }
            for child in &mut words[layout.children..layout.children + 2] {
                if *child as usize >= item_count {
                    *child += (start - item_count) as u32;
                }
            }
        }
    }
}

/// Appends trees and copies of their roots to items; returns the numbers of the copies. `note` is told each tree's
/// number and count of nodes.
pub(super) fn in_memory(
    layout: &Layout,
    nodes: &mut Vec<u32>,
    codes: Option<&Codes>,
    plan: Plan,
    note: &dyn Fn(usize, usize),
) -> Result<Vec<u32>> {
    let item_count = nodes.len() / layout.node;
    let mut trees = Vec::new();
    let mut place = Placement::new(layout, item_count);
    grow(Nodes::new(layout, nodes), codes, plan, |number, mut tree| {
        place.tree(&mut tree)?;
        note(number, tree.words.len() / layout.node);
        trees.push(tree);
        Ok(())
    })?;
    nodes.reserve_exact((place.next - item_count) * layout.node + place.roots.len());
    for tree in trees {
        nodes.extend_from_slice(&tree.words);
    }
    nodes.extend_from_slice(&place.roots);
    Ok(place.root_numbers())
}

/// The same in a file: each tree is written when it is grown, and the items are read from a map of them.
pub(super) fn in_file(
    layout: &Layout,
    item_count: usize,
    file: &mut Growing,
    codes: Option<&Codes>,
    plan: Plan,
    note: &dyn Fn(usize, usize),
) -> Result<Vec<u32>> {
    let map = if item_count > 0 { Some(Map::open(file.path())?) } else { None };
    let words = map.as_ref().map_or(Ok(&[][..]), |map| whole_nodes(layout, map, file.path()))?;
    let items = Nodes::new(layout, words.get(..item_count * layout.node).unwrap_or(words));
    let mut place = Placement::new(layout, item_count);
    grow(items, codes, plan, |number, mut tree| {
        let start = place.next;
        place.tree(&mut tree)?;
        note(number, tree.words.len() / layout.node);
        file.append(layout, start, &tree.words)
    })?;
    file.append(layout, place.next, &place.roots)?;
    file.sync()?;
    Ok(place.root_numbers())
}

/// Where trees go: behind the items, one after the other, and copies of their roots behind them all.
struct Placement<'a> {
    layout: &'a Layout,
    item_count: usize,
    next: usize,
    roots: Vec<u32>,
}

impl<'a> Placement<'a> {
    fn new(layout: &'a Layout, item_count: usize) -> Placement<'a> {
        Placement { layout, item_count, next: item_count, roots: Vec::new() }
    }

    fn tree(&mut self, tree: &mut Tree) -> Result<()> {
        let root = tree.words.len() - self.layout.node;
        let end = self.next + tree.words.len() / self.layout.node;
        if end + self.roots.len() / self.layout.node >= i32::MAX as usize {
            let what = format!("expected at most {} nodes, found {end} and more trees to come", i32::MAX);
            return Err(Error::InvalidArgument(what));
        }
        tree.place(self.layout, self.item_count, self.next);
        self.next = end;
        self.roots.extend_from_slice(&tree.words[root..]);
        Ok(())
    }

    fn root_numbers(&self) -> Vec<u32> {
        let count = self.roots.len() / self.layout.node;
        (self.next as u32..(self.next + count) as u32).collect()
    }
}

/// Grows trees over the items and hands them over in order.
fn grow(
    items: Nodes<'_>,
    codes: Option<&Codes>,
    plan: Plan,
    mut hand_over: impl FnMut(usize, Tree) -> Result<()>,
) -> Result<()> {
    let present: Vec<u32> =
        (0..items.len() as u32).filter(|&item| items.at(item as usize).descendants() != 0).collect();
    let pool = match plan.threads {
        1 => None,
        threads => Some(
            rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .map_err(|error| Error::Maintenance { cause: error.to_string() })?,
        ),
    };
    if let Some(codes) = codes {
        let make = |&item: &u32| codes.add(item, items.at(item as usize));
        match &pool {
            None => present.iter().for_each(make),
            Some(pool) => pool.install(|| present.par_iter().for_each(make)),
        }
    }
    let one = |number: usize| TreeBuilder::new(items, codes, plan.seed, number as u64).build(present.clone());
    let (mut grown, mut nodes) = (0, 0);
    loop {
        let wanted = match plan.trees {
            Some(trees) => trees - grown,
            None if grown == 0 => 1,
            None => (items.len().saturating_sub(nodes) * grown).div_ceil(nodes),
        };
        let batch = wanted.min(plan.threads);
        if batch == 0 {
            return Ok(());
        }
        let trees: Vec<Tree> = match &pool {
            None => vec![one(grown)],
            Some(pool) => pool.install(|| (grown..grown + batch).into_par_iter().map(one).collect()),
        };
        for tree in trees {
            // One tree at least, then only as many as it takes, however many were grown at once.
            if plan.trees.is_none() && grown > 0 && nodes >= items.len() {
                return Ok(());
            }
            nodes += tree.words.len() / items.layout.node;
            hand_over(grown, tree)?;
            grown += 1;
        }
    }
}

/// The items of a subset: all items, with their codes if there are any, or copies of some with their ids.
#[derive(Clone, Copy)]
struct Subset<'a> {
    nodes: Nodes<'a>,
    codes: Option<&'a Codes>,
    ids: Option<&'a [u32]>,
}

impl Subset<'_> {
    fn id(&self, position: u32) -> u32 {
        self.ids.map_or(position, |ids| ids[position as usize])
    }
}

struct TreeBuilder<'a> {
    items: Nodes<'a>,
    codes: Option<&'a Codes>,
    layout: &'a Layout,
    splitter: Splitter<'a>,
    words: Vec<u32>,
    /// Reused: positions of the second side of a split, and copies of a small subset's nodes.
    second: Vec<u32>,
    copies: Vec<u32>,
}

impl<'a> TreeBuilder<'a> {
    fn new(items: Nodes<'a>, codes: Option<&'a Codes>, seed: u64, tree: u64) -> TreeBuilder<'a> {
        let layout = items.layout;
        let splitter = Splitter::new(layout, seed, tree);
        TreeBuilder { items, codes, layout, splitter, words: Vec::new(), second: Vec::new(), copies: Vec::new() }
    }

    fn build(mut self, mut present: Vec<u32>) -> Tree {
        let all = Subset { nodes: self.items, codes: self.codes, ids: None };
        self.subtree(all, &mut present, true);
        Tree { words: self.words }
    }

    /// Appends the nodes of a subset of items and returns the number of its topmost node.
    fn subtree(&mut self, subset: Subset<'_>, positions: &mut [u32], root: bool) -> u32 {
        let (count, capacity) = (positions.len(), self.layout.capacity());
        if let (&[position], false) = (&*positions, root) {
            return subset.id(position);
        }
        if count <= capacity && (!root || self.items.len() <= capacity || count <= 1) {
            let descendants = if root { self.items.len() } else { count };
            let ids = positions.iter().map(|&position| subset.id(position));
            return self.append(descendants, |node| node.set_bucket(ids));
        }
        if subset.ids.is_none() && self.codes.is_none() && count * self.layout.node_bytes() <= GATHER_BYTES {
            return self.gathered(positions, root);
        }
        let mut plane = vec![0; self.layout.node];
        let sides = self.splitter.split(subset.nodes, subset.codes, positions, &mut plane);
        let left = separate(positions, sides, &mut self.second);
        let (first, second) = positions.split_at_mut(left);
        // The smaller side first, as Annoy does.
        let children = if first.len() <= second.len() {
            let first = self.subtree(subset, first, false);
            [first, self.subtree(subset, second, false)]
        } else {
            let second = self.subtree(subset, second, false);
            [self.subtree(subset, first, false), second]
        };
        let descendants = if root { self.items.len() } else { count };
        self.append(descendants, |node| {
            node.words[1..].copy_from_slice(&plane[1..]);
            node.set_children(children);
        })
    }

    /// A subset on copies of its own.
    fn gathered(&mut self, ids: &[u32], root: bool) -> u32 {
        let mut copies = std::mem::take(&mut self.copies);
        copies.clear();
        for (at, &id) in ids.iter().enumerate() {
            if let Some(&next) = ids.get(at + GATHER_AHEAD) {
                crate::distance::prefetch(self.items.bytes(next));
            }
            copies.extend_from_slice(self.items.at(id as usize).words());
        }
        let mut positions: Vec<u32> = (0..ids.len() as u32).collect();
        let subset = Subset { nodes: Nodes::new(self.layout, &copies), codes: None, ids: Some(ids) };
        let top = self.subtree(subset, &mut positions, root);
        self.copies = copies;
        top
    }

    fn append(&mut self, descendants: usize, fill: impl FnOnce(&mut NodeMut<'_>)) -> u32 {
        let start = self.words.len();
        self.words.resize(start + self.layout.node, 0);
        let mut node = NodeMut { layout: self.layout, words: &mut self.words[start..] };
        fill(&mut node);
        node.set_descendants(descendants);
        (self.items.len() + start / self.layout.node) as u32
    }
}

/// Moves the positions of the first side to the front, each side in the order it had; returns where the other begins.
fn separate(positions: &mut [u32], sides: &[bool], second: &mut Vec<u32>) -> usize {
    second.resize(positions.len(), 0);
    let (mut left, mut right) = (0, 0);
    for at in 0..positions.len() {
        // Both are written, and one of them counts: which one cannot be guessed.
        let position = positions[at];
        positions[left] = position;
        second[right] = position;
        left += usize::from(!sides[at]);
        right += usize::from(sides[at]);
    }
    positions[left..].copy_from_slice(&second[..right]);
    left
}
