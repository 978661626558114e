//! What can go wrong in here, and how the broker is told.

use strongroom_backend::{Error, ErrorKind};
use strongroom_backend_remote::{Transport, status_kind};

pub(crate) type Result<T> = std::result::Result<T, Fault>;

/// Why a call did not succeed. No text holds a value or anything that the server wrote but its
/// reason, which is one word.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("{0}")]
    Auth(&'static str),
    #[error("{0}")]
    Config(String),
    #[error("{0}")]
    Damaged(String),
    /// A rule of ours or of the object forbids it.
    #[error("{0}")]
    Forbidden(String),
    #[error("{0}")]
    InvalidArgument(String),
    /// There is none, and why that may surprise.
    #[error("{0}")]
    Missing(String),
    /// Others changed the object at each try.
    #[error("others changed the Secret '{0}' at each of our tries: try again")]
    Raced(String),
    #[error("the API server's reply is not one of Kubernetes: {0}")]
    Reply(&'static str),
    #[error("the API server's reply is longer than {0} bytes")]
    ReplyTooLong(usize),
    #[error("{}", text_of(.0))]
    Status(Refusal),
    #[error("{}", .0.text())]
    Transport(Transport),
    #[error("cannot reach {0}: {text}", text = .1.text())]
    Unreached(String, Transport),
    /// What the history of a secret says.
    #[error("{0}")]
    Told(#[from] Error),
}

/// What the API server answered in place of what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// What was asked, as in "reading the Secret".
    pub(crate) call: &'static str,
    pub(crate) status: u16,
    /// Its reason, as `AlreadyExists`.
    pub(crate) reason: Option<String>,
    /// Of what kind the object is that it is about, as `namespaces`.
    pub(crate) about: Option<String>,
    /// Whether it says that the namespace is about to go.
    pub(crate) terminating: bool,
}

impl Refusal {
    pub(crate) fn is(&self, reason: &str) -> bool {
        self.reason.as_deref() == Some(reason)
    }

    /// Somebody was faster: the object is another than we read, is there already, or is gone.
    pub(crate) fn is_race(&self) -> bool {
        self.status == 409
    }

    /// The namespace of what should be made does not exist.
    pub(crate) fn lacks_namespace(&self) -> bool {
        self.status == 404 && self.about.as_deref() == Some("namespaces")
    }

    /// What we hold on to (a page, a place in the watch) is too old for the server.
    pub(crate) fn is_expired(&self) -> bool {
        self.status == 410 || self.is("Expired") || self.is("Gone")
    }

    fn kind(&self) -> ErrorKind {
        match self.status {
            // What can be missing is asked for by name; another 404 is no API server's.
            404 => ErrorKind::Failed,
            403 if self.terminating => ErrorKind::Failed,
            410 => ErrorKind::Unavailable,
            status => status_kind(status),
        }
    }
}

fn text_of(refusal: &Refusal) -> String {
    let Refusal { call, status, .. } = refusal;
    let reason = refusal.reason.as_deref().unwrap_or("no reason given");
    let next = match status {
        300..=399 => "redirects are not followed: name the API server's own address",
        401 => {
            "the API server does not accept our credentials: renew the token or certificate, and \
             check that it is for this cluster"
        }
        403 if refusal.terminating => "the namespace is being deleted",
        403 => "our user may not: grant the verb on secrets in a Role of this namespace",
        404 if refusal.lacks_namespace() => {
            "the namespace does not exist: create it, or set `create-namespace = true`"
        }
        404 => "not found: check that the address is that of an API server",
        413 | 422 => "the API server does not take the object: see its limits and admission rules",
        429 => "the API server is too busy",
        500.. => "the API server failed",
        _ => "the API server refused",
    };
    format!("{call}: {next} ({status}, {reason})")
}

impl Fault {
    pub(crate) fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Status(refusal) => Some(refusal),
            _ => None,
        }
    }

    pub(crate) fn is_status(&self, status: u16) -> bool {
        self.refusal()
            .is_some_and(|refusal| refusal.status == status)
    }

    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::Auth(_) => ErrorKind::Unauthenticated,
            Self::Config(_) => ErrorKind::Config,
            Self::Damaged(_) => ErrorKind::Damaged,
            Self::Forbidden(_) | Self::Reply(_) | Self::ReplyTooLong(_) => ErrorKind::Failed,
            Self::InvalidArgument(_) => ErrorKind::InvalidArgument,
            Self::Missing(_) => ErrorKind::NotFound,
            Self::Raced(_) => ErrorKind::Unavailable,
            Self::Status(refusal) => refusal.kind(),
            Self::Transport(transport) | Self::Unreached(_, transport) => transport.kind(),
            Self::Told(error) => error.kind(),
        }
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Told(error) => error,
            Fault::Raced(_) => Self::contended(fault.to_string()),
            fault => Self::new(fault.kind(), fault.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, reason: &str) -> Error {
        Fault::Status(Refusal {
            call: "reading the Secret",
            status,
            reason: Some(reason.to_owned()),
            about: None,
            terminating: false,
        })
        .into()
    }

    #[test]
    fn a_retry_is_for_what_passes() {
        for (status, reason) in [
            (429, "TooManyRequests"),
            (500, "InternalError"),
            (503, "ServiceUnavailable"),
            (504, "Timeout"),
            (410, "Expired"),
        ] {
            assert_eq!(refused(status, reason).kind(), ErrorKind::Unavailable);
        }
        for (status, kind) in [
            (307, ErrorKind::Failed),
            (401, ErrorKind::Unauthenticated),
            (403, ErrorKind::PermissionDenied),
            (422, ErrorKind::Failed),
        ] {
            assert_eq!(refused(status, "Reason").kind(), kind);
        }
    }

    #[test]
    fn contention_is_told_from_an_outage() {
        let raced = Error::from(Fault::Raced("app-a".to_owned()));
        assert!(raced.is_temporary() && raced.is_contended());
        assert!(!refused(503, "ServiceUnavailable").is_contended());
    }

    #[test]
    fn the_text_names_call_reason_and_next_step() {
        let text = refused(403, "Forbidden").to_string();
        assert!(
            text.starts_with("reading the Secret: our user may not"),
            "{text}"
        );
        assert!(text.ends_with("(403, Forbidden)"), "{text}");
    }
}
