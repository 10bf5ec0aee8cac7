//! The builder: tests of one field.

use std::ops::Bound;

use super::{Filter, Node, Test};
use crate::metadata::Value;

/// A field of the metadata, by its path: the keys of nested maps joined by dots (see
/// [`Metadata::at`](crate::Metadata::at)).
///
/// ```
/// use understory::field;
/// let filter = field("author.name").starts_with("H") & field("tags").contains_all(["a", "b"]);
/// ```
pub fn field(path: impl Into<String>) -> Field {
    Field { path: path.into() }
}

/// A field to be tested; see [`field`]. A test is unknown, and so not true, for items that do not have the field.
#[derive(Clone, Debug)]
#[must_use]
pub struct Field {
    path: String,
}

impl Field {
    fn test(self, test: Test) -> Filter {
        Filter::leaf(Node::Field { path: self.path, test })
    }

    fn range(self, low: Bound<Value>, high: Bound<Value>) -> Filter {
        self.test(Test::Range { low, high })
    }

    /// Is equal to the value; of a list, any element is. Integers and floats are equal where their numbers are.
    pub fn is(self, value: impl Into<Value>) -> Filter {
        self.is_in([value])
    }

    /// The same as [`is`](Field::is).
    pub fn eq(self, value: impl Into<Value>) -> Filter {
        self.is(value)
    }

    /// Is there and not equal to the value; of a list, no element is.
    pub fn ne(self, value: impl Into<Value>) -> Filter {
        !self.is(value)
    }

    /// Is less than the value, which is a number, a text, bytes or a timestamp; values of another kind are not.
    pub fn lt(self, value: impl Into<Value>) -> Filter {
        self.range(Bound::Unbounded, Bound::Excluded(value.into()))
    }

    /// Is the value or less.
    pub fn le(self, value: impl Into<Value>) -> Filter {
        self.range(Bound::Unbounded, Bound::Included(value.into()))
    }

    /// Is more than the value.
    pub fn gt(self, value: impl Into<Value>) -> Filter {
        self.range(Bound::Excluded(value.into()), Bound::Unbounded)
    }

    /// Is the value or more.
    pub fn ge(self, value: impl Into<Value>) -> Filter {
        self.range(Bound::Included(value.into()), Bound::Unbounded)
    }

    /// Lies between two values of one kind, or is one of them. Of a list, one element does.
    pub fn between(self, low: impl Into<Value>, high: impl Into<Value>) -> Filter {
        self.range(Bound::Included(low.into()), Bound::Included(high.into()))
    }

    /// Is equal to one of the values.
    pub fn is_in<V: Into<Value>>(self, values: impl IntoIterator<Item = V>) -> Filter {
        self.test(Test::In(values.into_iter().map(Into::into).collect()))
    }

    /// Is there and not null.
    pub fn exists(self) -> Filter {
        !self.is_null()
    }

    /// Is missing or null.
    pub fn is_null(self) -> Filter {
        self.test(Test::IsNull)
    }

    /// Is a text that begins with this one.
    pub fn starts_with(self, prefix: impl Into<String>) -> Filter {
        self.test(Test::Prefix(prefix.into()))
    }

    /// Is a text that has this one in it. For the elements of a list see [`contains_any`](Field::contains_any).
    pub fn contains(self, part: impl Into<String>) -> Filter {
        self.test(Test::Contains(part.into()))
    }

    /// Is a list with at least one of the values, or is one of them.
    pub fn contains_any<V: Into<Value>>(self, values: impl IntoIterator<Item = V>) -> Filter {
        self.is_in(values)
    }

    /// Is a list with all of the values. Of no values: true for every item.
    pub fn contains_all<V: Into<Value>>(self, values: impl IntoIterator<Item = V>) -> Filter {
        Filter::all(values.into_iter().map(|value| self.clone().is(value)))
    }
}
