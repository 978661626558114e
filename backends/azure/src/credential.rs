//! Tokens: Microsoft's own credentials, each held to one audience and a time.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

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

/// Between two credentials made anew: whatever is wrong with them, the login service is not
/// flooded.
const ANEW: Duration = Duration::from_secs(60);

/// A credential that gives tokens for the vault's audience and no other, within a time. A server
/// that is not a vault, or that stands in for one, cannot ask for a token of another service.
pub(crate) struct Pinned {
    make: Arc<Make>,
    state: Mutex<State>,
    scope: String,
    /// How we authenticate, for people.
    pub(crate) way: String,
}

type Make = dyn Fn() -> Result<Arc<dyn TokenCredential>> + Send + Sync;

struct State {
    inner: Arc<dyn TokenCredential>,
    /// The token that was given last.
    given: Option<Secret>,
    made: Option<Instant>,
}

impl Pinned {
    /// The credential that the settings ask for. It asks nobody before the first call.
    pub(crate) fn new(
        auth: &Auth,
        place: &Place,
        authorities: Option<&[u8]>,
        base: &Path,
    ) -> Result<Arc<Self>> {
        let (make, way) = maker(auth, place, authorities, base)?;
        let state = State {
            inner: make()?,
            given: None,
            made: None,
        };
        Ok(Arc::new(Self {
            make,
            state: Mutex::new(state),
            scope: place.scope.clone(),
            way,
        }))
    }

    /// A token, for whoever checks that there is one.
    pub(crate) async fn token(&self) -> azure_core::Result<AccessToken> {
        let inner = Arc::clone(&self.state().inner);
        let scopes = [&*self.scope];
        in_time(inner.get_token(&scopes, None)).await
    }

    /// Microsoft's credentials keep a token until shortly before its end, also one that the vault
    /// refuses, and read a file with a secret once. This makes the credential anew where it gives
    /// the token that it gave before, which is asked for again only after a refusal, and where the
    /// login fails.
    async fn fresh(&self, options: TokenRequestOptions<'_>) -> azure_core::Result<AccessToken> {
        let (inner, given) = {
            let state = self.state();
            (Arc::clone(&state.inner), state.given.clone())
        };
        let scopes = [&*self.scope];
        let token = inner.get_token(&scopes, Some(options.clone())).await;
        let refused = match &token {
            Ok(token) => given.is_some_and(|given| given == token.token),
            Err(_) => true,
        };
        let token = if refused && let Some(inner) = self.anew().await {
            inner.get_token(&scopes, Some(options)).await
        } else {
            token
        }?;
        self.state().given = Some(token.token.clone());
        Ok(token)
    }

    async fn anew(&self) -> Option<Arc<dyn TokenCredential>> {
        {
            let mut state = self.state();
            if state.made.is_some_and(|made| made.elapsed() < ANEW) {
                return None;
            }
            state.made = Some(Instant::now());
        }
        let make = Arc::clone(&self.make);
        let made = tokio::task::spawn_blocking(move || make()).await;
        let inner = made.ok()?.ok()?;
        self.state().inner = Arc::clone(&inner);
        Some(inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
        in_time(self.fresh(options.unwrap_or_default())).await
    }
}

/// Some credentials retry for over a minute, whatever they are told.
async fn in_time(
    token: impl Future<Output = azure_core::Result<AccessToken>>,
) -> azure_core::Result<AccessToken> {
    match tokio::time::timeout(limits::REQUEST, token).await {
        Ok(Ok(token)) if token.token.secret().is_empty() => Err(stopped(Stopped::EmptyToken)),
        Ok(token) => token,
        Err(_) => Err(stopped(Stopped::NoToken)),
    }
}

fn stopped(reason: Stopped) -> azure_core::Error {
    azure_core::Error::new(ErrorKind::Credential, reason)
}

/// What makes the credential, and how we then authenticate.
fn maker(
    auth: &Auth,
    place: &Place,
    authorities: Option<&[u8]>,
    base: &Path,
) -> Result<(Arc<Make>, String)> {
    match auth.clone() {
        Auth::Developer => {
            let make = || {
                let made = DeveloperToolsCredential::new(None).map_err(unusable)?;
                Ok(made as Arc<dyn TokenCredential>)
            };
            Ok((Arc::new(make), "the login of a developer's tool".to_owned()))
        }
        Auth::ManagedIdentity { client_id } => {
            let client_options = options(Http::new(Route::Local, None, None))?;
            let way = named("the machine's managed identity", client_id.as_deref());
            let make = move || {
                let options = ManagedIdentityCredentialOptions {
                    user_assigned_id: client_id.clone().map(UserAssignedId::ClientId),
                    client_options: client_options.clone(),
                };
                let made = ManagedIdentityCredential::new(Some(options)).map_err(unusable)?;
                Ok(made as Arc<dyn TokenCredential>)
            };
            Ok((Arc::new(make), way))
        }
        Auth::WorkloadIdentity {
            client_id,
            tenant_id,
            token_file,
        } => {
            let client_options = login(place, authorities)?;
            let way = named("workload identity", client_id.as_deref());
            let token_file = token_file.map(|file| base.join(file));
            let make = move || {
                let options = WorkloadIdentityCredentialOptions {
                    credential_options: ClientAssertionCredentialOptions {
                        client_options: client_options.clone(),
                    },
                    client_id: client_id.clone(),
                    tenant_id: tenant_id.clone(),
                    token_file_path: token_file.clone(),
                };
                let made = WorkloadIdentityCredential::new(Some(options)).map_err(|_| {
                    config_fault(
                        "workload identity is not set up here: it needs AZURE_CLIENT_ID, \
                         AZURE_TENANT_ID and AZURE_FEDERATED_TOKEN_FILE (or client-id, tenant-id \
                         and token-file), and a token file that can be read",
                    )
                })?;
                Ok(made as Arc<dyn TokenCredential>)
            };
            Ok((Arc::new(make), way))
        }
        Auth::ClientSecret {
            tenant_id,
            client_id,
            secret,
        } => {
            let client_options = login(place, authorities)?;
            let way = named("a service principal's secret", Some(&client_id));
            let base = base.to_owned();
            let make = move || {
                let options = ClientSecretCredentialOptions {
                    client_options: client_options.clone(),
                };
                let (client, secret) = (client_id.clone(), client_secret(&secret, &base)?);
                let made = ClientSecretCredential::new(&tenant_id, client, secret, Some(options))
                    .map_err(|_| config_fault("`tenant-id` or `client-id` is not one"))?;
                Ok(made as Arc<dyn TokenCredential>)
            };
            Ok((Arc::new(make), way))
        }
    }
}

fn named(way: &str, client_id: Option<&str>) -> String {
    match client_id {
        Some(client_id) => format!("{way}, client {client_id}"),
        None => way.to_owned(),
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
    let mut options = options(Http::new(route, authorities, None))?;
    options.cloud = Some(Arc::new(cloud.into()));
    Ok(options)
}

/// Options without retries over our own transport.
pub(crate) fn options(http: reqwest::Result<Http>) -> Result<ClientOptions> {
    let http = http.map_err(|_| {
        config_fault("the TLS client cannot be made: check the certificates in `ca-file`")
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
