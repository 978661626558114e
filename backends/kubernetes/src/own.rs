//! Our own Secrets: a Secret for each reference, with versions and metadata.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::StreamExt;
use kube::core::params::ListParams;
use strongroom_backend::{
    Change, Error, History, ListPage, PutOptions, Secret, SecretPath, SecretValue, Which,
};
use strongroom_backend_remote::{Names, limits};
use tokio::sync::Mutex;

use crate::client::Api;
use crate::error::{Fault, Refusal, Result};
use crate::naming;
use crate::object::{Body, Data, Draft, DraftMeta, MetaObject, OPAQUE, Patch, SecretObject};
use crate::record::{self, Changes, HISTORY, Held, REFERENCE};

/// How often a change is tried while others change the same Secret.
const TRIES: u32 = 20;
/// The longest pause before a further try, for each one that failed.
const PAUSE: Duration = Duration::from_millis(8);
/// The longest of these pauses.
const MAX_PAUSE: Duration = Duration::from_millis(200);
/// Changes of one Secret wait for each other here rather than race on the server. Two names may
/// share a place.
const PLACES: usize = 256;
/// From how many secrets on a list is asked for rather than each.
const LIST_FROM: usize = 4;
/// The most secrets in one such list: its selector is part of the address.
const LIST_MOST: usize = 100;
/// How many requests of one call are under way at once.
const AT_ONCE: usize = 8;
/// Objects on a page without their values.
const PAGE: u32 = 100;
/// How often a listing begins again when the server has forgotten its place.
const RESTARTS: usize = 3;

pub(crate) struct Own {
    pub(crate) api: Arc<Api>,
    pub(crate) names: Arc<Names>,
    keep: usize,
    create_namespace: bool,
    places: Vec<Mutex<()>>,
}

/// What became of an attempt to write.
enum Attempt {
    Done,
    /// The object is not the one that was read.
    Raced,
}

impl Own {
    pub(crate) fn new(
        api: Arc<Api>,
        names: Arc<Names>,
        keep: usize,
        create_namespace: bool,
    ) -> Self {
        Self {
            api,
            names,
            keep,
            create_namespace,
            places: (0..PLACES).map(|_| Mutex::new(())).collect(),
        }
    }

    pub(crate) fn creates_namespace(&self) -> bool {
        self.create_namespace
    }

    pub(crate) async fn get(&self, path: &SecretPath, which: Which) -> Result<Secret> {
        let object = self.api.get(&self.name(path)?).await?;
        read(object.ok_or_else(Error::not_found)?, path, which)
    }

    /// One list where it is allowed and its answer fits, else a request for each.
    pub(crate) async fn get_many(&self, paths: &[SecretPath]) -> Vec<Result<Secret>> {
        let wanted: BTreeSet<&SecretPath> = paths.iter().collect();
        let mut found = BTreeMap::new();
        let wanted: Vec<&SecretPath> = wanted.into_iter().collect();
        for some in wanted.chunks(LIST_MOST) {
            let listed = match some.len() >= LIST_FROM {
                true => self.get_listed(some).await,
                false => Ok(None),
            };
            match listed {
                Ok(Some(secrets)) => found.extend(secrets),
                Ok(None) => found.extend(self.get_each(some).await),
                Err(error) => {
                    let error = Arc::new(Error::from(error));
                    let failed = some
                        .iter()
                        .map(|path| ((*path).clone(), Err(shared(&error))));
                    found.extend(failed);
                }
            }
        }
        let answer = |path: &SecretPath| match found.get(path) {
            Some(Ok(secret)) => Ok(copy(secret)),
            Some(Err(error)) => Err(copy_of(error)),
            None => Err(Error::not_found().into()),
        };
        paths.iter().map(answer).collect()
    }

    async fn get_each(&self, paths: &[&SecretPath]) -> Vec<(SecretPath, Result<Secret>)> {
        let get = |path: SecretPath| async move {
            let secret = self.get(&path, Which::Current).await;
            (path, secret)
        };
        let paths: Vec<SecretPath> = paths.iter().map(|path| (*path).clone()).collect();
        futures::stream::iter(paths)
            .map(get)
            .buffer_unordered(AT_ONCE)
            .collect()
            .await
    }

