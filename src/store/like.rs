//! Searches by examples: near to some items or vectors, and away from others.

use super::{Query, Snapshot, Store};
use crate::error::{Error, Result};
use crate::types::{Id, Metric};
use crate::vector::{squared_norm, validate};

/// What a search shall be like, or unlike: a stored item or a vector. See [`Store::query_like`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Example {
    /// The item that has this id.
    Item(Id),
    /// A vector.
    Vector(Vec<f32>),
}

macro_rules! item_examples {
    ($($kind:ty),*) => {$(
        impl From<$kind> for Example {
            fn from(id: $kind) -> Example {
                Example::Item(id.into())
            }
        }
    )*};
}

item_examples!(Id, u64, &str, String);

macro_rules! vector_examples {
    ($($kind:ty),*) => {$(
        impl From<$kind> for Example {
            fn from(vector: $kind) -> Example {
                Example::Vector(vector.to_vec())
            }
        }
    )*};
}

vector_examples!(Vec<f32>, &Vec<f32>, &[f32]);

impl<const N: usize> From<[f32; N]> for Example {
    fn from(vector: [f32; N]) -> Example {
        Example::Vector(vector.to_vec())
    }
}

impl Store {
    /// A search by examples. See [`Snapshot::query_like`].
    ///
    /// # Errors
    ///
    /// As [`Snapshot::query_like`].
    pub fn query_like(&self, positive: &[Example], negative: &[Example]) -> Result<Query> {
        self.current()?.query_like(positive, negative)
    }
}

impl Snapshot {
    /// A search by several items or vectors, and away from others: by `p + (p - n)`, where `p` is the mean of the
    /// positive examples and `n` that of the negative ones; by `p` without these. For the cosine metric each example is
    /// divided by its norm before; for hamming what comes out above one half is a one. Items that are examples are left out of the hits.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = understory::Store::open(dir.path().join("a.understory"))?;
    /// for (id, vector) in [("oak", [1.0, 0.2]), ("elm", [1.0, 0.0]), ("cod", [0.0, 1.0]), ("ash", [1.0, 0.1])] {
    ///     store.insert(id, &vector)?;
    /// }
    /// let hits = store.query_like(&["oak".into(), "elm".into()], &[[0.0, 1.0].into()])?.k(1).run()?;
    /// assert_eq!(hits[0].id, "ash".into());
    /// # Ok::<(), understory::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] without a positive example, [`Error::NotFound`] if no item has an example's id,
    /// [`Error::DimensionMismatch`] or [`Error::InvalidVector`] if a vector, or what comes out, cannot be compared with
    /// the items.
    pub fn query_like(&self, positive: &[Example], negative: &[Example]) -> Result<Query> {
        let Some(near) = self.mean(positive)? else {
            return Err(Error::InvalidArgument("expected a positive example, found none".into()));
        };
        let far = self.mean(negative)?;
        let mut vector: Vec<f32> = match far {
            Some(far) => near.iter().zip(far).map(|(near, far)| (2.0 * near - far) as f32).collect(),
            None => near.iter().map(|&component| component as f32).collect(),
        };
        if self.metric() == Metric::Hamming {
            vector.iter_mut().for_each(|component| *component = f32::from(u8::from(*component > 0.5)));
        }
        let examples = positive.iter().chain(negative).filter_map(|example| match example {
            Example::Item(id) => Some(id.clone()),
            Example::Vector(_) => None,
        });
        Ok(self.query(vector)?.without(examples))
    }

    /// The mean of the examples; `None` of none.
    fn mean(&self, examples: &[Example]) -> Result<Option<Vec<f64>>> {
        let mut sum: Vec<f64> = Vec::new();
        for example in examples {
            let vector = match example {
                Example::Vector(vector) => vector.clone(),
                Example::Item(id) => self.get(id.clone())?.ok_or_else(|| Error::NotFound(id.clone()))?.vector,
            };
            let dimension = self.dimension().or((!sum.is_empty()).then_some(sum.len()));
            validate(&vector, dimension, self.metric())?;
            let norm = if self.metric() == Metric::Cosine { squared_norm(&vector).sqrt() } else { 1.0 };
            sum.resize(vector.len(), 0.0);
            sum.iter_mut().zip(&vector).for_each(|(sum, component)| *sum += f64::from(*component) / norm);
        }
        let count = examples.len() as f64;
        Ok((count > 0.0).then(|| sum.iter().map(|sum| sum / count).collect()))
    }
}
