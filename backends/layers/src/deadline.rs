//! A limit on each call.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use strongroom_backend::{
    Backend, Capabilities, Change, ChangeCell, Description, Error, ErrorKind, ListPage, Metadata,
    Notices, OnNotice, PutOptions, Result, Secret, SecretPath, SecretValue, StoreMark, VersionInfo,
    Versioning, Which,
};
use tokio::time::timeout;

/// Gives up a call after a time, with `Unavailable`. Whether a change that was given up took place
/// is not known.
pub struct Deadline {
    inner: Arc<dyn Backend>,
    reads: Duration,
    changes: Duration,
}

impl Deadline {
    /// Limits each call of `inner` to `limit`. `check`, which may read a whole store, is left
    /// alone: an operator waits for it and can stop it.
    pub fn new(inner: Arc<dyn Backend>, limit: Duration) -> Self {
        Self {
            inner,
            reads: limit,
            changes: limit,
        }
    }

    /// Limits each try of a read to `one`, and each change, which is never tried again, to `whole`:
    /// a service may take most of that, as Key Vault does for a write after a delete.
    pub fn of_tries(inner: Arc<dyn Backend>, one: Duration, whole: Duration) -> Self {
        Self {
            inner,
            reads: one,
            changes: whole,
        }
    }

    async fn read<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        within(self.reads, call).await
    }

    async fn change<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        within(self.changes, call).await
    }
}

async fn within<T>(limit: Duration, call: impl Future<Output = Result<T>>) -> Result<T> {
    timeout(limit, call).await.unwrap_or_else(|_| Err(late()))
}

fn late() -> Error {
    Error::new(
        ErrorKind::Unavailable,
        "the store did not answer before the deadline; a change may have taken place",
    )
    .with_source(Late)
}

/// Marks what a [`Deadline`] gave up.
#[derive(Clone, Copy, Debug)]
struct Late;

impl fmt::Display for Late {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no answer within the deadline of a call")
    }
}

impl StdError for Late {}

/// Whether a [`Deadline`] gave the call up, so that nobody knows what the store will still do.
pub fn is_late(error: &(dyn StdError + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<Late>() {
            return true;
        }
        cause = error.source();
    }
    false
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Backend for Deadline {
    fn capabilities(&self) -> &Capabilities {
        self.inner.capabilities()
    }

    async fn get(&self, path: &SecretPath, which: Which) -> Result<Secret> {
        self.read(self.inner.get(path, which)).await
    }

    async fn put(
        &self,
        path: &SecretPath,
        value: &SecretValue,
        options: &PutOptions,
    ) -> Result<Change> {
        self.change(self.inner.put(path, value, options)).await
    }

    async fn describe(&self, path: &SecretPath) -> Result<Description> {
        self.read(self.inner.describe(path)).await
    }

    async fn delete(&self, path: &SecretPath, version: Option<u64>) -> Result<Change> {
        self.change(self.inner.delete(path, version)).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<ListPage> {
        self.read(self.inner.list(prefix, after, limit)).await
    }

    async fn versions(&self, path: &SecretPath) -> Result<Vec<VersionInfo>> {
        self.read(self.inner.versions(path)).await
    }

    async fn check(&self) -> Result<Vec<String>> {
        self.inner.check().await
    }

    async fn get_many(&self, paths: &[SecretPath]) -> Vec<Result<Secret>> {
        timeout(self.reads, self.inner.get_many(paths))
            .await
            .unwrap_or_else(|_| paths.iter().map(|_| Err(late())).collect())
    }

    fn versioning(&self) -> Option<&dyn Versioning> {
        self.inner.versioning().map(|_| self as &dyn Versioning)
    }

    fn change_cell(&self, path: &SecretPath) -> Option<ChangeCell> {
        self.inner.change_cell(path)
    }

    fn notices(&self, on_notice: OnNotice) -> Option<Notices> {
        self.inner.notices(on_notice)
    }

    fn mark(&self) -> Result<Option<StoreMark>> {
        self.inner.mark()
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Versioning for Deadline {
    async fn undelete(&self, path: &SecretPath, version: Option<u64>) -> Result<Change> {
        let inner = self.inner.require_versioning("undelete")?;
        self.change(inner.undelete(path, version)).await
    }

    async fn destroy(&self, path: &SecretPath, version: u64) -> Result<Change> {
        let inner = self.inner.require_versioning("destroy")?;
        self.change(inner.destroy(path, version)).await
    }

    async fn set_metadata(&self, path: &SecretPath, metadata: &Metadata) -> Result<Change> {
        let inner = self.inner.require_versioning("set metadata")?;
        self.change(inner.set_metadata(path, metadata)).await
    }
}
