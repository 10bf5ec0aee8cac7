//! The delta: items that no segment holds yet, in memory, coded like a leaf around the origin of the rotated space
//! (those of manhattan are not coded: their codes are made with a quantiser, which a segment's items are needed for).
//!
//! Items are appended in the order of their sequence numbers and never changed; a dead one stays until the next flush
//! and is skipped by its sequence number. Versions share full blocks, so that a commit copies at most one block.

use std::sync::{Arc, OnceLock};

use crate::bytes::Malformed;
use crate::code::{CodeKind, CodedItem, Frame, ItemEncoder, empty_block};
use crate::distance::{Block, LANES, block_bytes};
use crate::metadata::{Metadata, codec};
use crate::types::Id;

/// An item of the delta.
pub(crate) struct DeltaItem {
    pub(crate) sequence: u64,
    pub(crate) id: Id,
    pub(crate) vector: Box<[f32]>,
    pub(crate) inverse_norm: f32,
    /// The metadata as it is stored.
    stored: Box<[u8]>,
    /// Decoded by the first filter that asks.
    metadata: OnceLock<Metadata>,
}

impl DeltaItem {
    pub(crate) fn new(frame: &Frame, sequence: u64, id: Id, vector: Vec<f32>, metadata: &[u8]) -> DeltaItem {
        let (inverse_norm, vector) = (frame.inverse_norm(&vector), vector.into());
        DeltaItem { sequence, id, vector, inverse_norm, stored: metadata.into(), metadata: OnceLock::new() }
    }

    pub(crate) fn metadata(&self) -> Result<&Metadata, Malformed> {
        match self.metadata.get() {
            Some(metadata) => Ok(metadata),
            None => codec::decode(&self.stored).map(|metadata| self.metadata.get_or_init(|| metadata)),
        }
    }

    /// Bytes of memory, roughly.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.vector) + self.stored.len()
    }
}

#[derive(Clone)]
struct DeltaBlock {
    /// The bytes of a block, as words for their alignment. A lane's payload is its place in the delta.
    words: Vec<u32>,
    items: Vec<Arc<DeltaItem>>,
}

/// A version of the delta.
#[derive(Clone, Default)]
pub(crate) struct Delta {
    blocks: Vec<Arc<DeltaBlock>>,
    len: usize,
    bytes: usize,
}

impl Delta {
    /// Appends an item, whose sequence number is above all others.
    pub(crate) fn push(&mut self, frame: &Frame, item: Arc<DeltaItem>) {
        debug_assert!(self.last_sequence().is_none_or(|last| last < item.sequence));
        let lane = self.len % LANES;
        if lane == 0 {
            let code_bits = if is_coded(frame) { frame.padded() } else { 0 };
            let mut words = vec![0; block_bytes(code_bits) / 4];
            bytemuck::cast_slice_mut(&mut words).copy_from_slice(&empty_block(code_bits));
            self.blocks.push(Arc::new(DeltaBlock { words, items: Vec::with_capacity(LANES) }));
        }
        if let Some(block) = self.blocks.last_mut() {
            let block = Arc::make_mut(block);
            if is_coded(frame) {
                let mut placed = vec![0.0; frame.padded()];
                frame.place(&item.vector, item.inverse_norm, &mut placed);
                let origin = vec![0.0; frame.padded()];
                let coded = CodedItem { vector: &item.vector, placed: &placed, payload: self.len as u32 };
                let (bytes, kind) = (bytemuck::cast_slice_mut(&mut block.words), CodeKind::of_items(frame.metric()));
                ItemEncoder::new(frame, kind, None).encode_lane(bytes, lane, &origin, coded);
            }
            self.bytes += item.bytes() + block_bytes(frame.padded()) / LANES;
            block.items.push(item);
        }
        self.len += 1;
    }

    /// The items from a sequence number on, coded for a frame, which may be another one.
    pub(crate) fn starting_at(&self, frame: &Frame, sequence: u64) -> Delta {
        let mut delta = Delta::default();
        for item in self.items().filter(|item| item.sequence >= sequence) {
            delta.push(frame, item.clone());
        }
        delta
    }

    /// Items, dead ones included.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Bytes of memory, roughly.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn items(&self) -> impl Iterator<Item = &Arc<DeltaItem>> {
        self.blocks.iter().flat_map(|block| &block.items)
    }

    /// The item at a place, as the payloads count.
    pub(crate) fn item(&self, place: u32) -> &DeltaItem {
        let place = place as usize;
        &self.blocks[place / LANES].items[place % LANES]
    }

    /// The coded blocks; none where the items are not coded.
    pub(crate) fn blocks(&self, padded: usize) -> impl Iterator<Item = Block<'_>> {
        self.blocks.iter().filter_map(move |block| Block::new(bytemuck::cast_slice(&block.words), padded))
    }

    fn last_sequence(&self) -> Option<u64> {
        self.blocks.last()?.items.last().map(|item| item.sequence)
    }
}

fn is_coded(frame: &Frame) -> bool {
    CodeKind::of_items(frame.metric()) != CodeKind::Bytes
}
