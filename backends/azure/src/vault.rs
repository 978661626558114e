//! The calls of Key Vault that are used, over Microsoft's client, with every answer checked.

use std::sync::Arc;
use std::time::Duration;

use azure_core::http::{Body, ClientOptions, RequestContent};
use azure_core::time::OffsetDateTime;
use azure_security_keyvault_secrets::models::{
    DeletedSecret, ListSecretPropertiesResult, Secret, SecretAttributes,
    SecretClientGetSecretOptions, SecretClientListSecretPropertiesOptions,
    SecretClientUpdateSecretPropertiesOptions, SetSecretParameters,
    UpdateSecretPropertiesParameters,
};
use azure_security_keyvault_secrets::{SecretClient, SecretClientOptions};
use bytes::Bytes;
use futures::StreamExt;
use serde::Serialize;
use strongroom_backend_remote::limits;
use url::Url;
use zeroize::Zeroizing;

use crate::clock::ServiceClock;
use crate::credential::Pinned;
use crate::error::{Fault, Result};
use crate::place::Place;
use crate::tags::Tags;

/// How long one call may take with its login and its challenge: each of those has a limit of its
/// own, and waits behind others for the same login.
const CALL: Duration = Duration::from_secs(20);

/// A client of one vault.
pub(crate) struct Vault {
    client: SecretClient,
    pub(crate) clock: Arc<ServiceClock>,
}

/// One version, without its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    /// The service's random id: 32 hexadecimal digits.
    pub(crate) id: String,
    /// When it was made, in seconds: its number.
    pub(crate) number: u64,
    /// When anything of it changed, in seconds.
    pub(crate) updated: u64,
    pub(crate) enabled: bool,
    /// In seconds. The service tells it and does not act on it.
    pub(crate) expires: Option<u64>,
    pub(crate) content_type: Option<String>,
    /// Whether the vault keeps what is deleted. Old vaults have no soft delete.
    pub(crate) recoverable: bool,
    /// Whether what is deleted can be purged. With purge protection it cannot.
    pub(crate) purgeable: bool,
    pub(crate) tags: Tags,
}

/// A version with its stored text.
pub(crate) struct Bundle {
    pub(crate) version: Version,
    pub(crate) text: Zeroizing<String>,
}

/// A deleted secret, as far as the service tells.
#[derive(Clone, Debug)]
pub(crate) struct Deleted {
    /// Its newest version.
    pub(crate) newest: Version,
    /// When it was deleted, in seconds.
    pub(crate) at: Option<u64>,
}

/// A name in the vault with what stands in the tags of its newest version.
pub(crate) struct Listed {
    pub(crate) name: String,
    pub(crate) enabled: bool,
    pub(crate) purgeable: bool,
    pub(crate) tags: Tags,
}

/// What is written.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct New<'n> {
    pub(crate) value: &'n str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content_type: Option<&'n str>,
    pub(crate) tags: &'n std::collections::BTreeMap<String, String>,
    pub(crate) attributes: NewAttributes,
}

#[derive(Serialize)]
pub(crate) struct NewAttributes {
    pub(crate) enabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) exp: Option<u64>,
}

impl Vault {
    pub(crate) fn new(
        place: &Place,
        credential: Arc<Pinned>,
        options: ClientOptions,
        clock: Arc<ServiceClock>,
    ) -> Result<Self> {
        let options = SecretClientOptions {
            client_options: options,
            // The audience is pinned by the credential in any case. Here the library also compares
            // it with the host of the address, which is another where that is overridden.
            verify_challenge_resource: Some(!place.overridden),
            ..SecretClientOptions::default()
        };
        let client = SecretClient::new(place.endpoint.as_str(), credential, Some(options))?;
        Ok(Self { client, clock })
    }

    /// The newest version, or the one of this id.
    pub(crate) async fn get(&self, name: &str, id: Option<&str>) -> Result<Bundle> {
        legal(name)?;
        let options = SecretClientGetSecretOptions {
            secret_version: id.map(str::to_owned),
            ..SecretClientGetSecretOptions::default()
        };
        let reply = within(self.client.get_secret(name, Some(options))).await?;
        let mut secret: Secret = reply.into_model()?;
        let text = Zeroizing::new(secret.value.take().ok_or(MALFORMED)?);
        let version = version_of_secret(name, secret)?;
        if id.is_some_and(|id| id != version.id) {
            return Err(MALFORMED);
        }
        Ok(Bundle { version, text })
    }

    pub(crate) async fn set(&self, name: &str, new: &New<'_>) -> Result<Version> {
        legal(name)?;
        let body = body(new)?;
        let parameters: RequestContent<SetSecretParameters> = Body::from(body).into();
        let reply = within(self.client.set_secret(name, parameters, None)).await?;
        let mut secret: Secret = reply.into_model()?;
        drop(secret.value.take().map(Zeroizing::new));
        version_of_secret(name, secret)
    }

