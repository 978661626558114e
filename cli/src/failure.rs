//! How a command ends when it does not succeed: an exit code, a message and a hint.

use std::error::Error as StdError;
use std::fmt::Write as _;
use std::io;

use serde_json::json;
use strongroom::config::ConfigError;
use strongroom::{BuildError, CallError, ErrorCode, audit};
use strongroom_backend::ErrorKind;

/// The exit codes of the command, beside 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Too large, unsupported, a damaged store, a log that does not verify, part of a copy.
    Failed = 1,
    /// Wrong usage, reference, key or configuration.
    Usage = 2,
    /// No grant allows it.
    Denied = 3,
    /// No such secret, version, component or file.
    NotFound = 4,
    /// A backend or the audit log cannot answer, or a quota is used up.
    Unavailable = 5,
    /// The current version is another than the expected one.
    Conflict = 6,
    /// The user broke it off: 128 + SIGINT, as a shell reports it, without a message.
    Interrupted = 130,
    /// Whoever read our output has gone: 128 + SIGPIPE, as a shell reports it, without a message.
    Pipe = 141,
}

impl Exit {
    /// The word for it in JSON documents.
    fn word(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::Denied => "denied",
            Self::NotFound => "not-found",
            Self::Unavailable => "unavailable",
            Self::Conflict => "conflict",
            Self::Interrupted => "interrupted",
            Self::Pipe => "pipe",
        }
    }
}

/// A failure: what happened, in lower case without a final stop, and what to do about it. An empty
/// message is not shown: the command's own output has said it.
///
/// Neither text ever holds a value.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl Failure {
    /// A failure with an exit code of its own.
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            hint: None,
        }
    }

    /// What could not be done: exit code 1.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, message)
    }

    /// Wrong usage or configuration: exit code 2.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// What is not there: exit code 4.
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(Exit::NotFound, message)
    }

    /// What cannot answer now: exit code 5.
    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(Exit::Unavailable, message)
    }

    /// Says what to do. A later hint takes the place of an earlier one.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Says what was being done, before the message.
    #[must_use]
    pub(crate) fn while_doing(mut self, what: impl AsRef<str>) -> Self {
        self.message.insert_str(0, ": ");
        self.message.insert_str(0, what.as_ref());
        self
    }

    /// The failure of an operation on our own output: quiet where the reader has gone.
    pub(crate) fn output(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::new(Exit::Pipe, "");
        }
        Self::failed(format!("cannot write the output: {error}"))
    }

    /// The document that `--json` puts on standard error.
    pub(crate) fn document(&self) -> serde_json::Value {
        json!({ "error": {
            "code": self.exit.word(),
            "exit": self.exit as u8,
            "message": self.message,
            "hint": self.hint,
        }})
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        let (exit, hint) = match &error.code {
            ErrorCode::Denied => (
                Exit::Denied,
                Some(
                    "an operator is denied only what the configuration has no vault for: look at \
                     the id before the colon"
                        .into(),
                ),
            ),
            ErrorCode::NotFound => (
                Exit::NotFound,
                Some(
                    "`strongroom list` shows the names, `strongroom versions REF` the versions"
                        .into(),
                ),
            ),
            ErrorCode::InvalidReference(_) => (
                Exit::Usage,
                Some("a reference is [<vault-id>:]<path>, as in app-secrets:stripe/api-key".into()),
            ),
            ErrorCode::InvalidArgument(_) => (Exit::Usage, None),
            ErrorCode::TooLarge(limit) => (
                Exit::Failed,
                Some(format!("the vault holds values of up to {limit} bytes")),
            ),
            ErrorCode::Conflict(0) => (
                Exit::Conflict,
                Some("there is no current version: `--if-version 0` writes the first one".into()),
            ),
            ErrorCode::Conflict(current) => (
                Exit::Conflict,
                Some(format!(
                    "the current version is {current}: look at it, then repeat with `--if-version {current}`"
                )),
            ),
            ErrorCode::Unsupported(_) => (
                Exit::Failed,
                Some("`strongroom doctor` says what the vault's backend can do".into()),
            ),
            ErrorCode::QuotaExceeded(ms) => {
                (Exit::Unavailable, Some(format!("try again in {ms} ms")))
            }
            ErrorCode::Unavailable(_) => (
                Exit::Unavailable,
                Some("`strongroom doctor` says what is wrong".into()),
            ),
            // A table that its backend does not take, as one that the host does not.
            ErrorCode::Failed(_) if has_source::<ConfigError>(&error) => (Exit::Usage, None),
            ErrorCode::Failed(_) => match backend_kind(&error) {
                // A wrong key or setting, or a file that others may write, is the operator's to mend.
                Some(
                    ErrorKind::Unauthenticated | ErrorKind::Config | ErrorKind::PermissionDenied,
                ) => (Exit::Usage, None),
                _ => (
                    Exit::Failed,
                    Some("`strongroom doctor` says what is wrong".into()),
                ),
            },
            _ => (Exit::Failed, None),
        };
        Self {
            exit,
            message: chain(&error),
            hint,
        }
    }
}

impl From<BuildError> for Failure {
    fn from(error: BuildError) -> Self {
        let exit = match &error {
            BuildError::Audit(error) => audit_exit(error),
            BuildError::Unrecorded(_) => Exit::Unavailable,
            BuildError::Digest { .. } => Exit::Denied,
            BuildError::Broken => Exit::Failed,
            _ => Exit::Usage,
        };
        Self::new(exit, chain(&error))
    }
}

impl From<audit::Error> for Failure {
    fn from(error: audit::Error) -> Self {
        Self::new(audit_exit(&error), chain(&error))
    }
}

/// What the operator must mend is wrong usage; what time or a disk mends is unavailable.
fn audit_exit(error: &audit::Error) -> Exit {
    match error {
        audit::Error::Tampered(_) => Exit::Failed,
        audit::Error::Missing(_) | audit::Error::Unavailable(_) => Exit::Unavailable,
        audit::Error::Io { source, .. } => match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => Exit::Usage,
            _ => Exit::Unavailable,
        },
        _ => Exit::Usage,
    }
}

/// The kind that the backend gave, where a backend is at the bottom of it.
pub(crate) fn backend_kind(error: &(dyn StdError + 'static)) -> Option<ErrorKind> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(backend) = error.downcast_ref::<strongroom_backend::Error>() {
            return Some(backend.kind());
        }
        next = error.source();
    }
    None
}

/// Whether an error of this type is among the causes.
fn has_source<E: StdError + 'static>(error: &(dyn StdError + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<E>() {
            return true;
        }
        next = error.source();
    }
    false
}

/// The error with its causes, each once: many a `Display` repeats its source.
pub(crate) fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let cause = source.to_string();
        if !text.contains(&cause) {
            let _ = write!(text, ": {cause}");
        }
        next = source.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_told_once() {
        let inner = strongroom_backend::Error::new(ErrorKind::Failed, "outer")
            .with_source(io::Error::other("inner"));
        assert_eq!(chain(&inner), "outer: inner");
        let repeats = strongroom_backend::Error::new(ErrorKind::Failed, "outer: inner")
            .with_source(io::Error::other("inner"));
        assert_eq!(chain(&repeats), "outer: inner");
    }

    #[test]
    fn a_reader_that_left_is_no_message() {
        let failure = Failure::output(&io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(failure.exit, Exit::Pipe);
        assert!(failure.message.is_empty());
    }
}
