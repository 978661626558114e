//! Microsoft's client library over the Key Vault that the store's own tests use: none can be installed.

#[path = "../../backends/azure/tests/fake/mod.rs"]
mod fake;

use std::fs;
use std::sync::Arc;

use async_trait::async_trait;
use azure_core::credentials::{AccessToken, Secret, TokenCredential, TokenRequestOptions};
use azure_core::http::{ClientOptions, Transport};
use azure_core::time::{Duration, OffsetDateTime};
use azure_security_keyvault_secrets::models::Secret as Bundle;
use azure_security_keyvault_secrets::{SecretClient, SecretClientOptions};
use fake::{Clock, Fake};

use crate::Result;

/// A vault over TLS, and the library's client for it.
pub(crate) struct KeyVault {
    fake: Fake,
    client: SecretClient,
}

/// A token that the vault takes: logging in is not what is measured, and ours keeps its token too.
#[derive(Debug)]
struct Given(Secret);

#[async_trait]
impl TokenCredential for Given {
    async fn get_token(
        &self,
        _: &[&str],
        _: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        let end = OffsetDateTime::now_utc() + Duration::hours(1);
        Ok(AccessToken::new(self.0.clone(), end))
    }
}

impl KeyVault {
    pub(crate) fn start() -> Result<Self> {
        let fake = Fake::start(Clock::Steps);
        let authority = fs::read(fake.folder().join("ca.pem"))?;
        let http = reqwest::Client::builder()
            .tls_certs_only(reqwest::Certificate::from_pem_bundle(&authority)?)
            .build()?;
        let options = SecretClientOptions {
            client_options: ClientOptions {
                transport: Some(Transport::new(Arc::new(http))),
                ..ClientOptions::default()
            },
            // It would compare the vault's audience with this server's address.
            verify_challenge_resource: Some(false),
            ..SecretClientOptions::default()
        };
        let token = Given(fake.state().tokens.give().into());
        let client = SecretClient::new(&fake.url(), Arc::new(token), Some(options))?;
        Ok(Self { fake, client })
    }

    /// The keys of its table.
    pub(crate) fn table(&self) -> String {
        let (url, folder) = (self.fake.url(), self.fake.folder());
        format!(
            "backend = \"azure-key-vault\"\nvault = \"{}\"\nendpoint = \"{url}\"\n\
             authority-host = \"{url}\"\nca-file = {:?}\nauth = {{ tenant-id = \"{}\", \
             client-id = \"{}\", client-secret-file = {:?} }}\n",
            fake::VAULT,
            folder.join("ca.pem"),
            fake::TENANT,
            fake::CLIENT,
            folder.join("client.secret"),
        )
    }

    /// The length of the current value.
    pub(crate) async fn read(&self, path: &str) -> Result<usize> {
        let got: Bundle = self.client.get_secret(path, None).await?.into_model()?;
        Ok(got
            .value
            .ok_or("azure-key-vault answered with nothing")?
            .len())
    }
}
