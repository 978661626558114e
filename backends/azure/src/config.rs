//! The settings of an Azure Key Vault, as they stand in `strongroom.toml`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use strongroom_backend_remote::{Endpoint, refuse_credential};

/// The settings of an Azure Key Vault. Unknown keys are errors.
///
/// ```toml
/// vault = "my-vault"                   # or vault-url = "https://my-vault.vault.azure.net"
/// auth = "managed-identity"            # see `Auth`
/// prefix = "prod-app-"
/// names = { "stripe/api-key" = "LegacyStripeKey" }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Config {
    /// The vault's name in the public cloud. Either this or `vault-url`.
    #[serde(default)]
    pub vault: Option<String>,
    /// The vault's own address, `https://<name>.vault.azure.net`, or the same in the cloud of
    /// China (`vault.azure.cn`) or of the US government (`vault.usgovcloudapi.net`).
    #[serde(default)]
    pub vault_url: Option<Endpoint>,
    /// Where requests go in place of the vault's own address: a private link, a proxy, a test.
    #[serde(default)]
    pub endpoint: Option<Endpoint>,
    /// How to authenticate. There is no default: nothing is called before this is said.
    #[serde(default)]
    pub auth: Option<Auth>,
    /// Where tokens come from in place of the cloud's own login service.
    #[serde(default)]
    pub authority_host: Option<Endpoint>,
    /// Authorities (PEM) that sign the server's certificate, in place of the system's: for the
    /// vault, and for an `authority-host`. Relative to the folder of the configuration.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// What every name in the vault begins with.
    #[serde(default)]
    pub prefix: String,
    /// Names that others gave, by path.
    #[serde(default)]
    pub names: BTreeMap<String, String>,
    /// What a delete of a whole secret does in the vault.
    #[serde(default)]
    pub delete: Deletion,
    /// How many seconds one call waits for the service to finish a delete or a recovery, which
    /// take it up to half a minute. 1 to [`MAX_SETTLE`]; default: [`DEFAULT_SETTLE`], below the
    /// host's deadline.
    #[serde(default = "default_settle")]
    pub settle: u64,
}

/// How long a call waits for a delete or recovery under way where the settings do not say.
pub const DEFAULT_SETTLE: u64 = 8;

/// The longest wait for a delete or recovery under way that can be set.
pub const MAX_SETTLE: u64 = 300;

impl Config {
    /// Settings of the vault of this name in the public cloud, with defaults for the rest.
    pub fn new(vault: impl Into<String>, auth: Auth) -> Self {
        Self {
            vault: Some(vault.into()),
            vault_url: None,
            endpoint: None,
            auth: Some(auth),
            authority_host: None,
            ca_file: None,
            prefix: String::new(),
            names: BTreeMap::new(),
            delete: Deletion::default(),
            settle: DEFAULT_SETTLE,
        }
    }
}

/// What a delete of a whole secret does in the vault. Each time every version is disabled first, so
/// that whatever brings the secret back brings no value back by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Deletion {
    /// Key Vault's own soft delete: the secret is purged after the vault's retention time. A write
    /// soon after it has to wait for the service. In an old vault without soft delete, where a delete
    /// is for good, the same as `Disable`.
    #[default]
    Soft,
    /// The disabled versions stay where they are. Nothing waits, and nothing is ever purged.
    Disable,
    /// The secret is gone for good: it is deleted and, once the service is done with that, purged.
    /// Nothing is taken back, and no version is deleted alone, since Key Vault purges secrets as a
    /// whole. It needs the permission to purge, and a vault without purge protection; where that is
    /// missing, the delete fails and leaves a soft-deleted secret whose versions are disabled.
    /// `settle` and the vault's deadline should leave the service its half a minute; a delete that
    /// ran out of it is repeated.
    Purge,
}

/// How to authenticate; `auth = "..."` or `auth = { ... }`.
///
/// ```toml
/// auth = "developer"                   # az login, azd auth login
/// auth = "managed-identity"            # or { managed-identity = true, client-id = "..." }
/// auth = "workload-identity"           # or { workload-identity = true, client-id, tenant-id, token-file }
/// auth = { tenant-id = "...", client-id = "...", client-secret-env = "APP_SECRET" }
/// auth = { tenant-id = "...", client-id = "...", client-secret-file = "app.secret" }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Auth {
    /// Whoever is logged in with the Azure CLI or the Azure Developer CLI.
    Developer,
    /// The identity of the virtual machine or app service.
    ManagedIdentity {
        /// Which of several identities.
        client_id: Option<String>,
    },
    /// The identity of a Kubernetes service account.
    WorkloadIdentity {
        /// In place of `AZURE_CLIENT_ID`.
        client_id: Option<String>,
        /// In place of `AZURE_TENANT_ID`.
        tenant_id: Option<String>,
        /// In place of `AZURE_FEDERATED_TOKEN_FILE`.
        token_file: Option<PathBuf>,
    },
    /// A service principal with a secret.
    ClientSecret {
        /// The tenant.
        tenant_id: String,
        /// The application.
        client_id: String,
        /// Where its secret is.
        secret: ClientSecret,
    },
}

/// Where the secret of a service principal is. Never the secret itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientSecret {
    /// An environment variable.
    Env(String),
    /// A file that nobody else may read; relative to the folder of the configuration. One newline
    /// at its end does not count.
    File(PathBuf),
}

impl<'de> Deserialize<'de> for Auth {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WordOrTable)
    }
}

/// By hand: what serde derives for one of several shapes loses what was wrong with it.
struct WordOrTable;

