//! Which items a query may find: a tree of tests on metadata and ids, built in Rust or parsed from text.
//!
//! This layer owns what a filter means ([`Node::matches`], which every faster way must agree with), what is refused
//! ([`Filter::check`]), and the text syntax. It knows no store: `docs/filters.md` describes all of it.

mod check;
mod display;
mod field;
#[cfg(any(test, fuzzing))]
pub(crate) mod hostile;
mod matches;
#[cfg(test)]
mod tests;
mod text;
mod tokens;

use std::collections::BTreeSet;
use std::ops::{BitAnd, BitOr, Bound, Not};

pub use field::{Field, field};

use crate::error::Result;
use crate::metadata::{Metadata, Value};
use crate::types::Id;

/// Tests inside each other.
pub(crate) const MAX_DEPTH: usize = 64;
/// Tests and values together.
pub(crate) const MAX_SIZE: usize = 10_000;

/// A test, or several joined.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Node {
    /// Of none: true.
    And(Vec<Node>),
    /// Of none: false.
    Or(Vec<Node>),
    Not(Box<Node>),
    /// A test of the values at a path of the metadata.
    Field {
        path: String,
        test: Test,
    },
    /// Whether the item has one of these ids. Never unknown.
    Ids(BTreeSet<Id>),
}

/// A test that is true if any of the values at a path satisfies it, and unknown if the path is missing or null.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Test {
    /// Is equal to one of these scalars.
    In(Vec<Value>),
    /// Lies between two bounds of one kind.
    Range { low: Bound<Value>, high: Bound<Value> },
    /// Is a text that begins so.
    Prefix(String),
    /// Is a text with this in it.
    Contains(String),
    /// The path is missing or null. Never unknown.
    IsNull,
}

/// Which items a query may find, by their metadata and ids.
///
/// Filters are built from [`field`] and [`ids`] with `&`, `|` and `!`, or parsed from text; printed, they parse back to
/// the same filter. An item is found where the whole filter is true. As in SQL, a test of a field that an item does not
/// have, or that is null, is neither true nor false but unknown, and so is its negation; `is_null` and `exists` tell
/// which items these are. A test of a list is true if it is true for any of its elements.
///
/// ```
/// use understory::{Filter, field};
///
/// let filter = field("year").ge(2020) & field("lang").is_in(["en", "de"]) & !field("draft").is(true);
/// assert_eq!(filter, Filter::parse(r#"year >= 2020 and lang in ("en", "de") and draft != true"#)?);
/// assert_eq!(filter.to_string(), r#"year >= 2020 and lang in ("en", "de") and draft != true"#);
/// # Ok::<(), understory::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Filter {
    pub(crate) node: Node,
    /// Of the node; where it would be beyond [`MAX_DEPTH`] the node is not kept, so that no filter is too deep to walk.
    depth: usize,
}

impl Filter {
    fn leaf(node: Node) -> Filter {
        Filter { node, depth: 1 }
    }

    fn above(depth: usize, node: impl FnOnce() -> Node) -> Filter {
        let depth = depth + 1;
        Filter { node: if depth > MAX_DEPTH { Node::Or(Vec::new()) } else { node() }, depth }
    }

    /// Items for which all of the filters are true; of none, all items.
    pub fn all(filters: impl IntoIterator<Item = Filter>) -> Filter {
        Filter::join(filters.into_iter().collect(), Node::And)
    }

    /// Items for which any of the filters is true; of none, no item.
    pub fn any(filters: impl IntoIterator<Item = Filter>) -> Filter {
        Filter::join(filters.into_iter().collect(), Node::Or)
    }

    fn join(mut filters: Vec<Filter>, joined: fn(Vec<Node>) -> Node) -> Filter {
        match filters.pop() {
            Some(only) if filters.is_empty() => return only,
            last => filters.extend(last),
        }
        let depth = filters.iter().map(|filter| filter.depth).max().unwrap_or(0);
        Filter::above(depth, || joined(filters.into_iter().map(|filter| filter.node).collect()))
    }

