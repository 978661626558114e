//! Environment variables and files as read-only stores.
//!
//! [`EnvBackend`] serves the variables under one prefix; [`FilesBackend`] a folder with a file for
//! each secret, or one JSON file with a key for each. Neither writes, keeps versions or metadata:
//! their place is at the head of a chain, and for the few secrets that start a program.
//!
//! ```
//! use strongroom_backend::{Backend, ErrorKind, SecretPath, Which};
//! use strongroom_backend_env::{EnvBackend, EnvConfig, VariablePrefix};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = EnvBackend::open(&EnvConfig::new(VariablePrefix::parse("MYAPP_")?))?;
//! let path = SecretPath::parse("stripe/api-key")?;
//! assert_eq!(store.variable(&path), "MYAPP_STRIPE__API_KEY");
//! let missing = store.get(&path, Which::Current).await.unwrap_err();
//! assert_eq!(missing.kind(), ErrorKind::NotFound);
//! # Ok(())
//! # }
//! ```
//!
//! # Settings
//!
//! ```toml
//! [vault.variables]
//! backend = "env"
//! prefix = "MYAPP_"
//!
//! [vault.bootstrap]
//! backend = "files"
//! path = "secrets"                  # a folder; or json = "secrets.json"
//! # allow-links = false
//! # readable-by-others = false
//! ```
//!
//! # The names of variables
//!
//! A path and its variable name each other: two paths never share a variable, and a listing turns
//! names back into paths. The prefix comes first, then one of three forms:
//!
//! | path | what follows the prefix | example, under `MYAPP_` |
//! | --- | --- | --- |
//! | only `a-z`, `0-9`, and `-` or `/` between two of these | letters in upper case, `-` as `_`, `/` as `__` | `stripe/api-key`: `MYAPP_STRIPE__API_KEY` |
//! | otherwise, only letters, digits and `_`, and no `_` at its start | `_` and the path as it is | `DATABASE_URL`: `MYAPP__DATABASE_URL` |
//! | any other | as the first form, with the marks below | `tls/ca.crt`: `MYAPP_TLS__CA___DCRT` |
//!
//! | in the third form | is written |
//! | --- | --- |
//! | `.` | `___D` |
//! | `_` | `___U` |
//! | `-` at the start, at the end, or before `.`, `_`, `-`, `/` or a capital | `___H` |
//! | `/` before `_`, `-` or a capital | `___S` |
//! | the capital `X` | `___CX` |
//!
//! Variables under the prefix that no path is written as (`MYAPP_Mixed`, `MYAPP_A____B`) are no
//! secrets: no path reaches them, listings leave them out and `doctor` counts them. Two vaults
//! whose prefixes begin alike (`A_` and `A_B_`) see some of the same variables under two paths.
//!
//! A prefix that would reach variables that hold keys and credentials of ours (`STRONGROOM_`,
//! `AWS_`, `AZURE_`, `GOOGLE_`, `VAULT_` and the like, and whatever
//! [`EnvBuilder::with_reserved`] names) is refused.
//!
//! Variables are read at each `get`, byte for byte; there is no snapshot, so that no second copy
//! stays behind. One that is not set is not found; one that is set and empty is an empty value.
//! The environment itself stays readable in this process's memory and for whoever may read
//! `/proc/<pid>/environ`: [`SecretValue`](strongroom_backend::SecretValue) wipes our copies only.
//!
//! # The names of files
//!
//! | path | folder with `path = "secrets"` | JSON with `json = "secrets.json"` |
//! | --- | --- | --- |
//! | `db-main` | `secrets/db-main` | the key `"db-main"` |
//! | `stripe/api-key` | `secrets/stripe/api-key` | the key `"stripe/api-key"`, not an object in an object |
//!
//! A path is the name of its file as it is. What no path names is never served and left out of
//! listings: hidden entries, other characters, bytes that are not UTF-8. On a disk that takes `Key`
//! for `key` or `a.` for `a`, only the spelling that the folder lists is found. A JSON string is
//! the text it stands for; any other JSON value is its text in the file. Values are the file's
//! bytes, a final newline included.
//!
//! # Which files are trusted
//!
//! Nothing is served that somebody else could have planted or changed:
//!
//! | what | must be |
//! | --- | --- |
//! | folders, those on the way to the store included | owned by us or root; written by the owner alone, or sticky and owned by root |
//! | files | plain, with one name, owned by us or root, written by the owner alone |
//! | who may read a file | its owner alone, unless `readable-by-others = true` |
//! | symbolic links | none below the store, unless `allow-links = true` |
//!
//! Mounted secrets of Kubernetes are links through `..data` to files of mode 0644: they need both
//! switches. Links must then be owned by us or root, be relative and stay within the store's
//! folder at each step; a file may have further names. FIFOs, sockets and devices are never opened.
//! Each folder on the way is opened beneath the one before without following links, so no name is
//! looked up twice.
#![forbid(unsafe_code)]

mod config;
mod entry;
mod env;
mod error;
mod files;
mod folder;
mod json;
mod listing;
mod naming;
mod reserved;
mod trust;

pub use config::{EnvConfig, FilesConfig, FilesSource, PrefixError, VariablePrefix};
pub use env::{EnvBackend, EnvBuilder, MAX_VARIABLE};
pub use files::{FilesBackend, FilesBuilder, MAX_FILE, MAX_JSON};
pub use listing::MAX_ENTRIES;
