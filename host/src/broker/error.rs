//! What a call answers when it does not succeed.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use strongroom_audit::{AppendError, Outcome};
use strongroom_backend::{Error as BackendError, ErrorKind, ReferenceError};
use strongroom_backend_layers::is_late;

/// The guest-visible reason of a failure: the variants of `strongroom:vault/types.error`.
///
/// No text in it names a value, an address, an account or a backend.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorCode {
    /// No grant allows the call.
    Denied,
    /// There is no such secret or version, or it has expired.
    NotFound,
    /// The reference is not well formed; says why.
    InvalidReference(String),
    /// Another argument is not acceptable; says which and why.
    InvalidArgument(String),
    /// The value is larger than the backend holds; carries the limit in bytes.
    TooLarge(u64),
    /// The expected version is not the current one; carries the one that is, 0 for none.
    Conflict(u64),
    /// The vault's backend has no such ability.
    Unsupported(String),
    /// A quota is used up; carries the milliseconds until the next call may succeed.
    QuotaExceeded(u64),
    /// The backend or the audit log cannot answer now.
    Unavailable(String),
    /// The backend refused or broke; a retry does not mend it.
    Failed(String),
}

/// A call that did not succeed: what the guest is told, and the cause for the operator.
///
/// `Display` is for the operator. Only [`CallError::code`] may reach a guest.
#[derive(Clone, Debug)]
pub struct CallError {
    /// What the guest is told.
    pub code: ErrorCode,
    cause: Option<Arc<dyn StdError + Send + Sync>>,
}

impl CallError {
    pub(crate) fn new(code: ErrorCode) -> Self {
        Self { code, cause: None }
    }

    pub(crate) fn with_cause(
        code: ErrorCode,
        cause: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self {
            code,
            cause: Some(Arc::from(cause.into())),
        }
    }

    pub(crate) fn denied() -> Self {
        Self::new(ErrorCode::Denied)
    }

    pub(crate) fn not_found() -> Self {
        Self::new(ErrorCode::NotFound)
    }

    pub(crate) fn argument(why: &'static str) -> Self {
        Self::new(ErrorCode::InvalidArgument(why.to_owned()))
    }

    pub(crate) fn unsupported(what: &'static str) -> Self {
        Self::new(ErrorCode::Unsupported(what.to_owned()))
    }

    /// A vault did not answer in time.
    pub(crate) fn late() -> Self {
        let text = "the vault did not answer in time".to_owned();
        Self::with_cause(ErrorCode::Unavailable(text), Late)
    }

    /// Whether a backend did not answer in time, so that nobody knows what it will still do.
    pub(crate) fn is_deadline(&self) -> bool {
        self.cause
            .as_deref()
            .is_some_and(|cause| cause.is::<Late>() || is_late(cause))
    }

    /// The outcome under which the audit log has it.
    pub(crate) fn outcome(&self) -> Outcome {
        match self.code {
            ErrorCode::Denied => Outcome::Denied,
            ErrorCode::NotFound => Outcome::NotFound,
            ErrorCode::Conflict(_) => Outcome::Conflict,
            ErrorCode::InvalidReference(_)
            | ErrorCode::InvalidArgument(_)
            | ErrorCode::TooLarge(_)
            | ErrorCode::Unsupported(_) => Outcome::Invalid,
            ErrorCode::QuotaExceeded(_) => Outcome::Quota,
            ErrorCode::Unavailable(_) | ErrorCode::Failed(_) => Outcome::Failed,
        }
    }
}

