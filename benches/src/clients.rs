//! The services' own client libraries, as one would use them without us: what a cold get is held to.

use std::fs;
use std::path::{Path, PathBuf};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use google_cloud_auth::credentials::anonymous;
use google_cloud_secretmanager_v1::client::SecretManagerService;
use k8s_openapi::api::core::v1::Secret;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client};

use crate::Result;
use crate::azure::KeyVault;

/// Calls of a library that are under way at once where it needs many: as many as ours are at most.
const AT_ONCE: usize = 16;

/// A server to measure against: how the configuration names it, and how its library reads.
pub struct Service {
    /// The backend's name.
    pub name: &'static str,
    /// The keys of its table, caching left out.
    pub table: String,
    reader: Reader,
}

enum Reader {
    Ssm(Box<aws_sdk_ssm::Client>, String),
    SecretsManager(Box<aws_sdk_secretsmanager::Client>, String),
    Gcp(Box<SecretManagerService>, String),
    Azure(Box<KeyVault>),
    Kubernetes(Box<Api<Secret>>),
    Vault {
        client: reqwest::Client,
        folder: String,
    },
}

/// The names of secrets that every service takes as they are.
pub fn secret(number: usize) -> String {
    format!("secret-{number}")
}

impl Service {
    /// Those whose servers the environment names, and the names of those that it does not. `run` keeps
    /// what one run writes from another's; files go to `folder`.
    ///
    /// # Errors
    ///
    /// Where a client cannot be made.
    pub async fn all(run: &str, folder: &Path) -> Result<(Vec<Self>, Vec<&'static str>)> {
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        match variable("STRONGROOM_TEST_AWS") {
            Some(endpoint) => found.extend(aws(&endpoint, run).await),
            None => missing.extend(["aws-ssm", "aws-secrets-manager"]),
        }
        match variable("STRONGROOM_TEST_GCP") {
            Some(endpoint) => found.push(gcp(&endpoint, run).await?),
            None => missing.push("gcp-secret-manager"),
        }
        found.push(azure()?);
        match variable("STRONGROOM_TEST_KUBERNETES") {
            Some(at) => found.push(kubernetes(Path::new(&at), run).await?),
            None => missing.push("kubernetes"),
        }
        match variable("STRONGROOM_TEST_VAULT") {
            Some(address) => found.push(vault(&address, run, folder)?),
            None => missing.push("hashicorp-vault"),
        }
        Ok((found, missing))
    }

    /// Reads these secrets with the library alone, in the fewest requests that the service has for it.
    ///
    /// # Errors
    ///
    /// As [`Self::read`].
    pub async fn read_many(&self, paths: &[String]) -> Result<()> {
        let together = match &self.reader {
            Reader::Ssm(..) => 10,
            Reader::SecretsManager(..) => 20,
            _ => 1,
        };
        let requests: Vec<_> = paths
            .chunks(together)
            .map(|paths| self.request(paths))
            .collect();
        let mut answers = stream::iter(requests).buffer_unordered(AT_ONCE);
        let mut read = 0;
        while let Some(count) = answers.try_next().await? {
            read += count;
        }
        match read == paths.len() {
            true => Ok(()),
            false => Err(format!("{} left some out", self.name).into()),
        }
    }

    /// How many one request answers.
    async fn request(&self, paths: &[String]) -> Result<usize> {
        match (&self.reader, paths) {
            (Reader::Ssm(client, prefix), paths) => {
                let names = paths.iter().map(|path| format!("{prefix}{path}")).collect();
                let got = client.get_parameters().set_names(Some(names));
                let got = got.with_decryption(true).send().await?;
                Ok(got.parameters.map_or(0, |got| got.len()))
            }
            (Reader::SecretsManager(client, prefix), paths) => {
                let names = paths.iter().map(|path| format!("{prefix}{path}")).collect();
                let got = client
                    .batch_get_secret_value()
                    .set_secret_id_list(Some(names));
                Ok(got.send().await?.secret_values.map_or(0, |got| got.len()))
            }
            (_, [path]) => self.read(path).await.map(|_| 1),
            (_, _) => Err(format!("{} answers for one at a time", self.name).into()),
        }
    }

