//! Which files a view names, and the removal of others.

use std::path::{Path, PathBuf};

use super::{Source, View, generation, segments_dir};
use crate::error::Result;
use crate::fs;

/// The segment files of a view's parts. A damaged one is named until it is built again.
pub(crate) fn named(view: &View) -> Vec<&Path> {
    let parts = view.parts.iter();
    parts
        .filter_map(|part| match &part.source {
            Source::Segment(segment) => Some(segment.path()),
            Source::Rows { damaged } => damaged.as_deref(),
        })
        .collect()
}

/// Hands each file among the segments that the view does not name to `remove`.
pub(crate) fn sweep(store: &Path, view: &View, remove: &mut dyn FnMut(PathBuf) -> Result<()>) -> Result<()> {
    let named = named(view);
    for entry in fs::list(&segments_dir(store))? {
        let is_ours = entry.extension().is_some_and(|extension| extension == "seg" || extension == "tmp");
        if is_ours && !named.contains(&entry.as_path()) {
            remove(entry)?;
        }
    }
    Ok(())
}

/// The row files that the view's replaced.
pub(super) fn old_row_files(store: &Path, view: &View) -> Result<Vec<PathBuf>> {
    let current = generation(view.rows.path());
    let is_old = |entry: &PathBuf| generation(entry).is_some_and(|number| Some(number) < current);
    Ok(fs::list(store)?.into_iter().filter(is_old).collect())
}
