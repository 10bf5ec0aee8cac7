//! How far searches must scan, as it was measured on the store's own items: a row of the table `meta`.

use crate::bytes::{Malformed, Reader};

/// The row that holds it.
pub(super) const SPENT: &[u8] = b"spent";
/// The rows of stores written before, in items scanned: all curves, and that for ten neighbours alone.
pub(super) const EFFORTS: &[u8] = b"efforts";
pub(super) const EFFORT: &[u8] = b"effort";

/// Effort for an item scanned by the searches of older stores, which spent as much on each. On real sets and recalls of
/// .90 to .99 it was 1 to 3.
const FOR_AN_ITEM: u64 = 3;

/// The neighbours that the row `effort` is for.
const NEIGHBOURS: u32 = 10;

/// How far a search must scan for a recall.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Effort {
    /// Items in segments when it was measured.
    pub(crate) items: u64,
    /// The next sequence number when it was measured.
    pub(crate) sequence: u64,
    /// For ascending numbers of neighbours.
    pub(crate) curves: Vec<EffortCurve>,
}

/// The effort for one number of neighbours.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct EffortCurve {
    pub(crate) neighbours: u32,
    /// Recall and effort, both ascending.
    pub(crate) points: Vec<(f32, u64)>,
}

impl Effort {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = self.items.to_le_bytes().to_vec();
        out.extend_from_slice(&self.sequence.to_le_bytes());
        out.extend_from_slice(&(self.curves.len() as u32).to_le_bytes());
        for curve in &self.curves {
            out.extend_from_slice(&curve.neighbours.to_le_bytes());
            out.extend_from_slice(&(curve.points.len() as u32).to_le_bytes());
            for (recall, spent) in &curve.points {
                out.extend_from_slice(&recall.to_le_bytes());
                out.extend_from_slice(&spent.to_le_bytes());
            }
        }
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Effort, Malformed> {
        let mut reader = Reader::new(bytes);
        let mut effort = Effort { items: reader.u64()?, sequence: reader.u64()?, curves: Vec::new() };
        for _ in 0..reader.u32()? {
            let neighbours = reader.u32()?;
            effort.curves.push(EffortCurve { neighbours, points: decode_points(&mut reader)? });
        }
        reader.finish()?;
        let numbers = || effort.curves.iter().map(|curve| curve.neighbours);
        if numbers().any(|neighbours| neighbours == 0) || !numbers().is_sorted_by(|a, b| a < b) {
            let expected = "ascending numbers of neighbours".into();
            return Err(Malformed { expected, found: format!("{:?}", numbers().collect::<Vec<_>>()) });
        }
        Ok(effort)
    }

    /// Reads the row of a store whose efforts are in items scanned.
    pub(super) fn decode_scanned(bytes: &[u8]) -> Result<Effort, Malformed> {
        Effort::decode(bytes).map(Effort::of_items_scanned)
    }

    /// Reads the row of a store that has no curves for other numbers of neighbours.
    pub(super) fn decode_for_ten(bytes: &[u8]) -> Result<Effort, Malformed> {
        let mut reader = Reader::new(bytes);
        let items = reader.u64()?;
        let points = decode_points(&mut reader)?;
        reader.finish()?;
        let curves = vec![EffortCurve { neighbours: NEIGHBOURS, points }];
        Ok(Effort { items, sequence: 0, curves }.of_items_scanned())
    }

    fn of_items_scanned(mut self) -> Effort {
        for (_, spent) in self.curves.iter_mut().flat_map(|curve| &mut curve.points) {
            *spent = spent.saturating_mul(FOR_AN_ITEM);
        }
        self
    }
}

fn decode_points(reader: &mut Reader<'_>) -> Result<Vec<(f32, u64)>, Malformed> {
    let mut points = Vec::new();
    for _ in 0..reader.u32()? {
        points.push((reader.f32()?, reader.u64()?));
    }
    Ok(points)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn efforts_come_back_and_damaged_ones_are_refused() {
        let curve = |neighbours| EffortCurve { neighbours, points: vec![(0.9, 100), (0.99, 1_000)] };
        let effort = Effort { items: 11, sequence: 70, curves: vec![curve(1), curve(10)] };
        let bytes = effort.encode();
        assert_eq!(Effort::decode(&bytes), Ok(effort.clone()));
        for len in 0..bytes.len() {
            assert!(Effort::decode(&bytes[..len]).is_err());
        }
        let unordered = Effort { curves: vec![curve(10), curve(1)], ..effort };
        assert!(Effort::decode(&unordered.encode()).is_err());
    }

    #[test]
    fn older_stores_have_efforts_in_items_scanned() {
        let effort = |spent| {
            let curves = vec![EffortCurve { neighbours: 10, points: vec![(0.9, spent)] }];
            Effort { items: 11, sequence: 70, curves }
        };
        assert_eq!(Effort::decode_scanned(&effort(100).encode()), Ok(effort(300)));
    }

    #[test]
    fn the_effort_of_the_oldest_stores_is_that_for_ten_neighbours() {
        let mut bytes = 11u64.to_le_bytes().to_vec();
        bytes.extend_from_slice(&1u32.to_le_bytes());
        bytes.extend_from_slice(&0.9f32.to_le_bytes());
        bytes.extend_from_slice(&100u64.to_le_bytes());
        let curves = vec![EffortCurve { neighbours: 10, points: vec![(0.9, 300)] }];
        assert_eq!(Effort::decode_for_ten(&bytes), Ok(Effort { items: 11, sequence: 0, curves }));
    }
}
