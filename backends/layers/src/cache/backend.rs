//! The cache as a backend.

use async_trait::async_trait;
use strongroom_backend::{
    Backend, Capabilities, Change, ChangeCell, Description, ListPage, Metadata, Notices, OnNotice,
    PutOptions, Result, Secret, SecretPath, SecretValue, StoreMark, VersionInfo, Versioning, Which,
};

use super::Cached;
use crate::{Look, Store};

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Backend for Cached {
    fn capabilities(&self) -> &Capabilities {
        self.inner.capabilities()
    }

    async fn get(&self, path: &SecretPath, which: Which) -> Result<Secret> {
        self.answer(path, which, Look::Kept).await.secret
    }

    async fn put(
        &self,
        path: &SecretPath,
        value: &SecretValue,
        options: &PutOptions,
    ) -> Result<Change> {
        self.change(path, self.inner.put(path, value, options))
            .await
    }

    async fn describe(&self, path: &SecretPath) -> Result<Description> {
        let answer = self.inner.describe(path).await;
        self.noted(path, answer)
    }

    async fn delete(&self, path: &SecretPath, version: Option<u64>) -> Result<Change> {
        self.change(path, self.inner.delete(path, version)).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<ListPage> {
        self.inner.list(prefix, after, limit).await
    }

    async fn versions(&self, path: &SecretPath) -> Result<Vec<VersionInfo>> {
        let answer = self.inner.versions(path).await;
        self.noted(path, answer)
    }

    async fn check(&self) -> Result<Vec<String>> {
        self.inner.check().await
    }

    async fn get_many(&self, paths: &[SecretPath]) -> Vec<Result<Secret>> {
        let answers = self.answer_many(paths, Look::Kept).await;
        answers.into_iter().map(|answer| answer.secret).collect()
    }

    fn versioning(&self) -> Option<&dyn Versioning> {
        self.inner.versioning().map(|_| self as &dyn Versioning)
    }

    /// Only the store's own: who remembers under a counter alone would outlive `ttl`. What an answer
    /// hangs on is in [`Answer::standing`](crate::Answer::standing).
    fn change_cell(&self, path: &SecretPath) -> Option<ChangeCell> {
        self.inner.change_cell(path)
    }

    /// For caches further out; this one listens itself.
    fn notices(&self, on_notice: OnNotice) -> Option<Notices> {
        self.inner.notices(on_notice)
    }

    fn mark(&self) -> Result<Option<StoreMark>> {
        self.inner.mark()
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Versioning for Cached {
    async fn undelete(&self, path: &SecretPath, version: Option<u64>) -> Result<Change> {
        let inner = self.inner.require_versioning("undelete")?;
        self.change(path, inner.undelete(path, version)).await
    }

    async fn destroy(&self, path: &SecretPath, version: u64) -> Result<Change> {
        let inner = self.inner.require_versioning("destroy")?;
        self.change(path, inner.destroy(path, version)).await
    }

    async fn set_metadata(&self, path: &SecretPath, metadata: &Metadata) -> Result<Change> {
        let inner = self.inner.require_versioning("set metadata")?;
        self.change(path, inner.set_metadata(path, metadata)).await
    }
}
