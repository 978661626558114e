use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Deserializer, de};
use url::{Host, Url};

/// The address of a service: `https://`, or `http://` on loopback only.
///
/// Credentials, queries and fragments are refused: the address is shown in messages, and what
/// follows it is ours to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint(Url);

/// Why a text is not an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// Not a URL with a host.
    #[error("the endpoint is not a URL: write 'https://host' or 'https://host:port'")]
    NotUrl,
    /// Neither http nor https.
    #[error("the endpoint must begin with 'https://'")]
    Scheme,
    /// Plain HTTP to another machine.
    #[error(
        "plain 'http://' is for loopback addresses only: anyone on the way could read the secrets"
    )]
    PlainHttp,
    /// A user name or password in the URL.
    #[error("the endpoint may not hold a user name or password")]
    Credentials,
    /// A query or a fragment in the URL.
    #[error("the endpoint may not have a query or a fragment")]
    Query,
}

impl Endpoint {
    /// Parses an endpoint.
    ///
    /// # Errors
    ///
    /// [`EndpointError`]; the text is not repeated.
    pub fn parse(text: &str) -> Result<Self, EndpointError> {
        let url = Url::parse(text).map_err(|_| EndpointError::NotUrl)?;
        let Some(host) = url.host() else {
            return Err(EndpointError::NotUrl);
        };
        match url.scheme() {
            "https" => {}
            "http" if is_loopback(&host) => {}
            "http" => return Err(EndpointError::PlainHttp),
            _ => return Err(EndpointError::Scheme),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(EndpointError::Credentials);
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(EndpointError::Query);
        }
        Ok(Self(url))
    }

    /// The endpoint as a URL.
    pub fn url(&self) -> &Url {
        &self.0
    }

    /// The endpoint as text, without a final `/`.
    pub fn as_str(&self) -> &str {
        self.0.as_str().trim_end_matches('/')
    }

    /// The host name or address, as it stands in the URL.
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }

    /// Whether the way there is encrypted.
    pub fn is_tls(&self) -> bool {
        self.0.scheme() == "https"
    }
}

fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => name.eq_ignore_ascii_case("localhost"),
        Host::Ipv4(address) => IpAddr::V4(*address).is_loopback(),
        Host::Ipv6(address) => IpAddr::V6(*address).is_loopback(),
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Endpoint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn https_and_loopback_are_taken() {
        for text in [
            "https://vault.example.com",
            "https://vault.example.com:8200/",
            "http://127.0.0.1:5000",
            "http://127.9.9.9",
            "http://localhost:1",
            "http://[::1]:8200",
        ] {
            let endpoint = Endpoint::parse(text).unwrap();
            assert_eq!(endpoint.as_str(), text.trim_end_matches('/'));
        }
    }

    #[test]
    fn what_could_leak_is_refused() {
        use EndpointError as E;
        for (text, reason) in [
            ("", E::NotUrl),
            ("vault", E::NotUrl),
            ("unix:/run/vault.sock", E::NotUrl),
            ("ftp://host", E::Scheme),
            ("http://10.0.0.1", E::PlainHttp),
            ("http://localhost.example.com", E::PlainHttp),
            ("http://127.0.0.1.nip.io", E::PlainHttp),
            ("https://user@host", E::Credentials),
            ("https://user:pass@host", E::Credentials),
            ("https://host/?a=b", E::Query),
            ("https://host/#a", E::Query),
        ] {
            assert_eq!(Endpoint::parse(text), Err(reason), "{text}");
        }
    }
}
