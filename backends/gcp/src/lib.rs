//! GCP Secret Manager as a Strongroom store.
//!
//! A secret of the vault is a secret of the service, its versions are the service's, and a value is read in
//! one call. [`Config`] is what stands in `strongroom.toml`, [`GcpBackend::open`] makes the store of it.
//!
//! ```no_run
//! use std::path::Path;
//!
//! use strongroom_backend_gcp::{Config, GcpBackend};
//!
//! # async fn open() -> strongroom_backend::Result<()> {
//! let mut config = Config::new("shop-prod");
//! config.prefix = "app-".to_owned();
//! let vault = GcpBackend::open(&config, Path::new(".")).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Settings
//!
//! ```toml
//! [vault.prod]
//! backend = "gcp-secret-manager"
//! project = "shop-prod"                   # id or number
//! auth = { key-file = "keys/gcp.json" }   # or { credentials-file }, both with allow-links = true for a
//!                                         # mounted link; "default" (default); "none" for emulators
//! # prefix = "app-"
//! # location = "europe-west3"             # regional secrets; then no `replication`
//! # endpoint = "https://gcp.example"      # private links, emulators
//! # ca-file = "ca.pem"                    # trusted in place of the system's
//! # names = { "stripe/api-key" = "LegacyStripeKey" }
//!
//! [vault.global]
//! backend = "gcp-secret-manager"
//! project = "shop-prod"
//! replication = ["europe-west1"]          # of secrets that are made here; "automatic" (default)
//! ```
//!
//! # What is where
//!
//! | here | there |
//! | --- | --- |
//! | path | the id, where it is legal; else a slug with a hash, and the path in an annotation |
//! | version | version number, 1, 2, 3 |
//! | current version | the newest one, while it is enabled |
//! | deleted version | disabled version |
//! | deleted secret | all its versions disabled, an annotation telling which |
//! | destroyed version | destroyed version |
//! | label | label, where the service takes it; else in an annotation |
//! | kind, description, authors | annotations |
//!
//! Values go both ways with their CRC32C. Several changes of one secret's annotations are kept apart by its
//! entity tag. A name is not compared with the noted path at each read: that would take a second call and a
//! second permission, and the hash in it has 128 bits.
//!
//! # What it cannot do
//!
//! - Compare and set: `AddSecretVersion` takes no condition.
//! - Expiry of a version.
//! - `latest` is eventually consistent in the service: for some time after a write or a delete another
//!   reader may still get what was current before.
//! - A version that others disable or destroy is not found at once, but a listing goes on showing its secret
//!   until a change made here notes it: versions are not part of the service's listing.
//! - A secret that others delete as a whole and make again has numbers that start again at 1.
//! - A write of metadata with a value is two calls of the service. They are made to their end whatever
//!   the caller does, but a host that dies between them leaves the new value with the old metadata.
//!
//! # Rights
//!
//! Reading takes `roles/secretmanager.secretAccessor` alone. Listing and `describe` take
//! `roles/secretmanager.viewer`; writing, deleting and destroying `roles/secretmanager.admin`, or a role
//! with `secrets.{create,get,update}` and `versions.{add,get,list,enable,disable,destroy}`.

#![forbid(unsafe_code)]

mod backend;
mod check;
mod config;
mod error;
mod gone;
mod life;
mod list;
mod login;
mod notes;
mod payload;
mod private;
mod resource;
mod rest;
mod service;
mod vault;
mod write;

pub use backend::GcpBackend;
pub use config::{Auth, Config, CredentialFile, Replication};
pub use login::names_in;
