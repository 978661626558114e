//! What this store asks of the service, a function each.

use bytes::Bytes;
use google_cloud_secretmanager_v1::model::secret_version::State;
use google_cloud_secretmanager_v1::model::{
    ListSecretVersionsResponse, ListSecretsResponse, Secret, SecretVersion,
};
use google_cloud_wkt::Timestamp;
use http::Method;
use serde_json::json;
use strongroom_backend::SecretValue;
use strongroom_backend_remote::limits;

use crate::error::{Fault, Result};
use crate::payload::Access;
use crate::resource::Resource;
use crate::rest::{self, Call, Done, NOT_A_MESSAGE, Rest};

/// Versions on a page. One has some 400 bytes.
const VERSIONS_A_PAGE: usize = 1000;
/// The most versions of a secret that are looked at.
const MAX_VERSIONS: usize = 20_000;
/// Secrets on a page. One has up to 16 KiB of annotations, and a page must stay below
/// [`limits::REPLY`].
const SECRETS_A_PAGE: &str = "500";

/// A version as the service knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) number: u64,
    pub(crate) life: Life,
    /// Milliseconds since the Unix epoch.
    pub(crate) created: u64,
    /// When it was destroyed, or else created.
    pub(crate) changed: u64,
    pub(crate) etag: String,
}

/// What the service lets be done with a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Enabled,
    Disabled,
    Destroyed,
}

/// A change of a version's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    Disable,
    Enable,
    Destroy,
}

impl Rest {
    /// The value of a version; none is the newest.
    pub(crate) async fn access(
        &self,
        resource: &Resource,
        number: Option<u64>,
    ) -> Result<(u64, SecretValue)> {
        let name = resource.version(number) + ":access";
        let done = self.get(&name, &[]).await?;
        let access: Access<'_> =
            serde_json::from_slice(&done.body).map_err(|_| Fault::Reply(NOT_A_MESSAGE))?;
        let told = resource
            .number(&access.name)
            .filter(|told| number.is_none_or(|asked| asked == *told))
            .ok_or(Fault::Reply("the value of another secret or version"))?;
        let value = access.payload.value()?;
        Ok((told, value))
    }

    /// Adds a version; `payload` is from [`crate::payload::encode`].
    pub(crate) async fn add(&self, resource: &Resource, payload: Bytes) -> Result<u64> {
        let name = format!("{}:addVersion", resource.name());
        let added: SecretVersion = self.post(&name, &[], Some(payload)).await?.message()?;
        resource
            .number(&added.name)
            .ok_or(Fault::Reply("the number of another secret's version"))
    }

    /// Makes a secret without versions.
    pub(crate) async fn create(&self, parent: &str, id: &str, secret: &Secret) -> Result<Secret> {
        let name = format!("{parent}/secrets");
        let body = rest::body(secret)?;
        self.post(&name, &[("secretId", id)], body).await?.message()
    }

    /// What is known of a secret.
    pub(crate) async fn secret(&self, resource: &Resource) -> Result<Secret> {
        self.get(resource.name(), &[]).await?.message()
    }

    /// Replaces the fields of `mask`, if the secret still has the entity tag of `secret`.
    pub(crate) async fn update(
        &self,
        resource: &Resource,
        secret: &Secret,
        mask: &str,
    ) -> Result<Secret> {
        let call = Call {
            method: Method::PATCH,
            resource: resource.name(),
            query: &[("updateMask", mask)],
            body: rest::body(secret)?,
        };
        self.call(call).await?.message()
    }

    /// One version; none is the newest.
    pub(crate) async fn version(
        &self,
        resource: &Resource,
        number: Option<u64>,
    ) -> Result<Version> {
        let done = self.get(&resource.version(number), &[]).await?;
        let version = Version::of(resource, &done.message()?)?;
        if number.is_some_and(|number| number != version.number) {
            return Err(Fault::Reply("another version than asked for"));
        }
        Ok(version)
    }

