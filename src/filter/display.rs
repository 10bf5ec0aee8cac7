//! A filter as text that parses back to the same filter.

use std::fmt::{self, Display, Formatter, Write};
use std::ops::Bound;

use super::{Filter, Node, Test};
use crate::metadata::Value;
use crate::types::Id;

/// Words that a field is not named by unless it stands in back-quotes.
const RESERVED: [&str; 17] = [
    "all", "and", "any", "between", "contains", "false", "id", "in", "inf", "is", "not", "null", "or", "starts",
    "true", "ts", "with",
];

impl Display for Filter {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.node.fmt(f)
    }
}

impl Display for Node {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Node::And(nodes) if nodes.is_empty() => f.write_str("true"),
            Node::Or(nodes) if nodes.is_empty() => f.write_str("false"),
            Node::And(nodes) => join(f, nodes, " and ", |node| matches!(node, Node::And(_) | Node::Or(_))),
            Node::Or(nodes) => join(f, nodes, " or ", |node| matches!(node, Node::Or(_))),
            Node::Not(node) => match &**node {
                Node::Field { path, test } => negated(f, path, test),
                Node::Ids(ids) => {
                    f.write_str("id not in ")?;
                    list(f, ids, id)
                }
                node => {
                    f.write_str("not ")?;
                    join(f, std::slice::from_ref(node), "", |node| matches!(node, Node::And(_) | Node::Or(_)))
                }
            },
            Node::Field { path, test } => plain(f, path, test),
            Node::Ids(ids) => {
                f.write_str("id in ")?;
                list(f, ids, id)
            }
        }
    }
}

/// The nodes with a word between them, in parentheses where they need them.
fn join(f: &mut Formatter<'_>, nodes: &[Node], word: &str, enclosed: fn(&Node) -> bool) -> fmt::Result {
    for (index, node) in nodes.iter().enumerate() {
        if index > 0 {
            f.write_str(word)?;
        }
        // Of no tests they are a word.
        let empty = matches!(node, Node::And(nodes) | Node::Or(nodes) if nodes.is_empty());
        match enclosed(node) && !empty {
            true => write!(f, "({node})")?,
            false => node.fmt(f)?,
        }
    }
    Ok(())
}

fn plain(f: &mut Formatter<'_>, path: &str, test: &Test) -> fmt::Result {
    name(f, path)?;
    match test {
        Test::In(values) if values.len() == 1 => comparison(f, " = ", &values[0]),
        Test::In(values) => {
            f.write_str(" in ")?;
            list(f, values, value)
        }
        Test::Range { low: Bound::Included(low), high: Bound::Included(high) } => {
            comparison(f, " between ", low)?;
            comparison(f, " and ", high)
        }
        // Of one bound: the builder and the parser make no others.
        Test::Range { low, high } => {
            match low {
                Bound::Included(low) => comparison(f, " >= ", low)?,
                Bound::Excluded(low) => comparison(f, " > ", low)?,
                Bound::Unbounded => {}
            }
            match high {
                Bound::Included(high) => comparison(f, " <= ", high),
                Bound::Excluded(high) => comparison(f, " < ", high),
                Bound::Unbounded => Ok(()),
            }
        }
        Test::Prefix(prefix) => {
            f.write_str(" starts with ")?;
            quoted(f, prefix)
        }
        Test::Contains(part) => {
            f.write_str(" contains ")?;
            quoted(f, part)
        }
        Test::IsNull => f.write_str(" is null"),
    }
}

fn negated(f: &mut Formatter<'_>, path: &str, test: &Test) -> fmt::Result {
    match test {
        Test::In(values) if values.len() == 1 => {
            name(f, path)?;
            comparison(f, " != ", &values[0])
        }
        Test::In(values) => {
            name(f, path)?;
            f.write_str(" not in ")?;
            list(f, values, value)
        }
        Test::IsNull => {
            name(f, path)?;
            f.write_str(" is not null")
        }
        _ => {
            f.write_str("not ")?;
            plain(f, path, test)
        }
    }
}

fn comparison(f: &mut Formatter<'_>, operator: &str, operand: &Value) -> fmt::Result {
    f.write_str(operator)?;
    value(f, operand)
}

fn list<V>(
    f: &mut Formatter<'_>,
    values: impl IntoIterator<Item = V>,
    write: fn(&mut Formatter<'_>, V) -> fmt::Result,
) -> fmt::Result {
    f.write_char('(')?;
    for (index, value) in values.into_iter().enumerate() {
        if index > 0 {
            f.write_str(", ")?;
        }
        write(f, value)?;
    }
    f.write_char(')')
}

fn value(f: &mut Formatter<'_>, value: &Value) -> fmt::Result {
    match value {
        Value::Bool(truth) => truth.fmt(f),
        Value::Integer(number) => number.fmt(f),
        Value::Float(number) => write!(f, "{number:?}"),
        Value::Text(text) => quoted(f, text),
        Value::Bytes(bytes) => {
            f.write_str("x\"")?;
            bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
            f.write_char('"')
        }
        Value::Timestamp(moment) => write!(f, "ts\"{moment}\""),
        // No filter that is accepted compares with these.
        Value::Null | Value::List(_) | Value::Map(_) => f.write_str(value.kind()),
    }
}

fn id(f: &mut Formatter<'_>, id: &Id) -> fmt::Result {
    match id {
        Id::Number(number) => number.fmt(f),
        Id::Text(text) => quoted(f, text),
    }
}

fn quoted(f: &mut Formatter<'_>, text: &str) -> fmt::Result {
    f.write_char('"')?;
    for character in text.chars() {
        match character {
            '"' | '\\' => write!(f, "\\{character}")?,
            '\n' => f.write_str("\\n")?,
            '\t' => f.write_str("\\t")?,
            '\r' => f.write_str("\\r")?,
            control if control.is_control() => write!(f, "\\u{{{:x}}}", u32::from(control))?,
            plain => f.write_char(plain)?,
        }
    }
    f.write_char('"')
}

/// A path, in back-quotes where it is no plain word.
fn name(f: &mut Formatter<'_>, path: &str) -> fmt::Result {
    let mut characters = path.chars();
    let word =
        characters.next().is_some_and(super::tokens::begins_word) && characters.all(super::tokens::continues_word);
    if word && !RESERVED.iter().any(|reserved| reserved.eq_ignore_ascii_case(path)) {
        return f.write_str(path);
    }
    write!(f, "`{}`", path.replace('`', "``"))
}
