//! The one place where the row database's failures become ours.
//!
//! Every call into redb goes through [`contained`]: redb checks no page it reads, so damaged pages can make it panic,
//! and a panic of its is reported as what it means, a damaged file.

use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use crate::bytes::Malformed;
use crate::error::{Error, Result};

/// Runs a call into redb and translates its error, or its panic.
pub(super) fn contained<T, E: Into<redb::Error>>(
    path: &Path,
    action: &'static str,
    call: impl FnOnce() -> Result<T, E>,
) -> Result<T> {
    // After a panic redb poisons what the call touched; we keep nothing that it was about to change.
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(outcome) => outcome.map_err(|error| translate(path, action, error.into())),
        Err(panic) => {
            let said = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("no message");
            Err(damaged(path, action, format!("pages that stop the row database ({said})")))
        }
    }
}

/// Something of redb's whose drop works on pages, and so may panic where they are damaged.
pub(super) struct Guarded<T> {
    /// Taken only by the drop and by [`Guarded::into_inner`], which both end the guard.
    inner: Option<T>,
}

impl<T> Guarded<T> {
    pub(super) fn new(inner: T) -> Guarded<T> {
        Guarded { inner: Some(inner) }
    }

    pub(super) fn get_mut(&mut self) -> Option<&mut T> {
        self.inner.as_mut()
    }

    /// What is guarded; its drop is the caller's.
    pub(super) fn into_inner(mut self) -> Option<T> {
        self.inner.take()
    }
}

impl<T> Deref for Guarded<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.inner.as_ref().expect("a guard holds its value until it ends")
    }
}

impl<T> Drop for Guarded<T> {
    fn drop(&mut self) {
        let inner = self.inner.take();
        // A drop has nobody to report to; the damage is met again by whoever opens the file next.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(inner)));
    }
}

/// What a failed commit means: mostly that nobody knows.
pub(super) fn commit_failed(path: &Path, error: redb::CommitError) -> Error {
    match error {
        redb::CommitError::TransactionPoisoned => translate(path, "commit", error.into()),
        redb::CommitError::Storage(redb::StorageError::PreviousIo) => translate(path, "commit", error.into()),
        error => Error::CommitUnknown { source: Box::new(error) },
    }
}

/// A stored value that is not what was written.
pub(super) fn malformed(path: &Path, place: String, fault: Malformed) -> Error {
    Error::corrupt(path, place, fault.expected, fault.found)
}

fn damaged(path: &Path, action: &'static str, found: String) -> Error {
    Error::corrupt(path, format!("tried to {action}"), "an intact row database", found)
}

fn translate(path: &Path, action: &'static str, error: redb::Error) -> Error {
    use std::io::ErrorKind;
    match error {
        redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => Error::Locked(path.to_owned()),
        redb::Error::RepairAborted => Error::NeedsRecovery { path: path.to_owned() },
        redb::Error::PreviousIo => Error::WritesStopped { cause: error.to_string() },
        redb::Error::Io(source) if matches!(source.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof) => {
            damaged(path, action, source.to_string())
        }
        redb::Error::Io(source) => Error::io(action, path, source),
        redb::Error::Corrupted(_)
        | redb::Error::UpgradeRequired(_)
        | redb::Error::TableDoesNotExist(_)
        | redb::Error::TableTypeMismatch { .. }
        | redb::Error::TableIsMultimap(_)
        | redb::Error::TypeDefinitionChanged { .. } => damaged(path, action, error.to_string()),
        error => Error::Storage { action, source: Box::new(error) },
    }
}
