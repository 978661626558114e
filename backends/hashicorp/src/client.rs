//! One request to the server and its reply: what is sent, how much is read, and what a status means.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use jiff::fmt::rfc2822::DateTimeParser;
use reqwest::header::{CONTENT_TYPE, DATE, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Method};
use serde::Deserialize;
use strongroom_backend_remote::{limits, transport};
use url::Url;
use zeroize::Zeroizing;

use crate::config::Config;
use crate::error::{Fault, Result};
use crate::verdict::verdict;

const TOKEN: HeaderName = HeaderName::from_static("x-vault-token");
const NAMESPACE: HeaderName = HeaderName::from_static("x-vault-namespace");
/// A listener that asks for it turns away what a browser was tricked into sending.
const REQUEST: HeaderName = HeaderName::from_static("x-vault-request");
const MERGE: &str = "application/merge-patch+json";
/// The largest file of authorities: a platform's whole bundle is a quarter of it.
const MOST_AUTHORITIES: u64 = 1 << 20;
/// Room for a reply whose length is not told.
const FIRST_ROOM: usize = 16 << 10;

/// The connections to one server.
pub(crate) struct Client {
    http: reqwest::Client,
    namespace: Option<HeaderValue>,
}

/// One request; made again where it must be repeated.
pub(crate) struct Request {
    method: Method,
    url: Url,
    body: Option<Bytes>,
    pub(crate) merge: bool,
    /// Whether it asks for a secret, so that not-found may mean that there is none.
    pub(crate) secret: bool,
    /// Whether it asks for something in our namespace, not for the server.
    within: bool,
    /// What the request does, for the text of a denial: "read secrets (`read` on ...)".
    pub(crate) what: &'static str,
}

impl Request {
    pub(crate) fn get(url: Url, what: &'static str) -> Self {
        Self::new(Method::GET, url, None, what)
    }

    pub(crate) fn list(mut url: Url, what: &'static str) -> Self {
        url.set_query(Some("list=true"));
        Self::get(url, what)
    }

    pub(crate) fn post(url: Url, body: Bytes, what: &'static str) -> Self {
        Self::new(Method::POST, url, Some(body), what)
    }

    pub(crate) fn delete(url: Url, what: &'static str) -> Self {
        Self::new(Method::DELETE, url, None, what)
    }

    /// Asks for the server itself, which is in no namespace.
    pub(crate) fn server(url: Url, what: &'static str) -> Self {
        let mut request = Self::get(url, what);
        request.within = false;
        request.no_secret()
    }

    /// Asks for a login or a mount: whatever is not there, it is no secret.
    pub(crate) fn no_secret(mut self) -> Self {
        self.secret = false;
        self
    }

    /// Changes the fields of a JSON document that `body` has, and removes those that are null.
    pub(crate) fn merge(url: Url, body: Bytes, what: &'static str) -> Self {
        let mut request = Self::new(Method::PATCH, url, Some(body), what);
        request.merge = true;
        request
    }

    fn new(method: Method, url: Url, body: Option<Bytes>, what: &'static str) -> Self {
        Self {
            method,
            url,
            body,
            merge: false,
            secret: true,
            within: true,
            what,
        }
    }
}

/// The body of a reply, wiped when dropped.
pub(crate) struct Reply {
    pub(crate) status: u16,
    body: Zeroizing<Vec<u8>>,
    /// The server's clock, in milliseconds since the Unix epoch: at most a second early.
    date: Option<u64>,
}

#[derive(Deserialize)]
struct Envelope<T> {
    data: T,
}

impl Reply {
    /// What stands under `data`.
    pub(crate) fn data<'b, T: Deserialize<'b>>(&'b self) -> Result<T> {
        Ok(self.json::<Envelope<T>>()?.data)
    }

    /// The whole body. The parser's own words may quote it, and go no further.
    pub(crate) fn json<'b, T: Deserialize<'b>>(&'b self) -> Result<T> {
        serde_json::from_slice(&self.body).map_err(|_| Fault::Reply("the body is not as expected"))
    }

    /// The server's clock, or ours where it does not tell. Never before what the reply has: a `Date`
    /// is cut to the second, so the rest of that second counts as over.
    pub(crate) fn now(&self) -> u64 {
        self.date.map_or_else(now, |date| date + 999)
    }

    /// The server's clock as it told it.
    pub(crate) fn date(&self) -> Option<u64> {
        self.date
    }
}