    /// None where a list cannot answer: it is not allowed, or would be too long.
    async fn get_listed(
        &self,
        paths: &[&SecretPath],
    ) -> Result<Option<Vec<(SecretPath, Result<Secret>)>>> {
        let mut by_name = BTreeMap::new();
        let mut secrets = Vec::with_capacity(paths.len());
        for path in paths {
            match self.name(path) {
                Ok(name) => drop(by_name.insert(name, *path)),
                Err(error) => secrets.push(((*path).clone(), Err(error))),
            }
        }
        let params = ListParams {
            label_selector: Some(record::these(by_name.keys().map(String::as_str))),
            ..ListParams::default()
        };
        let mut page = match self.api.page(&params).await {
            Ok(page) => page,
            Err(Fault::ReplyTooLong(_)) => return Ok(None),
            Err(error) if error.is_status(403) => return Ok(None),
            Err(error) => return Err(error),
        };
        for object in page.items() {
            if let Some(path) = by_name.remove(&object.metadata.name) {
                secrets.push((path.clone(), read(object, path, Which::Current)));
            }
        }
        let complete = page.metadata.next.is_none_or(|next| next.is_empty());
        Ok(complete.then_some(secrets))
    }

    pub(crate) async fn history(&self, path: &SecretPath) -> Result<History> {
        let object = self.api.get_metadata(&self.name(path)?).await?;
        record::read(&object.ok_or_else(Error::not_found)?.metadata, path)
    }

    pub(crate) async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ListPage> {
        for _ in 0..RESTARTS {
            match self.list_once(prefix, after, limit).await {
                Err(error) if error.refusal().is_some_and(Refusal::is_expired) => {}
                listed => return listed,
            }
        }
        self.list_once(prefix, after, limit).await
    }

    async fn list_once(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<ListPage> {
        let mut params = ListParams {
            label_selector: Some(record::all_ours()),
            limit: Some(PAGE),
            ..ListParams::default()
        };
        let mut first = First::new(limit);
        for _ in 0..limits::PAGES {
            let mut page = self.api.page_metadata(&params).await?;
            for object in page.items() {
                let path = self.listed(&object).filter(|path| {
                    path.as_str().starts_with(prefix) && after.is_none_or(|a| path.as_str() > a)
                });
                first.extend(path);
            }
            params.continue_token = page.metadata.next.filter(|next| !next.is_empty());
            if params.continue_token.is_none() {
                return Ok(first.page());
            }
        }
        Err(Fault::Reply("a list of Secrets that does not end"))
    }

    /// The secret that an object is, where it has a current version.
    fn listed(&self, object: &MetaObject) -> Option<SecretPath> {
        let (reference, history) = record::ours(&object.metadata)?;
        let path = self.names.path(&object.metadata.name, Some(reference))?;
        let current = record::parse(history).is_some_and(|history| history.is_listed());
        (path.as_str() == reference && current).then_some(path)
    }

    pub(crate) async fn put(
        &self,
        path: &SecretPath,
        value: &SecretValue,
        options: &PutOptions,
    ) -> Result<Change> {
        if value.len() > record::MAX_OBJECT {
            return Err(Error::too_large(record::MAX_OBJECT as u64).into());
        }
        let edit = |history: &mut History| history.put(options, now());
        self.change(path, Some(value), edit).await
    }

    /// Changes the secret by `edit`, whose number is told. With a value, a missing secret is made.
    ///
    /// The server takes the change only for the object that was read: `edit` decides on what is
    /// true at that moment, or is asked again.
    pub(crate) async fn change(
        &self,
        path: &SecretPath,
        value: Option<&SecretValue>,
        edit: impl Fn(&mut History) -> strongroom_backend::Result<u64>,
    ) -> Result<Change> {
        let name = self.name(path)?;
        let _turn = self.place(&name).lock().await;
        for failed in 1..=TRIES {
            let held = match self.api.get(&name).await? {
                Some(object) => match Held::new(object, path) {
                    // For who reads there is nothing; for who writes there is something in the way.
                    Err(Fault::Missing(text)) if value.is_some() => {
                        return Err(Fault::Forbidden(text));
                    }
                    held => Some(held?),
                },
                None if value.is_none() => return Err(Error::not_found().into()),
                None => None,
            };
            let before = held
                .as_ref()
                .map(|held| held.history.clone())
                .unwrap_or_default();
            let mut after = before.clone();
            let version = edit(&mut after)?;
            if value.is_some() && before.versions().iter().any(|old| old.version >= version) {
                let text = format!("the history of the Secret '{name}' contradicts itself");
                return Err(Fault::Damaged(text));
            }
            let empty = BTreeMap::new();
            let values = held.as_ref().map_or(&empty, |held| &held.values);
            let new = value.map(|value| (version, value));
            let changes = record::rearrange(&before, &mut after, values, new, self.keep)?;
            let attempt = match &held {
                Some(held) => self.replace(&name, path, held, &after, &changes).await?,
                None => self.create(&name, path, &after, &changes).await?,
            };
            match attempt {
                Attempt::Done => {
                    return Ok(Change {
                        version,
                        counter: None,
                    });
                }
                Attempt::Raced => tokio::time::sleep(pause(failed)).await,
            }
        }
        Err(Fault::Raced(name))
    }

    async fn replace(
        &self,
        name: &str,
        path: &SecretPath,
        held: &Held,
        after: &History,
        changes: &Changes<'_>,
    ) -> Result<Attempt> {
        if held.immutable {
            return Err(Fault::Forbidden(format!(
                "the Secret '{name}' is `immutable`: nothing in it can be changed. Delete it with \
                 kubectl to write '{path}' anew"
            )));
        }
        let history = record::write(after)?;
        let patch = Patch {
            metadata: DraftMeta {
                resource_version: Some(&held.version),
                annotations: BTreeMap::from([(HISTORY, history.as_str())]),
                ..DraftMeta::default()
            },
            data: data(changes),
        };
        match self.api.patch(name, patch.bytes()?).await {
            Ok(()) => Ok(Attempt::Done),
            // Gone meanwhile: it is made anew, or not found.
            Err(error)
                if error
                    .refusal()
                    .is_some_and(|r| r.is_race() || r.status == 404) =>
            {
                Ok(Attempt::Raced)
            }
            Err(error) => Err(error),
        }
    }

    async fn create(
        &self,
        name: &str,
        path: &SecretPath,
        after: &History,
        changes: &Changes<'_>,
    ) -> Result<Attempt> {
        let (history, tag) = (record::write(after)?, naming::tag(name));
        let draft = Draft {
            api_version: "v1",
            kind: "Secret",
            metadata: DraftMeta {
                name: Some(name),
                labels: record::labels(&tag),
                annotations: BTreeMap::from([
                    (HISTORY, history.as_str()),
                    (REFERENCE, path.as_str()),
                ]),
                ..DraftMeta::default()
            },
            secret_type: OPAQUE,
            data: data(changes),
        };
        match self.api.create(draft.bytes()?).await {
            Ok(()) => Ok(Attempt::Done),
            Err(error) => match error.refusal() {
                Some(refusal) if refusal.is_race() => Ok(Attempt::Raced),
                Some(refusal) if refusal.lacks_namespace() && self.create_namespace => {
                    self.api.create_namespace().await?;
                    Ok(Attempt::Raced)
                }
                _ => Err(error),
            },
        }
    }

    fn name(&self, path: &SecretPath) -> Result<String> {
        self.names
            .name(path)
            .map_err(|error| Fault::InvalidArgument(error.to_string()))
    }

    fn place(&self, name: &str) -> &Mutex<()> {
        // Any hash will do: it never leaves the process.
        let index = name.bytes().fold(7usize, |hash, b| {
            hash.wrapping_mul(31).wrapping_add(usize::from(b))
        });
        #[expect(
            clippy::indexing_slicing,
            reason = "there are PLACES places, and the index is below that"
        )]
        &self.places[index % PLACES]
    }
}