/// The deadline of a call passed.
#[derive(Debug, thiserror::Error)]
#[error("no answer within the deadline of a call")]
struct Late;

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.code {
            ErrorCode::Denied => f.write_str("denied: no grant allows this"),
            ErrorCode::NotFound => f.write_str("not found: no such secret or version"),
            ErrorCode::InvalidReference(why) => write!(f, "invalid reference: {why}"),
            ErrorCode::InvalidArgument(why) => write!(f, "invalid argument: {why}"),
            ErrorCode::TooLarge(limit) => {
                write!(
                    f,
                    "too large: this vault holds values of up to {limit} bytes"
                )
            }
            ErrorCode::Conflict(0) => f.write_str("conflict: there is no current version"),
            ErrorCode::Conflict(current) => {
                write!(f, "conflict: the current version is {current}")
            }
            ErrorCode::Unsupported(what) => write!(f, "unsupported: {what}"),
            ErrorCode::QuotaExceeded(ms) => write!(f, "quota used up: try again in {ms} ms"),
            ErrorCode::Unavailable(what) => write!(f, "unavailable: {what}"),
            ErrorCode::Failed(what) => write!(f, "failed: {what}"),
        }
    }
}

impl StdError for CallError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause.as_deref().map(|cause| cause as _)
    }
}

impl From<ReferenceError> for CallError {
    fn from(error: ReferenceError) -> Self {
        Self::new(ErrorCode::InvalidReference(error.to_string()))
    }
}

impl From<AppendError> for CallError {
    fn from(error: AppendError) -> Self {
        let text = "the audit log cannot record the call".to_owned();
        Self::with_cause(ErrorCode::Unavailable(text), error)
    }
}

impl From<BackendError> for CallError {
    /// The guest learns the kind; the backend's words stay with the operator.
    fn from(error: BackendError) -> Self {
        let code = match error.kind() {
            ErrorKind::NotFound => return Self::not_found(),
            ErrorKind::Conflict(current) => ErrorCode::Conflict(current),
            ErrorKind::TooLarge(limit) => ErrorCode::TooLarge(limit),
            ErrorKind::InvalidArgument => {
                ErrorCode::InvalidArgument("the vault does not accept it".to_owned())
            }
            ErrorKind::Unsupported => {
                ErrorCode::Unsupported("this vault has no such ability".to_owned())
            }
            ErrorKind::Unavailable => {
                ErrorCode::Unavailable("the vault cannot answer now".to_owned())
            }
            _ => ErrorCode::Failed("the vault refused or broke".to_owned()),
        };
        Self::with_cause(code, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_code_and_no_word_of_the_backend() {
        let failed = || ErrorCode::Failed("the vault refused or broke".to_owned());
        let argument = ErrorCode::InvalidArgument("the vault does not accept it".to_owned());
        let unsupported = ErrorCode::Unsupported("this vault has no such ability".to_owned());
        let unavailable = ErrorCode::Unavailable("the vault cannot answer now".to_owned());
        for (kind, code, outcome) in [
            (ErrorKind::Config, failed(), Outcome::Failed),
            (
                ErrorKind::Conflict(7),
                ErrorCode::Conflict(7),
                Outcome::Conflict,
            ),
            (ErrorKind::Damaged, failed(), Outcome::Failed),
            (ErrorKind::Failed, failed(), Outcome::Failed),
            (ErrorKind::InvalidArgument, argument, Outcome::Invalid),
            (ErrorKind::NotFound, ErrorCode::NotFound, Outcome::NotFound),
            (ErrorKind::PermissionDenied, failed(), Outcome::Failed),
            (
                ErrorKind::TooLarge(9),
                ErrorCode::TooLarge(9),
                Outcome::Invalid,
            ),
            (ErrorKind::Unauthenticated, failed(), Outcome::Failed),
            (ErrorKind::Unavailable, unavailable, Outcome::Failed),
            (ErrorKind::Unsupported, unsupported, Outcome::Invalid),
        ] {
            let error = CallError::from(BackendError::new(kind, "words of a backend"));
            assert_eq!(error.code, code, "{kind:?}");
            assert_eq!(error.outcome(), outcome, "{kind:?}");
            let shown = error.to_string();
            assert!(!shown.contains("words"), "{shown}");
            // That there is none needs no cause; all else has it for the operator.
            let cause = error.source().map(|cause| cause.to_string());
            let kept = (kind != ErrorKind::NotFound).then_some("words of a backend");
            assert_eq!(cause.as_deref(), kept, "{kind:?}");
        }
    }
}