impl<'de> Visitor<'de> for WordOrTable {
    type Value = Auth;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a word or a table that says how to authenticate")
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<Auth, E> {
        Auth::of_word(word).map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<Auth, A::Error> {
        let table = Table::deserialize(MapAccessDeserializer::new(table))?;
        Auth::of_table(table).map_err(de::Error::custom)
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct Table {
    managed_identity: bool,
    workload_identity: bool,
    client_id: Option<String>,
    tenant_id: Option<String>,
    token_file: Option<PathBuf>,
    client_secret_env: Option<String>,
    client_secret_file: Option<PathBuf>,
    #[serde(deserialize_with = "refuse_credential")]
    client_secret: (),
}

impl Auth {
    fn of_table(table: Table) -> Result<Self, &'static str> {
        let secret = match (table.client_secret_env, table.client_secret_file) {
            (None, None) => None,
            (Some(name), None) => Some(ClientSecret::Env(name)),
            (None, Some(path)) => Some(ClientSecret::File(path)),
            (Some(_), Some(_)) => {
                return Err("`client-secret-env` and `client-secret-file` exclude each other");
            }
        };
        match (table.managed_identity, table.workload_identity, secret) {
            (true, false, None) if table.tenant_id.is_none() && table.token_file.is_none() => {
                Ok(Self::ManagedIdentity {
                    client_id: table.client_id,
                })
            }
            (false, true, None) => Ok(Self::WorkloadIdentity {
                client_id: table.client_id,
                tenant_id: table.tenant_id,
                token_file: table.token_file,
            }),
            (false, false, Some(secret)) if table.token_file.is_none() => {
                match (table.tenant_id, table.client_id) {
                    (Some(tenant_id), Some(client_id)) => Ok(Self::ClientSecret {
                        tenant_id,
                        client_id,
                        secret,
                    }),
                    _ => Err("a client secret needs `tenant-id` and `client-id`"),
                }
            }
            _ => Err(WAYS),
        }
    }

    fn of_word(word: &str) -> Result<Self, &'static str> {
        match word {
            "developer" => Ok(Self::Developer),
            "managed-identity" => Ok(Self::ManagedIdentity { client_id: None }),
            "workload-identity" => Ok(Self::WorkloadIdentity {
                client_id: None,
                tenant_id: None,
                token_file: None,
            }),
            _ => Err(WAYS),
        }
    }
}

/// Said wherever `auth` is missing or makes no sense.
pub(crate) const WAYS: &str = "`auth` is one of \"developer\", \"managed-identity\", \"workload-identity\", \
     { managed-identity = true, client-id }, { workload-identity = true, client-id, tenant-id, token-file } \
     and { tenant-id, client-id, client-secret-env or client-secret-file }";

fn default_settle() -> u64 {
    DEFAULT_SETTLE
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, toml::de::Error> {
        toml::from_str(text)
    }

    fn auth(text: &str) -> Result<Auth, toml::de::Error> {
        let config = parse(&format!("vault = 'v'\nauth = {text}"))?;
        Ok(config.auth.unwrap())
    }

    #[test]
    fn every_way_to_authenticate_parses() {
        assert_eq!(auth("'developer'").unwrap(), Auth::Developer);
        assert_eq!(
            auth("{ managed-identity = true, client-id = 'c' }").unwrap(),
            Auth::ManagedIdentity {
                client_id: Some("c".into())
            }
        );
        let bare = Auth::WorkloadIdentity {
            client_id: None,
            tenant_id: None,
            token_file: None,
        };
        assert_eq!(auth("'workload-identity'").unwrap(), bare);
        assert_eq!(auth("{ workload-identity = true }").unwrap(), bare);
        assert_eq!(
            auth("{ tenant-id = 't', client-id = 'c', client-secret-file = 'f' }").unwrap(),
            Auth::ClientSecret {
                tenant_id: "t".into(),
                client_id: "c".into(),
                secret: ClientSecret::File("f".into()),
            }
        );
    }

    #[test]
    fn nothing_is_purged_unless_the_settings_say_so() {
        let delete = |text: &str| parse(text).map(|config| config.delete);
        assert_eq!(delete("vault = 'v'").unwrap(), Deletion::Soft);
        for (text, deletion) in [
            ("soft", Deletion::Soft),
            ("disable", Deletion::Disable),
            ("purge", Deletion::Purge),
        ] {
            let told = delete(&format!("vault = 'v'\ndelete = '{text}'"));
            assert_eq!(told.unwrap(), deletion);
        }
        assert!(delete("vault = 'v'\ndelete = 'Purge'").is_err());
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for text in [
            "'az'",
            "{}",
            "1",
            "{ managed-identity = false }",
            "{ managed-identity = true, workload-identity = true }",
            "{ managed-identity = true, tenant-id = 't' }",
            "{ client-id = 'c', client-secret-env = 'E' }",
            "{ tenant-id = 't', client-id = 'c' }",
            "{ tenant-id = 't', client-id = 'c', client-secret-env = 'E', client-secret-file = 'f' }",
            "{ tenant-id = 't', client-id = 'c', client-secret-env = 'E', region = 'r' }",
        ] {
            assert!(auth(text).is_err(), "{text}");
        }
        assert!(parse("vault = 'v'\nregion = 'r'").is_err());
        assert!(parse("vault-url = 'http://v.vault.azure.net'").is_err());
    }

    #[test]
    fn a_secret_in_the_file_is_refused_and_not_repeated() {
        let error = auth("{ tenant-id = 't', client-id = 'c', client-secret = 'canary-3a' }")
            .unwrap_err()
            .message()
            .to_owned();
        assert!(!error.contains("canary"), "{error}");
        assert!(error.contains("-env"), "{error}");
    }
}
