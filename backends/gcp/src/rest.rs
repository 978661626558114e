//! Calls of the service's REST interface: signed, bounded in time and size, never redirected.
//!
//! The client library's own transport reads a reply of any length whole, before anyone can look at
//! it. This one takes its place (docs/adr/0011-gcp-transport.md); messages, error status and
//! credentials are the library's.

use std::path::Path;

use bytes::Bytes;
use google_cloud_gax::error::rpc::{Code, Status};
use http::{Method, StatusCode, header};
use reqwest::{Certificate, Client, Response, Url, redirect, retry};
use serde::Serialize;
use serde::de::DeserializeOwned;
use strongroom_backend_remote::{Endpoint, Transport, limits, transport};
use zeroize::Zeroizing;

use crate::error::{Fault, Refusal, Result};
use crate::login::Login;

/// How much of an error's body is read: an honest one has some 1,000 bytes.
const ERROR_BODY: usize = 64 << 10;
/// What a body is read into at first: most replies fit, so that no growing leaves copies behind.
const FIRST: usize = 8 << 10;
const LARGEST_FIRST: usize = 256 << 10;

/// The client of one vault.
pub(crate) struct Rest {
    client: Client,
    endpoint: Endpoint,
    login: Login,
}

/// One request.
pub(crate) struct Call<'c> {
    pub(crate) method: Method,
    /// The resource, as `projects/p/secrets/s`, with its verb, as `:addVersion`.
    pub(crate) resource: &'c str,
    pub(crate) query: &'c [(&'c str, &'c str)],
    pub(crate) body: Option<Bytes>,
}

/// A reply that says that the call was done.
pub(crate) struct Done {
    /// The body, wiped when dropped.
    pub(crate) body: Zeroizing<Vec<u8>>,
    /// The service's clock.
    pub(crate) date: Option<String>,
}

impl Done {
    /// The message in the body.
    pub(crate) fn message<M: DeserializeOwned>(&self) -> Result<M> {
        // What the parser says may repeat a part of the body.
        serde_json::from_slice(&self.body).map_err(|_| Fault::Reply(NOT_A_MESSAGE))
    }
}

pub(crate) const NOT_A_MESSAGE: &str = "what is not an answer of Secret Manager";
const NOT_A_NAME: Fault = Fault::Failed("what would be asked for is not a name of the service");

impl Rest {
    pub(crate) fn new(endpoint: Endpoint, ca_file: Option<&Path>, login: Login) -> Result<Self> {
        let mut builder = Client::builder()
            .http1_only()
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .referer(false)
            .no_gzip()
            .no_brotli()
            .no_deflate()
            .no_zstd()
            .connect_timeout(limits::CONNECT)
            .timeout(limits::REQUEST);
        // A proxy would see what goes over plain HTTP, which is for this machine alone.
        if !endpoint.is_tls() {
            builder = builder.no_proxy();
        }
        if let Some(path) = ca_file {
            builder = builder.tls_certs_only(authorities(path)?);
        }
        let client = builder
            .build()
            .map_err(|_| Fault::Config("the TLS client cannot be made".to_owned()))?;
        Ok(Self {
            client,
            endpoint,
            login,
        })
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    pub(crate) fn login(&self) -> &Login {
        &self.login
    }

    /// Makes a call. It ends within [`limits::REQUEST`], signing in included.
    pub(crate) async fn call(&self, call: Call<'_>) -> Result<Done> {
        let url = self.url(&call)?;
        tokio::time::timeout(limits::REQUEST, self.exchange(call, url))
            .await
            .unwrap_or(Err(Fault::Way(Transport::Timeout)))
    }

    async fn exchange(&self, call: Call<'_>, url: Url) -> Result<Done> {
        let mut request = self
            .client
            .request(call.method, url)
            .headers(self.login.headers().await?);
        if let Some(body) = call.body {
            request = request
                .header(header::CONTENT_TYPE, "application/json")
                .body(body);
        }
        let response = request.send().await.map_err(lost)?;
        let status = response.status();
        if status.is_success() {
            let date = response.headers().get(header::DATE);
            let date = date.and_then(|date| date.to_str().ok().map(str::to_owned));
            let body = read(response, limits::REPLY).await?;
            return Ok(Done { body, date });
        }
        if status == StatusCode::UNAUTHORIZED {
            self.login.spoil();
        }
        Err(refusal(status, response).await)
    }

    fn url(&self, call: &Call<'_>) -> Result<Url> {
        // Names are checked where they are made. This is the last place where one that is a path,
        // a query or a host of its own could be stopped.
        let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':');
        let segment =
            |s: &str| !s.is_empty() && !s.bytes().all(|b| b == b'.') && s.bytes().all(legal);
        if !call.resource.split('/').all(segment) {
            return Err(NOT_A_NAME);
        }
        let text = format!("{}/v1/{}", self.endpoint.as_str(), call.resource);
        let mut url = Url::parse(&text).map_err(|_| NOT_A_NAME)?;
        if !call.query.is_empty() {
            url.query_pairs_mut().extend_pairs(call.query);
        }
        Ok(url)
    }
}

/// A message as the body of a request, for messages without values.
pub(crate) fn body(message: &impl Serialize) -> Result<Option<Bytes>> {
    let text = serde_json::to_vec(message)
        .map_err(|_| Fault::Failed("a message to the service cannot be written"))?;
    Ok(Some(Bytes::from(text)))
}

fn authorities(path: &Path) -> Result<Vec<Certificate>> {
    let unreadable = |why: String| Fault::Config(format!("ca-file {}: {why}", path.display()));
    let pem = std::fs::read(path).map_err(|error| unreadable(error.to_string()))?;
    let certificates = Certificate::from_pem_bundle(&pem)
        .map_err(|_| unreadable("not certificates in PEM".to_owned()))?;
    if certificates.is_empty() {
        return Err(unreadable("holds no certificate".to_owned()));
    }
    Ok(certificates)
}

/// Reads a body of at most `most` bytes.
async fn read(mut response: Response, most: usize) -> Result<Zeroizing<Vec<u8>>> {
    let length = response.content_length();
    let length = length.map(|length| usize::try_from(length).unwrap_or(usize::MAX));
    if length.is_some_and(|length| length > most) {
        return Err(Fault::TooMuch(most));
    }
    let first = length.unwrap_or(FIRST).min(LARGEST_FIRST);
    let mut body = Zeroizing::new(Vec::with_capacity(first));
    while let Some(chunk) = response.chunk().await.map_err(lost)? {
        if chunk.len() > most - body.len() {
            return Err(Fault::TooMuch(most));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

async fn refusal(status: StatusCode, response: Response) -> Fault {
    if status.is_redirection() {
        return Fault::Redirect(status.as_u16());
    }
    let Ok(body) = read(response, ERROR_BODY).await else {
        return Fault::Stranger(status.as_u16());
    };
    match Status::try_from(&Bytes::copy_from_slice(&body)) {
        Ok(error) if error.code != Code::Unknown => Fault::Refused(Refusal::new(&error)),
        _ => Fault::Stranger(status.as_u16()),
    }
}

/// What a failure of the HTTP client means. Its words hold the URL: only the cause is kept.
fn lost(error: reqwest::Error) -> Fault {
    if error.is_timeout() {
        return Fault::Way(Transport::Timeout);
    }
    Fault::Way(transport(&error))
}
