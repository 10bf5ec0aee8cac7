//! The distinct values of a field, ascending: how they are stored and found.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::ops::{Bound, Range};

use crate::bytes::{Malformed, Reader};
use crate::filter::Test;
use crate::metadata::order::{compare, total_order};
use crate::metadata::{Timestamp, Value};

/// Values of several kinds, each after its tag.
pub(super) const MIXED: u8 = 0;
const BOOL: u8 = 1;
const INTEGER: u8 = 2;
const FLOAT: u8 = 3;
const TEXT: u8 = 4;
const BYTES: u8 = 5;
const TIMESTAMP: u8 = 6;

/// The largest integer below which every one is a float.
const EXACT: u64 = 1 << 53;

/// A value as it is told apart from others: equal numbers are one, whatever their type.
pub(super) enum Key<'a> {
    Fixed(u8, u64),
    Long(u8, &'a [u8]),
}

impl<'a> Key<'a> {
    /// `None` for what no filter compares.
    pub(super) fn of(value: &'a Value) -> Option<Key<'a>> {
        Some(match value {
            Value::Bool(truth) => Key::Fixed(BOOL, u64::from(*truth)),
            Value::Integer(number) => Key::Fixed(INTEGER, number.cast_unsigned()),
            Value::Float(number) if is_integer(*number) => Key::Fixed(INTEGER, (*number as i64).cast_unsigned()),
            Value::Float(number) if number.is_nan() => Key::Fixed(FLOAT, f64::NAN.to_bits()),
            Value::Float(number) => Key::Fixed(FLOAT, number.to_bits()),
            Value::Text(text) => Key::Long(TEXT, text.as_bytes()),
            Value::Bytes(bytes) => Key::Long(BYTES, bytes),
            Value::Timestamp(moment) => Key::Fixed(TIMESTAMP, moment.as_micros().cast_unsigned()),
            _ => return None,
        })
    }
}

/// Whether an `i64` is exactly this float.
fn is_integer(number: f64) -> bool {
    let beyond = 9_223_372_036_854_775_808.0;
    number.trunc() == number && (-beyond..beyond).contains(&number)
}

/// Values ascending, and for each what it was called before.
pub(super) struct Sorted {
    pub(super) values: Vec<(Value, u32)>,
}

impl Sorted {
    pub(super) fn new(
        fixed: impl Iterator<Item = (u8, u64, u32)>,
        long: impl Iterator<Item = (Vec<u8>, u32)>,
    ) -> Sorted {
        let fixed = fixed.filter_map(|(tag, bits, number)| Some((value_of(tag, &bits.to_le_bytes())?, number)));
        let long = long.filter_map(|(tagged, number)| {
            let (&tag, bytes) = tagged.split_first()?;
            Some((value_of(tag, bytes)?, number))
        });
        let mut values: Vec<(Value, u32)> = fixed.chain(long).collect();
        values.sort_unstable_by(|a, b| total_order(&a.0, &b.0));
        Sorted { values }
    }

