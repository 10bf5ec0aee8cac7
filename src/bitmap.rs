//! A set of small numbers, one bit each: positions of a segment, places of the delta.

/// Bits of a word.
const WORD: usize = 64;

/// A set of numbers below a length.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bitmap {
    /// Bits beyond the length are zero.
    words: Vec<u64>,
    len: usize,
}

impl Bitmap {
    /// None of `len` numbers.
    pub(crate) fn new(len: usize) -> Bitmap {
        Bitmap { words: vec![0; len.div_ceil(WORD)], len }
    }

    /// All of `len` numbers.
    pub(crate) fn full(len: usize) -> Bitmap {
        let mut bitmap = Bitmap { words: vec![u64::MAX; len.div_ceil(WORD)], len };
        bitmap.trim();
        bitmap
    }

    /// The set of the given words; bits beyond `len` are dropped, words missing are empty.
    pub(crate) fn from_words(words: &[u64], len: usize) -> Bitmap {
        let mut bitmap = Bitmap { words: words.to_vec(), len };
        bitmap.words.resize(len.div_ceil(WORD), 0);
        bitmap.trim();
        bitmap
    }

    /// The words, the lowest number in the lowest bit of the first.
    pub(crate) fn words(&self) -> &[u64] {
        &self.words
    }

    fn trim(&mut self) {
        if let Some(last) = self.words.last_mut().filter(|_| !self.len.is_multiple_of(WORD)) {
            *last &= (1 << (self.len % WORD)) - 1;
        }
    }

    /// Numbers that can be in the set.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// How many are.
    pub(crate) fn count(&self) -> u64 {
        self.words.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    pub(crate) fn contains(&self, number: usize) -> bool {
        self.words.get(number / WORD).is_some_and(|word| word >> (number % WORD) & 1 == 1)
    }

    /// Adds a number; whether it can be in the set.
    pub(crate) fn insert(&mut self, number: usize) -> bool {
        if number >= self.len {
            return false;
        }
        self.words[number / WORD] |= 1 << (number % WORD);
        true
    }

    /// Adds a set of the same length, given as words.
    pub(crate) fn insert_words(&mut self, words: &[u64]) {
        self.words.iter_mut().zip(words).for_each(|(mine, theirs)| *mine |= theirs);
        self.trim();
    }

    /// Keeps what is in both.
    pub(crate) fn intersect(&mut self, other: &Bitmap) {
        self.words.iter_mut().zip(&other.words).for_each(|(mine, theirs)| *mine &= theirs);
    }

    /// Adds what is in the other.
    pub(crate) fn unite(&mut self, other: &Bitmap) {
        self.insert_words(&other.words);
    }

    /// Keeps what is not in the other.
    pub(crate) fn subtract(&mut self, other: &Bitmap) {
        self.words.iter_mut().zip(&other.words).for_each(|(mine, theirs)| *mine &= !theirs);
    }

    /// The 64 bits from a number on, that number in the lowest.
    pub(crate) fn bits_from(&self, number: usize) -> u64 {
        let (word, shift) = (number / WORD, number % WORD);
        let low = self.words.get(word).map_or(0, |bits| bits >> shift);
        let high = if shift == 0 { 0 } else { self.words.get(word + 1).map_or(0, |bits| bits << (WORD - shift)) };
        low | high
    }

    /// How many of the numbers from `start` to before `end` are in the set.
    pub(crate) fn count_in(&self, start: usize, end: usize) -> u32 {
        let part = |from: usize| self.bits_from(from) & low_bits(end - from);
        (start..end).step_by(WORD).map(|from| part(from).count_ones()).sum()
    }

    /// Removes the numbers from `start` to before `end`.
    pub(crate) fn remove_range(&mut self, start: usize, end: usize) {
        let end = end.min(self.len);
        let mut from = start;
        while from < end {
            let within = from % WORD;
            self.words[from / WORD] &= !(low_bits(end - from) << within);
            from += WORD - within;
        }
    }

    /// The numbers, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.words.iter().enumerate().flat_map(|(at, &word)| {
            let mut rest = word;
            std::iter::from_fn(move || {
                let bit = (rest != 0).then(|| rest.trailing_zeros());
                rest &= rest.wrapping_sub(1);
                bit.map(|bit| (at * WORD) as u32 + bit)
            })
        })
    }
}

/// The lowest `count` bits, all for 64 and more.
fn low_bits(count: usize) -> u64 {
    if count >= WORD { u64::MAX } else { (1 << count) - 1 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn of(numbers: &BTreeSet<usize>, len: usize) -> Bitmap {
        let mut bitmap = Bitmap::new(len);
        assert!(numbers.iter().all(|&number| bitmap.insert(number)));
        bitmap
    }

    fn numbers(bitmap: &Bitmap) -> BTreeSet<usize> {
        bitmap.iter().map(|number| number as usize).collect()
    }

    #[test]
    fn the_set_agrees_with_a_plain_one() {
        for len in [0usize, 1, 63, 64, 65, 200, 1000] {
            let some = |step: usize| (0..len).filter(|number| number * number % 7 < step).collect::<BTreeSet<_>>();
            let (a, b) = (some(2), some(4).into_iter().filter(|number| number % 3 > 0).collect());
            let (left, right) = (of(&a, len), of(&b, len));
            assert_eq!((numbers(&left), left.count(), left.len()), (a.clone(), a.len() as u64, len));
            assert!((0..len + 130).all(|number| left.contains(number) == a.contains(&number)));
            let changed = |change: &dyn Fn(&mut Bitmap)| {
                let mut copy = left.clone();
                change(&mut copy);
                numbers(&copy)
            };
            assert_eq!(changed(&|copy| copy.intersect(&right)), &a & &b);
            assert_eq!(changed(&|copy| copy.unite(&right)), &a | &b);
            assert_eq!(changed(&|copy| copy.subtract(&right)), &a - &b);
            for start in (0..len).step_by(13) {
                for end in (start..=len).step_by(29) {
                    assert_eq!(left.count_in(start, end) as usize, a.range(start..end).count());
                    let kept = a.iter().copied().filter(|number| !(start..end).contains(number)).collect();
                    assert_eq!(changed(&|copy| copy.remove_range(start, end)), kept);
                }
                assert!((0..64).all(|bit| left.bits_from(start) >> bit & 1 == u64::from(a.contains(&(start + bit)))));
            }
        }
    }

    #[test]
    fn nothing_lies_beyond_the_length() {
        for len in [0usize, 1, 64, 65, 127] {
            assert_eq!(Bitmap::full(len).count(), len as u64);
            assert_eq!(Bitmap::from_words(&[u64::MAX; 3], len), Bitmap::full(len));
            assert_eq!(Bitmap::from_words(&[], len), Bitmap::new(len));
            assert!(!Bitmap::full(len).insert(len) && Bitmap::full(len).words().len() == len.div_ceil(64));
            let mut united = Bitmap::new(len);
            united.insert_words(&[u64::MAX; 2]);
            assert_eq!(united, Bitmap::full(len));
        }
    }
}
