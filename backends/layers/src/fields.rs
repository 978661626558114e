//! Names that stand for one field of a JSON secret.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use strongroom_backend::{
    Backend, Capabilities, Change, ChangeCell, Description, Error, ErrorKind, ListPage, Metadata,
    Notices, OnNotice, PutOptions, Result, Secret, SecretPath, SecretValue, StoreMark, VersionInfo,
    Versioning, Which, json,
};

use crate::{Answer, Counters, Look, Origin, Store};

/// Serves names of its own beside those of a store: each is one field of a secret there that is a JSON
/// object.
///
/// A bound name hides a secret of the same name, has the versions and times of the secret that it is
/// of and nothing else of it, and is only read. A field that is not there is not found, and its name
/// has no current version; a value that is no JSON object is a failure.
pub struct Fields {
    inner: Arc<dyn Store>,
    bound: BTreeMap<SecretPath, FieldOf>,
}

/// What a bound name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldOf {
    /// The secret; not itself a bound name.
    pub of: SecretPath,
    /// The name of the field.
    pub field: Arc<str>,
}

impl Fields {
    /// Adds the names of `bound` to those of `inner`.
    pub fn new(inner: Arc<dyn Store>, bound: BTreeMap<SecretPath, FieldOf>) -> Self {
        Self { inner, bound }
    }

    fn can(&self) -> &dyn Backend {
        self.inner.backend()
    }

    /// Where a name leads in the store.
    fn place<'p>(&'p self, path: &'p SecretPath) -> &'p SecretPath {
        self.bound.get(path).map_or(path, |bound| &bound.of)
    }

    fn writable(&self, path: &SecretPath) -> Result<&dyn Backend> {
        if self.bound.contains_key(path) {
            let text = "write: this name is bound to a field of another secret, and only read";
            return Err(Error::unsupported(text));
        }
        Ok(self.can())
    }

    fn versioned(&self, path: &SecretPath, ability: &'static str) -> Result<&dyn Versioning> {
        self.writable(path)?.require_versioning(ability)
    }

    /// The field, where `path` is bound to one.
    fn part(&self, path: &SecretPath, mut answer: Answer) -> Answer {
        if let Some(bound) = self.bound.get(path) {
            answer.secret = answer.secret.and_then(|secret| bound.part(secret));
        }
        answer
    }

    /// The bound names with this beginning, after one name and up to another.
    fn names(
        &self,
        prefix: &str,
        after: Option<&str>,
        end: Option<&str>,
    ) -> Vec<(&SecretPath, &FieldOf)> {
        let fits = |name: &str| {
            name.starts_with(prefix)
                && after.is_none_or(|after| name > after)
                && end.is_none_or(|end| name <= end)
        };
        let all = self.bound.iter();
        all.filter(|(name, _)| fits(name.as_str())).collect()
    }

    /// Which of these bound names have a secret to be of.
    async fn there(&self, names: Vec<(&SecretPath, &FieldOf)>) -> Result<Vec<SecretPath>> {
        let mut known: BTreeMap<&SecretPath, bool> = BTreeMap::new();
        let mut there = Vec::new();
        for (name, bound) in names {
            let has = match known.get(&bound.of) {
                Some(has) => *has,
                None => {
                    let page = self.can().list(bound.of.as_str(), None, 1).await?;
                    page.paths.first() == Some(&bound.of)
                }
            };
            known.insert(&bound.of, has);
            if has {
                there.push(name.clone());
            }
        }
        Ok(there)
    }
}

impl FieldOf {
    /// The versions and times of the secret, and nothing else that is known of it. No version is
    /// current where its value lacks the field: nothing can be got then.
    ///
    /// # Errors
    ///
    /// As of describing and of reading the secret; where it is no JSON object.
    pub async fn describe(&self, store: &dyn Store) -> Result<Description> {
        let described = store.backend().describe(&self.of).await?;
        let version = match described.version {
            Some(version) if self.is_in(store, version).await? => Some(version),
            _ => None,
        };
        Ok(Description {
            version,
            kind: None,
            description: None,
            labels: Vec::new(),
            ..described
        })
    }

    /// Whether the value that is current, described as this version, has the field.
    async fn is_in(&self, store: &dyn Store, version: u64) -> Result<bool> {
        let mut answer = store.answer(&self.of, Which::Current, Look::Kept).await;
        let other = match &answer.secret {
            Ok(secret) => secret.version != version,
            Err(error) => error.kind() == ErrorKind::NotFound,
        };
        if other && answer.origin != Origin::Fresh {
            answer = store.answer(&self.of, Which::Current, Look::Anew).await;
        }
        match answer.secret.and_then(|secret| self.part(secret)) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn part(&self, secret: Secret) -> Result<Secret> {
        let value = json::field(secret.value.expose(), &self.field)
            .map_err(|error| self.failed(error.into()))?;
        Ok(Secret {
            value: Arc::new(value),
            ..secret
        })
    }

    fn failed(&self, error: Error) -> Error {
        let text = format!("field '{}' of {}: {error}", self.field, self.of);
        Error::new(error.kind(), text).with_source(error)
    }
}

#[async_trait]
impl Store for Fields {
    fn backend(&self) -> &dyn Backend {
        self
    }

