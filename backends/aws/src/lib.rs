//! What the two AWS stores of Strongroom share: settings, authentication, transport, errors.
//!
//! A [`Session`] holds what the service's own client needs, made by [`AwsConfig`]; [`Failure`] says
//! what an error of that client means. Stores add their service.
//!
//! ```no_run
//! use std::path::Path;
//!
//! use strongroom_backend_aws::{Auth, AwsConfig, Session};
//!
//! # async fn open() -> strongroom_backend::Result<()> {
//! let mut config = AwsConfig::default();
//! config.region = Some("eu-central-1".to_owned());
//! config.auth = Auth::Profile("prod".to_owned());
//! let session = Session::open(&config, Path::new(".")).await?;
//! assert_eq!(session.region(), "eu-central-1");
//! # Ok(())
//! # }
//! ```
//!
//! # What may be called, and when
//!
//! Opening a session reads the environment, the profile files and the CA file; it makes no call. The
//! chain of credentials, which may ask the metadata service of an instance or an identity provider,
//! runs at the first call to the service.
//!
//! # What is not taken from the environment
//!
//! `AWS_ENDPOINT_URL` and its like, in the environment and in profile files, do not move the service:
//! who may set a variable could otherwise draw secrets to another host. `endpoint` does, and
//! `strongroom trust` watches over it. `HTTPS_PROXY` and `NO_PROXY` are followed for `https://`, where
//! a proxy sees only a tunnel; plain HTTP never goes through a proxy.
//!
//! # What is kept out of logs
//!
//! The client logs whole requests at level TRACE: [`Session::veil`] hides their bodies. Replies of
//! calls that return values are hidden by the client, unless `LOG_SENSITIVE_BODIES=true` is set.
#![forbid(unsafe_code)]

mod check;
mod clock;
mod codes;
mod config;
mod credentials;
mod failure;
mod http;
mod session;
pub mod tag;
#[cfg(feature = "test-util")]
pub mod testing;
mod veil;

pub use config::{Auth, AwsConfig};
pub use failure::Failure;
pub use session::Session;
pub use veil::Veil;
