//! What serde finds wrong, with the key at which it was found.

use std::fmt;

use crate::error::Error;

/// A refusal on the way from or to a serde type.
#[derive(Debug)]
pub(super) struct Fault {
    message: String,
    key: Option<String>,
}

impl Fault {
    pub(super) fn new(message: impl Into<String>) -> Fault {
        Fault { message: message.into(), key: None }
    }

    /// Names the key, unless one is named already.
    pub(super) fn at(mut self, key: &str) -> Fault {
        self.key.get_or_insert_with(|| key.to_owned());
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.key {
            Some(key) => write!(f, "metadata key {key:?}: {}", self.message),
            None => write!(f, "metadata: {}", self.message),
        }
    }
}

impl std::error::Error for Fault {}

impl serde::ser::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Fault {
        Fault::new(message.to_string())
    }
}

impl serde::de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Fault {
        Fault::new(message.to_string())
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Error {
        Error::InvalidMetadata(fault.to_string())
    }
}