    /// Changes whether a version is enabled, where that is given, and its tags as a whole.
    pub(crate) async fn update(
        &self,
        name: &str,
        id: &str,
        enabled: Option<bool>,
        tags: &Tags,
    ) -> Result<Version> {
        legal(name)?;
        let parameters = UpdateSecretPropertiesParameters {
            secret_attributes: enabled.map(|enabled| SecretAttributes {
                enabled: Some(enabled),
                ..SecretAttributes::default()
            }),
            tags: Some(tags.as_map().clone().into_iter().collect()),
            ..UpdateSecretPropertiesParameters::default()
        };
        let options = SecretClientUpdateSecretPropertiesOptions {
            secret_version: Some(id.to_owned()),
            ..SecretClientUpdateSecretPropertiesOptions::default()
        };
        let parameters = RequestContent::try_from(parameters)?;
        let update = self
            .client
            .update_secret_properties(name, parameters, Some(options));
        let secret = within(update).await?.into_model()?;
        version_of_secret(name, secret)
    }

    /// Begins the service's soft delete of the whole secret.
    pub(crate) async fn delete(&self, name: &str) -> Result<()> {
        legal(name)?;
        within(self.client.delete_secret(name, None)).await?;
        Ok(())
    }

    /// A secret that is soft-deleted; `NotFound` while the delete is under way too.
    pub(crate) async fn deleted(&self, name: &str) -> Result<Deleted> {
        legal(name)?;
        let reply = within(self.client.get_deleted_secret(name, None)).await?;
        let deleted: DeletedSecret = reply.into_model()?;
        Ok(Deleted {
            at: deleted.deleted_date.and_then(seconds),
            newest: version(
                name,
                deleted.id,
                deleted.attributes,
                deleted.content_type,
                deleted.tags,
            )?,
        })
    }

    /// Begins the recovery of a soft-deleted secret.
    pub(crate) async fn recover(&self, name: &str) -> Result<()> {
        legal(name)?;
        within(self.client.recover_deleted_secret(name, None)).await?;
        Ok(())
    }

    /// Purges a soft-deleted secret with all of its versions; `Held` while its delete is under way.
    /// For some seconds after it the name still cannot be written.
    pub(crate) async fn purge(&self, name: &str) -> Result<()> {
        legal(name)?;
        within(self.client.purge_deleted_secret(name, None)).await?;
        Ok(())
    }

    /// Every version, in no order; none where the secret is not there or is deleted.
    pub(crate) async fn versions(&self, name: &str) -> Result<Vec<Version>> {
        legal(name)?;
        let pages = self.client.list_secret_properties_versions(name, None)?;
        let mut pages = pages.into_pages();
        let mut versions = Vec::new();
        for _ in 0..limits::PAGES {
            let page = match within_some(pages.next()).await {
                None => return Ok(versions),
                Some(Err(Fault::NotFound)) if versions.is_empty() => return Ok(versions),
                Some(page) => page?.into_model()?,
            };
            for item in page.value {
                versions.push(version(
                    name,
                    item.id,
                    item.attributes,
                    item.content_type,
                    item.tags,
                )?);
            }
        }
        Err(Fault::Malformed("a listing that does not end"))
    }

    /// Every name in the vault that is not deleted, in no order.
    pub(crate) async fn names(&self) -> Result<Vec<Listed>> {
        let mut pages = self.client.list_secret_properties(None)?.into_pages();
        let mut names = Vec::new();
        for _ in 0..limits::PAGES {
            match within_some(pages.next()).await {
                None => return Ok(names),
                Some(page) => names.extend(listed(page?.into_model()?)?),
            }
        }
        Err(Fault::Malformed("a listing that does not end"))
    }

    /// The first few names, to see whether listing is allowed.
    pub(crate) async fn some_names(&self) -> Result<Vec<Listed>> {
        let options = SecretClientListSecretPropertiesOptions {
            maxresults: Some(1),
            ..SecretClientListSecretPropertiesOptions::default()
        };
        let pages = self.client.list_secret_properties(Some(options))?;
        match within_some(pages.into_pages().next()).await {
            None => Ok(Vec::new()),
            Some(page) => listed(page?.into_model()?),
        }
    }

    /// Microsoft's client, for tests of what the product does not call.
    #[cfg(test)]
    pub(crate) fn client(&self) -> &SecretClient {
        &self.client
    }
}

const MALFORMED: Fault = Fault::Malformed("a part is missing or is of another secret");

async fn within<T>(call: impl Future<Output = azure_core::Result<T>>) -> Result<T> {
    match tokio::time::timeout(CALL, call).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Fault::Slow),
    }
}

async fn within_some<T>(
    call: impl Future<Output = Option<azure_core::Result<T>>>,
) -> Option<Result<T>> {
    match tokio::time::timeout(CALL, call).await {
        Ok(answer) => answer.map(|answer| Ok(answer?)),
        Err(_) => Some(Err(Fault::Slow)),
    }
}

/// The library writes the name into a path as it is: nothing but a name may get there.
fn legal(name: &str) -> Result<()> {
    if is_legal(name) {
        return Ok(());
    }
    Err(Fault::Broken("a name that Key Vault does not take"))
}

