//! Tokens: Microsoft's own credentials, each held to one audience and a time.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use azure_core::cloud::CustomConfiguration;
use azure_core::credentials::{AccessToken, Secret, TokenCredential, TokenRequestOptions};
use azure_core::error::ErrorKind;
use azure_core::http::{ClientOptions, RetryOptions, Transport};
use azure_identity::{
    ClientAssertionCredentialOptions, ClientSecretCredential, ClientSecretCredentialOptions,
    DeveloperToolsCredential, ManagedIdentityCredential, ManagedIdentityCredentialOptions,
    UserAssignedId, WorkloadIdentityCredential, WorkloadIdentityCredentialOptions,
};
use strongroom_backend_remote::limits;

use crate::config::{Auth, ClientSecret};
use crate::error::{Fault, Result};
use crate::http::{Http, Route, Stopped};
use crate::place::{Place, config_fault};
use crate::secret_file;

/// A credential that gives tokens for the vault's audience and no other, within a time. A server
/// that is not a vault, or that stands in for one, cannot ask for a token of another service.
pub(crate) struct Pinned {
    inner: Arc<dyn TokenCredential>,
    scope: String,
    /// How we authenticate, for people.
    pub(crate) way: String,
}

impl Pinned {
    /// The credential that the settings ask for. It asks nobody before the first call.
    pub(crate) fn new(
        auth: &Auth,
        place: &Place,
        authorities: Option<&[u8]>,
        base: &Path,
    ) -> Result<Arc<Self>> {
        let (inner, way) = inner(auth, place, authorities, base)?;
        Ok(Arc::new(Self {
            inner,
            scope: place.scope.clone(),
            way,
        }))
    }

    /// A token, for whoever checks that there is one.
    pub(crate) async fn token(&self) -> azure_core::Result<AccessToken> {
        self.get_token(&[&self.scope], None).await
    }
}

impl fmt::Debug for Pinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pinned").finish_non_exhaustive()
    }
}

#[async_trait]
impl TokenCredential for Pinned {
    async fn get_token(
        &self,
        scopes: &[&str],
        options: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        let audience = |scope: &str| {
            let resource = scope.strip_suffix("/.default").unwrap_or(scope);
            resource.trim_end_matches('/').to_owned()
        };
        let [asked] = scopes else {
            return Err(stopped(Stopped::Audience));
        };
        if audience(asked) != audience(&self.scope) {
            return Err(stopped(Stopped::Audience));
        }
        // Some credentials retry for over a minute, whatever they are told.
        let scopes = [&*self.scope];
        let token = self.inner.get_token(&scopes, options);
        match tokio::time::timeout(limits::REQUEST, token).await {
            Ok(token) => token,
            Err(_) => Err(stopped(Stopped::NoToken)),
        }
    }
}

fn stopped(reason: Stopped) -> azure_core::Error {
    azure_core::Error::new(ErrorKind::Credential, reason)
}

fn inner(
    auth: &Auth,
    place: &Place,
    authorities: Option<&[u8]>,
    base: &Path,
) -> Result<(Arc<dyn TokenCredential>, String)> {
    match auth {
        Auth::Developer => {
            let credential = DeveloperToolsCredential::new(None).map_err(unusable)?;
            Ok((credential, "the login of a developer's tool".to_owned()))
        }
        Auth::ManagedIdentity { client_id } => {
            let options = ManagedIdentityCredentialOptions {
                user_assigned_id: client_id.clone().map(UserAssignedId::ClientId),
                client_options: options(Http::new(Route::Local, None, None))?,
            };
            let credential = ManagedIdentityCredential::new(Some(options)).map_err(unusable)?;
            let way = "the machine's managed identity".to_owned();
            Ok((credential, named(way, client_id.as_deref())))
        }
        Auth::WorkloadIdentity {
            client_id,
            tenant_id,
            token_file,
        } => {
            let options = WorkloadIdentityCredentialOptions {
                credential_options: ClientAssertionCredentialOptions {
                    client_options: login(place, authorities)?,
                },
                client_id: client_id.clone(),
                tenant_id: tenant_id.clone(),
                token_file_path: token_file.as_ref().map(|file| base.join(file)),
            };
            let credential = WorkloadIdentityCredential::new(Some(options)).map_err(|_| {
                config_fault(
                    "workload identity is not set up here: AZURE_CLIENT_ID, AZURE_TENANT_ID and \
                     AZURE_FEDERATED_TOKEN_FILE (or client-id, tenant-id and token-file), and a \
                     token file that can be read",
                )
            })?;
            let way = "workload identity".to_owned();
            Ok((credential, named(way, client_id.as_deref())))
        }
        Auth::ClientSecret {
            tenant_id,
            client_id,
            secret,
        } => {
            let options = ClientSecretCredentialOptions {
                client_options: login(place, authorities)?,
            };
            let secret = client_secret(secret, base)?;
            let client = client_id.clone();
            let credential = ClientSecretCredential::new(tenant_id, client, secret, Some(options))
                .map_err(|_| config_fault("`tenant-id` or `client-id` is not one"))?;
            let way = "a service principal's secret".to_owned();
            Ok((credential, named(way, Some(client_id))))
        }
    }
}

fn named(way: String, client_id: Option<&str>) -> String {
    match client_id {
        Some(client_id) => format!("{way}, client {client_id}"),
        None => way,
    }
}

fn unusable(_: azure_core::Error) -> Fault {
    config_fault("this way to authenticate cannot be used on this machine")
}

/// Options for a login at the one authority of the settings, whatever the environment says.
fn login(place: &Place, authorities: Option<&[u8]>) -> Result<ClientOptions> {
    let route = Route::One {
        to: place.authority.clone(),
        known_as: None,
    };
    let mut cloud = CustomConfiguration::default();
    cloud.authority_host = place.authority.to_string();
    let http = Http::new(route, authorities, None);
    let mut options = options(http)?;
    options.cloud = Some(Arc::new(cloud.into()));
    Ok(options)
}

/// Options without retries over our own transport.
pub(crate) fn options(http: reqwest::Result<Http>) -> Result<ClientOptions> {
    let http = http.map_err(|_| {
        config_fault(
            "the TLS client cannot be made: check that `ca-file` holds certificates in PEM",
        )
    })?;
    Ok(ClientOptions {
        retry: RetryOptions::none(),
        transport: Some(Transport::new(Arc::new(http))),
        ..ClientOptions::default()
    })
}

fn client_secret(place: &ClientSecret, base: &Path) -> Result<Secret> {
    let text = match place {
        ClientSecret::File(path) => secret_file::read(&base.join(path))?,
        ClientSecret::Env(name) => std::env::var(name).map_err(|_| {
            config_fault(format!(
                "the environment variable {name} with the client's secret is not set"
            ))
        })?,
    };
    if text.is_empty() {
        return Err(config_fault("the client's secret is empty"));
    }
    Ok(Secret::new(text))
}
