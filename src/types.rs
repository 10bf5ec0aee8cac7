//! The nouns every layer shares: ids, sequence numbers, metrics.

use crate::error::{Error, Result};

/// Longest text id, in bytes of UTF-8.
pub const MAX_ID_BYTES: usize = 1024;

/// Largest dimension a store accepts.
pub const MAX_DIMENSION: usize = 16_384;

/// The name of an item: a number or a text.
///
/// Numbers sort before texts, numbers by value, texts by their bytes.
///
/// ```
/// use understory::Id;
/// assert_eq!(Id::from(17), Id::Number(17));
/// assert!(Id::from(u64::MAX) < Id::from("a"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Id {
    /// A number.
    Number(u64),
    /// A text of at most [`MAX_ID_BYTES`] bytes.
    Text(String),
}

const NUMBER_TAG: u8 = 1;
const TEXT_TAG: u8 = 2;

impl Id {
    /// Appends the stored form: a tag byte, then the number big-endian or the text, so that the order of bytes is
    /// the order of ids.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Id::Number(number) => {
                out.push(NUMBER_TAG);
                out.extend_from_slice(&number.to_be_bytes());
            }
            Id::Text(text) => {
                out.push(TEXT_TAG);
                out.extend_from_slice(text.as_bytes());
            }
        }
    }

    /// The stored form in a vector of its own.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(9);
        self.encode(&mut out);
        out
    }

    /// Reads the stored form; `None` if the bytes are no id.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Id> {
        match bytes.split_first()? {
            (&NUMBER_TAG, rest) => Some(Id::Number(u64::from_be_bytes(rest.try_into().ok()?))),
            (&TEXT_TAG, rest) if rest.len() <= MAX_ID_BYTES => {
                Some(Id::Text(std::str::from_utf8(rest).ok()?.to_owned()))
            }
            _ => None,
        }
    }

    /// Refuses a text that is too long to store.
    pub(crate) fn validate(&self) -> Result<()> {
        match self {
            Id::Text(text) if text.len() > MAX_ID_BYTES => Err(Error::IdTooLong { bytes: text.len() }),
            _ => Ok(()),
        }
    }
}

impl From<u64> for Id {
    fn from(number: u64) -> Id {
        Id::Number(number)
    }
}

impl From<&str> for Id {
    fn from(text: &str) -> Id {
        Id::Text(text.to_owned())
    }
}

impl From<String> for Id {
    fn from(text: String) -> Id {
        Id::Text(text)
    }
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Id::Number(number) => number.fmt(f),
            Id::Text(text) => text.fmt(f),
        }
    }
}

/// A half-open range of sequence numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SequenceRange {
    pub(crate) start: u64,
    pub(crate) end: u64,
}

impl SequenceRange {
    pub(crate) fn contains(self, sequence: u64) -> bool {
        self.start <= sequence && sequence < self.end
    }
}

/// How far apart two vectors are. Distances ascend for every metric: smaller is nearer.
///
/// ```
/// assert_eq!(understory::Metric::default(), understory::Metric::Cosine);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Metric {
    /// `1 - cos`, within \[0, 2\]. The zero vector is refused.
    #[default]
    Cosine,
    /// Euclidean distance (the root of the sum of squares).
    Euclidean,
    /// The negated inner product.
    Dot,
    /// The sum of the components' absolute differences, in float32: off by less than the dimension times 1e-7 of itself.
    /// Searches read half a byte a component of what they scan, where the other metrics read a bit above 64 components.
    Manhattan,
    /// The number of components that differ, exact. Components are bits: 0 or 1, or packed in [`Bits`](crate::Bits), and are
    /// stored as bits; others are refused.
    Hamming,
}

impl Metric {
    pub(crate) const ALL: [Metric; 5] =
        [Metric::Cosine, Metric::Euclidean, Metric::Dot, Metric::Manhattan, Metric::Hamming];

    /// Whether a store's vectors are coded less their mean.
    pub(crate) fn is_centred(self) -> bool {
        matches!(self, Metric::Euclidean | Metric::Manhattan)
    }

    /// The byte that stands for the metric on disk.
    pub(crate) fn tag(self) -> u8 {
        match self {
            Metric::Cosine => 1,
            Metric::Euclidean => 2,
            Metric::Dot => 3,
            Metric::Manhattan => 4,
            Metric::Hamming => 5,
        }
    }

    pub(crate) fn from_tag(tag: u8) -> Option<Metric> {
        Metric::ALL.into_iter().find(|metric| metric.tag() == tag)
    }

    /// The lower-case name, as the command spells it.
    pub fn name(self) -> &'static str {
        match self {
            Metric::Cosine => "cosine",
            Metric::Euclidean => "euclidean",
            Metric::Dot => "dot",
            Metric::Manhattan => "manhattan",
            Metric::Hamming => "hamming",
        }
    }
}

impl std::fmt::Display for Metric {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for Metric {
    type Err = Error;

    fn from_str(name: &str) -> Result<Metric> {
        Metric::ALL.into_iter().find(|metric| metric.name() == name).ok_or_else(|| {
            let expected = "expected a metric cosine, euclidean, dot, manhattan or hamming";
            Error::InvalidArgument(format!("{expected}, found {name:?}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_ids_sort_like_ids_and_come_back() {
        let ids = [
            Id::from(0),
            Id::from(255),
            Id::from(256),
            Id::from(u64::MAX),
            Id::from(""),
            Id::from("a"),
            Id::from("ab"),
            Id::from("\u{e4}"),
        ];
        for pair in ids.windows(2) {
            assert!(pair[0] < pair[1]);
            assert!(pair[0].to_bytes() < pair[1].to_bytes());
        }
        for id in ids {
            assert_eq!(Id::decode(&id.to_bytes()), Some(id));
        }
    }

    #[test]
    fn bytes_that_are_no_id_are_refused() {
        for bytes in [&[][..], &[0], &[1, 2, 3], &[2, 0xff], &[3, 0]] {
            assert_eq!(Id::decode(bytes), None);
        }
    }
}
