//! The way to the service: our own HTTP client below Microsoft's library.
//!
//! It follows no redirect, reads no endless reply, and sends nothing but to the one origin that it
//! was made for: a link to a next page or a challenge that names another host draws no token there.

use std::sync::Arc;

use async_trait::async_trait;
use azure_core::error::ErrorKind;
use azure_core::http::headers::{HeaderName, HeaderValue, Headers};
use azure_core::http::{AsyncRawResponse, Body, HttpClient, Request};
use bytes::Bytes;
use reqwest::redirect::Policy;
use strongroom_backend_remote::limits;
use url::Url;
use zeroize::Zeroizing;

use crate::clock::ServiceClock;

/// A client for one origin.
#[derive(Debug)]
pub(crate) struct Http {
    client: reqwest::Client,
    route: Route,
    clock: Option<Arc<ServiceClock>>,
}

/// Where requests may go.
#[derive(Clone, Debug)]
pub(crate) enum Route {
    /// To this origin only. What is addressed to `known_as`, the service's own address, goes there
    /// too: the service writes it into its links whatever way a request came.
    One { to: Url, known_as: Option<Url> },
    /// Where the library says: the metadata service of the machine, whose address is its own.
    Local,
}

/// Why a request was stopped on our side. Found in the causes of the library's errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Stopped {
    #[error("a request to another host was not sent")]
    Elsewhere,
    #[error("the reply is longer than {} bytes", limits::REPLY)]
    TooLong,
    #[error("a request body that is a stream was not sent")]
    Stream,
    #[error("a token for another audience was not asked for")]
    Audience,
    #[error("there was no token in time")]
    NoToken,
    #[error("the login service gave an answer without a token")]
    EmptyToken,
}

impl Http {
    /// `authorities` are certificates in PEM in place of the system's.
    pub(crate) fn new(
        route: Route,
        authorities: Option<&[u8]>,
        clock: Option<Arc<ServiceClock>>,
    ) -> Result<Self, reqwest::Error> {
        let mut builder = reqwest::Client::builder()
            .redirect(Policy::none())
            .referer(false)
            // A variable of the environment must not lead secrets past us.
            .no_proxy()
            .no_gzip()
            .no_deflate()
            .no_brotli()
            .no_zstd()
            .retry(reqwest::retry::never())
            .connect_timeout(limits::CONNECT)
            .timeout(limits::REQUEST)
            .https_only(!matches!(route, Route::Local));
        if let Some(pem) = authorities {
            builder = builder.tls_certs_only(reqwest::Certificate::from_pem_bundle(pem)?);
        }
        Ok(Self {
            client: builder.build()?,
            route,
            clock,
        })
    }

    async fn send(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let url = self.route.resolve(request.url()).map_err(stopped)?;
        let Body::Bytes(body) = request.body() else {
            return Err(stopped(Stopped::Stream));
        };
        let method = reqwest::Method::from_bytes(request.method().as_ref().as_bytes());
        let mut outgoing = self.client.request(method.unwrap_or_default(), url);
        for (name, value) in request.headers().iter() {
            outgoing = outgoing.header(name.as_str(), value.as_str());
        }
        let response = outgoing.body(body.clone()).send().await.map_err(failed)?;
        let (status, headers) = (response.status().as_u16(), headers(response.headers()));
        if let Some(clock) = &self.clock {
            clock.saw(&headers);
        }
        let body = read(response).await?;
        Ok(AsyncRawResponse::from_bytes(status.into(), headers, body))
    }
}

#[async_trait]
impl HttpClient for Http {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        self.send(request).await
    }
}

impl Route {
    fn resolve(&self, url: &Url) -> Result<Url, Stopped> {
        let Self::One { to, known_as } = self else {
            return Ok(url.clone());
        };
        if url.origin() == to.origin() {
            return Ok(url.clone());
        }
        let known = known_as.as_ref().map(Url::origin);
        if known.is_none_or(|known| known != url.origin()) {
            return Err(Stopped::Elsewhere);
        }
        let mut there = to.clone();
        there.set_path(url.path());
        there.set_query(url.query());
        Ok(there)
    }
}

/// Reads a whole body into memory that is wiped when the library drops it.
async fn read(mut response: reqwest::Response) -> azure_core::Result<Bytes> {
    const LEAST: usize = 8 << 10;
    let told = response.content_length().unwrap_or(0);
    let told = usize::try_from(told).unwrap_or(usize::MAX);
    if told > limits::REPLY {
        return Err(stopped(Stopped::TooLong));
    }
    let mut body = Zeroizing::new(Vec::with_capacity(told.max(LEAST)));
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        let length = body.len() + chunk.len();
        if length > limits::REPLY {
            return Err(stopped(Stopped::TooLong));
        }
        if length > body.capacity() {
            // By hand, so that the smaller buffer is wiped and not just freed.
            let mut larger = Zeroizing::new(Vec::with_capacity(length * 2));
            larger.extend_from_slice(&body);
            body = larger;
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Bytes::from_owner(body))
}

fn stopped(reason: Stopped) -> azure_core::Error {
    azure_core::Error::new(ErrorKind::Other, reason)
}

fn failed(error: reqwest::Error) -> azure_core::Error {
    let kind = if error.is_connect() {
        ErrorKind::Connection
    } else {
        ErrorKind::Io
    };
    azure_core::Error::new(kind, error.without_url())
}

fn headers(map: &reqwest::header::HeaderMap) -> Headers {
    let mut headers = Headers::new();
    for (name, value) in map {
        if let Ok(value) = value.to_str() {
            let name = HeaderName::from(name.as_str().to_owned());
            headers.insert(name, HeaderValue::from(value.to_owned()));
        }
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn nothing_goes_to_another_origin() {
        let route = Route::One {
            to: url("https://10.0.0.1:8443"),
            known_as: Some(url("https://v.vault.azure.net")),
        };
        let own = url("https://10.0.0.1:8443/secrets?x=1");
        assert_eq!(route.resolve(&own), Ok(own));
        let link = url("https://v.vault.azure.net:443/secrets?$skiptoken=a");
        let there = url("https://10.0.0.1:8443/secrets?$skiptoken=a");
        assert_eq!(route.resolve(&link), Ok(there));
        for other in [
            "https://w.vault.azure.net/secrets",
            "http://v.vault.azure.net/secrets",
            "https://v.vault.azure.net:8443/secrets",
            "https://v.vault.azure.net.example/secrets",
            "http://10.0.0.1:8443/secrets",
        ] {
            assert_eq!(
                route.resolve(&url(other)),
                Err(Stopped::Elsewhere),
                "{other}"
            );
        }
    }
}
