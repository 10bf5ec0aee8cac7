//! The set of dead sequence numbers: of rows that were deleted or replaced while a block or a segment may hold them.

use std::sync::Arc;

use crate::bytes::Malformed;
use crate::types::SequenceRange;

/// Sequence numbers a chunk covers.
pub(super) const CHUNK: u64 = 4096;
pub(super) const CHUNK_BYTES: usize = 512;
const WORDS: usize = 64;

type Chunk = [u64; WORDS];

/// Dead sequence numbers in memory. A clone costs a reference count a chunk, and a change copies only its chunk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DeadSet {
    /// Chunk number and bits, ascending, none empty.
    chunks: Vec<(u64, Arc<Chunk>)>,
}

impl DeadSet {
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    pub(crate) fn len(&self) -> u64 {
        self.chunks.iter().map(|(_, chunk)| count_bits(chunk, (0, CHUNK))).sum()
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> usize {
        self.chunks.len() * (size_of::<Chunk>() + size_of::<(u64, Arc<Chunk>)>())
    }

    pub(crate) fn contains(&self, sequence: u64) -> bool {
        let (number, word, bit) = locate(sequence);
        self.find(number).is_ok_and(|index| self.chunks[index].1[word] & bit != 0)
    }

    /// Adds a sequence number; whether it was new.
    pub(crate) fn insert(&mut self, sequence: u64) -> bool {
        let (number, word, bit) = locate(sequence);
        let index = self.find(number).unwrap_or_else(|index| {
            self.chunks.insert(index, (number, Arc::new([0; WORDS])));
            index
        });
        let word = &mut Arc::make_mut(&mut self.chunks[index].1)[word];
        let new = *word & bit == 0;
        *word |= bit;
        new
    }

    /// Removes what is in the range and not in `keep`.
    pub(crate) fn retain(&mut self, range: SequenceRange, keep: &dyn Fn(u64) -> bool) {
        for (number, chunk) in &mut self.chunks {
            let number = *number;
            if overlap(number, range).is_some() && bits(number, chunk).any(|s| range.contains(s) && !keep(s)) {
                let gone: Vec<u64> = bits(number, chunk).filter(|&s| range.contains(s) && !keep(s)).collect();
                let chunk = Arc::make_mut(chunk);
                for sequence in gone {
                    let (_, word, bit) = locate(sequence);
                    chunk[word] &= !bit;
                }
            }
        }
        self.chunks.retain(|(_, chunk)| chunk.iter().any(|&word| word != 0));
    }

    /// How many are in the range.
    pub(crate) fn count_in(&self, range: SequenceRange) -> u64 {
        let from = self.chunks.partition_point(|&(number, _)| number < range.start / CHUNK);
        self.chunks[from..]
            .iter()
            .map_while(|(number, chunk)| overlap(*number, range).map(|within| count_bits(chunk, within)))
            .sum()
    }

    /// Those in the range, ascending.
    pub(crate) fn iter_in(&self, range: SequenceRange) -> impl Iterator<Item = u64> + '_ {
        let from = self.chunks.partition_point(|&(number, _)| number < range.start / CHUNK);
        self.chunks[from..]
            .iter()
            .take_while(move |(number, _)| overlap(*number, range).is_some())
            .flat_map(|(number, chunk)| bits(*number, chunk))
            .filter(move |&sequence| range.contains(sequence))
    }

    /// Whether both are the same in the chunks of a range. Costs little where they share them.
    pub(crate) fn is_same_in(&self, other: &DeadSet, range: SequenceRange) -> bool {
        let (mine, theirs) = (self.chunks_in(range), other.chunks_in(range));
        let mut pairs = mine.iter().zip(theirs);
        mine.len() == theirs.len()
            && pairs.all(|((number, mine), (other, theirs))| {
                number == other && (Arc::ptr_eq(mine, theirs) || mine == theirs)
            })
    }

    fn chunks_in(&self, range: SequenceRange) -> &[(u64, Arc<Chunk>)] {
        let from = self.chunks.partition_point(|&(number, _)| number < range.start / CHUNK);
        let to = self
            .chunks
            .partition_point(|&(number, _)| overlap(number, range).is_some() || number < range.start / CHUNK);
        self.chunks.get(from..to).unwrap_or(&[])
    }

    fn find(&self, number: u64) -> Result<usize, usize> {
        self.chunks.binary_search_by_key(&number, |&(number, _)| number)
    }

