use std::error::Error as StdError;
use std::io;

use strongroom_backend::ErrorKind;

/// What went wrong on the way to a service, in words for the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Transport {
    /// The host's name has no address.
    Dns,
    /// Nothing listens there.
    Refused,
    /// The server's certificate is not one that we trust for that name.
    Certificate,
    /// TLS failed for another reason.
    Tls,
    /// No answer in time.
    Timeout,
    /// The connection ended within the answer.
    Cut,
    /// Something else.
    Other,
}

impl Transport {
    /// A retry helps against all but a wrong certificate, which somebody must mend.
    pub fn kind(self) -> ErrorKind {
        match self {
            Self::Certificate | Self::Tls => ErrorKind::Failed,
            _ => ErrorKind::Unavailable,
        }
    }

    /// The cause and the next step, for the operator.
    pub fn text(self) -> &'static str {
        match self {
            Self::Dns => {
                "the host's name cannot be resolved: check the endpoint or region, and DNS"
            }
            Self::Refused => {
                "nothing listens at the address: check the endpoint, the port and that the server runs"
            }
            Self::Certificate => {
                "the server's certificate is not trusted for this name: check the endpoint's name, or \
                 give the authority that signed it (ca-file)"
            }
            Self::Tls => "TLS could not be agreed on: check that the port speaks TLS",
            Self::Timeout => "the service did not answer in time",
            Self::Cut => "the connection ended before the whole answer was there",
            Self::Other => "the service could not be reached",
        }
    }
}

/// What an error of an HTTP client means, found in its causes.
pub fn transport(error: &(dyn StdError + 'static)) -> Transport {
    let mut found = Transport::Other;
    let mut cause = Some(error);
    // A client's own types are not public: what they stem from is, and the words of a look-up.
    for _ in 0..MOST_CAUSES {
        let Some(error) = cause else { break };
        match judge(error) {
            Transport::Other => {}
            Transport::Timeout | Transport::Cut => found = judge(error),
            certain => return certain,
        }
        // An `io::Error` passes over the error that it wraps when asked for its source.
        cause = match error.downcast_ref::<io::Error>() {
            Some(io) => io.get_ref().map(|inner| inner as &(dyn StdError + 'static)),
            None => error.source(),
        };
    }
    found
}

/// Causes that are looked at: a chain is short, and one that is not must not hold us.
const MOST_CAUSES: usize = 32;

fn judge(error: &(dyn StdError + 'static)) -> Transport {
    if let Some(tls) = error.downcast_ref::<rustls::Error>() {
        return of_tls(tls);
    }
    if let Some(io) = error.downcast_ref::<io::Error>() {
        if let Some(tls) = io.get_ref().and_then(|inner| inner.downcast_ref()) {
            return of_tls(tls);
        }
        match io.kind() {
            io::ErrorKind::ConnectionRefused => return Transport::Refused,
            io::ErrorKind::TimedOut => return Transport::Timeout,
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe => return Transport::Cut,
            _ => {}
        }
    }
    let text = error.to_string();
    if text.starts_with("failed to lookup address") || text.starts_with("dns error") {
        Transport::Dns
    } else if text.contains("timed out") || text.contains("timeout") {
        Transport::Timeout
    } else if text.contains("connection closed before message completed")
        || text.contains("end of file before message length reached")
        || text.contains("error reading a body from connection")
    {
        Transport::Cut
    } else {
        Transport::Other
    }
}

fn of_tls(error: &rustls::Error) -> Transport {
    match error {
        rustls::Error::InvalidCertificate(_) => Transport::Certificate,
        _ => Transport::Tls,
    }
}

/// What an HTTP status means where the service says nothing more exact.
pub fn status_kind(status: u16) -> ErrorKind {
    match status {
        401 => ErrorKind::Unauthenticated,
        403 => ErrorKind::PermissionDenied,
        404 => ErrorKind::NotFound,
        408 | 425 | 429 | 500 | 502..=599 => ErrorKind::Unavailable,
        _ => ErrorKind::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("client error")]
    struct Outer(#[source] Box<dyn StdError + Send + Sync>);

    fn outer(inner: impl Into<Box<dyn StdError + Send + Sync>>) -> Outer {
        Outer(inner.into())
    }

    #[test]
    fn finds_the_cause_below_a_clients_own_errors() {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        assert_eq!(transport(&outer(outer(refused))), Transport::Refused);
        let certificate = rustls::Error::InvalidCertificate(rustls::CertificateError::Expired);
        let wrapped = io::Error::new(io::ErrorKind::InvalidData, certificate);
        assert_eq!(transport(&outer(wrapped)), Transport::Certificate);
        let expired = rustls::Error::InvalidCertificate(rustls::CertificateError::Expired);
        let nested = io::Error::other(io::Error::other(outer(io::Error::other(expired))));
        assert_eq!(transport(&outer(nested)), Transport::Certificate);
        let eof = io::Error::from(io::ErrorKind::UnexpectedEof);
        assert_eq!(transport(&outer(eof)), Transport::Cut);
        assert_eq!(transport(&outer("something new")), Transport::Other);
    }

    #[test]
    fn a_real_look_up_that_fails_is_told() {
        use std::net::ToSocketAddrs;
        let error = "name.invalid:1".to_socket_addrs().unwrap_err();
        assert_eq!(transport(&outer(error)), Transport::Dns);
    }

    #[test]
    fn a_retry_is_for_what_may_pass() {
        for status in [429, 500, 502, 503, 504] {
            assert_eq!(status_kind(status), ErrorKind::Unavailable);
        }
        for status in [301, 400, 409, 413, 501] {
            assert_eq!(status_kind(status), ErrorKind::Failed);
        }
    }
}
