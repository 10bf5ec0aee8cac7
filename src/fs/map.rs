//! The only mapping calls of the crate: of files, and of memory whose pages are taken when they are written to.

use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use crate::error::{Error, Result};

/// A published file, or one that the caller lends, mapped read-only.
#[derive(Debug)]
pub(crate) struct Map {
    bytes: Bytes,
}

#[derive(Debug)]
enum Bytes {
    Mapped(memmap2::Mmap),
    /// A file of a simulated disk, which no kernel can map.
    #[cfg(test)]
    Loaded {
        words: Vec<u64>,
        len: usize,
    },
}

impl Map {
    /// Maps the whole file.
    pub(crate) fn open(path: &Path) -> Result<Map> {
        #[cfg(test)]
        if let Some(read) = super::simulated::read(path) {
            return read.map(|bytes| Map::loaded(&bytes)).map_err(|source| Error::io("open", path, source));
        }
        let file = File::open(path).map_err(|source| Error::io("open", path, source))?;
        // SAFETY: the file must not change while it is mapped. Segments are written under another name, synced and
        // renamed, and no code opens one for writing afterwards or truncates it. Their names are never reused, and the
        // directory lock keeps other stores out. A row file is mapped by a salvage alone, which opens no store on it and
        // shares the lock that a writer would need; where that was removed, as for every file, other programs must not
        // change it. Files of `annoy` are replaced by renaming as well, at most appended
        // to behind what is mapped, and their documentation asks callers that no other program changes them in place.
        #[expect(unsafe_code, reason = "mapping has no safe form")]
        let map = unsafe { memmap2::Mmap::map(&file) }.map_err(|source| Error::io("map", path, source))?;
        Ok(Map { bytes: Bytes::Mapped(map) })
    }

    /// A copy in memory, aligned for every field of a segment.
    #[cfg(test)]
    fn loaded(bytes: &[u8]) -> Map {
        let mut words = vec![0u64; bytes.len().div_ceil(8)];
        bytemuck::cast_slice_mut::<u64, u8>(&mut words)[..bytes.len()].copy_from_slice(bytes);
        Map { bytes: Bytes::Loaded { words, len: bytes.len() } }
    }

    /// Asks the kernel to read what is touched and no more around it: leaves and records are read in no order.
    pub(crate) fn expect_random_reads(&self) {
        #[cfg(unix)]
        match &self.bytes {
            Bytes::Mapped(map) => drop(map.advise(memmap2::Advice::Random)),
            #[cfg(test)]
            Bytes::Loaded { .. } => {}
        }
    }
}

impl std::ops::Deref for Map {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Mapped(map) => map,
            #[cfg(test)]
            Bytes::Loaded { words, len } => &bytemuck::cast_slice(words)[..*len],
        }
    }
}

/// Slots of one size in memory of their own, each written at most once, by whoever comes first, and only read from then
/// on. Memory is taken as slots are written, not before.
#[derive(Debug)]
pub(crate) struct Slots {
    memory: memmap2::MmapRaw,
    slot_bytes: usize,
    /// How far each is: a byte, so that saying so is a plain store, which waits for nothing.
    states: Box<[AtomicU8]>,
    /// How many were written. Once all are, nobody reads their states, which are a cache line more for each.
    written: AtomicUsize,
}

/// Nobody wrote the slot.
const FREE: u8 = 0;
/// Somebody writes it, or found nothing to write.
const TAKEN: u8 = 1;
/// It may be read, for ever.
const WRITTEN: u8 = 2;

impl Slots {
    /// `None` if there are no slots, or the system has no addresses for them.
    pub(crate) fn new(count: usize, slot_bytes: usize) -> Option<Slots> {
        let bytes = count.checked_mul(slot_bytes).filter(|&bytes| bytes > 0)?;
        let memory = memmap2::MmapOptions::new().len(bytes).no_reserve_swap().map_anon().ok()?;
        // Slots are read in no order: with large pages the processor finds them sooner.
        #[cfg(target_os = "linux")]
        let _ = memory.advise(memmap2::Advice::HugePage);
        let states = (0..count).map(|_| AtomicU8::new(FREE)).collect();
        Some(Slots { memory: memory.into(), slot_bytes, states, written: AtomicUsize::new(0) })
    }

