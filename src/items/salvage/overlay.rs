//! A row file as the row database may change it, without a change to the file: what is written stays in memory.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use redb::StorageBackend;

use crate::fs::Map;

const PAGE: usize = 4096;

#[derive(Debug)]
pub(super) struct Overlay {
    file: Arc<Map>,
    has_ended: Arc<AtomicBool>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    len: u64,
    /// Bytes of the file that still count: it may have been cut off since.
    kept: u64,
    pages: BTreeMap<u64, Box<[u8; PAGE]>>,
}

impl Overlay {
    pub(super) fn new(file: Arc<Map>) -> Overlay {
        let len = file.len() as u64;
        let state = Mutex::new(State { len, kept: len, pages: BTreeMap::new() });
        Overlay { file, has_ended: Arc::default(), state }
    }

    /// Set, every call fails: so that a database that is closed does not go to work on damaged pages once more.
    pub(super) fn end(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.has_ended)
    }

    fn check(&self) -> Result<()> {
        match self.has_ended.load(Ordering::Relaxed) {
            true => Err(ErrorKind::BrokenPipe.into()),
            false => Ok(()),
        }
    }

    /// A page of the file, zeros where it has none.
    fn original(&self, kept: u64, page: u64) -> Box<[u8; PAGE]> {
        let mut bytes = Box::new([0; PAGE]);
        let start = usize::try_from(page).unwrap_or(usize::MAX).saturating_mul(PAGE);
        let end = start.saturating_add(PAGE).min(usize::try_from(kept).unwrap_or(usize::MAX));
        if let Some(there) = self.file.get(start..end)
            && let Some(place) = bytes.get_mut(..there.len())
        {
            place.copy_from_slice(there);
        }
        bytes
    }
}

/// The pieces of a range that lie on one page each: page, offset on it, offset in the range, length.
fn pieces(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, usize, usize)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        (done < len).then(|| {
            let at = offset + done as u64;
            let within = (at % PAGE as u64) as usize;
            let piece = (PAGE - within).min(len - done);
            done += piece;
            (at / PAGE as u64, within, done - piece, piece)
        })
    })
}

impl StorageBackend for Overlay {
    fn len(&self) -> Result<u64> {
        Ok(self.state.lock().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        self.check()?;
        let state = self.state.lock();
        if offset.checked_add(out.len() as u64).is_none_or(|end| end > state.len) {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        for (page, within, start, len) in pieces(offset, out.len()) {
            let target = &mut out[start..start + len];
            match state.pages.get(&page) {
                Some(bytes) => target.copy_from_slice(&bytes[within..within + len]),
                None => target.copy_from_slice(&self.original(state.kept, page)[within..within + len]),
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.check()?;
        let mut state = self.state.lock();
        if len < state.len {
            state.pages.split_off(&len.div_ceil(PAGE as u64));
            if let Some(last) = state.pages.get_mut(&(len / PAGE as u64)) {
                last[(len % PAGE as u64) as usize..].fill(0);
            }
        }
        state.kept = state.kept.min(len);
        state.len = len;
        Ok(())
    }

    fn sync_data(&self) -> Result<()> {
        self.check()
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.check()?;
        let mut state = self.state.lock();
        if offset.checked_add(data.len() as u64).is_none_or(|end| end > state.len) {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let kept = state.kept;
        for (page, within, start, len) in pieces(offset, data.len()) {
            let bytes = state.pages.entry(page).or_insert_with(|| self.original(kept, page));
            bytes[within..within + len].copy_from_slice(&data[start..start + len]);
        }
        Ok(())
    }
}