    /// All versions, newest first.
    pub(crate) async fn versions(&self, resource: &Resource) -> Result<Vec<Version>> {
        let name = format!("{}/versions", resource.name());
        let size = VERSIONS_A_PAGE.to_string();
        let mut versions = Vec::new();
        let mut token = String::new();
        loop {
            let query = [("pageSize", size.as_str()), ("pageToken", token.as_str())];
            let page: ListSecretVersionsResponse = self.get(&name, &query).await?.message()?;
            for version in &page.versions {
                versions.push(Version::of(resource, version)?);
            }
            if page.next_page_token.is_empty() {
                break;
            }
            // A page may be empty and yet not the last; one that repeats itself has no end.
            if page.next_page_token == token || versions.len() > MAX_VERSIONS {
                return Err(Fault::Reply(
                    "more versions of one secret than are looked at",
                ));
            }
            token = page.next_page_token;
        }
        versions.sort_by_key(|version| std::cmp::Reverse(version.number));
        versions.dedup_by_key(|version| version.number);
        Ok(versions)
    }

    /// Changes the state of a version, if it still has this entity tag; an empty one is any.
    pub(crate) async fn turn(
        &self,
        resource: &Resource,
        number: u64,
        turn: Turn,
        etag: &str,
    ) -> Result<Version> {
        let verb = match turn {
            Turn::Disable => "disable",
            Turn::Enable => "enable",
            Turn::Destroy => "destroy",
        };
        let name = format!("{}:{verb}", resource.version(Some(number)));
        let message = if etag.is_empty() {
            json!({})
        } else {
            json!({ "etag": etag })
        };
        let done = self.post(&name, &[], rest::body(&message)?).await?;
        Version::of(resource, &done.message()?)
    }

    /// A page of all secrets.
    pub(crate) async fn secrets(&self, parent: &str, token: &str) -> Result<ListSecretsResponse> {
        let query = [("pageSize", SECRETS_A_PAGE), ("pageToken", token)];
        self.get(&format!("{parent}/secrets"), &query)
            .await?
            .message()
    }

    /// One name at most, for `doctor`; the service's clock comes with it.
    pub(crate) async fn first(&self, parent: &str) -> Result<Done> {
        let done = self
            .get(&format!("{parent}/secrets"), &[("pageSize", "1")])
            .await?;
        done.message::<ListSecretsResponse>()?;
        Ok(done)
    }

    async fn get(&self, resource: &str, query: &[(&str, &str)]) -> Result<Done> {
        self.call(Call {
            method: Method::GET,
            resource,
            query,
            body: None,
        })
        .await
    }

    async fn post(
        &self,
        resource: &str,
        query: &[(&str, &str)],
        body: Option<Bytes>,
    ) -> Result<Done> {
        self.call(Call {
            method: Method::POST,
            resource,
            query,
            body,
        })
        .await
    }
}

impl Version {
    fn of(resource: &Resource, version: &SecretVersion) -> Result<Self> {
        let number = resource
            .number(&version.name)
            .ok_or(Fault::Reply("a version of another secret"))?;
        let life = match version.state {
            State::Enabled => Life::Enabled,
            State::Disabled => Life::Disabled,
            State::Destroyed => Life::Destroyed,
            _ => return Err(Fault::Reply("a version in a state that we do not know")),
        };
        let created = millis(version.create_time.as_ref());
        Ok(Self {
            number,
            life,
            created,
            changed: created.max(millis(version.destroy_time.as_ref())),
            etag: version.etag.clone(),
        })
    }
}

/// Milliseconds since the Unix epoch; 0 for no time, and for times before.
pub(crate) fn millis(time: Option<&Timestamp>) -> u64 {
    let Some(time) = time else { return 0 };
    let seconds = u64::try_from(time.seconds()).unwrap_or(0);
    let nanos = u64::try_from(time.nanos()).unwrap_or(0);
    seconds
        .saturating_mul(1000)
        .saturating_add(nanos / 1_000_000)
}

/// The most pages of a listing that are followed.
pub(crate) const PAGES: usize = limits::PAGES;
