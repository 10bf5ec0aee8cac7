//! The names of the files in a store's directory.

use std::path::{Path, PathBuf};

/// The directory of the segments.
pub(crate) fn segments_dir(store: &Path) -> PathBuf {
    store.join("segments")
}

/// The file of a segment.
pub(crate) fn segment_path(store: &Path, id: u64, nonce: u64) -> PathBuf {
    segments_dir(store).join(format!("{id:016x}-{nonce:016x}.seg"))
}

/// The row file of a generation. The highest one is the store's.
pub(crate) fn row_file(store: &Path, generation: u64) -> PathBuf {
    store.join(format!("store-{generation:010}.redb"))
}

/// The generation of a row file; `None` for any other file.
pub(crate) fn generation(path: &Path) -> Option<u64> {
    let digits = path.file_name()?.to_str()?.strip_prefix("store-")?.strip_suffix(".redb")?;
    digits.bytes().all(|digit| digit.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// The name of the row file that replaces this one.
pub(crate) fn next_row_file(current: &Path) -> PathBuf {
    let store = current.parent().unwrap_or(Path::new("."));
    row_file(store, generation(current).unwrap_or(0) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generations_are_read_back_and_other_files_have_none() {
        let store = Path::new("notes.understory");
        assert_eq!(generation(&row_file(store, 7)), Some(7));
        assert_eq!(next_row_file(&row_file(store, 9_999_999_999)), row_file(store, 10_000_000_000));
        for name in ["store-.redb", "store-1.redb.tmp", "store-1a.redb", "LOCK", "store-+1.redb"] {
            assert_eq!(generation(&store.join(name)), None, "{name}");
        }
    }
}
