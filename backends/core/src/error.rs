//! What a backend says when a call did not succeed.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;

/// The result of a backend call.
pub type Result<T> = std::result::Result<T, Error>;

/// The kind of a failure: what the broker decides by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The configuration of the vault is wrong.
    Config,
    /// `expected` was not the current version; carries the one that is, 0 for none.
    Conflict(u64),
    /// Stored data does not authenticate or cannot be read: damaged or tampered with.
    Damaged,
    /// The service refused, or broke in a way that a retry does not mend.
    Failed,
    /// An argument that the backend cannot take.
    InvalidArgument,
    /// No such secret or version, or it has expired.
    NotFound,
    /// The service does not let our credentials do this.
    PermissionDenied,
    /// The value is larger than the backend holds; carries the limit in bytes.
    TooLarge(u64),
    /// The service does not accept our credentials, or the key does not open the store.
    Unauthenticated,
    /// Cannot answer now; a retry may succeed.
    Unavailable,
    /// The backend has no such ability.
    Unsupported,
}

/// A backend's failure: a kind, a text for the operator and its cause.
///
/// The texts are for the operator's log and never reach a guest. They never hold a value, nor a
/// body that a service sent.
pub struct Error {
    kind: ErrorKind,
    context: Cow<'static, str>,
    source: Option<Box<dyn StdError + Send + Sync>>,
    contended: bool,
}

impl Error {
    /// A failure of `kind`; `context` tells the operator what happened and what to do.
    pub fn new(kind: ErrorKind, context: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind,
            context: context.into(),
            source: None,
            contended: false,
        }
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Others change the same secret at the same time, which a retry may find over: `Unavailable`,
    /// and marked as the state of that one secret and not of the store.
    pub fn contended(context: impl Into<Cow<'static, str>>) -> Self {
        Self {
            contended: true,
            ..Self::new(ErrorKind::Unavailable, context)
        }
    }

    /// The same failure in other words, without its cause.
    #[must_use]
    pub fn retold(&self, context: impl Into<Cow<'static, str>>) -> Self {
        Self {
            contended: self.contended,
            ..Self::new(self.kind, context)
        }
    }

    /// No such secret or version.
    pub fn not_found() -> Self {
        Self::new(ErrorKind::NotFound, "no such secret or version")
    }

    /// The current version is not the expected one.
    pub fn conflict(current: u64) -> Self {
        Self::new(
            ErrorKind::Conflict(current),
            format!("the current version is {current}"),
        )
    }

    /// The value is larger than `limit` bytes.
    pub fn too_large(limit: u64) -> Self {
        Self::new(
            ErrorKind::TooLarge(limit),
            format!("the value is larger than {limit} bytes"),
        )
    }

    /// The backend cannot `ability`.
    pub fn unsupported(ability: &'static str) -> Self {
        Self::new(ErrorKind::Unsupported, ability)
    }

    /// What the broker decides by.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether the same call may succeed later without anyone mending anything.
    pub fn is_temporary(&self) -> bool {
        matches!(self.kind, ErrorKind::Unavailable)
    }

    /// Whether it is only that others change the same secret: the store itself answers.
    pub fn is_contended(&self) -> bool {
        self.contended
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.context)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.kind)
            .field("context", &self.context)
            .field("source", &self.source)
            .field("contended", &self.contended)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contention_is_temporary_and_stays_marked_in_other_words() {
        let error = Error::contended("others write it");
        assert!(error.is_temporary() && error.is_contended());
        let retold = error.retold("not written: others write it");
        assert_eq!(retold.to_string(), "not written: others write it");
        assert!(retold.is_temporary() && retold.is_contended());
        let outage = Error::new(ErrorKind::Unavailable, "no answer");
        assert!(!outage.is_contended() && !outage.retold("none").is_contended());
    }
}