    /// A chain of this depth with one more link, at its front or at its end.
    fn longer(chain: fn(Vec<Node>) -> Node, mut nodes: Vec<Node>, depth: usize, link: Filter, front: bool) -> Filter {
        Filter::above(link.depth.max(depth - 1), || {
            let at = if front { 0 } else { nodes.len() };
            nodes.insert(at, link.node);
            chain(nodes)
        })
    }

    /// Whether an item of this id and metadata is found.
    ///
    /// ```
    /// use understory::{Metadata, field};
    /// let metadata: Metadata = [("year", 2026)].into_iter().collect();
    /// assert!(field("year").gt(2020).matches(&1.into(), &metadata));
    /// assert!(!field("author").ne("Hesse").matches(&1.into(), &metadata)); // unknown: there is no author
    /// ```
    pub fn matches(&self, id: &Id, metadata: &Metadata) -> bool {
        self.node.matches(id, metadata) == Some(true)
    }

    /// Refuses a filter that no query accepts: more than 64 tests inside each other, more than 10,000 tests and values,
    /// a path longer than 1,024 bytes, ranges of other than numbers, texts, bytes or timestamps or of two kinds, and
    /// comparisons with null, NaN, lists or maps. Queries check their filters themselves.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidFilter`](crate::Error::InvalidFilter).
    pub fn check(&self) -> Result<()> {
        check::check(self)
    }

    /// Parses the text syntax, which `docs/filters.md` describes. What is parsed needs no further check.
    ///
    /// ```
    /// use understory::Filter;
    /// let filter = Filter::parse("year between 2020 and 2026 and not (draft = true or title starts with 'On')")?;
    /// let error = Filter::parse("year >= ").unwrap_err();
    /// assert_eq!(error.to_string(), "filter, column 9: expected a value, found the end");
    /// # Ok::<(), understory::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::InvalidFilter`](crate::Error::InvalidFilter), which says at which column what was expected.
    pub fn parse(text: &str) -> Result<Filter> {
        text::parse(text)
    }
}

/// Items that have one of these ids.
///
/// ```
/// let filter = understory::ids([1, 2]) | understory::ids(["a"]);
/// assert_eq!(filter.to_string(), r#"id in (1, 2) or id in ("a")"#);
/// ```
pub fn ids<I: Into<Id>>(ids: impl IntoIterator<Item = I>) -> Filter {
    Filter::leaf(Node::Ids(ids.into_iter().map(Into::into).collect()))
}

impl BitAnd for Filter {
    type Output = Filter;

    /// Items for which both are true. A chain of them stays flat.
    fn bitand(self, other: Filter) -> Filter {
        match (self, other) {
            (Filter { node: Node::And(nodes), depth }, right) if !nodes.is_empty() => {
                Filter::longer(Node::And, nodes, depth, right, false)
            }
            (left, Filter { node: Node::And(nodes), depth }) if !nodes.is_empty() => {
                Filter::longer(Node::And, nodes, depth, left, true)
            }
            (left, right) => Filter::all([left, right]),
        }
    }
}

impl BitOr for Filter {
    type Output = Filter;

    /// Items for which either is true. A chain of them stays flat.
    fn bitor(self, other: Filter) -> Filter {
        match (self, other) {
            (Filter { node: Node::Or(nodes), depth }, right) if !nodes.is_empty() => {
                Filter::longer(Node::Or, nodes, depth, right, false)
            }
            (left, Filter { node: Node::Or(nodes), depth }) if !nodes.is_empty() => {
                Filter::longer(Node::Or, nodes, depth, left, true)
            }
            (left, right) => Filter::any([left, right]),
        }
    }
}

impl Not for Filter {
    type Output = Filter;

    /// Items for which the filter is false; where it is unknown, so is this.
    fn not(self) -> Filter {
        match self.node {
            Node::Not(inner) => Filter { node: *inner, depth: self.depth - 1 },
            node => Filter::above(self.depth, || Node::Not(Box::new(node))),
        }
    }
}

impl std::str::FromStr for Filter {
    type Err = crate::error::Error;

    fn from_str(text: &str) -> Result<Filter> {
        Filter::parse(text)
    }
}