/// Whether Key Vault takes a name.
pub(crate) fn is_legal(name: &str) -> bool {
    (1..=127).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// The JSON of a write, in memory that is wiped.
fn body(new: &New<'_>) -> Result<Bytes> {
    // Escaping at most doubles what is sent plain; with room for all of it nothing is moved, which
    // would leave a copy behind.
    let tags = new
        .tags
        .iter()
        .map(|(name, value)| name.len() + value.len());
    let room = 2 * new.value.len() + 6 * tags.sum::<usize>() + 1024;
    let mut json = Zeroizing::new(Vec::with_capacity(room));
    serde_json::to_writer(&mut *json, new).map_err(|_| Fault::Broken("a value without a JSON"))?;
    Ok(Bytes::from_owner(json))
}

fn version_of_secret(name: &str, secret: Secret) -> Result<Version> {
    version(
        name,
        secret.id,
        secret.attributes,
        secret.content_type,
        secret.tags,
    )
}

fn version(
    name: &str,
    id: Option<String>,
    attributes: Option<SecretAttributes>,
    content_type: Option<String>,
    tags: Option<std::collections::HashMap<String, String>>,
) -> Result<Version> {
    let attributes = attributes.ok_or(MALFORMED)?;
    let id = id.as_deref().and_then(|id| identity(id, name));
    let number = attributes.created.and_then(seconds).ok_or(MALFORMED)?;
    Ok(Version {
        id: id.ok_or(MALFORMED)?,
        number,
        updated: attributes.updated.and_then(seconds).unwrap_or(number),
        enabled: attributes.enabled.unwrap_or(true),
        expires: attributes.expires.and_then(seconds),
        content_type,
        recoverable: allows(&attributes, "Recoverable"),
        purgeable: allows(&attributes, "Purgeable"),
        tags: Tags::from_service(tags.unwrap_or_default()),
    })
}

/// Whether the vault allows this with what is deleted, or does not say.
fn allows(attributes: &SecretAttributes, what: &str) -> bool {
    let level = attributes.recovery_level.as_ref();
    level.is_none_or(|level| level.as_ref().contains(what))
}

/// The id of the version in `https://<vault>/secrets/<name>/<id>`; none where it is of another
/// secret. The id goes into paths of later requests.
fn identity(id: &str, name: &str) -> Option<String> {
    let url = Url::parse(id).ok()?;
    let mut segments = url.path_segments()?;
    let own = segments.next() == Some("secrets")
        && segments
            .next()
            .is_some_and(|told| told.eq_ignore_ascii_case(name));
    let id = segments.next().filter(|_| own)?;
    let whole = id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit());
    (whole && segments.next().is_none()).then(|| id.to_owned())
}

fn listed(page: ListSecretPropertiesResult) -> Result<Vec<Listed>> {
    let mut listed = Vec::with_capacity(page.value.len());
    for item in page.value {
        let url = item.id.as_deref().and_then(|id| Url::parse(id).ok());
        let name = url.as_ref().and_then(|url| {
            let mut segments = url.path_segments()?;
            let name = segments.nth(1)?;
            is_legal(name).then(|| name.to_owned())
        });
        let attributes = item.attributes.unwrap_or_default();
        listed.push(Listed {
            name: name.ok_or(MALFORMED)?,
            enabled: attributes.enabled.unwrap_or(true),
            purgeable: allows(&attributes, "Purgeable"),
            tags: Tags::from_service(item.tags.unwrap_or_default()),
        });
    }
    Ok(listed)
}

fn seconds(time: OffsetDateTime) -> Option<u64> {
    u64::try_from(time.unix_timestamp()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_taken_from_the_secret_that_was_asked_for() {
        let id = "0b31729e2750416caba40429a1f3bea4";
        let url = |rest: &str| format!("https://v.vault.azure.net/{rest}");
        let own = url(&format!("secrets/Crud-Secret/{id}"));
        assert_eq!(identity(&own, "crud-secret").as_deref(), Some(id));
        for other in [
            format!("secrets/other/{id}"),
            format!("keys/crud-secret/{id}"),
            format!("secrets/crud-secret/{id}/more"),
            "secrets/crud-secret/versions".to_owned(),
            "secrets/crud-secret/0b31729e2750416caba40429a1f3bea%34".to_owned(),
            "secrets/crud-secret".to_owned(),
        ] {
            assert_eq!(identity(&url(&other), "crud-secret"), None, "{other}");
        }
    }

    #[test]
    fn the_body_of_a_write_never_outgrows_its_room() {
        let value = "\"\\\n".repeat(8_000);
        let tags = [("t".to_owned(), "\u{1}".repeat(256))].into();
        let new = New {
            value: &value,
            content_type: None,
            tags: &tags,
            attributes: NewAttributes {
                enabled: true,
                exp: Some(7),
            },
        };
        let body = body(&new).unwrap();
        assert!(body.len() <= 2 * value.len() + 6 * 257 + 1024);
        let read: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(read["value"], value);
        assert_eq!(read["attributes"]["exp"], 7);
    }
}