    /// The chunks as they are stored.
    pub(super) fn stored(&self) -> impl Iterator<Item = (u64, [u8; CHUNK_BYTES])> + '_ {
        self.chunks.iter().map(|(number, chunk)| (*number, bytemuck::cast(**chunk)))
    }

    /// How this set, made from `before` by removals, is to be stored: the chunks that changed, `None` where one is
    /// empty now.
    pub(super) fn changes_from(&self, before: &DeadSet) -> Vec<(u64, Option<[u8; CHUNK_BYTES]>)> {
        let now = |number| self.find(number).ok().map(|index| &self.chunks[index].1);
        let changed = |number, old: &Arc<Chunk>| now(number).is_none_or(|new| !Arc::ptr_eq(new, old));
        let changed = before.chunks.iter().filter(|(number, old)| changed(*number, old));
        changed.map(|&(number, _)| (number, now(number).map(|chunk| bytemuck::cast(**chunk)))).collect()
    }

    /// Appends a stored chunk, whose number is larger than all before.
    pub(super) fn push_stored(&mut self, number: u64, bytes: &[u8]) -> Result<(), Malformed> {
        let Ok(bytes) = <[u8; CHUNK_BYTES]>::try_from(bytes) else {
            let expected = format!("a bitmap of {CHUNK_BYTES} bytes");
            return Err(Malformed { expected, found: format!("{} bytes", bytes.len()) });
        };
        if number > u64::MAX / CHUNK {
            return Err(Malformed { expected: "a chunk of sequence numbers".into(), found: number.to_string() });
        }
        let chunk: Chunk = bytemuck::cast(bytes);
        if chunk.iter().any(|&word| word != 0) {
            self.chunks.push((number, Arc::new(chunk)));
        }
        Ok(())
    }
}

impl FromIterator<u64> for DeadSet {
    fn from_iter<I: IntoIterator<Item = u64>>(sequences: I) -> DeadSet {
        let mut set = DeadSet::default();
        for sequence in sequences {
            set.insert(sequence);
        }
        set
    }
}

fn locate(sequence: u64) -> (u64, usize, u64) {
    let within = sequence % CHUNK;
    (sequence / CHUNK, (within / 64) as usize, 1 << (within % 64))
}

/// The part of the range in a chunk, relative to its start; `None` if it has none.
fn overlap(number: u64, range: SequenceRange) -> Option<(u64, u64)> {
    let start = number * CHUNK;
    let (from, to) = (range.start.saturating_sub(start).min(CHUNK), range.end.saturating_sub(start).min(CHUNK));
    (from < to).then_some((from, to))
}

fn count_bits(chunk: &Chunk, (from, to): (u64, u64)) -> u64 {
    let below = |end: u64| -> u64 {
        let (words, rest) = ((end / 64) as usize, end % 64);
        let whole: u32 = chunk[..words].iter().map(|word| word.count_ones()).sum();
        let part = if rest == 0 { 0 } else { (chunk[words] & ((1 << rest) - 1)).count_ones() };
        u64::from(whole + part)
    };
    below(to) - below(from)
}

fn bits(number: u64, chunk: &Chunk) -> impl Iterator<Item = u64> + '_ {
    chunk.iter().enumerate().flat_map(move |(word, &bits)| {
        let base = number * CHUNK + word as u64 * 64;
        (0..64).filter(move |bit| bits >> bit & 1 == 1).map(move |bit| base + bit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn range(start: u64, end: u64) -> SequenceRange {
        SequenceRange { start, end }
    }

    #[test]
    fn the_set_agrees_with_a_plain_one() {
        let mut plain = BTreeSet::new();
        let mut set = DeadSet::default();
        for step in 0..20_000u64 {
            let sequence = step.wrapping_mul(2_654_435_761) % 50_000;
            assert_eq!(set.insert(sequence), plain.insert(sequence));
        }
        for (start, end) in
            [(0, 0), (0, 4096), (4095, 4097), (63, 64), (100, 40_000), (0, u64::MAX), (60_000, 70_000)]
        {
            assert_eq!(set.count_in(range(start, end)), plain.range(start..end).count() as u64);
            assert!(set.iter_in(range(start, end)).eq(plain.range(start..end).copied()));
        }
        let mut changed = set.clone();
        changed.insert(9_000_000);
        assert!(changed.is_same_in(&set, range(0, 60_000)) && !changed.is_same_in(&set, range(0, 9_000_001)));
        set.retain(range(5_000, 20_000), &|sequence| sequence % 3 == 0);
        plain.retain(|&sequence| !(5_000..20_000).contains(&sequence) || sequence % 3 == 0);
        assert!((0..60_000).all(|sequence| set.contains(sequence) == plain.contains(&sequence)));
        set.retain(range(0, u64::MAX), &|_| false);
        assert!(set.is_empty());
    }

    #[test]
    fn a_clone_keeps_what_it_held_and_shares_what_did_not_change() {
        let mut set: DeadSet = [1, 5_000].into_iter().collect();
        let before = set.clone();
        set.insert(2);
        assert!(!before.contains(2) && set.contains(2));
        assert!(Arc::ptr_eq(&before.chunks[1].1, &set.chunks[1].1));
    }

    #[test]
    fn stored_chunks_come_back_and_put_bit_n_where_the_format_says() {
        let set: DeadSet = [4096 + 8 * 3 + 5, 40_960].into_iter().collect();
        let stored: Vec<_> = set.stored().collect();
        assert_eq!((stored[0].0, stored[0].1[3]), (1, 1 << 5));
        let mut back = DeadSet::default();
        for (number, bytes) in stored {
            back.push_stored(number, &bytes).unwrap();
        }
        assert_eq!(back, set);
        assert!(back.push_stored(11, &[0; 511]).is_err());
        assert!(back.push_stored(u64::MAX, &[1; 512]).is_err());
    }
}
