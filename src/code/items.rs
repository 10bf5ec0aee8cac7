//! Codes items of any metric into runs and into the delta's blocks.

use super::Quantiser;
use super::frame::Frame;
use super::kind::CodeKind;
use super::narrow;
use super::run::{Centroid, Encoder, Role, assemble, codes_mut, set_factors};
use super::short::{self, ShortRun};
use crate::bits;
use crate::distance::{set_bits, set_bytes};

/// The share of a step that rounding, of distances as of bounds, may add to a bound.
const ROUNDING: f32 = 1.0 / (1 << 19) as f32;

/// An item to be coded.
#[derive(Clone, Copy)]
pub(crate) struct CodedItem<'v> {
    /// The components as the caller gave them.
    pub(crate) vector: &'v [f32],
    /// The vector in the rotated space.
    pub(crate) placed: &'v [f32],
    pub(crate) payload: u32,
}

/// Codes items in the way of their metric; holds the room for one code.
pub(crate) struct ItemEncoder<'q> {
    frame: &'q Frame,
    kind: CodeKind,
    signs: Encoder,
    /// What bytes are made with.
    quantiser: Option<&'q Quantiser>,
    code: Vec<u8>,
}

impl<'q> ItemEncoder<'q> {
    /// `quantiser` is needed for manhattan, where it makes the codes, and for no other metric.
    pub(crate) fn new(frame: &'q Frame, kind: CodeKind, quantiser: Option<&'q Quantiser>) -> ItemEncoder<'q> {
        let signs = Encoder::new(frame.metric(), frame.padded());
        ItemEncoder { frame, kind, signs, quantiser, code: vec![0; frame.padded()] }
    }

    /// Sets an empty lane of a block; returns the norm of the residual where there is one.
    pub(crate) fn encode_lane(
        &mut self,
        block: &mut [u8],
        lane: usize,
        centroid: &[f32],
        item: CodedItem<'_>,
    ) -> f32 {
        match (self.kind, self.quantiser) {
            (CodeKind::Signs | CodeKind::ShortSigns, _) => {
                return self.signs.encode_lane(Role::Items, block, lane, centroid, item.placed, item.payload);
            }
            (CodeKind::Bits, _) => {
                self.code.clear();
                bits::pack(item.vector, &mut self.code);
                set_bits(codes_mut(block), lane, &self.code);
                set_factors(block, lane, [0.0, 1.0, 0.0], item.payload);
            }
            (CodeKind::Bytes, Some(Quantiser::Steps(steps))) => {
                let error = steps.code(item.vector, &mut self.code);
                set_bytes(codes_mut(block), lane, &self.code);
                set_factors(block, lane, [0.0, steps.step() * (1.0 - ROUNDING), error], item.payload);
            }
            (CodeKind::Bytes, _) => unreachable!("bytes are made with steps"),
            (CodeKind::HalfBytes | CodeKind::Narrow(_), _) => unreachable!("half bytes are coded run by run"),
        }
        0.0
    }

    /// A whole run of items near a centroid, and the largest norm of a residual. Short factors need payloads that ascend
    /// by one from `first`; others do not look at it.
    pub(crate) fn encode_run<'v>(
        &mut self,
        number: u32,
        centroid: &Centroid,
        first: u32,
        mut items: impl ExactSizeIterator<Item = CodedItem<'v>>,
    ) -> (Vec<u8>, f32) {
        let run = ShortRun { number, centroid, first };
        match (self.kind, self.quantiser) {
            (CodeKind::ShortSigns, _) => return short::encode_signs(self.frame.metric(), run, items),
            (CodeKind::HalfBytes, Some(Quantiser::Levels(levels))) => {
                return short::encode_half_bytes(levels, run, items);
            }
            (CodeKind::Narrow(_), _) => return narrow::encode(self.frame, run, items),
            _ => {}
        }
        let count = items.len();
        assemble(self.kind, number, centroid, count, |block, lane| {
            let Some(item) = items.next() else { unreachable!("an item for each lane") };
            self.encode_lane(block, lane, centroid.values(), item)
        })
    }
}