    /// The kind of the dictionary, and its bytes.
    pub(super) fn encode(&self) -> (u8, Vec<u8>) {
        let all = |is: fn(&Value) -> bool| self.values.iter().all(|(value, _)| is(value));
        let kind = if all(|value| matches!(value, Value::Integer(_))) {
            INTEGER
        } else if all(|value| match value {
            Value::Float(_) => true,
            Value::Integer(number) => number.unsigned_abs() <= EXACT,
            _ => false,
        }) {
            FLOAT
        } else if all(|value| matches!(value, Value::Timestamp(_))) {
            TIMESTAMP
        } else if all(|value| matches!(value, Value::Text(_))) {
            TEXT
        } else if all(|value| matches!(value, Value::Bytes(_))) {
            BYTES
        } else {
            MIXED
        };
        let (mut ends, mut bytes) = (Vec::new(), Vec::new());
        for (value, _) in &self.values {
            if kind == MIXED {
                bytes.push(tag_of(value));
            }
            match value {
                Value::Integer(number) if kind == FLOAT => bytes.extend((*number as f64).to_le_bytes()),
                Value::Text(text) => bytes.extend_from_slice(text.as_bytes()),
                Value::Bytes(blob) => bytes.extend_from_slice(blob),
                value => {
                    if let Some(Key::Fixed(_, bits)) = Key::of(value) {
                        bytes.extend(bits.to_le_bytes());
                    }
                }
            }
            ends.extend((bytes.len() as u32).to_le_bytes());
        }
        if !is_fixed(kind) {
            ends.extend(bytes);
            bytes = ends;
        }
        (kind, bytes)
    }
}

/// Whether all values of a dictionary take 8 bytes.
fn is_fixed(kind: u8) -> bool {
    matches!(kind, INTEGER | FLOAT | TIMESTAMP)
}

fn tag_of(value: &Value) -> u8 {
    match Key::of(value) {
        Some(Key::Fixed(tag, _) | Key::Long(tag, _)) => tag,
        None => MIXED,
    }
}

fn value_of(tag: u8, bytes: &[u8]) -> Option<Value> {
    let bits = || bytes.try_into().map(u64::from_le_bytes).ok();
    Some(match tag {
        BOOL => Value::Bool(bits()? != 0),
        INTEGER => Value::Integer(bits()?.cast_signed()),
        FLOAT => Value::Float(f64::from_bits(bits()?)),
        TEXT => Value::Text(std::str::from_utf8(bytes).ok()?.to_owned()),
        BYTES => Value::Bytes(bytes.to_vec()),
        TIMESTAMP => Value::Timestamp(Timestamp::from_micros(bits()?.cast_signed())),
        _ => return None,
    })
}

/// The distinct values of a field on disk, ascending.
pub(super) struct Dictionary<'a> {
    kind: u8,
    len: usize,
    bytes: &'a [u8],
}

impl<'a> Dictionary<'a> {
    /// Of `len` values in `bytes`, whose length must be theirs.
    pub(super) fn new(kind: u8, len: usize, bytes: &'a [u8]) -> Result<Dictionary<'a>, Malformed> {
        let fault = |expected: String| Malformed { expected, found: format!("{} bytes", bytes.len()) };
        if kind > TIMESTAMP || kind == BOOL {
            return Err(Malformed { expected: "a kind of dictionary".into(), found: kind.to_string() });
        }
        let dictionary = Dictionary { kind, len, bytes };
        if is_fixed(kind) {
            let expected = len.checked_mul(8);
            return if expected == Some(bytes.len()) { Ok(dictionary) } else { Err(fault(format!("{len} numbers"))) };
        }
        let values = len.checked_mul(4).and_then(|ends| bytes.len().checked_sub(ends));
        let end = len.checked_sub(1).map_or(Ok(0), |last| dictionary.end(last))?;
        if values == Some(end) { Ok(dictionary) } else { Err(fault(format!("{len} values of {end} bytes"))) }
    }

    fn end(&self, number: usize) -> Result<usize, Malformed> {
        let at = number.saturating_mul(4);
        Ok(Reader::new(self.bytes.get(at..).unwrap_or(&[])).u32()? as usize)
    }

    /// Tag and bytes of a value.
    fn raw(&self, number: usize) -> Result<(u8, &'a [u8]), Malformed> {
        let missing = || Malformed { expected: format!("value {number} of {}", self.len), found: "none".into() };
        if is_fixed(self.kind) {
            let at = number.saturating_mul(8);
            return Ok((self.kind, self.bytes.get(at..at.saturating_add(8)).ok_or_else(missing)?));
        }
        let start = number.checked_sub(1).map_or(Ok(0), |before| self.end(before))?;
        let values = self.bytes.get(self.len * 4..).unwrap_or(&[]);
        let bytes = values.get(start..self.end(number)?).ok_or_else(missing)?;
        match self.kind {
            MIXED => bytes.split_first().map(|(&tag, bytes)| (tag, bytes)).ok_or_else(missing),
            kind => Ok((kind, bytes)),
        }
    }

    pub(super) fn value(&self, number: usize) -> Result<Value, Malformed> {
        let (tag, bytes) = self.raw(number)?;
        value_of(tag, bytes).ok_or_else(|| Malformed {
            expected: format!("value {number} of kind {tag}"),
            found: format!("{} bytes", bytes.len()),
        })
    }

    /// A value if it is a text.
    fn text(&self, number: usize) -> Result<Option<Cow<'a, str>>, Malformed> {
        match self.raw(number)? {
            (TEXT, bytes) => Ok(Some(String::from_utf8_lossy(bytes))),
            _ => Ok(None),
        }
    }

