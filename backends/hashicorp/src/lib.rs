//! HashiCorp Vault and OpenBao as a Strongroom store: engines of KV version 2 and 1.
//!
//! ```
//! use std::path::Path;
//!
//! use strongroom_backend_hashicorp::{Config, HashicorpBackend};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let config: Config = toml::from_str(
//!     r#"
//!     address = "https://vault.example.com:8200"
//!     mount = "team/secret"
//!     prefix = "app"
//!     auth = { approle = { role-id = "b1f5", secret-id-file = "keys/secret-id" } }
//!     "#,
//! )?;
//! // Nothing is sent before the first call.
//! let store = HashicorpBackend::open(&config, Path::new("/etc/strongroom")).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Settings
//!
//! | key | means |
//! | --- | --- |
//! | `address` | the server: `https://`, or `http://` on loopback |
//! | `mount` | the whole path of the engine, as `secret` or `team/secret` |
//! | `prefix` | the folder below the mount that all secrets are in; default: none |
//! | `namespace` | sent with each request but the health check; default: none |
//! | `kv` | `"auto"` (default), `"v1"`, `"v2"`: see [below](#which-version-the-engine-has) |
//! | `auth` | one of the four ways [below](#authentication); there is no default |
//! | `ca-file` | the only authorities that are trusted, in PEM; default: those of the platform |
//! | `verify-tls` | `false` checks no certificate, and warns at start and in every `doctor` |
//! | `names` | `path = "name"`: names that others gave, below the mount and without the prefix |
//!
//! Proxies of the environment are not used, redirects are not followed, and nothing but the first
//! request after a refused token is sent twice.
//!
//! # Authentication
//!
//! | `auth = ` | the token |
//! | --- | --- |
//! | `{ token-env = "VAULT_TOKEN" }` | somebody else's, from a variable |
//! | `{ token-file = "token" }` | the same from a file, read again when the token is due or refused: a file that an agent keeps is followed |
//! | `{ approle = { role-id = "...", secret-id-file = "..." } }` | of an AppRole login; or `secret-id-env`, or neither where the role needs none; `mount = "approle"` |
//! | `{ kubernetes = { role = "..." } }` | of a Kubernetes login; `mount = "kubernetes"`, `token-file` for another than the pod's own |
//!
//! The first call logs in, and many calls at once make one login. A token is renewed when two thirds
//! of its life are over, also while nobody calls; one that renewals can no longer carry is replaced by a
//! new login. The server answers a dead token as it answers a missing right, so a denial makes the store look the
//! token up, at most every five seconds; one that is not accepted is replaced and the call made once
//! more. A login that failed is not tried again for a second.
//!
//! # Rights
//!
//! All that a store of KV v2 at `team/secret` with the prefix `app` can use, and for what:
//!
//! ```hcl
//! path "team/secret/data/app/*"     { capabilities = ["create", "read", "update"] }
//! path "team/secret/metadata/app/*" { capabilities = ["read", "list", "patch"] } # list, versions, labels
//! path "team/secret/delete/app/*"   { capabilities = ["update"] }
//! path "team/secret/undelete/app/*" { capabilities = ["update"] }
//! path "team/secret/destroy/app/*"  { capabilities = ["update"] }
//! ```
//!
//! For KV v1: `create`, `read`, `update`, `delete` and `list` on `team/secret/app/*`. The policy `default`
//! lets a token look itself up, renew itself and ask for its capabilities, which `doctor` does. `doctor` tells
//! which of these are missing.
//!
//! # Which version the engine has
//!
//! With `kv = "auto"` the server is asked once, at the first call. Until then the store announces what v2
//! can do; on v1 the call itself then answers `Unsupported`. `kv = "v1"` announces less from
//! the start, and saves the question.
//!
//! | | KV v2 | KV v1 |
//! | --- | --- | --- |
//! | versions | the engine's: 1, 2, 3; as many as `max_versions` keeps, 10 by default | none |
//! | compare-and-set | `cas` | none |
//! | delete | soft; undelete, destroy | for good |
//! | kind, description, labels | in custom metadata | none |
//! | expiry, author | beside the value | expiry beside the value |
//! | largest value | [`MAX_VALUE`] | the same |
//!
//! # Documents
//!
//! An engine holds JSON objects. One of these shapes is ours, and its value is the text of `value`:
//!
//! ```json
//! {"value":"text"}
//! {"value":"AAEC","strongroom":{"encoding":"base64","expires":1767225600000,"author":"component:billing"}}
//! ```
//!
//! `strongroom` is left out where it would be empty, and has these fields alone, each where it is needed:
//! `encoding` (`base64`, for what is not UTF-8 or would be stored at many times its length), `expires`
//! (milliseconds since the Unix epoch) and `author`. So value, expiry and author change together.
//!
//! Any other object is another tool's, and its value is the whole object as JSON text without white
//! space, as the server gave it, for `--field` and the like to read. An object with a field `strongroom` that is not exactly
//! as above is refused as damaged: its value might be encoded, or expired.
//!
//! The engine's own `delete_version_after` is for all versions of a secret or mount alike; it is not set
//! here, and where an operator has set it, its time is told as the expiry.
//!
//! # Metadata
//!
//! `kind` and `description` are custom metadata of these names, each label one of its own name. What the
//! engine does not take (control and rare characters, empty texts, names that begin with `strongroom-`) is kept in
//! base64 as `strongroom-label-...` and `strongroom-base64:...`. The engine's limits hold: 63 pairs,
//! 128 bytes for a name, 512 for a text; what does not fit is refused before any call. A write with metadata is two
//! changes, value first: where the second fails, the error says that the value was written.
//!
//! `strongroom-deleted` tells which versions the last delete of the whole secret took, so that an
//! undelete takes back these alone. It is written before the delete, and means nothing without it.
//!
//! # What it costs, and what it cannot do
//!
//! | call on KV v2 | requests |
//! | --- | --- |
//! | get | 1; several secrets: 1 each, 8 at once |
//! | put | 1; 2 with an expected version; 3 with metadata |
//! | describe | 2 |
//! | versions | 1, and 1 for each that can be read (the newest 128), 8 at once: authors stand with the values |
//! | delete, undelete, destroy | 2, or 3 with a mark |
//! | list | 1 for each folder, and 1 for each name, 8 at once: a folder does not tell which secrets are deleted |
//!
//! - The engine compares numbers: that the expected version is not deleted is looked at just before.
//!   Two writers never overwrite each other; a delete by somebody else between look and write goes unseen.
//! - Labels that two writers set at once can mix on HashiCorp Vault. OpenBao compares, and one of
//!   them is tried again.
//! - Deletes name versions, so a value that is written meanwhile stays. A delete of a secret with
//!   64 pairs of other tools' metadata leaves no mark: its versions come back by number.
//! - Secrets whose metadata somebody removed (`kv metadata delete`) start again at version 1.
#![forbid(unsafe_code)]

mod backend;
mod check;
mod client;
mod config;
mod credential;
mod custom;
mod document;
mod error;
mod life;
mod login;
mod mount;
mod place;
mod record;
mod session;
mod text;
mod v1;
mod v2;
mod verdict;
mod walk;

pub use backend::HashicorpBackend;
pub use config::{AppRole, Auth, Config, Credential, Kubernetes, Kv, SERVICE_ACCOUNT_TOKEN};
pub use document::MAX_VALUE;
