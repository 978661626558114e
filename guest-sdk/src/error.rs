//! Why a call did not succeed, and what the author of a guest does about it.

use std::fmt;
use std::time::Duration;

use crate::bindings::strongroom::vault::types::Error as WitError;
use crate::json::JsonError;

/// Why a call did not succeed.
///
/// The variants are those of `strongroom:vault/types.error`, and two of this crate's own for values
/// that are read as JSON. None ever carries a secret's value, a backend's address or an account id.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// No grant of this component allows the call.
    ///
    /// The answer is the same whether or not the secret or the vault exists. Retrying does not help:
    /// the operator has to add a grant.
    Denied,
    /// The component may ask, and there is no such secret or version, or it has expired.
    NotFound,
    /// The reference is not well formed; says why, without repeating it.
    InvalidReference(String),
    /// Another argument is not acceptable: which, and why.
    InvalidArgument(String),
    /// The value is larger than the vault's backend holds.
    TooLarge {
        /// The limit, in bytes.
        limit: u64,
    },
    /// The expected version is not the current one.
    Conflict {
        /// The version that is current; 0 where there is none.
        current: u64,
    },
    /// The vault's backend has no such ability; says which.
    Unsupported(String),
    /// The component used up a quota.
    QuotaExceeded {
        /// How long until it may ask again.
        retry_after: Duration,
    },
    /// The backend, or the audit log, cannot answer now. A retry may succeed.
    Unavailable(String),
    /// The backend refused or broke in a way that a retry does not mend. The operator's log says how.
    Failed(String),
    /// The value is not the JSON that was asked for.
    Json(JsonError),
    /// The value is a JSON object, and it has no field of that name.
    NoSuchField,
}

impl Error {
    /// Whether the same call may succeed later without anybody changing anything.
    ///
    /// True of [`Unavailable`](Self::Unavailable) and [`QuotaExceeded`](Self::QuotaExceeded). Wait
    /// before you ask again: for a quota as long as it says.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::QuotaExceeded { .. })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied => f.write_str(
                "denied: this component has no grant for the call; ask the operator to add one to \
                 strongroom.toml (`strongroom check` shows what decides)",
            ),
            Self::NotFound => f.write_str(
                "not found: there is no such secret or version, or it has expired; check the name \
                 and the vault",
            ),
            Self::InvalidReference(why) => write!(
                f,
                "invalid reference: {why}; write it as `[vault:]path`, with segments of letters, \
                 digits, `_`, `-` and `.` joined by `/`"
            ),
            Self::InvalidArgument(why) => write!(f, "invalid argument: {why}"),
            Self::TooLarge { limit } => write!(
                f,
                "too large: this vault's backend holds values of at most {limit} bytes"
            ),
            Self::Conflict { current: 0 } => f.write_str(
                "conflict: there is no current version; expect version 0 to create the secret",
            ),
            Self::Conflict { current } => write!(
                f,
                "conflict: version {current} is current; read it, apply the change again and \
                 expect {current}"
            ),
            Self::Unsupported(what) => {
                write!(f, "unsupported: this vault's backend cannot do it: {what}")
            }
            Self::QuotaExceeded { retry_after } => write!(
                f,
                "quota exceeded: ask again in {} ms, or keep the value instead of asking each time",
                retry_after.as_millis()
            ),
            Self::Unavailable(what) => {
                write!(f, "unavailable: {what}; wait a little and try again")
            }
            Self::Failed(what) => write!(
                f,
                "failed: {what}; a retry does not help, the operator's log says what happened"
            ),
            Self::Json(error) => error.fmt(f),
            Self::NoSuchField => {
                f.write_str("no such field: the value is a JSON object without it")
            }
        }
    }
}

impl std::error::Error for Error {}

impl From<JsonError> for Error {
    fn from(error: JsonError) -> Self {
        Self::Json(error)
    }
}

#[doc(hidden)]
impl From<WitError> for Error {
    fn from(error: WitError) -> Self {
        match error {
            WitError::Denied => Self::Denied,
            WitError::NotFound => Self::NotFound,
            WitError::InvalidReference(why) => Self::InvalidReference(why),
            WitError::InvalidArgument(why) => Self::InvalidArgument(why),
            WitError::TooLarge(limit) => Self::TooLarge { limit },
            WitError::Conflict(current) => Self::Conflict { current },
            WitError::Unsupported(what) => Self::Unsupported(what),
            WitError::QuotaExceeded(ms) => Self::QuotaExceeded {
                retry_after: Duration::from_millis(ms),
            },
            WitError::Unavailable(what) => Self::Unavailable(what),
            WitError::Failed(what) => Self::Failed(what),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a guest's author reads must name the way out, not only the fault.
    #[test]
    fn messages_say_what_to_do() {
        let cases = [
            (WitError::Denied, "ask the operator"),
            (WitError::NotFound, "check the name"),
            (
                WitError::InvalidReference("empty segment".into()),
                "empty segment; write it as",
            ),
            (
                WitError::InvalidArgument("timeout-ms: over 60000".into()),
                "timeout-ms: over 60000",
            ),
            (WitError::TooLarge(25_600), "25600 bytes"),
            (WitError::Conflict(0), "expect version 0"),
            (WitError::Conflict(7), "expect 7"),
            (
                WitError::Unsupported("versions".into()),
                "cannot do it: versions",
            ),
            (WitError::QuotaExceeded(250), "in 250 ms"),
            (
                WitError::Unavailable("the audit log is full".into()),
                "try again",
            ),
            (
                WitError::Failed("refused by the service".into()),
                "operator's log",
            ),
        ];
        for (error, expected) in cases {
            let message = Error::from(error).to_string();
            assert!(message.contains(expected), "{message}");
            assert!(!message.ends_with('.'), "{message}");
        }
    }

    #[test]
    fn only_what_passes_by_itself_is_temporary() {
        assert!(Error::from(WitError::Unavailable(String::new())).is_temporary());
        assert!(Error::from(WitError::QuotaExceeded(1)).is_temporary());
        assert!(!Error::from(WitError::Denied).is_temporary());
        assert!(!Error::from(WitError::Failed(String::new())).is_temporary());
    }
}
