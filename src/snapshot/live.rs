//! A segment that views refer to: its file goes when the last of them does.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{self, Ordering};

use super::recent::Recent;
use crate::bitmap::Bitmap;
use crate::code::Frame;
use crate::error::Result;
use crate::filter::Node;
use crate::fs;
use crate::items::DeadSet;
use crate::segment::{Expected, Segment};
use crate::sync::{AtomicBool, Mistake, makes};

/// An open segment, shared by the views that search it.
pub(crate) struct LiveSegment {
    /// `None` only while it is dropped.
    segment: Option<Segment>,
    path: PathBuf,
    doomed: AtomicBool,
    set_aside: atomic::AtomicBool,
    /// The positions of the dead, for the dead sets that filters asked about last.
    dead: Recent<DeadSet, Bitmap>,
    /// The positions, dead or live, that filters select by columns alone.
    selected: Recent<Node, Bitmap>,
}

impl LiveSegment {
    /// Opens a segment that the manifest names, or is about to.
    pub(crate) fn open(path: &Path, expected: &Expected, frame: &Frame) -> Result<LiveSegment> {
        let segment = Some(Segment::open(path, expected, frame)?);
        let path = path.to_owned();
        let (doomed, set_aside) = (AtomicBool::new(false), atomic::AtomicBool::new(false));
        Ok(LiveSegment { segment, path, doomed, set_aside, dead: Recent::default(), selected: Recent::default() })
    }

    /// The manifest no longer names the file: remove it as soon as nobody reads it.
    pub(crate) fn doom(&self) {
        if makes(Mistake::DoomedAtOnce) {
            let _ = fs::remove(&self.path);
        }
        self.doomed.store(!makes(Mistake::DoomForgotten), Ordering::Relaxed);
    }

    /// Bytes of it were found damaged: from now on the rows answer for its items, in every view.
    pub(crate) fn set_aside(&self) {
        self.set_aside.store(true, Ordering::Relaxed);
    }

    /// The positions of dead items. Remembered, for the dead change less often than filters ask.
    pub(crate) fn dead_positions(&self, dead: &DeadSet) -> Result<Arc<Bitmap>> {
        let range = self.range();
        if let Some(positions) = self.dead.get(|known| known.is_same_in(dead, range)) {
            return Ok(positions);
        }
        let positions = Arc::new(self.positions_of(dead.iter_in(range))?);
        self.dead.put(dead.clone(), positions.clone());
        Ok(positions)
    }

    /// What filters selected last, for the same ones are asked again and again. Only what the columns alone tell may be
    /// kept here: it is the same for every view.
    pub(crate) fn selected(&self) -> &Recent<Node, Bitmap> {
        &self.selected
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