impl Client {
    pub(crate) fn new(config: &Config, base_dir: &Path) -> Result<Self> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("strongroom/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(limits::CONNECT)
            .timeout(limits::REQUEST)
            .redirect(Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            // A proxy of the environment would see the tokens of plain loopback connections.
            .no_proxy()
            .no_gzip()
            .no_brotli()
            .no_zstd()
            .no_deflate()
            .http1_only()
            .https_only(config.address.is_tls());
        if let Some(file) = &config.ca_file {
            builder = builder.tls_certs_only(authorities(&base_dir.join(file))?);
        }
        if !config.verify_tls {
            builder = builder
                .tls_danger_accept_invalid_certs(true)
                .tls_danger_accept_invalid_hostnames(true);
        }
        let namespace = config.namespace.as_deref().map(namespace).transpose()?;
        let http = builder
            .build()
            .map_err(|e| Fault::Transport(transport(&e), e.without_url()))?;
        Ok(Self { http, namespace })
    }

    /// Sends `request` and takes nothing but success for success.
    pub(crate) async fn send(
        &self,
        request: &Request,
        token: Option<&HeaderValue>,
    ) -> Result<Reply> {
        let reply = self.exchange(request, token).await?;
        match verdict(reply.status, &reply.body, request) {
            None => Ok(reply),
            Some(fault) => Err(fault),
        }
    }

    /// Sends `request` and reads the reply, whatever its status.
    pub(crate) async fn exchange(
        &self,
        request: &Request,
        token: Option<&HeaderValue>,
    ) -> Result<Reply> {
        let lost = |e: reqwest::Error| Fault::Transport(transport(&e), e.without_url());
        let mut call = self
            .http
            .request(request.method.clone(), request.url.clone())
            .header(REQUEST, HeaderValue::from_static("true"));
        if let Some(namespace) = self.namespace.as_ref().filter(|_| request.within) {
            call = call.header(NAMESPACE, namespace);
        }
        if let Some(token) = token {
            call = call.header(TOKEN, token);
        }
        if let Some(body) = &request.body {
            let kind = if request.merge {
                MERGE
            } else {
                "application/json"
            };
            call = call.header(CONTENT_TYPE, kind).body(body.clone());
        }
        let mut response = call.send().await.map_err(lost)?;
        let (status, date) = (response.status().as_u16(), response.headers().get(DATE));
        let date = date.and_then(|date| http_date(date.to_str().ok()?));
        let promised = response.content_length().unwrap_or(FIRST_ROOM as u64);
        let room = usize::try_from(promised).unwrap_or(usize::MAX);
        if room > limits::REPLY {
            return Err(Fault::TooLong);
        }
        let mut body = Zeroizing::new(Vec::with_capacity(room));
        while let Some(chunk) = response.chunk().await.map_err(lost)? {
            if body.len() + chunk.len() > limits::REPLY {
                return Err(Fault::TooLong);
            }
            append(&mut body, &chunk);
        }
        Ok(Reply { status, body, date })
    }
}

/// Appends without leaving a copy behind where the buffer must move.
fn append(body: &mut Zeroizing<Vec<u8>>, chunk: &[u8]) {
    let needed = body.len() + chunk.len();
    if needed > body.capacity() {
        let mut larger = Zeroizing::new(Vec::with_capacity(needed.max(2 * body.capacity())));
        larger.extend_from_slice(body);
        *body = larger;
    }
    body.extend_from_slice(chunk);
}

fn authorities(file: &Path) -> Result<Vec<Certificate>> {
    let wrong = |what: &str| Fault::Config(format!("the ca-file {} {what}", file.display()));
    let length = std::fs::metadata(file)
        .map_err(|e| wrong(&format!("cannot be read: {e}")))?
        .len();
    if length > MOST_AUTHORITIES {
        return Err(wrong("is longer than any list of authorities"));
    }
    let pem = std::fs::read(file).map_err(|e| wrong(&format!("cannot be read: {e}")))?;
    match Certificate::from_pem_bundle(&pem) {
        Ok(authorities) if !authorities.is_empty() => Ok(authorities),
        _ => Err(wrong("has no certificate in PEM")),
    }
}

fn namespace(text: &str) -> Result<HeaderValue> {
    let text = crate::place::trimmed("namespace", text)?;
    HeaderValue::from_str(text)
        .map_err(|_| Fault::Config("the namespace has characters that no header takes".to_owned()))
}

fn http_date(text: &str) -> Option<u64> {
    let parsed = DateTimeParser::new().parse_timestamp(text).ok()?;
    u64::try_from(parsed.as_millisecond()).ok()
}

/// Our clock, in milliseconds since the Unix epoch.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_of_a_reply_is_read() {
        assert_eq!(
            http_date("Sun, 06 Nov 1994 08:49:37 GMT"),
            Some(784_111_777_000)
        );
        assert_eq!(http_date("yesterday"), None);
    }

    #[test]
    fn a_buffer_that_grows_keeps_what_it_has() {
        let mut body = Zeroizing::new(Vec::with_capacity(2));
        for chunk in [&b"a"[..], b"bcd", b"", b"efghijkl"] {
            append(&mut body, chunk);
        }
        assert_eq!(**body, *b"abcdefghijkl");
    }
}