fn read(object: SecretObject, path: &SecretPath, which: Which) -> Result<Secret> {
    let mut held = Held::new(object, path)?;
    let version = held.history.readable(which, now())?;
    let expires = held.history.times(version).and_then(|(_, expires)| expires);
    Ok(Secret {
        value: Arc::new(held.take(version)?),
        version,
        expires,
    })
}

fn data<'c>(changes: &'c Changes<'_>) -> Data<'c> {
    Data::new(changes.iter().map(|(key, value)| (key.as_str(), *value)))
}

/// The first of many paths in byte order, with no more in memory than are asked for.
pub(crate) struct First {
    limit: usize,
    paths: BTreeSet<SecretPath>,
}

impl First {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            paths: BTreeSet::new(),
        }
    }

    pub(crate) fn extend(&mut self, paths: impl IntoIterator<Item = SecretPath>) {
        for path in paths {
            self.paths.insert(path);
            if self.paths.len() > self.limit.saturating_add(1) {
                self.paths.pop_last();
            }
        }
    }

    pub(crate) fn page(self) -> ListPage {
        ListPage {
            more: self.paths.len() > self.limit,
            paths: self.paths.into_iter().take(self.limit).collect(),
        }
    }
}

/// The same answer for who asked twice.
pub(crate) fn copy(secret: &Secret) -> Secret {
    Secret {
        value: Arc::clone(&secret.value),
        version: secret.version,
        expires: secret.expires,
    }
}

/// The same failure for another of those who asked.
pub(crate) fn copy_of(fault: &Fault) -> Fault {
    let text = fault.to_string();
    Fault::Told(Error::new(fault.kind(), text))
}

fn shared(error: &Error) -> Fault {
    Fault::Told(Error::new(error.kind(), error.to_string()))
}

pub(crate) fn now() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Up to a time that grows with each failure, at random.
pub(crate) fn pause(failed: u32) -> Duration {
    let most = (PAUSE * failed).min(MAX_PAUSE);
    // Keyed anew each time: as good as a die for this.
    let die = RandomState::new().build_hasher().finish();
    most.mul_f64(f64::from(u32::try_from(die >> 32).unwrap_or(0)) / f64::from(u32::MAX))
}
