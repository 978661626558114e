//! Every store of Strongroom behind its name in the configuration.
//!
//! The one place that ties stores to the broker: the command uses it, and so can a host that embeds the
//! broker. Each store across a network is a feature of this crate by its name; without any, a program
//! has `memory`, `local`, `env` and `files`, and no cloud's client.
//!
//! Two vaults over one store are refused: each backend's `Config::place` says which settings tell its
//! stores apart. It reads the table alone, so two names of one service (a private link, the number of
//! a project, another kubeconfig) pass as two places, and so does a prefix within the prefix of another
//! vault. What is written through one of these shows in the other's cache when its `ttl` is over.
//!
//! ```no_run
//! # async fn build() -> Result<(), Box<dyn std::error::Error>> {
//! let broker = strongroom::Broker::builder()
//!     .registry(strongroom_backends::registry())
//!     .config_file("strongroom.toml")
//!     .build()
//!     .await?;
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

use std::sync::Arc;

use strongroom::{OpenError, Registry, VaultTable};
use strongroom_backend::Backend;
use strongroom_backend_env::{EnvBuilder, EnvConfig, FilesBackend, FilesConfig};
use strongroom_backend_local::{Config as LocalConfig, LocalBackend};

/// All the stores that this crate was built with.
pub fn registry() -> Registry {
    let registry = Registry::new()
        .with("local", local)
        .with("env", env)
        .with("files", files);
    #[cfg(feature = "gcp-secret-manager")]
    let registry = registry.with_names_in(strongroom_backend_gcp::names_in);
    #[cfg(feature = "kubernetes")]
    let registry = registry.with_names_in(strongroom_backend_kubernetes::names_in);
    remote::add(registry)
}

type Opened = Result<Arc<dyn Backend>, OpenError>;

fn local(vault: &VaultTable<'_>) -> Opened {
    let settings: LocalConfig = vault.settings()?;
    Ok(Arc::new(LocalBackend::open(&settings, &vault.base_dir())?))
}

/// The variables that hold keys and credentials of the whole configuration are out of its reach.
fn env(vault: &VaultTable<'_>) -> Opened {
    let settings: EnvConfig = vault.settings()?;
    let store = EnvBuilder::new(settings).with_reserved(vault.secret_variables());
    Ok(Arc::new(store.open()?))
}

fn files(vault: &VaultTable<'_>) -> Opened {
    let settings: FilesConfig = vault.settings()?;
    Ok(Arc::new(FilesBackend::open(&settings, &vault.base_dir())?))
}

/// Stores across a network. Their clients are made by asynchronous code, and keep using the runtime
/// that they were made in.
mod remote {
    use strongroom::Registry;

    /// Adds a store by its name, settings and constructor, where its feature is on.
    macro_rules! stores {
        ($($feature:literal => $config:path, $backend:path;)+) => {
            pub(super) fn add(registry: Registry) -> Registry {
                $(
                    #[cfg(feature = $feature)]
                    let registry = registry.with_remote($feature, <$config>::place, |vault| {
                        let settings: $config = vault.settings()?;
                        let base = vault.base_dir();
                        let runtime = tokio::runtime::Handle::try_current()?;
                        let store = runtime.block_on(<$backend>::open(&settings, &base))?;
                        Ok(std::sync::Arc::new(store))
                    });
                )+
                registry
            }
        };
    }

    stores! {
        "aws-ssm" => strongroom_backend_aws_ssm::Config, strongroom_backend_aws_ssm::SsmBackend;
        "aws-secrets-manager" => strongroom_backend_aws_secrets_manager::Config, strongroom_backend_aws_secrets_manager::SecretsManagerBackend;
        "gcp-secret-manager" => strongroom_backend_gcp::Config, strongroom_backend_gcp::GcpBackend;
        "azure-key-vault" => strongroom_backend_azure::Config, strongroom_backend_azure::AzureBackend;
        "kubernetes" => strongroom_backend_kubernetes::Config, strongroom_backend_kubernetes::KubernetesBackend;
        "hashicorp-vault" => strongroom_backend_hashicorp::Config, strongroom_backend_hashicorp::HashicorpBackend;
    }
}
