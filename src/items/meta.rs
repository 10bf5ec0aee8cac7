//! The rows of the table `meta`.

use super::row::Element;
use crate::bytes::{Malformed, Reader, floats, put_floats};
use crate::types::Metric;

pub(super) const FORMAT: &[u8] = b"format";
pub(super) const STORE: &[u8] = b"store";
pub(super) const SEQUENCE: &[u8] = b"sequence";
pub(super) const SEGMENT: &[u8] = b"segment";
pub(super) const FLUSHED: &[u8] = b"flushed";
pub(super) const MEAN: &[u8] = b"mean";

/// The format this build writes, and the newest it reads.
pub(super) const FORMAT_VERSION: u32 = 1;
/// What a reader must know before it reads anything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FormatRow {
    pub(super) version: u32,
    pub(super) incompatible: u64,
    pub(super) compatible: u64,
}

/// The incompatible feature of stores whose metric the first builds did not have: manhattan and hamming.
const LATER_METRICS: u64 = 1;
/// The incompatible features that this build knows.
pub(super) const KNOWN_FEATURES: u64 = LATER_METRICS;

impl FormatRow {
    /// The format of a store with a metric.
    pub(super) fn of(metric: Metric) -> FormatRow {
        let incompatible = match metric {
            Metric::Cosine | Metric::Euclidean | Metric::Dot => 0,
            Metric::Manhattan | Metric::Hamming => LATER_METRICS,
        };
        FormatRow { incompatible, ..FormatRow::CURRENT }
    }

    pub(super) const CURRENT: FormatRow = FormatRow { version: FORMAT_VERSION, incompatible: 0, compatible: 0 };

    pub(super) fn encode(self) -> Vec<u8> {
        let mut out = self.version.to_le_bytes().to_vec();
        out.extend_from_slice(&self.incompatible.to_le_bytes());
        out.extend_from_slice(&self.compatible.to_le_bytes());
        out
    }

    /// A newer version may have appended fields, so the end is not checked.
    pub(super) fn decode(bytes: &[u8]) -> Result<FormatRow, Malformed> {
        let mut reader = Reader::new(bytes);
        Ok(FormatRow { version: reader.u32()?, incompatible: reader.u64()?, compatible: reader.u64()? })
    }
}

/// What was fixed when the store was created. The dimension may follow with the first vector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoreRow {
    pub(crate) uuid: [u8; 16],
    pub(crate) metric: Metric,
    pub(crate) dimension: Option<usize>,
    pub(crate) rotation_seed: u64,
    pub(crate) build_seed: u64,
}

impl StoreRow {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = self.uuid.to_vec();
        out.extend_from_slice(&[self.metric.tag(), Element::of(self.metric).tag()]);
        out.extend_from_slice(&(self.dimension.unwrap_or(0) as u32).to_le_bytes());
        out.extend_from_slice(&self.rotation_seed.to_le_bytes());
        out.extend_from_slice(&self.build_seed.to_le_bytes());
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<StoreRow, Malformed> {
        let mut reader = Reader::new(bytes);
        let mut uuid = [0; 16];
        uuid.copy_from_slice(reader.take(16)?);
        let (metric, element) = (reader.u8()?, reader.u8()?);
        let known = Metric::from_tag(metric).filter(|&metric| Element::of(metric).tag() == element);
        let metric = known.ok_or_else(|| Malformed {
            expected: "a known metric and its element type".into(),
            found: format!("metric {metric} and element type {element}"),
        })?;
        let dimension = reader.u32()? as usize;
        let row = StoreRow {
            uuid,
            metric,
            dimension: (dimension != 0).then_some(dimension),
            rotation_seed: reader.u64()?,
            build_seed: reader.u64()?,
        };
        reader.finish()?;
        Ok(row)
    }
}

/// The numbers that only ever grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counters {
    pub(crate) next_sequence: u64,
    pub(crate) next_segment: u64,
    pub(crate) flushed: u64,
}

impl Counters {
    pub(super) const INITIAL: Counters = Counters { next_sequence: 1, next_segment: 1, flushed: 1 };

    /// The rows that hold them.
    pub(super) fn rows(self) -> [(&'static [u8], u64); 3] {
        [(SEQUENCE, self.next_sequence), (SEGMENT, self.next_segment), (FLUSHED, self.flushed)]
    }
}

pub(super) fn decode_u64(bytes: &[u8]) -> Result<u64, Malformed> {
    let mut reader = Reader::new(bytes);
    let number = reader.u64()?;
    reader.finish()?;
    Ok(number)
}

pub(super) fn encode_mean(mean: &[f32]) -> Vec<u8> {
    let mut out = Vec::new();
    put_floats(&mut out, mean);
    out
}

pub(super) fn decode_mean(bytes: &[u8]) -> Result<Vec<f32>, Malformed> {
    if !bytes.len().is_multiple_of(4) {
        return Err(Malformed { expected: "components of 4 bytes".into(), found: format!("{} bytes", bytes.len()) });
    }
    Ok(floats(bytes).collect())
}
