//! Opening a file: where its roots are, how many items it has, and whether its bytes can be what the caller says.
//!
//! Bytes of a file may be hostile. Opening looks at the end and at a few items; a search checks every number it
//! follows.

use std::path::Path;

use super::layout::{Layout, Nodes};
use super::measure::Measure;
use super::{Format, Metric};
use crate::error::{Error, Result};

/// Items that opening looks at.
const SAMPLE: usize = 16;
/// The part by which a stored norm may differ from one computed here, because sums are added in another order.
const NORM_SLACK: f32 = 1e-3;

/// What the end of a file says.
#[derive(Debug, PartialEq)]
pub(super) struct Contents {
    pub(super) item_count: usize,
    pub(super) roots: Vec<u32>,
}

/// The words of a file, if its length is that of whole nodes.
pub(super) fn whole_nodes<'a>(layout: &Layout, bytes: &'a [u8], path: &Path) -> Result<&'a [u32]> {
    if bytes.is_empty() || !bytes.len().is_multiple_of(layout.node_bytes()) {
        let (metric, dimension, node) = (layout.metric, layout.dimension, layout.node_bytes());
        let expected =
            format!("a multiple of {node} bytes, as nodes of {dimension} components of metric {metric} take");
        return Err(Error::corrupt(path, "length", expected, format!("{} bytes", bytes.len())));
    }
    bytemuck::try_cast_slice(bytes)
        .map_err(|error| Error::corrupt(path, "length", "whole aligned words", error.to_string()))
}

/// Finds the items and the roots of a file, and refuses one that is plainly of another metric or dimension.
pub(super) fn contents(nodes: Nodes<'_>, path: &Path) -> Result<Contents> {
    let contents = roots(nodes, path)?;
    for &root in &contents.roots {
        check_root(nodes, contents.item_count, root, path)?;
    }
    let step = contents.item_count.div_ceil(SAMPLE).max(1);
    for item in (0..contents.item_count).step_by(step) {
        check_item(nodes, item, path)?;
    }
    check_dot_lengths(nodes, (0..contents.item_count).step_by(step), path)?;
    Ok(contents)
}

/// Roots are copied to the end of the file, and each claims all items as its descendants.
fn roots(nodes: Nodes<'_>, path: &Path) -> Result<Contents> {
    let count = nodes.len();
    let claim = nodes.get(count.wrapping_sub(1)).map_or(-1, |node| node.descendants());
    let item_count = usize::try_from(claim).ok().filter(|&items| items < count && count <= i32::MAX as usize);
    let Some(item_count) = item_count else {
        let expected = format!("a root with at most {} items", count.saturating_sub(1).min(i32::MAX as usize));
        return Err(Error::corrupt(path, format!("node {}", count.saturating_sub(1)), expected, format!("{claim}")));
    };
    let is_root = |number: usize| nodes.get(number).is_some_and(|node| node.descendants() == claim);
    // A hole looks like a root of no items: the file ends with one, or is of nodes of another size, if others are not.
    if let Some(other) = (0..count).find(|&number| item_count == 0 && !is_root(number)) {
        let found = format!("none, though node {other} is not one of an empty index");
        return Err(Error::corrupt(path, format!("node {}", count - 1), "a root that claims all items", found));
    }
    let behind = count - item_count;
    let first = if behind.is_multiple_of(2) && (item_count..count).all(is_root) {
        // Only roots claim all items, so every tree is one bucket: the originals look like their copies, which are the second half.
        count - behind / 2
    } else {
        let first = (item_count..count).rev().take_while(|&number| is_root(number)).last().unwrap_or(count);
        let child = |number: usize| nodes.get(number).map(|node| node.children()[0]);
        // The original of the last root stands right before the copies.
        first + usize::from(first + 1 < count && child(first) == child(count - 1))
    };
    Ok(Contents { item_count, roots: (first as u32..count as u32).collect() })
}

/// Whether a node may have this child: children stand before their parents, so no path comes back to where it was.
pub(super) fn is_child(item_count: usize, parent: u32, child: u32) -> bool {
    (child as usize) < item_count || child < parent
}

