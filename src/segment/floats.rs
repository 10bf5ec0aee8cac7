//! The vectors of a build: in memory, or in a temporary file where they would not fit the memory allowed.
//!
//! Such a file is written from its beginning to its end, never synced, then mapped and only read; it is removed when its
//! reader is dropped. After a crash it is swept like every temporary. Where the floats are changes no byte of a segment.

use std::io::Write;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use crate::code::Frame;
use crate::error::{Error, Result};
use crate::fs::{self, Map};

/// Floats handed to the system at once.
const BUFFER_FLOATS: usize = 1 << 18;

/// Which vectors of a build leave memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Placement {
    /// The components as callers gave them.
    pub(crate) spills_given: bool,
    /// The vectors in the rotated space, which a build reads more often.
    pub(crate) spills_placed: bool,
}

impl Placement {
    /// The least that leaves memory so that the vectors in it have at most `memory` bytes.
    pub(crate) fn of(items: u64, frame: &Frame, memory: usize) -> Placement {
        let bytes = |components: usize| u128::from(items) * components as u128 * size_of::<f32>() as u128;
        Placement {
            spills_given: bytes(frame.dimension() + frame.padded()) > memory as u128,
            spills_placed: bytes(frame.padded()) > memory as u128,
        }
    }
}

/// Floats that do not change any more.
#[derive(Debug)]
pub(crate) enum Floats {
    Held(Vec<f32>),
    Spilled(Spilled),
}

/// A temporary file of floats.
#[derive(Debug)]
pub(crate) struct Spilled {
    /// Mapped once all is written; there is nothing to map where there are no floats.
    map: Option<Map>,
    path: PathBuf,
}

impl Default for Floats {
    fn default() -> Floats {
        Floats::Held(Vec::new())
    }
}

impl From<Vec<f32>> for Floats {
    fn from(floats: Vec<f32>) -> Floats {
        Floats::Held(floats)
    }
}

impl Deref for Floats {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match self {
            Floats::Held(floats) => floats,
            Floats::Spilled(Spilled { map: Some(map), .. }) => bytemuck::cast_slice(map),
            Floats::Spilled(Spilled { map: None, .. }) => &[],
        }
    }
}

impl Drop for Spilled {
    fn drop(&mut self) {
        self.map = None;
        // What cannot be removed now is removed when the next job begins or the store is opened.
        let _ = fs::remove(&self.path);
    }
}

/// Takes floats one after the other.
pub(crate) struct FloatsWriter {
    buffer: Vec<f32>,
    file: Option<(fs::File, Spilled)>,
    /// Floats in the file so far.
    written: usize,
}

impl FloatsWriter {
    /// With a path, which must be free, the floats go to a file of that name; otherwise they stay in memory.
    pub(crate) fn new(path: Option<&Path>) -> Result<FloatsWriter> {
        let file = match path {
            Some(path) => Some((fs::create_new(path)?, Spilled { map: None, path: path.to_owned() })),
            None => None,
        };
        Ok(FloatsWriter { buffer: Vec::new(), file, written: 0 })
    }

    pub(crate) fn push(&mut self, floats: &[f32]) -> Result<()> {
        self.buffer.extend_from_slice(floats);
        if self.file.is_some() && self.buffer.len() >= BUFFER_FLOATS { self.write_out() } else { Ok(()) }
    }

    /// Takes a piece whole; where it is all there is and stays in memory, without a copy.
    pub(crate) fn take(&mut self, floats: Vec<f32>) -> Result<()> {
        if self.buffer.is_empty() && self.file.is_none() {
            self.buffer = floats;
            return Ok(());
        }
        self.push(&floats)
    }

    fn write_out(&mut self) -> Result<()> {
        let Some((file, Spilled { path, .. })) = &mut self.file else { return Ok(()) };
        file.write_all(bytemuck::cast_slice(&self.buffer)).map_err(|source| Error::io("write", path, source))?;
        self.written += self.buffer.len();
        self.buffer.clear();
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Result<Floats> {
        if !self.buffer.is_empty() {
            self.write_out()?;
        }
        let Some((file, mut spilled)) = self.file else { return Ok(Floats::Held(self.buffer)) };
        drop(file);
        // An empty file cannot be mapped everywhere.
        if self.written > 0 {
            spilled.map = Some(Map::open(&spilled.path)?);
        }
        Ok(Floats::Spilled(spilled))
    }
}
