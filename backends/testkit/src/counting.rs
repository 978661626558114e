//! A store that counts its calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use strongroom_backend::{
    Backend, Capabilities, Change, ChangeCell, Description, Error, ListPage, Metadata, Notices,
    OnNotice, PutOptions, Result, Secret, SecretPath, SecretValue, StoreMark, VersionInfo,
    Versioning, Which,
};

use crate::Operation;

/// Counts the calls of a store and passes them on unchanged.
pub struct Counting<B: ?Sized> {
    counts: Counts,
    inner: Arc<B>,
}

impl<B: Backend + ?Sized> Counting<B> {
    /// Wraps `inner`; the counts are read through the handle.
    pub fn new(inner: Arc<B>) -> (Self, Counts) {
        let counts = Counts(Arc::default());
        let handle = counts.clone();
        (Self { counts, inner }, handle)
    }

    fn extension(&self, ability: &'static str) -> Result<&dyn Versioning> {
        self.inner
            .versioning()
            .ok_or_else(|| Error::unsupported(ability))
    }
}

/// How often a [`Counting`] store was called; a call counts when it begins.
#[derive(Clone)]
pub struct Counts(Arc<Numbers>);

#[derive(Default)]
struct Numbers {
    calls: [AtomicU64; Operation::ALL.len()],
    running: AtomicU64,
    most: AtomicU64,
}

impl Counts {
    /// Calls of one operation.
    pub fn of(&self, operation: Operation) -> u64 {
        self.cell(operation).map_or(0, |c| c.load(Ordering::SeqCst))
    }

    /// Calls of all operations.
    pub fn total(&self) -> u64 {
        self.0.calls.iter().map(|c| c.load(Ordering::SeqCst)).sum()
    }

    /// The most calls that were under way at once.
    pub fn most_at_once(&self) -> u64 {
        self.0.most.load(Ordering::SeqCst)
    }

    /// Starts again from zero.
    pub fn reset(&self) {
        self.0
            .calls
            .iter()
            .for_each(|c| c.store(0, Ordering::SeqCst));
        self.0.most.store(0, Ordering::SeqCst);
    }

    fn cell(&self, operation: Operation) -> Option<&AtomicU64> {
        self.0.calls.get(operation as usize)
    }

    fn begin(&self, operation: Operation) -> Running<'_> {
        if let Some(cell) = self.cell(operation) {
            cell.fetch_add(1, Ordering::SeqCst);
        }
        let now = self.0.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.most.fetch_max(now, Ordering::SeqCst);
        Running(&self.0.running)
    }
}

/// A call under way; dropping it, at the end or when the call is cancelled, ends it.
struct Running<'c>(&'c AtomicU64);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<B: Backend + ?Sized> Backend for Counting<B> {
    fn capabilities(&self) -> &Capabilities {
        self.inner.capabilities()
    }

    async fn get(&self, path: &SecretPath, which: Which) -> Result<Secret> {
        let _running = self.counts.begin(Operation::Get);
        self.inner.get(path, which).await
    }

    async fn put(
        &self,
        path: &SecretPath,
        value: &SecretValue,
        options: &PutOptions,
    ) -> Result<Change> {
        let _running = self.counts.begin(Operation::Put);
        self.inner.put(path, value, options).await
    }

    async fn describe(&self, path: &SecretPath) -> Result<Description> {
        let _running = self.counts.begin(Operation::Describe);
        self.inner.describe(path).await
    }

    async fn delete(&self, path: &SecretPath, version: Option<u64>) -> Result<Change> {
        let _running = self.counts.begin(Operation::Delete);
        self.inner.delete(path, version).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<ListPage> {
        let _running = self.counts.begin(Operation::List);
        self.inner.list(prefix, after, limit).await
    }

    async fn versions(&self, path: &SecretPath) -> Result<Vec<VersionInfo>> {
        let _running = self.counts.begin(Operation::Versions);
        self.inner.versions(path).await
    }

    async fn check(&self) -> Result<Vec<String>> {
        let _running = self.counts.begin(Operation::Check);
        self.inner.check().await
    }

    async fn get_many(&self, paths: &[SecretPath]) -> Vec<Result<Secret>> {
        let _running = self.counts.begin(Operation::GetMany);
        self.inner.get_many(paths).await
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
        let _running = self.counts.begin(Operation::Mark);
        self.inner.mark()
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<B: Backend + ?Sized> Versioning for Counting<B> {
    async fn undelete(&self, path: &SecretPath, version: Option<u64>) -> Result<Change> {
        let _running = self.counts.begin(Operation::Undelete);
        self.extension("undelete")?.undelete(path, version).await
    }

    async fn destroy(&self, path: &SecretPath, version: u64) -> Result<Change> {
        let _running = self.counts.begin(Operation::Destroy);
        self.extension("destroy")?.destroy(path, version).await
    }

    async fn set_metadata(&self, path: &SecretPath, metadata: &Metadata) -> Result<Change> {
        let _running = self.counts.begin(Operation::SetMetadata);
        self.extension("set metadata")?
            .set_metadata(path, metadata)
            .await
    }
}
