//! What can go wrong in here, and how the broker is told.

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use strongroom_backend::{Error, ErrorKind};
use strongroom_backend_aws::Failure;
use strongroom_backend_remote::NameError;

use crate::value::Unreadable;

pub(crate) type Result<T> = std::result::Result<T, Fault>;

/// Why a call did not succeed. No text holds a value, nor words of the service but its codes.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("{0}")]
    Names(#[from] NameError),
    #[error("{0}")]
    Unreadable(#[from] Unreadable),
    #[error("the service's answer is not one to what was asked: {0}")]
    Astray(&'static str),
    #[error("the listing is cut off: {0}")]
    TooMany(&'static str),
    #[error("the parameter changed while it was looked at: try again")]
    Changed,
    #[error("the current version is {0}")]
    Conflict(u64),
    #[error("no such secret or version")]
    Missing,
    #[error("{0}")]
    Call(Refused),
}

/// What the service said no to.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{call}: {why:?}")]
pub(crate) struct Refused {
    pub(crate) why: Why,
    call: &'static str,
    failure: Failure,
}

/// Why the service said no, as far as we act on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// No such parameter or version.
    Missing,
    /// The parameter is there.
    Exists,
    /// The oldest kept version has a label, so that no new one can be written.
    Labelled,
    /// A quota of parameters is used up.
    Full,
    /// The KMS key cannot be used for a write.
    Key,
    /// The KMS key does not open what is stored.
    Sealed,
    /// The parameter is of another type than SecureString.
    Type,
    /// We may not do this.
    Denied,
    /// Anything else.
    Other,
}

impl Why {
    fn of(failure: &Failure) -> Self {
        match failure.code() {
            Some("ParameterNotFound" | "ParameterVersionNotFound" | "InvalidResourceId") => {
                Self::Missing
            }
            Some("ParameterAlreadyExists") => Self::Exists,
            Some("ParameterMaxVersionLimitExceeded") => Self::Labelled,
            Some("ParameterLimitExceeded") => Self::Full,
            Some("InvalidKeyId") => Self::Key,
            Some("HierarchyTypeMismatchException" | "UnsupportedParameterType") => Self::Type,
            _ if failure.kind() == ErrorKind::PermissionDenied => Self::Denied,
            _ => Self::Other,
        }
    }

    /// What the operator reads where the service's code alone would not do.
    fn text(self) -> Option<&'static str> {
        match self {
            Self::Labelled => Some(
                "the service keeps 100 versions and drops the oldest, but that one has a label: remove \
                 the label or move it to a newer version",
            ),
            Self::Full => Some("the account has as many parameters as it may: raise the quota"),
            Self::Key | Self::Sealed => Some(
                "the KMS key cannot be used: check 'key-id', that the key is enabled and in this \
                 region, and that its policy lets these credentials use it",
            ),
            Self::Type => Some(
                "the parameter is there and not a SecureString: the service does not change its type, \
                 delete it first",
            ),
            _ => None,
        }
    }
}

impl Refused {
    /// What `error` means; `call` is the permission that it needs, for the operator.
    pub(crate) fn new<E>(call: &'static str, error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let failure = Failure::of(error);
        Self {
            why: Why::of(&failure),
            call,
            failure,
        }
    }

    /// What `error` of a call that decrypts means.
    pub(crate) fn reading<E>(call: &'static str, error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let mut refused = Self::new(call, error);
        if refused.why == Why::Key {
            refused.why = Why::Sealed;
        }
        refused
    }

    /// Whether another call for one of several secrets may have another answer.
    pub(crate) fn may_be_of_one(&self) -> bool {
        matches!(
            self.failure.kind(),
            ErrorKind::PermissionDenied | ErrorKind::Failed
        ) && self
            .failure
            .status()
            .is_some_and(|status| (400..500).contains(&status))
    }

    fn into_error(self) -> Error {
        let text = |text: &str| format!("{}: {text}", self.call);
        match (self.why, self.why.text()) {
            (Why::Missing, _) => Error::not_found(),
            // A key may be withdrawn from us, and a value kept from before must not outlive that.
            (Why::Sealed, Some(words)) => Error::new(ErrorKind::PermissionDenied, text(words)),
            (_, Some(words)) => Error::new(ErrorKind::Failed, text(words)),
            (_, None) => self.failure.into_error(self.call),
        }
    }
}

impl From<Refused> for Fault {
    fn from(refused: Refused) -> Self {
        Self::Call(refused)
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        let kind = match fault {
            Fault::Missing => return Self::not_found(),
            Fault::Conflict(current) => return Self::conflict(current),
            Fault::Call(refused) => return refused.into_error(),
            Fault::Changed => return Self::contended(fault.to_string()),
            Fault::Names(_) => ErrorKind::InvalidArgument,
            Fault::Unreadable(_) => ErrorKind::Damaged,
            Fault::Astray(_) | Fault::TooMany(_) => ErrorKind::Failed,
        };
        Self::new(kind, fault.to_string())
    }
}
