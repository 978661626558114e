//! The trait that every store implements.

use std::sync::Arc;

use async_trait::async_trait;

use crate::{Capabilities, ChangeCell, Error, Notices, OnNotice, Result, SecretPath, SecretValue};

/// A store of secrets.
///
/// Paths are canonical and calls are decided and audited before they get here. Each call may be
/// dropped at any await: a backend then leaves the old state or the new one, never a half write.
/// Times are milliseconds since the Unix epoch.
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// What this store can do; constant for its life.
    fn capabilities(&self) -> &Capabilities;

    /// The value of the current version, or of one by number.
    ///
    /// # Errors
    ///
    /// `NotFound` where there is none, where it is deleted or destroyed, and where it has expired.
    async fn get(&self, path: &SecretPath, which: Which) -> Result<Secret>;

    /// Writes `value` as the new current version.
    ///
    /// # Errors
    ///
    /// `Conflict` where `options.expected` is not the current version, `TooLarge`, `Unsupported`.
    async fn put(
        &self,
        path: &SecretPath,
        value: &SecretValue,
        options: &PutOptions,
    ) -> Result<Change>;

    /// What is known of a secret beside its value, deleted ones included.
    ///
    /// # Errors
    ///
    /// `NotFound` where the name was never written.
    async fn describe(&self, path: &SecretPath) -> Result<Description>;

    /// Soft-deletes the secret, or one version; for good where [`Capabilities::undelete`] is false.
    ///
    /// # Errors
    ///
    /// `NotFound` where there is nothing to delete.
    async fn delete(&self, path: &SecretPath, version: Option<u64>) -> Result<Change>;

    /// Up to `limit` paths that start with `prefix` and come after `after`, in byte order.
    /// Secrets whose current version is deleted are left out.
    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<ListPage>;

    /// The versions of a secret, newest first.
    ///
    /// # Errors
    ///
    /// `NotFound` where the name was never written; `Unsupported` without version numbers.
    async fn versions(&self, path: &SecretPath) -> Result<Vec<VersionInfo>>;

    /// Checks for `doctor`: reaches the store, authenticates, and verifies it as a whole where it
    /// can. Returns what was checked, a line each.
    ///
    /// # Errors
    ///
    /// The first check that failed, with what the operator should do.
    async fn check(&self) -> Result<Vec<String>>;

    /// The current values of several secrets, in the order asked. Override it where the service
    /// has a call for many.
    async fn get_many(&self, paths: &[SecretPath]) -> Vec<Result<Secret>> {
        let mut values = Vec::with_capacity(paths.len());
        for path in paths {
            values.push(self.get(path, Which::Current).await);
        }
        values
    }

    /// Calls that only some stores have.
    fn versioning(&self) -> Option<&dyn Versioning> {
        None
    }

    /// The counter that changes when `path` does, whoever writes on this machine.
    fn change_cell(&self, path: &SecretPath) -> Option<ChangeCell> {
        let _ = path;
        None
    }

    /// Has `on_notice` called when the store learns that somebody changed a secret, where it can
    /// learn of that. A hint that makes a cache drop a value early and never a promise: a notice
    /// comes late or, while the store is out of reach, not at all, and own writes may come back.
    fn notices(&self, on_notice: OnNotice) -> Option<Notices> {
        let _ = on_notice;
        None
    }

    /// Which store this is and how far it has come, where that can be told; the broker compares
    /// it with the audit log so that an older copy of the store is found out.
    fn mark(&self) -> Result<Option<StoreMark>> {
        Ok(None)
    }
}

/// Calls that only stores with kept versions or metadata have; capabilities say which work.
#[async_trait]
pub trait Versioning: Send + Sync {
    /// Takes a soft delete back, of the secret or of one version.
    ///
    /// # Errors
    ///
    /// `NotFound` where nothing is deleted.
    async fn undelete(&self, path: &SecretPath, version: Option<u64>) -> Result<Change>;

    /// Makes one version unreadable for good.
    ///
    /// # Errors
    ///
    /// `NotFound` where there is no such version; `Unavailable` where readers hold it back.
    async fn destroy(&self, path: &SecretPath, version: u64) -> Result<Change>;

    /// Changes what is known of a secret beside its value; `None` keeps what is there.
    async fn set_metadata(&self, path: &SecretPath, metadata: &Metadata) -> Result<Change>;
}

/// Which version a `get` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Which {
    /// The one that is current now.
    Current,
    /// The one of this number.
    Version(u64),
}

/// A value with its version.
#[derive(Debug)]
pub struct Secret {
    /// The value.
    pub value: Arc<SecretValue>,
    /// Its number; 0 where the backend keeps none.
    pub version: u64,
    /// When this version expires.
    pub expires: Option<u64>,
}

/// How a value is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PutOptions {
    /// Write only if this is the current version; 0 means only if there is none.
    pub expected: Option<u64>,
    /// When this version expires.
    pub expires: Option<u64>,
    /// Who writes, as `component:<name>` or `operator:<user>`; kept where metadata is.
    pub author: Option<String>,
    /// Metadata set with the value, in the same change.
    pub metadata: Metadata,
}

/// What is known of a secret beside its value; `None` keeps what is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// `api-key`, `database`, ... or a word of the owner's own.
    pub kind: Option<String>,
    /// A text for people.
    pub description: Option<String>,
    /// The whole set of labels, by name.
    pub labels: Option<Vec<(String, String)>>,
}

/// What a change left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The version that was written or changed; 0 where the backend keeps none.
    pub version: u64,
    /// The store's change counter after it, where it keeps one.
    pub counter: Option<u64>,
}

/// The state of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VersionState {
    /// What `get` returns.
    Current,
    /// Older, and still readable by number.
    Superseded,
    /// Written by a rotation that has not finished.
    Pending,
    /// Soft-deleted.
    Deleted,
    /// Unreadable for good.
    Destroyed,
}

/// One version of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionInfo {
    /// Its number.
    pub version: u64,
    /// Its state.
    pub state: VersionState,
    /// When it was written.
    pub created: u64,
    /// When it expires.
    pub expires: Option<u64>,
    /// Who wrote it, where the store keeps that.
    pub author: Option<String>,
}

/// What is known of a secret beside its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// The current version; none while the secret is deleted.
    pub version: Option<u64>,
    /// When its first version was written.
    pub created: u64,
    /// When anything of it changed last.
    pub updated: u64,
    /// When the current version expires.
    pub expires: Option<u64>,
    /// When the next rotation is due.
    pub rotates: Option<u64>,
    /// Its kind.
    pub kind: Option<String>,
    /// Its description.
    pub description: Option<String>,
    /// Its labels, by name.
    pub labels: Vec<(String, String)>,
}

/// A page of a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListPage {
    /// Paths in byte order.
    pub paths: Vec<SecretPath>,
    /// Whether more follow.
    pub more: bool,
}

/// Which store this is and how far it has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreMark {
    /// The random id of the store.
    pub store: String,
    /// Counts every change, and never goes back.
    pub counter: u64,
}

impl dyn Backend {
    /// The extension, or the error that says which ability is missing.
    ///
    /// # Errors
    ///
    /// `Unsupported`, naming `ability`.
    pub fn require_versioning(&self, ability: &'static str) -> Result<&dyn Versioning> {
        self.versioning().ok_or_else(|| Error::unsupported(ability))
    }
}
