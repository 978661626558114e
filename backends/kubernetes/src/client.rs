//! Calls to the API server: sent, bounded in time and size, and understood.
//!
//! The client library's own ways to read a reply log bodies that they cannot parse, and bodies are
//! secrets here. So only its connection and its login are used.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, DATE};
use http::{HeaderValue, Request, Response};
use http_body_util::BodyExt;
use k8s_openapi::api::core::v1::Secret;
use kube::Resource;
use kube::client::{Body, Client, ClientBuilder};
use kube::core::params::{GetParams, ListParams, WatchParams};
use serde::de::DeserializeOwned;
use strongroom_backend_remote::limits;
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use crate::error::{Fault, Refusal, Result};
use crate::object::{MetaObject, Page, SecretObject, parse};
use crate::told::{not_made, not_sent, refusal};

/// What asks for an object without its values.
const METADATA: HeaderValue =
    HeaderValue::from_static("application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const MERGE: HeaderValue = HeaderValue::from_static("application/merge-patch+json");
/// What stands between us and the server mixes answers up.
const ANOTHER: Fault = Fault::Reply("another object than was asked for");
/// Who we are in `managedFields`.
const MANAGER: &str = "strongroom";

/// A connection to one API server, about the Secrets of one namespace.
pub(crate) struct Api {
    config: kube::Config,
    /// Made at the first call: it may have to run a program. Made again when its certificate ends.
    client: Mutex<Option<Client>>,
    namespace: String,
    secrets: kube::core::Request,
}

/// An answer that says yes.
pub(crate) struct Reply {
    pub(crate) body: Zeroizing<Vec<u8>>,
    /// The server's clock, as it says.
    pub(crate) date: Option<String>,
}

impl Api {
    pub(crate) fn new(config: kube::Config, namespace: String) -> Self {
        let secrets = kube::core::Request::new(Secret::url_path(&(), Some(&namespace)));
        Self {
            config,
            client: Mutex::new(None),
            namespace,
            secrets,
        }
    }

    /// Makes the client now, so that what is wrong with it shows at once.
    pub(crate) async fn prepare(&self) -> Result<()> {
        self.client().await.map(drop)
    }

    /// The server's address.
    pub(crate) fn address(&self) -> String {
        self.config.cluster_url.to_string()
    }

    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Whether a program logs us in.
    pub(crate) fn runs_a_program(&self) -> bool {
        let auth = &self.config.auth_info;
        auth.exec.is_some() || auth.auth_provider.is_some()
    }

    /// A Secret whole, in one request.
    pub(crate) async fn get(&self, name: &str) -> Result<Option<SecretObject>> {
        let request = built(self.secrets.get(name, &GetParams::default()))?;
        let object: Option<SecretObject> =
            self.found(self.send("reading the Secret", request).await, "a Secret")?;
        match object {
            Some(object) if object.metadata.name != name => Err(ANOTHER),
            object => Ok(object),
        }
    }

    /// What is known of a Secret, without its values.
    pub(crate) async fn get_metadata(&self, name: &str) -> Result<Option<MetaObject>> {
        let request = built(self.secrets.get_metadata(name, &GetParams::default()))?;
        let reply = self.send("reading the Secret's metadata", request).await;
        match self.found::<MetaObject>(reply, "a Secret's metadata")? {
            Some(object) if object.metadata.name != name => Err(ANOTHER),
            object => Ok(object),
        }
    }

    /// A page of Secrets with their values.
    pub(crate) async fn page(&self, params: &ListParams) -> Result<Page<SecretObject>> {
        let request = built(self.secrets.list(params))?;
        let reply = self.send("listing Secrets", request).await?;
        parse(&reply.body, "a list of Secrets")
    }

    /// A page of Secrets without their values.
    pub(crate) async fn page_metadata(&self, params: &ListParams) -> Result<Page<MetaObject>> {
        let request = built(self.secrets.list_metadata(params))?;
        let reply = self.send("listing Secrets", request).await?;
        parse(&reply.body, "a list of Secrets' metadata")
    }

    /// Makes a Secret.
    pub(crate) async fn create(&self, body: Bytes) -> Result<()> {
        let request = Request::post(format!("{}?fieldManager={MANAGER}", self.secrets.url_path))
            .header(CONTENT_TYPE, JSON)
            .header(ACCEPT, METADATA);
        let request = request.body(body).map_err(not_built)?;
        self.send("making the Secret", request).await.map(drop)
    }

    /// Changes a Secret by a merge patch.
    pub(crate) async fn patch(&self, name: &str, body: Bytes) -> Result<()> {
        let path = &self.secrets.url_path;
        let request = Request::patch(format!("{path}/{name}?fieldManager={MANAGER}"))
            .header(CONTENT_TYPE, MERGE)
            .header(ACCEPT, METADATA);
        let request = request.body(body).map_err(not_built)?;
        self.send("changing the Secret", request).await.map(drop)
    }

    /// Makes the namespace; one that is there already is as good.
    pub(crate) async fn create_namespace(&self) -> Result<()> {
        let body = serde_json::json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": self.namespace },
        });
        match self
            .post("making the namespace", "/api/v1/namespaces", &body)
            .await
        {
            Err(error) if error.is_status(409) => Ok(()),
            made => made.map(drop),
        }
    }

    /// Whether the namespace is there.
    pub(crate) async fn namespace_exists(&self) -> Result<bool> {
        let request = Request::get(format!("/api/v1/namespaces/{}", self.namespace));
        let request = request
            .header(ACCEPT, METADATA)
            .body(Bytes::new())
            .map_err(not_built)?;
        match self.send("looking for the namespace", request).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_status(404) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Asks the server about something that is no object, as who we are.
    pub(crate) async fn post(
        &self,
        call: &'static str,
        path: &str,
        body: &serde_json::Value,
    ) -> Result<Reply> {
        let body = Bytes::from(body.to_string());
        let request = Request::post(path).header(CONTENT_TYPE, JSON).body(body);
        self.send(call, request.map_err(not_built)?).await
    }

    /// What happens to Secrets after `version`, a line of JSON each, without values. Only the
    /// headers have arrived.
    pub(crate) async fn watch(&self, params: &WatchParams, version: &str) -> Result<Body> {
        let request = built(self.secrets.watch_metadata(params, version))?;
        let started = async {
            let response = self.start(request).await?;
            if response.status().is_success() {
                return Ok(response.into_body());
            }
            Err(refusal("watching Secrets", response).await?)
        };
        within(limits::REQUEST, started).await
    }

    fn found<T: DeserializeOwned>(
        &self,
        reply: Result<Reply>,
        what: &'static str,
    ) -> Result<Option<T>> {
        match reply {
            Ok(reply) => parse(&reply.body, what).map(Some),
            Err(error) if error.refusal().is_some_and(is_missing) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn send(&self, call: &'static str, request: Request<Bytes>) -> Result<Reply> {
        let answered = async {
            let response = self.start(request).await?;
            if !response.status().is_success() {
                return Err(refusal(call, response).await?);
            }
            let date = response.headers().get(DATE);
            let date = date.and_then(|date| date.to_str().ok()).map(str::to_owned);
            let body = collect(response.into_body(), limits::REPLY).await?;
            Ok(Reply { body, date })
        };
        within(limits::REQUEST, answered).await
    }

    async fn start(&self, request: Request<Bytes>) -> Result<Response<Body>> {
        let client = self.client().await?;
        client
            .send(request.map(Body::from))
            .await
            .map_err(|error| not_sent(&error))
    }

    async fn client(&self) -> Result<Client> {
        let mut client = self.client.lock().await;
        let fresh = |client: &&Client| {
            client
                .valid_until()
                .is_none_or(|end| SystemTime::from(end) > SystemTime::now())
        };
        if let Some(client) = client.as_ref().filter(fresh) {
            return Ok(client.clone());
        }
        let config = self.config.clone();
        let made = tokio::task::spawn_blocking(move || {
            let builder = ClientBuilder::try_from(config).map_err(|error| not_made(&error))?;
            Ok::<_, Fault>(builder.build())
        });
        let made = made
            .await
            .map_err(|_| Fault::Auth("logging in was interrupted"))??;
        *client = Some(made.clone());
        Ok(made)
    }
}

/// A Secret that is not there; another 404 is no API server's.
fn is_missing(refusal: &Refusal) -> bool {
    refusal.status == 404 && refusal.is("NotFound")
}

fn built(
    request: std::result::Result<Request<Vec<u8>>, kube::core::request::Error>,
) -> Result<Request<Bytes>> {
    request
        .map(|request| request.map(Bytes::from))
        .map_err(|_| Fault::Forbidden("the request cannot be made".into()))
}

fn not_built(_: http::Error) -> Fault {
    Fault::Forbidden("the request cannot be made".into())
}

async fn within<T>(time: Duration, call: impl Future<Output = Result<T>>) -> Result<T> {
    let answer = tokio::time::timeout(time, call).await;
    answer.unwrap_or(Err(Fault::Transport(
        strongroom_backend_remote::Transport::Timeout,
    )))
}

/// Reads a body to its end, or to `limit`.
pub(crate) async fn collect(mut body: Body, limit: usize) -> Result<Zeroizing<Vec<u8>>> {
    let mut whole = Zeroizing::new(Vec::new());
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| not_sent(&error))?;
        let Some(piece) = frame.data_ref() else {
            continue;
        };
        let length = whole.len() + piece.len();
        if length > limit {
            return Err(Fault::ReplyTooLong(limit));
        }
        if length > whole.capacity() {
            grow(&mut whole, length);
        }
        whole.extend_from_slice(piece);
    }
    Ok(whole)
}

/// Makes room for `length` bytes, and wipes where they were before.
fn grow(whole: &mut Zeroizing<Vec<u8>>, length: usize) {
    let mut larger = Zeroizing::new(Vec::with_capacity(length.next_power_of_two().max(4096)));
    larger.extend_from_slice(whole);
    *whole = larger;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_is_read_to_its_limit() {
        let body = Body::from(vec![7; 10_000]);
        assert_eq!(collect(body, 10_000).await.unwrap().len(), 10_000);
        let body = Body::from(vec![7; 10_001]);
        assert!(matches!(
            collect(body, 10_000).await,
            Err(Fault::ReplyTooLong(10_000))
        ));
    }
}