    /// Those of a run of values before the first that is not `before`, which a run of them must begin with.
    fn partition(
        &self,
        within: Range<usize>,
        before: impl Fn(usize) -> Result<bool, Malformed>,
    ) -> Result<usize, Malformed> {
        let Range { start: mut low, end: mut high } = within;
        while low < high {
            let middle = low + (high - low) / 2;
            if before(middle)? { low = middle + 1 } else { high = middle }
        }
        Ok(low)
    }

    /// The values that satisfy a test, as runs of their numbers, ascending.
    pub(super) fn find(&self, test: &Test) -> Result<Vec<Range<usize>>, Malformed> {
        let all = 0..self.len;
        match test {
            Test::In(values) => {
                let runs = values.iter().map(|value| self.between(&Bound::Included(value), &Bound::Included(value)));
                runs.collect()
            }
            Test::Range { low, high } => Ok(vec![self.between(&low.as_ref(), &high.as_ref())?]),
            Test::Prefix(prefix) => {
                let first = Value::Text(prefix.clone());
                let is_less = |number| Ok(total_order(&self.value(number)?, &first) == Ordering::Less);
                let start = self.partition(all.clone(), is_less)?;
                let begins = |number| Ok(self.text(number)?.is_some_and(|text| text.starts_with(prefix.as_str())));
                let end = self.partition(start..all.end, begins)?;
                Ok(std::iter::once(start..end).collect())
            }
            Test::Contains(part) => {
                let mut runs: Vec<Range<usize>> = Vec::new();
                for number in all {
                    if self.text(number)?.is_some_and(|text| text.contains(part.as_str())) {
                        match runs.last_mut().filter(|run| run.end == number) {
                            Some(run) => run.end += 1,
                            None => runs.push(number..number + 1),
                        }
                    }
                }
                Ok(runs)
            }
            Test::IsNull => Ok(Vec::new()),
        }
    }

    /// The run of values within both bounds. What cannot be compared with a bound is outside it.
    fn between(&self, low: &Bound<&Value>, high: &Bound<&Value>) -> Result<Range<usize>, Malformed> {
        let (mut start, mut end) = (0, self.len);
        for (bound, is_low) in [(low, true), (high, false)] {
            let (Bound::Included(limit) | Bound::Excluded(limit)) = bound else { continue };
            if compare(limit, limit).is_none() {
                return Ok(0..0);
            }
            let order = |number| Ok(total_order(&self.value(number)?, limit));
            let comparable = |number| Ok(compare(&self.value(number)?, limit).is_some());
            let less = self.partition(0..self.len, |number| Ok(order(number)? == Ordering::Less))?;
            let up_to = self.partition(less..self.len, |number| Ok(order(number)? != Ordering::Greater))?;
            let excluded = matches!(bound, Bound::Excluded(_));
            if is_low {
                start = start.max(if excluded { up_to } else { less });
                end = end.min(self.partition(up_to..self.len, comparable)?);
            } else {
                end = end.min(if excluded { less } else { up_to });
                start = start.max(self.partition(0..less, |number| Ok(!comparable(number)?))?);
            }
        }
        Ok(start..end.max(start))
    }
}
