//! What can go wrong in here, and how the broker is told.

use strongroom_backend::{Error, ErrorKind};
use strongroom_backend_remote::{Transport, limits, status_kind};

pub(crate) type Result<T> = std::result::Result<T, Fault>;

/// Why a call did not succeed. No text holds a value, a token or a text that the server sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("{0}")]
    Answer(#[from] Error),
    #[error("{0}")]
    Config(String),
    #[error("{}", .0.text())]
    Transport(Transport, #[source] reqwest::Error),
    #[error("the reply is longer than {} bytes: it is not read", limits::REPLY)]
    TooLong,
    #[error("the server's reply is not what Vault's API says: {0}")]
    Reply(&'static str),
    #[error("{0}")]
    Damaged(&'static str),
    #[error("no such secret or version")]
    Missing,
    #[error(
        "the token may not {0}: give one of its policies that capability, or use another token"
    )]
    Denied(&'static str),
    #[error("{0}")]
    Unauthenticated(String),
    /// The server said no to `cas`.
    #[error("the current version is another one")]
    CasMismatch,
    /// The engine or the secret takes no write without `cas`.
    #[error("the engine takes no write without compare-and-set")]
    CasRequired,
    /// The metadata changed since it was read.
    #[error("the metadata changed while it was written")]
    MetadataCas,
    #[error("{0}")]
    Known(Known),
    #[error("the server answered with status {0}")]
    Status(u16),
    #[error("others keep changing this secret: try again")]
    Busy,
    #[error("{0}")]
    Invalid(String),
    #[error("{0}")]
    Limit(&'static str),
}

/// What servers are known to say, in our words and with the next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Known {
    #[error("the server is sealed: unseal it")]
    Sealed,
    #[error("the server is not initialized: initialize and unseal it")]
    Uninitialized,
    #[error(
        "this server is a standby that sends clients to another one, and redirects are not followed: \
         give the address of the active server or of a balancer that finds it"
    )]
    Standby,
    #[error("the server answered with a redirect, which is not followed: check the address")]
    Redirect,
    #[error(
        "this server replicates another cluster and does not serve requests: give another address"
    )]
    Secondary,
    #[error("the server turns requests away for now: a rate limit is used up")]
    Throttled,
    #[error("the engine is being upgraded to KV v2: try again in a moment")]
    Upgrading,
    #[error("this server has not caught up yet: try again")]
    Behind,
    #[error(
        "no engine is mounted at this 'mount', or not in this namespace: check 'mount' and 'namespace'"
    )]
    NoEngine,
    #[error("the engine at this 'mount' is KV v2 and was taken for v1: take 'kv' out, or restart")]
    Versioned,
    #[error("there is no such namespace on this server: check 'namespace'")]
    NoNamespace,
    #[error(
        "what answers at the address is not Vault's API: check 'address' and what stands before the server"
    )]
    Stranger,
    #[error(
        "the server's storage takes no entry of this size: raise its limit or keep the value elsewhere"
    )]
    Storage,
}

impl Known {
    fn kind(self) -> ErrorKind {
        match self {
            Self::Sealed
            | Self::Uninitialized
            | Self::Standby
            | Self::Secondary
            | Self::Throttled
            | Self::Upgrading
            | Self::Behind => ErrorKind::Unavailable,
            Self::NoEngine | Self::Versioned | Self::NoNamespace => ErrorKind::Config,
            Self::Redirect | Self::Stranger | Self::Storage => ErrorKind::Failed,
        }
    }
}

impl Fault {
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::Answer(error) => error.kind(),
            Self::Config(_) => ErrorKind::Config,
            Self::Transport(transport, _) => transport.kind(),
            Self::Damaged(_) => ErrorKind::Damaged,
            Self::Missing => ErrorKind::NotFound,
            Self::Denied(_) => ErrorKind::PermissionDenied,
            Self::Unauthenticated(_) => ErrorKind::Unauthenticated,
            Self::Busy | Self::MetadataCas => ErrorKind::Unavailable,
            Self::Known(known) => known.kind(),
            Self::Status(status) => status_kind(*status),
            Self::Invalid(_) => ErrorKind::InvalidArgument,
            Self::TooLong
            | Self::Reply(_)
            | Self::CasMismatch
            | Self::CasRequired
            | Self::Limit(_) => ErrorKind::Failed,
        }
    }
}

impl From<Known> for Fault {
    fn from(known: Known) -> Self {
        Self::Known(known)
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        let (kind, text) = (fault.kind(), fault.to_string());
        match fault {
            Fault::Answer(error) => error,
            Fault::Transport(_, source) => Self::new(kind, text).with_source(source),
            Fault::Busy | Fault::MetadataCas => Self::contended(text),
            _ => Self::new(kind, text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_temporary_and_what_somebody_must_mend_is_not() {
        for known in [
            Known::Sealed,
            Known::Throttled,
            Known::Upgrading,
            Known::Standby,
        ] {
            assert!(Error::from(Fault::from(known)).is_temporary(), "{known}");
        }
        for known in [Known::NoEngine, Known::Versioned, Known::Redirect] {
            assert!(!Error::from(Fault::from(known)).is_temporary(), "{known}");
        }
        assert!(Error::from(Fault::Status(500)).is_temporary());
        for fault in [Fault::Busy, Fault::MetadataCas] {
            let error = Error::from(fault);
            assert!(error.is_temporary() && error.is_contended(), "{error}");
        }
        assert!(!Error::from(Fault::Status(500)).is_contended());
        let denied = Error::from(Fault::Denied("read secrets"));
        assert_eq!(denied.kind(), ErrorKind::PermissionDenied);
    }
}
