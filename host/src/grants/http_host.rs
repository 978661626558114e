use std::fmt;

/// A host that a `use-http` grant names: `api.stripe.com`, or with a port `10.0.0.5:8443`. There
/// are no wildcards: the value goes to this host alone.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct HttpHost {
    host: Box<str>,
    port: u16,
}

impl HttpHost {
    /// The port where none is given: HTTPS.
    pub const DEFAULT_PORT: u16 = 443;
    /// The longest name that DNS has, in bytes.
    const MAX: usize = 253;

    /// Parses `host` or `host:port`.
    ///
    /// # Errors
    ///
    /// [`HttpHostError`] for anything but a lower-case DNS name or an IPv4 address, with a port or not.
    pub fn parse(text: &str) -> Result<Self, HttpHostError> {
        let (host, port) = match text.split_once(':') {
            Some((host, digits)) => {
                let canonical = |port: &u16| *port != 0 && port.to_string() == digits;
                let port = digits.parse().ok().filter(canonical);
                (host, port.ok_or(HttpHostError::Port)?)
            }
            None => (text, Self::DEFAULT_PORT),
        };
        let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(legal)
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if host.len() > Self::MAX || !host.split('.').all(label) {
            return Err(HttpHostError::Host);
        }
        let host = host.into();
        Ok(Self { host, port })
    }

    /// Whether a request goes to this host. Host names are compared without regard to case.
    pub fn matches(&self, host: &str, port: u16) -> bool {
        self.port == port && self.host.eq_ignore_ascii_case(host)
    }
}

impl fmt::Debug for HttpHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for HttpHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host)?;
        match self.port {
            Self::DEFAULT_PORT => Ok(()),
            port => write!(f, ":{port}"),
        }
    }
}

/// Why a text is not a host of a `use-http` grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HttpHostError {
    /// Not a plain host name.
    #[error("a host is a lower-case name such as 'api.example.com', without scheme, path or '*'")]
    Host,
    /// Not a port.
    #[error("a port is a number from 1 to 65535")]
    Port,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_hosts_parse() {
        for text in [
            "api.stripe.com",
            "localhost:8080",
            "10.0.0.5",
            "xn--bcher-kva.example",
        ] {
            assert_eq!(HttpHost::parse(text).unwrap().to_string(), text);
        }
        for text in [
            "",
            "*.stripe.com",
            "https://a",
            "a/b",
            "A.com",
            "a..b",
            "-a",
            "a_b",
            "u@a",
            "[::1]",
        ] {
            assert!(HttpHost::parse(text).is_err(), "{text:?}");
        }
        for text in ["a:", "a:0", "a:65536", "a:+1", "a:080"] {
            assert_eq!(HttpHost::parse(text), Err(HttpHostError::Port), "{text:?}");
        }
    }

    #[test]
    fn another_host_or_port_does_not_match() {
        let host = HttpHost::parse("api.stripe.com").unwrap();
        assert!(host.matches("API.stripe.com", 443));
        assert!(!host.matches("api.stripe.com", 80));
        assert!(!host.matches("api.stripe.com.evil.example", 443));
        assert!(!host.matches("xapi.stripe.com", 443));
    }
}
