//! Reads and writes secrets from a WebAssembly component through [Strongroom].
//!
//! A component that uses this crate imports the interface `strongroom:vault`. The host decides each
//! call by the grants that its operator gave the component, and records it before it answers: a
//! component holds no credentials of any backend, and sees no secret that it was not granted.
//!
//! ```no_run
//! use serde::Deserialize;
//! use strongroom_guest::vault;
//!
//! #[derive(Deserialize)]
//! struct DbCredentials {
//!     username: String,
//!     password: String,
//! }
//!
//! fn main() -> Result<(), strongroom_guest::Error> {
//!     // `Secret`: bytes that are wiped on drop and never printed.
//!     let key = vault::get("stripe/api-key")?;
//!     sign_request(key.expose());
//!
//!     // A value that is JSON, as a type of your own.
//!     let db: DbCredentials = vault::get_json("db/main")?;
//!     connect(&db.username, &db.password);
//!
//!     // Several in one call; each is decided on its own.
//!     for secret in vault::get_many(["smtp/user", "smtp/password"])? {
//!         let secret = secret?;
//!         println!("{} bytes", secret.len());
//!     }
//!     Ok(())
//! }
//! # fn sign_request(_: &[u8]) {}
//! # fn connect(_: &str, _: &str) {}
//! ```
//!
//! Build it with `cargo build --target wasm32-wasip2`, grant it something in `strongroom.toml`, and
//! run it:
//!
//! ```toml
//! [component.billing]
//! wasm = "billing.wasm"
//! grants = [
//!   { vault = "app-secrets", secrets = ["stripe/*", "db/main", "smtp/*"], actions = ["read"] },
//! ]
//! ```
//!
//! ```console
//! $ strongroom run billing.wasm
//! ```
//!
//! # References
//!
//! A *reference* names a secret: `[<vault-id>:]<path>`. Without a vault id it means the component's
//! default vault. A path is 1 to 16 segments joined by `/`, at most 255 bytes in all; a segment
//! matches `[A-Za-z0-9_-][A-Za-z0-9_.-]*`.
//!
//! # Errors
//!
//! Every call returns [`Error`]. [`Error::Denied`] is the answer for what was not granted, and it is
//! the same whether or not the secret exists. Match on the variants that you can do something about
//! and pass the rest on: no error carries a value.
//!
//! # What stays in the component's memory
//!
//! The host writes a value once, straight into a buffer of the component; [`Secret`] takes that
//! buffer over without copying and wipes it on drop. Beyond that, know what is yours to mind:
//!
//! - [`vault::get_json`] hands the parsed copies to your type; use `zeroize::Zeroizing<String>` for
//!   fields that should be wiped. A string with escapes also passes through a buffer of the parser
//!   that is not wiped.
//! - What you copy out of [`Secret::expose`] is an ordinary copy.
//! - A panic aborts the component without running destructors. Its memory is then the host's, and
//!   nothing in the component can read it again.
//!
//! # What a component imports
//!
//! Only what it calls: the linker drops the interfaces that no code reaches, so a component that
//! uses nothing but [`vault`] imports nothing but `strongroom:vault/vault`. An operator can see from
//! a component's imports that it cannot write.
//!
//! # Other targets
//!
//! The crate compiles for every target, so that a guest's own unit tests run on the machine that
//! builds it. There is no host there: the calls panic.
//!
//! [Strongroom]: https://github.com/strongroom/strongroom

#![doc(test(attr(deny(warnings))))]

mod bindings;
mod error;
mod info;
mod json;
mod secret;
mod time;

pub mod handle;
pub mod leases;
pub mod transit;
pub mod vault;
pub mod watch;
pub mod writer;

pub use crate::error::Error;
pub use crate::info::{SecretInfo, VersionInfo, VersionState};
pub use crate::json::{JsonError, JsonProblem};
pub use crate::secret::Secret;
