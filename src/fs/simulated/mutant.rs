//! Mistakes in the order of writing, made on purpose: a harness that does not notice them proves nothing.
//!
//! Most are made here, below the store: the disk does what it would be asked to do by code with the mistake.

use super::State;
use super::image::Operation;

/// A mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mutant {
    /// Row commits are acknowledged unsynced.
    RowsUnsynced,
    /// The name of a new store's directory is not synced.
    StoreNameUnsynced,
    /// A new store's row file is made under its final name.
    RowsCreatedInPlace,
    /// A segment's bytes are not synced before its rename.
    SegmentUnsynced,
    /// The directory of segments is not synced after the rename.
    SegmentNameUnsynced,
    /// The manifest names a segment before the segment has its name.
    ManifestFirst,
    /// What a crash left in the directory of segments is not removed at open.
    NoSweep,
    /// The directory is not synced after a row file of a new generation got its name.
    RowSwitchUnsynced,
    /// The old row file is removed before the new one's name is durable.
    OldRowsRemovedFirst,
    /// A new row file that could not be switched to stays.
    FailedRowsKept,
    /// The store's directory is not synced at open, so that names of a killed process are trusted.
    NamesTrusted,
    /// After an error the rows are opened anew, and the delta stays what it was.
    OldDeltaKept,
    /// After an error the rows are opened anew and written to while a snapshot reads them as they were.
    FormerReadersIgnored,
    /// What a failure left among the segments stays as long as the store is open.
    FailureUnswept,
    /// Checksums of leaves' runs are not compared.
    RunsUnchecked,
    /// Checksums of records are not compared.
    RecordsUnchecked,
}

/// How many row syncs a held-back rename waits for: those of a commit, and one of the next.
const SYNCS_OF_A_COMMIT: usize = 3;

impl State {
    /// What of an operation reaches the log.
    pub(super) fn log_with_mistakes(&mut self, operation: Operation) {
        match (self.mutant, &operation) {
            (Some(Mutant::RowsUnsynced), Operation::SyncFile { file }) if self.row_files.contains(file) => {}
            (Some(Mutant::SegmentUnsynced), Operation::SyncFile { file }) if !self.row_files.contains(file) => {}
            (Some(Mutant::StoreNameUnsynced), Operation::SyncDirectory { directory })
                if *directory == super::image::ROOT => {}
            (Some(Mutant::SegmentNameUnsynced), Operation::SyncDirectory { directory })
                if Some(*directory) == self.segments() => {}
            (Some(Mutant::RowSwitchUnsynced), Operation::SyncDirectory { directory })
                if Some(*directory) == self.store() && self.has_switched_rows => {}
            (Some(Mutant::NamesTrusted), Operation::SyncDirectory { directory })
                if Some(*directory) == self.store() && self.row_files.is_empty() => {}
            (
                Some(Mutant::ManifestFirst),
                Operation::Rename { directory, .. } | Operation::SyncDirectory { directory },
            ) if Some(*directory) == self.segments() => {
                self.held_back.push(operation);
                self.row_syncs = 0;
            }
            (Some(Mutant::ManifestFirst), Operation::SyncFile { file }) if self.row_files.contains(file) => {
                self.log.push(operation);
                self.row_syncs += 1;
                if self.row_syncs == SYNCS_OF_A_COMMIT {
                    self.log.append(&mut self.held_back);
                }
            }
            (Some(Mutant::OldRowsRemovedFirst), Operation::Rename { directory, .. })
                if Some(*directory) == self.store() =>
            {
                let directory = *directory;
                let old = self.old_row_files();
                self.log.push(operation);
                for name in old {
                    let removal = Operation::Remove { directory, name };
                    self.image.apply(&removal);
                    self.log.push(removal);
                }
            }
            _ => self.log.push(operation),
        }
    }
}
