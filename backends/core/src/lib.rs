//! The contract between Strongroom's broker and the stores behind it.
//!
//! A store implements [`Backend`]; everything it is given has been parsed and decided already. A
//! [`Reference`] names a secret, a [`SecretValue`] holds its bytes, [`Capabilities`] say before any
//! call what a store can do, and [`Error`] says what went wrong without ever holding a value.
//! [`MemoryBackend`] is the smallest complete store: the model that conformance trials compare with.

mod backend;
mod capabilities;
mod changes;
mod error;
mod history;
pub mod json;
mod memory;
mod notice;
mod reference;
mod secret;

pub use backend::{
    Backend, Change, Description, ListPage, Metadata, PutOptions, Secret, StoreMark, VersionInfo,
    VersionState, Versioning, Which,
};
pub use capabilities::{Capabilities, CompareAndSet, VersionNumbers};
pub use changes::{ChangeCell, ChangeTable, WriteGuard};
pub use error::{Error, ErrorKind, Result};
pub use history::History;
pub use memory::MemoryBackend;
pub use notice::{Notice, Notices, OnNotice};
pub use reference::{Prefix, Reference, ReferenceError, SecretPath, VaultId, limits};
pub use secret::SecretValue;
