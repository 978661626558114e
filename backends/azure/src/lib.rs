//! Azure Key Vault as a Strongroom store.
//!
//! ```no_run
//! use std::path::Path;
//!
//! use strongroom_backend::{Backend, SecretPath, Which};
//! use strongroom_backend_azure::{Auth, AzureBackend, Config};
//!
//! # async fn example() -> strongroom_backend::Result<()> {
//! let config = Config::new("my-vault", Auth::ManagedIdentity { client_id: None });
//! let vault = AzureBackend::open(&config, Path::new(".")).await?;
//! let path = SecretPath::parse("stripe/api-key").expect("a path");
//! let secret = vault.get(&path, Which::Current).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Settings
//!
//! ```toml
//! [vault.prod]
//! backend = "azure-key-vault"
//! vault = "my-vault"                # or vault-url = "https://my-vault.vault.azure.net"
//! auth = "managed-identity"         # required: or "developer", "workload-identity",
//!                                   # { managed-identity = true, client-id },
//!                                   # { workload-identity = true, client-id, tenant-id, token-file },
//!                                   # { tenant-id, client-id, client-secret-env or client-secret-file }
//! # prefix = "prod-app-"
//! # delete = "soft"                 # "disable", "purge": see below
//! # settle = 8                      # seconds, 1 to 300; with "purge" rather 45, and `deadline = "60s"`
//! # endpoint = "https://kv.example"       # a private link
//! # authority-host = "https://login.example"    # where tokens come from
//! # ca-file = "ca.pem"              # trusted in place of the system's
//! # names = { "stripe/api-key" = "LegacyStripeKey" }
//! ```
//!
//! # Permissions
//!
//! | call | permissions for secrets |
//! | --- | --- |
//! | read | get |
//! | list, describe, versions, read by number | get, list |
//! | write, metadata | get, list, set; over a deleted secret also recover |
//! | delete | get, list, set, delete; with `delete = "purge"` also purge |
//! | undelete | get, list, set, recover |
//!
//! # Versions
//!
//! Key Vault gives versions random ids. The number of a version is the second in which it was made,
//! so numbers only rise and go on after a delete. A write waits until the second of the version
//! before it is over. Where two were written in one second all the same (by two programs), the
//! current one is read as ever, and reading by that number is refused.
//!
//! # Deleting
//!
//! A deleted version is a disabled one: the service then gives out neither it nor an older one.
//! A delete of the secret disables every version and then, by default, begins the service's soft
//! delete. So an undelete recovers and enables, and a write recovers what is still disabled: no
//! older value is current for a moment. The service takes up to half a minute for either; a write
//! or undelete within that time waits for [`Config::settle`] and is then `Unavailable`. With
//! `delete = "disable"` there is no such time. A secret that another tool deleted is not written
//! over, since recovering it would bring its value back: undelete or purge it first.
//!
//! Of a soft-deleted secret the service tells its newest version only; the numbers of some forty
//! older ones are kept in a tag.
//!
//! One version cannot be destroyed: Key Vault purges a secret with all of its versions. With
//! `delete = "purge"` a delete of the secret does that, once the service is done with its soft
//! delete, which takes up to half a minute: set [`Config::settle`] and the vault's `deadline` to
//! more. There is then no undelete, and no delete of one version. What was not purged (no
//! permission, purge protection, no time) stays deleted with its versions disabled, the error says
//! so, and the next delete purges it; a secret that another tool soft-deleted likewise. After a
//! purge nothing tells which numbers there were: it waits until the second of the newest is over,
//! so that numbers go on. The service holds the name for some seconds more; a write within them
//! waits for [`Config::settle`].
//!
//! # Expiry and metadata
//!
//! The service gives out expired values; this store does not. A start time (`nbf`) that other tools
//! set is not looked at. Kind, description, labels and author stand in the tags of a version,
//! fifteen of 256 characters; labels by their own names.
//!
//! # Security
//!
//! Tokens are asked for one audience, from one authority, and sent to one origin; no redirect and
//! no link to another host is followed. Plain HTTP is never used, nor are proxies of the
//! environment. Errors hold the service's codes, not its texts.

#![forbid(unsafe_code)]

mod backend;
mod change;
mod check;
mod clock;
mod config;
mod credential;
mod error;
mod http;
mod listing;
mod pause;
mod place;
mod record;
#[cfg(test)]
mod replay;
mod secret_file;
mod stored;
mod tags;
mod vault;

pub use backend::AzureBackend;
pub use config::{Auth, ClientSecret, Config, DEFAULT_SETTLE, Deletion, MAX_SETTLE};