    async fn answer(&self, path: &SecretPath, which: Which, look: Look) -> Answer {
        let answer = self.inner.answer(self.place(path), which, look).await;
        self.part(path, answer)
    }

    async fn answer_many(&self, paths: &[SecretPath], look: Look) -> Vec<Answer> {
        // Several fields of one secret are one question.
        let places: BTreeSet<&SecretPath> = paths.iter().map(|path| self.place(path)).collect();
        let asked: Vec<SecretPath> = places.iter().map(|path| (*path).clone()).collect();
        let answers = self.inner.answer_many(&asked, look).await;
        let answers: BTreeMap<&SecretPath, Answer> = places.into_iter().zip(answers).collect();
        let answer = |path: &SecretPath| match answers.get(self.place(path)) {
            Some(answer) => self.part(path, answer.again()),
            None => Answer::short(),
        };
        paths.iter().map(answer).collect()
    }

    async fn rollback(&self, path: &SecretPath, to: u64, author: Option<String>) -> Result<Change> {
        self.writable(path)?;
        self.inner.rollback(path, to, author).await
    }

    fn counters(&self, path: &SecretPath) -> Counters {
        self.inner.counters(self.place(path))
    }

    fn sweep(&self) {
        self.inner.sweep();
    }

    fn clear(&self) {
        self.inner.clear();
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Backend for Fields {
    fn capabilities(&self) -> &Capabilities {
        self.can().capabilities()
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
        self.writable(path)?.put(path, value, options).await
    }

    async fn describe(&self, path: &SecretPath) -> Result<Description> {
        match self.bound.get(path) {
            Some(bound) => bound.describe(&*self.inner).await,
            None => self.can().describe(path).await,
        }
    }

    async fn delete(&self, path: &SecretPath, version: Option<u64>) -> Result<Change> {
        self.writable(path)?.delete(path, version).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<ListPage> {
        let mut after = after.map(str::to_owned);
        loop {
            let page = self.can().list(prefix, after.as_deref(), limit).await?;
            let last = page.paths.last().map(|path| path.as_str().to_owned());
            // What the page is known to be whole up to.
            let end = last.as_deref().filter(|_| page.more);
            let names = self.names(prefix, after.as_deref(), end);
            let mut paths: BTreeSet<SecretPath> = page.paths.into_iter().collect();
            // A secret of the store under a bound name is hidden, also where the name leads nowhere.
            paths.retain(|path| !self.bound.contains_key(path));
            paths.extend(self.there(names).await?);
            // An empty page could not be gone on from.
            if paths.is_empty() && page.more && last.is_some() && last != after {
                after = last;
                continue;
            }
            return Ok(ListPage {
                more: page.more || paths.len() > limit,
                paths: paths.into_iter().take(limit).collect(),
            });
        }
    }

    async fn versions(&self, path: &SecretPath) -> Result<Vec<VersionInfo>> {
        self.can().versions(self.place(path)).await
    }

    async fn check(&self) -> Result<Vec<String>> {
        self.can().check().await
    }

    async fn get_many(&self, paths: &[SecretPath]) -> Vec<Result<Secret>> {
        let answers = self.answer_many(paths, Look::Kept).await;
        answers.into_iter().map(|answer| answer.secret).collect()
    }

    fn versioning(&self) -> Option<&dyn Versioning> {
        self.can().versioning().map(|_| self as &dyn Versioning)
    }

    fn change_cell(&self, path: &SecretPath) -> Option<ChangeCell> {
        self.can().change_cell(self.place(path))
    }

    /// None: the caches are below.
    fn notices(&self, _: OnNotice) -> Option<Notices> {
        None
    }

    fn mark(&self) -> Result<Option<StoreMark>> {
        self.can().mark()
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Versioning for Fields {
    async fn undelete(&self, path: &SecretPath, version: Option<u64>) -> Result<Change> {
        let inner = self.versioned(path, "undelete")?;
        inner.undelete(path, version).await
    }

    async fn destroy(&self, path: &SecretPath, version: u64) -> Result<Change> {
        let inner = self.versioned(path, "destroy")?;
        inner.destroy(path, version).await
    }

    async fn set_metadata(&self, path: &SecretPath, metadata: &Metadata) -> Result<Change> {
        let inner = self.versioned(path, "set metadata")?;
        inner.set_metadata(path, metadata).await
    }
}