/// What another metric keeps in the place of children is seldom a number of a node.
fn check_root(nodes: Nodes<'_>, item_count: usize, root: u32, path: &Path) -> Result<()> {
    let Some(node) = nodes.get(root as usize) else { return Ok(()) };
    if node.bucket().is_some() {
        return Ok(());
    }
    match node.children().into_iter().find(|&child| !is_child(item_count, root, child)) {
        Some(child) => Err(no_child(path, item_count, root, child)),
        None => Ok(()),
    }
}

#[cold]
pub(super) fn no_child(path: &Path, item_count: usize, parent: u32, child: u32) -> Error {
    let expected = format!("an item below {item_count} or an earlier node");
    Error::corrupt(path, format!("node {parent}"), expected, child.to_string())
}

/// Whether an item's node can be what the metric and the dimension say.
pub(super) fn check_item(nodes: Nodes<'_>, item: usize, path: &Path) -> Result<()> {
    let layout = nodes.layout;
    let fault = |expected: &str, found: String| {
        let (metric, dimension) = (layout.metric, layout.dimension);
        let expected = format!("{expected} (is the file of metric {metric} and dimension {dimension}?)");
        Err(Error::corrupt(path, format!("item {item}"), expected, found))
    };
    let Some(node) = nodes.get(item) else { return fault("a node", "the end of the file".into()) };
    if !matches!(node.descendants(), 0 | 1) {
        return fault("one descendant, or none for a hole", node.descendants().to_string());
    }
    let measure = Measure::new(layout);
    let mut header = node.header().to_vec();
    if layout.metric != Metric::Hamming {
        let squared = measure.squared_norm(node.vector());
        // Norms stand in place of the first child: always in angular files, sometimes in old euclidean ones.
        let place = layout.children - 1;
        let is_norm = |bits: u32| {
            let norm = f32::from_bits(bits);
            bits == 0 || !squared.is_finite() || (norm - squared).abs() <= NORM_SLACK * squared
        };
        match layout.metric {
            Metric::Dot => header.truncate(2),
            _ if is_norm(header[place]) => header[place] = 0,
            _ => return fault("the squared norm of the vector", f32::from_bits(header[place]).to_string()),
        }
    } else {
        // The last word of a release's header is padding.
        header.truncate(2);
        let unused = layout.width() * 32 - layout.dimension;
        let past_end = (layout.dimension..layout.dimension + unused)
            .any(|at| node.vector().get(at / 32).is_some_and(|word| word >> (at % 32) & 1 == 1));
        if past_end {
            return fault("zero bits behind the last component", "a one".into());
        }
    }
    match header.iter().find(|&&word| word != 0) {
        Some(word) => fault("no children", format!("{word:#010x}")),
        None => Ok(()),
    }
}

/// With the factor as one more component, all vectors of a dot index have one length.
fn check_dot_lengths(nodes: Nodes<'_>, items: impl Iterator<Item = usize>, path: &Path) -> Result<()> {
    if nodes.layout.metric != Metric::Dot {
        return Ok(());
    }
    let measure = Measure::new(nodes.layout);
    let mut first = None;
    for (item, node) in items.filter_map(|item| Some((item, nodes.get(item)?))) {
        let length = measure.squared_norm(node.vector()) + node.dot_factor() * node.dot_factor();
        let expected = *first.get_or_insert(length);
        if length.is_finite() && expected.is_finite() && (length - expected).abs() > NORM_SLACK * expected.abs() {
            let expected = format!("a squared length of {expected} with the dot factor (is the file of metric dot?)");
            return Err(Error::corrupt(path, format!("item {item}"), expected, length.to_string()));
        }
        if nodes.layout.format == Format::Unreleased && node.header().last().is_some_and(|word| word & 0xff > 1) {
            let found = format!("{:?}", node.header().last());
            return Err(Error::corrupt(path, format!("item {item}"), "a flag of 0 or 1", found));
        }
    }
    Ok(())
}
