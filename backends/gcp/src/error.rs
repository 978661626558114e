//! What can go wrong in here, and how the broker is told.

use google_cloud_gax::error::rpc::{Code, Status, StatusDetails};
use strongroom_backend::{Error, ErrorKind};
use strongroom_backend_remote::{Transport, status_kind};

pub(crate) type Result<T> = std::result::Result<T, Fault>;

/// Why a call did not succeed. No text holds a value, nor what a service wrote in words of its own.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("{0}")]
    Answer(#[from] Error),
    #[error("{0}")]
    Config(String),
    #[error("{0}")]
    Invalid(String),
    #[error("{}", .0.text())]
    Way(Transport),
    #[error("cannot sign in: {0}")]
    SignIn(SignIn),
    #[error("{0}")]
    Refused(Refusal),
    #[error(
        "the endpoint answers with HTTP status {0} and not as Secret Manager does: check the endpoint"
    )]
    Stranger(u16),
    #[error("the endpoint redirects elsewhere (HTTP status {0}), which is never followed")]
    Redirect(u16),
    #[error("the service sent {0}")]
    Reply(&'static str),
    #[error("the service sent more than {0} bytes")]
    TooMuch(usize),
    #[error("{0}")]
    Checksum(&'static str),
    #[error("others keep changing this secret: try again")]
    Busy,
    #[error("{0}")]
    Damaged(&'static str),
    #[error("{0}")]
    Failed(&'static str),
    #[error("the write was broken off")]
    Broken,
}

impl Fault {
    /// Whether the service says that there is no such thing.
    pub(crate) fn is_not_found(&self) -> bool {
        self.code() == Some(Code::NotFound)
    }

    /// Whether the service says that it is there already.
    pub(crate) fn is_taken(&self) -> bool {
        self.code() == Some(Code::AlreadyExists)
    }

    /// Whether what was read before is out of date: the entity tag or the state is another one.
    pub(crate) fn is_stale(&self) -> bool {
        matches!(self.code(), Some(Code::FailedPrecondition | Code::Aborted))
    }

    /// Whether it is only that others change the same secret.
    fn is_contended(&self) -> bool {
        matches!(self, Self::Busy) || self.code() == Some(Code::Aborted)
    }

    pub(crate) fn code(&self) -> Option<Code> {
        match self {
            Self::Refused(refusal) => Some(refusal.code),
            _ => None,
        }
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::Answer(error) => error.kind(),
            Self::Config(_) => ErrorKind::Config,
            Self::Invalid(_) => ErrorKind::InvalidArgument,
            Self::Way(way) => way.kind(),
            Self::SignIn(SignIn::Temporary(_)) => ErrorKind::Unavailable,
            Self::SignIn(SignIn::Refused) => ErrorKind::Unauthenticated,
            Self::Refused(refusal) => refusal.kind(),
            Self::Stranger(status) => match status_kind(*status) {
                // Only the service itself can say that there is no such secret.
                ErrorKind::NotFound => ErrorKind::Failed,
                kind => kind,
            },
            Self::Checksum(_) | Self::Busy | Self::Broken => ErrorKind::Unavailable,
            Self::Damaged(_) => ErrorKind::Damaged,
            Self::Redirect(_) | Self::Reply(_) | Self::TooMuch(_) | Self::Failed(_) => {
                ErrorKind::Failed
            }
        }
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Answer(error) => error,
            fault if fault.is_not_found() => Self::not_found(),
            fault if fault.is_contended() => Self::contended(fault.to_string()),
            fault => Self::new(fault.kind(), fault.to_string()),
        }
    }
}

/// Why there is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SignIn {
    #[error(
        "the service that gives out our tokens gave none: {}; without a file of credentials that is the \
         metadata server, which only machines at Google have",
        .0.text()
    )]
    Temporary(Transport),
    #[error(
        "the credentials were not accepted: they are revoked, expired or of the wrong kind; sign in \
         anew (`gcloud auth application-default login`) or give another file"
    )]
    Refused,
}

/// What the service said when it refused a call: codes, never words.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Refusal {
    pub(crate) code: Code,
    /// An upper-case word, as `SERVICE_DISABLED`.
    reason: Option<String>,
    /// The permission that is missing, as `secretmanager.versions.access`.
    permission: Option<String>,
    /// Whether it says that the version is disabled or destroyed.
    pub(crate) unreadable: bool,
}

impl Refusal {
    pub(crate) fn new(status: &Status) -> Self {
        let info = status.details.iter().find_map(|detail| match detail {
            StatusDetails::ErrorInfo(info) => Some(info),
            _ => None,
        });
        let word = |text: &str, legal: fn(u8) -> bool| {
            let fits = !text.is_empty() && text.len() <= MAX_WORD && text.bytes().all(legal);
            fits.then(|| text.to_owned())
        };
        let permission = info.and_then(|info| info.metadata.get("permission"));
        Self {
            code: status.code,
            reason: info.and_then(|info| {
                word(&info.reason, |b| {
                    b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_'
                })
            }),
            permission: permission
                .and_then(|text| word(text, |b| b.is_ascii_alphabetic() || b == b'.')),
            unreadable: status.code == Code::FailedPrecondition
                && ["is in DISABLED state", "is in DESTROYED state"]
                    .iter()
                    .any(|words| status.message.contains(words)),
        }
    }

