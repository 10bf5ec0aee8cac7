//! A segment that views refer to: its file goes when the last of them does.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::code::Frame;
use crate::error::Result;
use crate::fs;
use crate::segment::{Expected, Segment};

/// An open segment, shared by the views that search it.
pub(crate) struct LiveSegment {
    /// `None` only while it is dropped.
    segment: Option<Segment>,
    path: PathBuf,
    doomed: AtomicBool,
    set_aside: AtomicBool,
}

impl LiveSegment {
    /// Opens a segment that the manifest names, or is about to.
    pub(crate) fn open(path: &Path, expected: &Expected, frame: &Frame) -> Result<LiveSegment> {
        let segment = Some(Segment::open(path, expected, frame)?);
        let path = path.to_owned();
        Ok(LiveSegment { segment, path, doomed: AtomicBool::new(false), set_aside: AtomicBool::new(false) })
    }

    /// The manifest no longer names the file: remove it as soon as nobody reads it.
    pub(crate) fn doom(&self) {
        self.doomed.store(true, Ordering::Relaxed);
    }

    /// Bytes of it were found damaged: from now on the rows answer for its items, in every view.
    pub(crate) fn set_aside(&self) {
        self.set_aside.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_set_aside(&self) -> bool {
        self.set_aside.load(Ordering::Relaxed)
    }
}

impl std::ops::Deref for LiveSegment {
    type Target = Segment;

    fn deref(&self) -> &Segment {
        match &self.segment {
            Some(segment) => segment,
            None => unreachable!("a segment is taken out only by drop"),
        }
    }
}

impl Drop for LiveSegment {
    fn drop(&mut self) {
        // Unmapped first: some systems do not remove a mapped file. A removal that fails is made up for by the sweep
        // of the next open.
        self.segment = None;
        if self.doomed.load(Ordering::Relaxed) {
            let _ = fs::remove(&self.path);
        }
    }
}
