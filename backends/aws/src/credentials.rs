//! Where credentials come from.

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::meta::region::ProvideRegion;
use aws_config::profile::{ProfileFileCredentialsProvider, ProfileFileRegionProvider};
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_types::region::Region;
use strongroom_backend::{Error, ErrorKind, Result};

use crate::config::{Auth, AwsConfig, KeyVariables};

/// The provider that the settings ask for. It asks nobody before the first call.
pub(crate) async fn provider(
    auth: &Auth,
    region: &Region,
    client: SharedHttpClient,
) -> SharedCredentialsProvider {
    let config = ProviderConfig::without_region()
        .with_region(Some(region.clone()))
        .with_http_client(client);
    match auth {
        Auth::DefaultChain => {
            let chain = DefaultCredentialsChain::builder()
                .region(region.clone())
                .configure(config)
                .build()
                .await;
            SharedCredentialsProvider::new(chain)
        }
        Auth::Profile(name) => SharedCredentialsProvider::new(
            ProfileFileCredentialsProvider::builder()
                .configure(&config)
                .profile_name(name)
                .build(),
        ),
        Auth::Keys(variables) => SharedCredentialsProvider::new(Keys(variables.clone())),
    }
}

/// The region of the settings, of the environment, or of the profile; never of the instance's
/// metadata service, which would be a call.
pub(crate) async fn region(config: &AwsConfig) -> Result<Region> {
    let found = match &config.region {
        Some(region) => Some(region.clone()),
        None => found_region(&config.auth).await,
    };
    let Some(region) = found else {
        return Err(Error::new(
            ErrorKind::Config,
            "no region is set: give the vault 'region = \"...\"', or set AWS_REGION or the profile's",
        ));
    };
    // It becomes a part of the host's name.
    let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if region.is_empty() || region.len() > 64 || !region.bytes().all(legal) {
        return Err(Error::new(
            ErrorKind::Config,
            "the region is not one: it has lower-case letters, digits and '-' only",
        ));
    }
    Ok(Region::new(region))
}

async fn found_region(auth: &Auth) -> Option<String> {
    if let Some(region) = EnvironmentVariableRegionProvider::new().region().await {
        return Some(region.as_ref().to_owned());
    }
    let mut builder = ProfileFileRegionProvider::builder();
    if let Auth::Profile(name) = auth {
        builder = builder.profile_name(name);
    }
    let region = builder.build().region().await?;
    Some(region.as_ref().to_owned())
}

/// A variable that the settings name and that has nothing in it.
#[derive(Debug, thiserror::Error)]
#[error("the environment variable {0}, which 'auth' names, is not set")]
pub(crate) struct Unset(String);

/// Keys in environment variables, looked up when they are needed.
#[derive(Debug)]
struct Keys(KeyVariables);

impl Keys {
    fn load(&self) -> std::result::Result<Credentials, CredentialsError> {
        let variable = |name: &str| {
            let text = std::env::var(name).unwrap_or_default();
            // A file's last newline often ends up in the variable.
            let text = text.trim().to_owned();
            (!text.is_empty()).then_some(text)
        };
        let needed = |name: &str| {
            variable(name).ok_or_else(|| CredentialsError::not_loaded(Unset(name.to_owned())))
        };
        let id = needed(&self.0.access_key_id_env)?;
        let secret = needed(&self.0.secret_access_key_env)?;
        let token = match &self.0.session_token_env {
            Some(name) => Some(needed(name)?),
            None => None,
        };
        Ok(Credentials::new(id, secret, token, None, "strongroom"))
    }
}

impl ProvideCredentials for Keys {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::ready(self.load())
    }
}
