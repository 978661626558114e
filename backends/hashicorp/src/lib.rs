//! HashiCorp Vault and OpenBao KV as a Strongroom store.
#![forbid(unsafe_code)]

mod backend;
mod check;
mod client;
mod config;
mod custom;
mod document;
mod error;
mod login;
mod mount;
mod place;
mod record;
mod session;
mod text;
mod v1;
mod v2;
mod walk;

pub use backend::HashicorpBackend;
pub use config::{AppRole, Auth, Config, Credential, Kubernetes, Kv, SERVICE_ACCOUNT_TOKEN};
pub use document::MAX_VALUE;
