//! What can go wrong in here, and how the broker is told.

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use strongroom_backend::{Error, ErrorKind};
use strongroom_backend_aws::Failure;
use strongroom_backend_remote::NameError;

pub(crate) type Result<T> = std::result::Result<T, Fault>;

/// Why a call did not succeed. No text holds a value, nor words of the service but its codes.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("{0}")]
    Answer(#[from] Error),
    #[error("{0}")]
    Names(#[from] NameError),
    #[error("{0}")]
    Damaged(&'static str),
    #[error("the service's answer is not one to what was asked: {0}")]
    Strange(&'static str),
    #[error("{0}")]
    Refused(&'static str),
    #[error("{0}")]
    Busy(&'static str),
    #[error("{0}")]
    Call(Refused),
}

/// What the service said no to.
#[derive(Debug, thiserror::Error)]
#[error("{call}: {why:?}")]
pub(crate) struct Refused {
    pub(crate) why: Why,
    call: &'static str,
    failure: Failure,
}

/// Why the service said no, as far as we act on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// No such secret or version.
    Missing,
    /// The secret is there, or the version with another value.
    Exists,
    /// The secret is scheduled for deletion.
    Deleted,
    /// An argument that the state of the secret does not allow: a label that is not where we said.
    Parameter,
    /// A quota is used up, for longer than a retry can wait.
    Limit,
    /// The KMS key cannot be used for a new value.
    Key,
    /// The KMS key does not open what is stored.
    Sealed,
    /// We may not do this.
    Denied,
    /// Anything else.
    Other,
}

impl Refused {
    /// What `error` means; `call` is what was asked, for the operator.
    pub(crate) fn new<E>(call: &'static str, error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let failure = Failure::of(error);
        let message = error
            .as_service_error()
            .and_then(ProvideErrorMetadata::message);
        let why = match failure.code() {
            Some("ResourceNotFoundException") => Why::Missing,
            Some("ResourceExistsException") => Why::Exists,
            // One code for several states, told apart by the service's words alone.
            Some("InvalidRequestException") if message.is_some_and(is_about_deletion) => {
                Why::Deleted
            }
            Some("InvalidParameterException") => Why::Parameter,
            Some("LimitExceededException") => Why::Limit,
            Some("DecryptionFailure") => Why::Sealed,
            Some("EncryptionFailure") => Why::Key,
            _ if failure.kind() == ErrorKind::PermissionDenied => Why::Denied,
            _ => Why::Other,
        };
        Self { why, call, failure }
    }

    /// Whether the same call may succeed later.
    pub(crate) fn is_temporary(&self) -> bool {
        self.failure.kind() == ErrorKind::Unavailable
    }

    fn into_error(self) -> Error {
        match self.why {
            Why::Missing | Why::Deleted => Error::not_found(),
            Why::Limit => Error::new(
                ErrorKind::Failed,
                format!(
                    "{}: a quota of the service is used up, such as versions of one secret in 24 hours \
                     or secrets of the account (LimitExceededException)",
                    self.call
                ),
            ),
            Why::Key => self.without_key(ErrorKind::Failed),
            // The key may be withdrawn from us, and a value kept from before must not outlive that.
            Why::Sealed => self.without_key(ErrorKind::PermissionDenied),
            _ => self.failure.into_error(self.call),
        }
    }

    fn without_key(&self, kind: ErrorKind) -> Error {
        Error::new(
            kind,
            format!(
                "{}: the secret's KMS key cannot be used: check that it is enabled, and that its \
                 policy lets these credentials use it",
                self.call
            ),
        )
    }
}

/// Whether the words of the service say that a secret is scheduled for deletion.
fn is_about_deletion(message: &str) -> bool {
    message.contains("delet")
}

impl From<Refused> for Fault {
    fn from(refused: Refused) -> Self {
        Self::Call(refused)
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Answer(error) => error,
            Fault::Call(refused) => refused.into_error(),
            Fault::Names(_) => Self::new(ErrorKind::InvalidArgument, fault.to_string()),
            Fault::Damaged(_) => Self::new(ErrorKind::Damaged, fault.to_string()),
            Fault::Strange(_) => Self::new(ErrorKind::Failed, fault.to_string()),
            Fault::Refused(text) => Self::new(ErrorKind::Failed, text),
            Fault::Busy(text) => Self::contended(text),
        }
    }
}

/// One more error like `error`, for a second answer about the same secret.
pub(crate) fn again(error: &Error) -> Error {
    error.retold(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contention_is_marked_for_each_who_asked() {
        let error = Error::from(Fault::Busy("others write this secret all the time"));
        assert!(error.is_temporary() && error.is_contended());
        assert!(again(&error).is_contended());
    }
}