    /// Reads one secret with the library alone; the length of its value.
    ///
    /// # Errors
    ///
    /// Where the library fails, or answers with nothing.
    pub async fn read(&self, path: &str) -> Result<usize> {
        let nothing = || format!("{} answered with nothing", self.name);
        match &self.reader {
            Reader::Ssm(client, prefix) => {
                let name = format!("{prefix}{path}");
                let got = client.get_parameter().name(name).with_decryption(true);
                let value = got.send().await?.parameter.and_then(|got| got.value);
                Ok(value.ok_or_else(nothing)?.len())
            }
            Reader::SecretsManager(client, prefix) => {
                let name = format!("{prefix}{path}");
                let got = client.get_secret_value().secret_id(name).send().await?;
                Ok(got.secret_string.ok_or_else(nothing)?.len())
            }
            Reader::Gcp(client, prefix) => {
                let name = format!("projects/bench/secrets/{prefix}{path}/versions/latest");
                let got = client.access_secret_version().set_name(name).send().await?;
                Ok(got.payload.ok_or_else(nothing)?.data.len())
            }
            Reader::Azure(vault) => vault.read(path).await,
            Reader::Kubernetes(api) => {
                let data = api.get(path).await?.data.ok_or_else(nothing)?;
                Ok(data.values().map(|value| value.0.len()).sum())
            }
            Reader::Vault { client, folder } => {
                let got = client.get(format!("{folder}/{path}")).send().await?;
                Ok(got.error_for_status()?.bytes().await?.len())
            }
        }
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

async fn aws(endpoint: &str, run: &str) -> [Service; 2] {
    let tls = tls::Provider::Rustls(CryptoMode::AwsLc);
    let sdk: SdkConfig = aws_config::defaults(BehaviorVersion::latest())
        .http_client(
            aws_smithy_http_client::Builder::new()
                .tls_provider(tls)
                .build_https(),
        )
        .region(Region::new("us-east-1"))
        .endpoint_url(endpoint)
        .credentials_provider(Credentials::new("bench", "bench", None, None, "bench"))
        .load()
        .await;
    // Any credentials do here; these variables are there wherever cargo runs a program.
    let table = |backend: &str, prefix: &str| {
        format!(
            "backend = \"{backend}\"\nregion = \"us-east-1\"\nendpoint = \"{endpoint}\"\n\
             prefix = \"{prefix}\"\nauth = {{ access-key-id-env = \"CARGO_PKG_NAME\", \
             secret-access-key-env = \"CARGO_PKG_NAME\" }}\n"
        )
    };
    let (ssm, manager) = (format!("/{run}/"), format!("{run}/"));
    [
        Service {
            name: "aws-ssm",
            table: table("aws-ssm", &ssm),
            reader: Reader::Ssm(Box::new(aws_sdk_ssm::Client::new(&sdk)), ssm),
        },
        Service {
            name: "aws-secrets-manager",
            table: table("aws-secrets-manager", &manager),
            reader: Reader::SecretsManager(
                Box::new(aws_sdk_secretsmanager::Client::new(&sdk)),
                manager,
            ),
        },
    ]
}

async fn gcp(endpoint: &str, run: &str) -> Result<Service> {
    let client = SecretManagerService::builder()
        .with_endpoint(endpoint)
        .with_credentials(anonymous::Builder::new().build())
        .build()
        .await?;
    let prefix = format!("{run}-");
    Ok(Service {
        name: "gcp-secret-manager",
        table: format!(
            "backend = \"gcp-secret-manager\"\nproject = \"bench\"\nendpoint = \"{endpoint}\"\n\
             prefix = \"{prefix}\"\nauth = \"none\"\n"
        ),
        reader: Reader::Gcp(Box::new(client), prefix),
    })
}

fn azure() -> Result<Service> {
    let vault = KeyVault::start()?;
    Ok(Service {
        name: "azure-key-vault",
        table: vault.table(),
        reader: Reader::Azure(Box::new(vault)),
    })
}

async fn kubernetes(at: &Path, run: &str) -> Result<Service> {
    let file = at.join("kubeconfig");
    let options = KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(Kubeconfig::read_from(&file)?, &options);
    let client = Client::try_from(config.await?)?;
    Ok(Service {
        name: "kubernetes",
        table: format!(
            "backend = \"kubernetes\"\nnamespace = \"{run}\"\ncreate-namespace = true\n\
             auth = {{ kubeconfig = \"{}\" }}\n",
            file.display()
        ),
        reader: Reader::Kubernetes(Box::new(Api::namespaced(client, run))),
    })
}

fn vault(address: &str, run: &str, folder: &Path) -> Result<Service> {
    let token: PathBuf = folder.join("vault.token");
    fs::write(&token, "root")?;
    private(&token)?;
    let mut headers = reqwest::header::HeaderMap::new();
    headers.insert("x-vault-token", "root".parse()?);
    let client = reqwest::Client::builder()
        .default_headers(headers)
        .build()?;
    Ok(Service {
        name: "hashicorp-vault",
        table: format!(
            "backend = \"hashicorp-vault\"\naddress = \"{address}\"\nmount = \"secret\"\n\
             prefix = \"{run}\"\nauth = {{ token-file = \"{}\" }}\n",
            token.display()
        ),
        reader: Reader::Vault {
            client,
            folder: format!("{address}/v1/secret/data/{run}"),
        },
    })
}

fn private(file: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(file, fs::Permissions::from_mode(0o600))?;
    Ok(())
}