    /// The bytes of a slot that was written.
    pub(crate) fn get(&self, slot: usize) -> Option<&[u8]> {
        let state = self.states.get(slot)?;
        let all = self.written.load(Ordering::Acquire) == self.states.len();
        if !all && state.load(Ordering::Acquire) != WRITTEN {
            return None;
        }
        // SAFETY: there is a state for each slot of the memory and no other.
        #[expect(unsafe_code, reason = "other threads may be writing other slots, so there is no slice of all")]
        let start = unsafe { self.memory.as_ptr().add(slot * self.slot_bytes) };
        // SAFETY: the slot is within the memory, whose bytes are initialised (zeros to begin with). Its only writer was
        // done before it said so, which was acquired here, and nobody writes a slot twice.
        #[expect(unsafe_code, reason = "as above")]
        Some(unsafe { std::slice::from_raw_parts(start, self.slot_bytes) })
    }

    /// Writes a slot, unless somebody did or is about to. If `fill` says false, the slot stays unread for ever.
    pub(crate) fn write(&self, slot: usize, fill: impl FnOnce(&mut [u8]) -> bool) {
        let state = &self.states[slot];
        if state.load(Ordering::Relaxed) != FREE
            || state.compare_exchange(FREE, TAKEN, Ordering::Relaxed, Ordering::Relaxed).is_err()
        {
            return;
        }
        // SAFETY: there is a state for each slot of the memory and no other.
        #[expect(unsafe_code, reason = "as for `get`")]
        let start = unsafe { self.memory.as_mut_ptr().add(slot * self.slot_bytes) };
        // SAFETY: the slot is within the memory, whose bytes are initialised. Whoever made the state
        // `TAKEN` is alone with the slot: others that write return above, and none reads before it is `WRITTEN`.
        #[expect(unsafe_code, reason = "as for `get`")]
        let bytes = unsafe { std::slice::from_raw_parts_mut(start, self.slot_bytes) };
        if fill(bytes) {
            state.store(WRITTEN, Ordering::Release);
            self.written.fetch_add(1, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slot_has_the_bytes_of_one_writer_and_those_without_are_not_read() {
        write_from_threads(|slot| slot % 7 != 0);
    }

    #[test]
    fn every_slot_is_read_once_all_are_written_and_none_before() {
        write_from_threads(|_| true);
    }

    fn write_from_threads(wanted: fn(usize) -> bool) {
        const COUNT: usize = 3000;
        let slots = Slots::new(COUNT, 24).expect("memory");
        assert!(slots.get(0).is_none() && slots.get(COUNT).is_none() && slots.get(usize::MAX).is_none());
        std::thread::scope(|scope| {
            for writer in 1..=4u8 {
                let slots = &slots;
                scope.spawn(move || {
                    for slot in 0..COUNT {
                        slots.write(slot, |bytes| {
                            assert_eq!(bytes, [0; 24], "slot {slot} is written twice");
                            bytes.fill(writer);
                            wanted(slot)
                        });
                        let near = slot.saturating_sub(100)..(slot + 100).min(COUNT);
                        for bytes in near.filter_map(|slot| slots.get(slot)) {
                            assert!(bytes[0] != 0 && bytes == [bytes[0]; 24], "slot {slot} is read half written");
                        }
                    }
                });
            }
        });
        for slot in 0..COUNT {
            assert_eq!(slots.get(slot).is_some(), wanted(slot), "slot {slot}");
        }
    }

    #[test]
    fn slots_that_no_memory_holds_are_none() {
        assert!(Slots::new(0, 64).is_none() && Slots::new(64, 0).is_none());
        assert!(Slots::new(usize::MAX, 64).is_none());
    }
}
