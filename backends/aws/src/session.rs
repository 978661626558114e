//! What the service's client is made from.

use std::path::Path;
use std::sync::Arc;

use aws_config::identity::IdentityCache;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_sts::config::StalledStreamProtectionConfig;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::app_name::AppName;
use strongroom_backend::Result;
use strongroom_backend_remote::limits;

use crate::clock::Clock;
use crate::config::AwsConfig;
use crate::credentials;
use crate::http::{self, Trust};
use crate::veil::Veil;

/// A way to a service: where it is, who we are, and how long anything may take.
///
/// The client's own retries are off: the host's layers repeat what is harmless to repeat, within the
/// call's deadline. Each request ends within [`limits::REQUEST`], its reply's body included.
#[derive(Clone, Debug)]
pub struct Session {
    sdk: SdkConfig,
    region: String,
    pub(crate) endpoint: Option<String>,
    pub(crate) auth: String,
    pub(crate) clock: Arc<Clock>,
}

impl Session {
    /// Makes a session without any call; the CA file is relative to `base`.
    ///
    /// # Errors
    ///
    /// `Config` for a region, a CA file or a proxy that cannot be.
    pub async fn open(config: &AwsConfig, base: &Path) -> Result<Self> {
        let clock = Arc::new(Clock::new());
        let region = credentials::region(config).await?;
        let ca = match &config.ca_file {
            Some(path) => Some(http::read_ca(&base.join(path))?),
            None => None,
        };
        // Those who give credentials are not the service: a private authority is not theirs.
        let theirs = ca.clone().map_or(Trust::System, Trust::Both);
        let givers = http::client(&theirs, Arc::new(Clock::new()))?;
        let provider = credentials::provider(&config.auth, &region, givers).await;
        Self::make(config, region.as_ref(), ca, clock, provider)
    }

    /// A session with credentials that the caller has, whatever the settings say of them.
    ///
    /// # Errors
    ///
    /// As [`Session::open`].
    pub async fn with_credentials(
        config: &AwsConfig,
        base: &Path,
        provider: SharedCredentialsProvider,
    ) -> Result<Self> {
        let region = credentials::region(config).await?;
        let ca = match &config.ca_file {
            Some(path) => Some(http::read_ca(&base.join(path))?),
            None => None,
        };
        Self::make(
            config,
            region.as_ref(),
            ca,
            Arc::new(Clock::new()),
            provider,
        )
    }

    fn make(
        config: &AwsConfig,
        region: &str,
        ca: Option<Vec<u8>>,
        clock: Arc<Clock>,
        provider: SharedCredentialsProvider,
    ) -> Result<Self> {
        let trust = match (&config.endpoint, ca) {
            (Some(endpoint), _) if !endpoint.is_tls() => Trust::Nobody,
            (_, Some(pem)) => Trust::Only(pem),
            (_, None) => Trust::System,
        };
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(limits::CONNECT)
            .read_timeout(limits::REQUEST)
            .operation_attempt_timeout(limits::REQUEST)
            .operation_timeout(limits::REQUEST)
            .build();
        let endpoint = config.endpoint.as_ref().map(|e| e.as_str().to_owned());
        let mut builder = SdkConfig::builder();
        builder
            .set_region(aws_types::region::Region::new(region.to_owned()))
            .set_endpoint_url(endpoint.clone())
            .set_app_name(AppName::new("strongroom").ok());
        let sdk = builder
            .behavior_version(BehaviorVersion::latest())
            .credentials_provider(provider)
            .identity_cache(IdentityCache::lazy().build())
            .http_client(http::client(&trust, Arc::clone(&clock))?)
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts)
            // A stalled reply is cut by the request's time, which is the stricter of the two.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .build();
        Ok(Self {
            sdk,
            region: region.to_owned(),
            endpoint,
            auth: config.auth.words(),
            clock,
        })
    }

    /// What a service's client is made from: `Client::from_conf(Builder::from(session.sdk()).interceptor(session.veil()).build())`.
    pub fn sdk(&self) -> &SdkConfig {
        &self.sdk
    }

    /// What hides the bodies of requests from the client's log.
    pub fn veil(&self) -> Veil {
        Veil
    }

    /// The region.
    pub fn region(&self) -> &str {
        &self.region
    }
}
