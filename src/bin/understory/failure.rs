//! Why the command ends without doing what was asked: one plain sentence and an exit code.

use std::fmt::Display;
use std::path::Path;

pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

#[derive(Debug, PartialEq)]
pub(crate) enum Failure {
    /// The command line is wrong: exit code 2.
    Usage(String),
    /// The command line is right and the work failed: exit code 1.
    Work(String),
    /// Whoever read the output has gone, as in `understory search .. | head -1`: nothing to say.
    OutputClosed,
}

impl From<understory::Error> for Failure {
    fn from(error: understory::Error) -> Failure {
        Failure::Work(error.to_string())
    }
}

impl From<lexopt::Error> for Failure {
    fn from(error: lexopt::Error) -> Failure {
        Failure::Usage(error.to_string())
    }
}

impl Failure {
    /// A fault of a file: where in it, then what was expected and found.
    pub(crate) fn in_file(path: &Path, what: impl Display) -> Failure {
        Failure::Work(format!("{}: {what}", path.display()))
    }

    /// The operating system refused to read a file.
    pub(crate) fn reading(path: &Path, error: &std::io::Error) -> Failure {
        Failure::Work(format!("could not read {}: {error}", path.display()))
    }
}