    fn kind(&self) -> ErrorKind {
        match self.code {
            Code::Unauthenticated => ErrorKind::Unauthenticated,
            Code::PermissionDenied => ErrorKind::PermissionDenied,
            Code::NotFound => ErrorKind::NotFound,
            Code::Aborted
            | Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Internal
            | Code::ResourceExhausted
            | Code::Unavailable => ErrorKind::Unavailable,
            Code::DataLoss => ErrorKind::Damaged,
            // `InvalidArgument` too: it is about our project or location, or a gateway says it. A name
            // that cannot be is found out here, and is the only thing that a chain may pass over.
            _ => ErrorKind::Failed,
        }
    }

    /// What the operator should do.
    fn advice(&self) -> &'static str {
        match (self.code, self.reason.as_deref()) {
            (_, Some("SERVICE_DISABLED")) => {
                "the Secret Manager API is not enabled in this project: enable it, then wait some minutes"
            }
            (_, Some("ACCESS_TOKEN_SCOPE_INSUFFICIENT")) => {
                "the token's scope does not reach Secret Manager: it needs cloud-platform"
            }
            (Code::Unauthenticated, _) => {
                "the service does not accept our credentials: they are expired, revoked or missing, or \
                 this machine's clock is wrong"
            }
            (Code::PermissionDenied, _) => {
                "our account may not do this: grant roles/secretmanager.secretAccessor to read, viewer to \
                 list, secretVersionManager or admin to write; or check the project's id"
            }
            (Code::ResourceExhausted, _) => "the project's quota for such calls is used up for now",
            (Code::InvalidArgument, _) => {
                "the service does not take this: check project, location and prefix"
            }
            (Code::FailedPrecondition, _) => {
                "the state of the secret does not allow it: check its encryption key and its versions"
            }
            (Code::Unavailable | Code::Internal | Code::DeadlineExceeded, _) => {
                "the service cannot answer now"
            }
            _ => "the service refused the call",
        }
    }
}

/// The longest reason is 63 characters; permissions are shorter.
const MAX_WORD: usize = 64;

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({}", self.advice(), self.code)?;
        if let Some(reason) = &self.reason {
            write!(f, ", {reason}")?;
        }
        if let Some(permission) = &self.permission {
            write!(f, ", needs {permission}")?;
        }
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(body: &str) -> Refusal {
        let bytes = bytes::Bytes::copy_from_slice(body.as_bytes());
        Refusal::new(&Status::try_from(&bytes).unwrap())
    }

    #[test]
    fn a_refusal_tells_codes_and_no_words() {
        let refusal = refusal(
            r#"{"error":{"code":403,"message":"canary-5d on projects/secret-project denied",
            "status":"PERMISSION_DENIED","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo",
            "reason":"IAM_PERMISSION_DENIED","domain":"iam.googleapis.com","metadata":
            {"permission":"secretmanager.versions.access","resource":"projects/secret-project"}}]}}"#,
        );
        let error = Error::from(Fault::Refused(refusal));
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        let text = format!("{error} {error:?}");
        assert!(text.contains("IAM_PERMISSION_DENIED, needs secretmanager.versions.access"));
        assert!(
            !text.contains("canary") && !text.contains("secret-project"),
            "{text}"
        );
    }

    #[test]
    fn words_in_place_of_codes_are_dropped() {
        let refusal = refusal(
            r#"{"error":{"code":403,"message":"no","status":"PERMISSION_DENIED","details":
            [{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"the value is canary-5d",
            "domain":"d","metadata":{"permission":"canary-5d"}}]}}"#,
        );
        assert!(!refusal.to_string().contains("canary"), "{refusal}");
    }

    #[test]
    fn only_the_service_itself_says_not_found() {
        let error = Error::from(Fault::Stranger(404));
        assert_eq!(error.kind(), ErrorKind::Failed);
        let error = Error::from(Fault::Stranger(503));
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        let missing = refusal(r#"{"error":{"code":404,"message":"x","status":"NOT_FOUND"}}"#);
        let error = Error::from(Fault::Refused(missing));
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }

    #[test]
    fn what_the_service_does_not_take_is_no_name_that_cannot_be() {
        for status in ["INVALID_ARGUMENT", "OUT_OF_RANGE"] {
            let body = format!(r#"{{"error":{{"code":400,"message":"x","status":"{status}"}}}}"#);
            let error = Error::from(Fault::Refused(refusal(&body)));
            assert_eq!(error.kind(), ErrorKind::Failed, "{status}");
        }
        let error = Error::from(Fault::Invalid("a name".to_owned()));
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    }

    #[test]
    fn contention_is_told_from_an_outage() {
        let aborted = refusal(r#"{"error":{"code":409,"message":"x","status":"ABORTED"}}"#);
        for fault in [Fault::Busy, Fault::Refused(aborted)] {
            let error = Error::from(fault);
            assert!(error.is_temporary() && error.is_contended(), "{error}");
        }
        assert!(!Error::from(Fault::Stranger(503)).is_contended());
    }

    #[test]
    fn what_may_pass_is_temporary() {
        for status in [
            "RESOURCE_EXHAUSTED",
            "UNAVAILABLE",
            "INTERNAL",
            "DEADLINE_EXCEEDED",
        ] {
            let body = format!(r#"{{"error":{{"code":429,"message":"x","status":"{status}"}}}}"#);
            assert!(
                Error::from(Fault::Refused(refusal(&body))).is_temporary(),
                "{status}"
            );
        }
    }
}
