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
    async fn there(
        &self,
        names: Vec<(&SecretPath, &FieldOf)>,
        seen: &Seen<'_>,
    ) -> Result<Vec<SecretPath>> {
        let all = names.iter().map(|(_, bound)| &bound.of);
        let rest = all.filter(|of| !seen.covers(of)).collect();
        let listed = self.listed(rest).await?;
        let has = |of: &SecretPath| seen.paths.contains(of) || listed.contains(of);
        let there = names.into_iter().filter(|(_, bound)| has(&bound.of));
        Ok(there.map(|(name, _)| name.clone()).collect())
    }

    /// Which of these the store lists: one call for those that are near each other.
    async fn listed<'p>(
        &self,
        wanted: BTreeSet<&'p SecretPath>,
    ) -> Result<BTreeSet<&'p SecretPath>> {
        let (Some(first), Some(last)) = (wanted.first(), wanted.last()) else {
            return Ok(wanted);
        };
        let prefix = common(first.as_str(), last.as_str());
        let limit = if wanted.len() == 1 { 1 } else { NEAR };
        let page = self.can().list(prefix, None, limit).await?;
        let seen = Seen::of(prefix, None, page);
        let mut listed = BTreeSet::new();
        for of in wanted {
            let has = match seen.covers(of) {
                true => seen.paths.contains(of),
                false => {
                    let page = self.can().list(of.as_str(), None, 1).await?;
                    page.paths.first() == Some(of)
                }
            };
            if has {
                listed.insert(of);
            }
        }
        Ok(listed)
    }
}

/// How many names are listed at once to find several: the broker asks for as many.
const NEAR: usize = 256;

/// A page of a listing, as what it says of any name.
struct Seen<'p> {
    prefix: &'p str,
    after: Option<&'p str>,
    /// Up to which name it is whole; none: to the last of all.
    end: Option<String>,
    paths: BTreeSet<SecretPath>,
    more: bool,
}

impl<'p> Seen<'p> {
    fn of(prefix: &'p str, after: Option<&'p str>, page: ListPage) -> Self {
        let last = page.paths.last().map(|path| path.as_str().to_owned());
        Self {
            prefix,
            after,
            end: last.filter(|_| page.more),
            more: page.more,
            paths: page.paths.into_iter().collect(),
        }
    }

    /// Whether it would have this name.
    fn covers(&self, name: &SecretPath) -> bool {
        let name = name.as_str();
        // An empty page that says there is more says nothing.
        (self.end.is_some() || !self.more)
            && name.starts_with(self.prefix)
            && self.after.is_none_or(|after| name > after)
            && self.end.as_deref().is_none_or(|end| name <= end)
    }
}

/// The beginning that both have.
fn common<'t>(one: &'t str, other: &str) -> &'t str {
    let mut pairs = one.char_indices().zip(other.chars());
    let differ = pairs.find(|((_, a), b)| a != b);
    let end = differ.map_or_else(|| one.len().min(other.len()), |((at, _), _)| at);
    one.get(..end).unwrap_or_default()
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
            let seen = Seen::of(prefix, after.as_deref(), page);
            let names = self.names(prefix, after.as_deref(), seen.end.as_deref());
            let there = self.there(names, &seen).await?;
            let Seen {
                mut paths,
                end,
                more,
                ..
            } = seen;
            // A secret of the store under a bound name is hidden, also where the name leads nowhere.
            paths.retain(|path| !self.bound.contains_key(path));
            paths.extend(there);
            // An empty page could not be gone on from.
            if paths.is_empty() && end.is_some() && end != after {
                after = end;
                continue;
            }
            return Ok(ListPage {
                more: more || paths.len() > limit,
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
