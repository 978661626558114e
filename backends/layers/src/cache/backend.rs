//! The cache as a backend.

use async_trait::async_trait;
use strongroom_backend::{
    Backend, Capabilities, Change, ChangeCell, Description, Error, ErrorKind, ListPage, Metadata,
    PutOptions, Result, Secret, SecretPath, SecretValue, StoreMark, VersionInfo, Versioning, Which,
};

use super::shelf::key;
use super::{Cached, Origin, Stamp};

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Backend for Cached {
    fn capabilities(&self) -> &Capabilities {
        self.inner.capabilities()
    }

    async fn get(&self, path: &SecretPath, which: Which) -> Result<Secret> {
        self.answer(path, which).await.map(|answer| answer.secret)
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
        let mut answers = Vec::with_capacity(paths.len());
        let mut open = Vec::new();
        let epoch = {
            let mut state = self.state();
            for path in paths {
                let number = self.cell(path).load();
                let key = key(path, Which::Current);
                let found = self.look(&mut state, &key, number);
                if found.is_none() {
                    open.push((key, Stamp::now(number)));
                }
                answers.push(found.map(|answer| answer.map(|answer| answer.secret)));
            }
            state.epoch
        };
        let asked: Vec<SecretPath> = open.iter().map(|((path, _), _)| path.clone()).collect();
        let read = match asked.is_empty() {
            true => Vec::new(),
            false => self.inner.get_many(&asked).await,
        };
        let mut read = open.into_iter().zip(read).map(|((key, stamp), answer)| {
            match self.learn(&key, stamp, epoch, answer) {
                Ok(kept) => Ok(self.answered(&kept, Origin::Fresh).secret),
                Err(error) => self.bridge(&key, error).map(|answer| answer.secret),
            }
        });
        let short = || Error::new(ErrorKind::Failed, "the store answered fewer than was asked");
        answers
            .into_iter()
            .map(|found| found.unwrap_or_else(|| read.next().unwrap_or_else(|| Err(short()))))
            .collect()
    }

    fn versioning(&self) -> Option<&dyn Versioning> {
        self.inner.versioning().map(|_| self as &dyn Versioning)
    }

    /// Only the store's own: who remembers under a counter alone would outlive `ttl`. With
    /// [`Answer::good_until`](super::Answer::good_until), use [`Cached::cell`].
    fn change_cell(&self, path: &SecretPath) -> Option<ChangeCell> {
        self.inner.change_cell(path)
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
