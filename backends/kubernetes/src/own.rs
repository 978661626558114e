//! Our own Secrets: a Secret for each reference, with versions and metadata.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use futures::StreamExt;
use kube::core::params::ListParams;
use strongroom_backend::{Error, History, ListPage, Secret, SecretPath, Which};
use strongroom_backend_remote::{Names, limits};

use crate::client::Api;
use crate::error::{Fault, Result};
use crate::list::{self, First, Wanted};
use crate::object::{MetaObject, SecretObject};
use crate::record::{self, Held};
use crate::write::Places;

/// From how many secrets on a list is asked for rather than each.
const LIST_FROM: usize = 4;
/// The most secrets in one such list: its selector is part of the address.
const LIST_MOST: usize = 100;
/// How many requests of one call are under way at once.
const AT_ONCE: usize = 8;
/// Objects on a page without their values.
const PAGE: u32 = 100;

pub(crate) struct Own {
    pub(crate) api: Arc<Api>,
    pub(crate) names: Arc<Names>,
    pub(crate) keep: usize,
    pub(crate) create_namespace: bool,
    pub(crate) places: Places,
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
            places: Places::new(),
        }
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

    pub(crate) async fn list(&self, wanted: &Wanted<'_>) -> Result<ListPage> {
        list::again(|| self.list_once(wanted)).await
    }

    async fn list_once(&self, wanted: &Wanted<'_>) -> Result<ListPage> {
        let mut params = ListParams {
            label_selector: Some(record::all_ours()),
            limit: Some(PAGE),
            ..ListParams::default()
        };
        let mut first = First::new(wanted);
        for _ in 0..limits::PAGES {
            let mut page = self.api.page_metadata(&params).await?;
            for object in page.items() {
                first.extend(self.listed(&object));
            }
            if !list::follows(&mut params, page.metadata) {
                return Ok(first.page());
            }
        }
        Err(list::ENDLESS)
    }

    /// The secret that an object is, where it has a current version.
    fn listed(&self, object: &MetaObject) -> Option<SecretPath> {
        let (reference, history) = record::ours(&object.metadata)?;
        let path = self.names.path(&object.metadata.name, Some(reference))?;
        let current = record::parse(history).is_some_and(|history| history.is_listed());
        (path.as_str() == reference && current).then_some(path)
    }

    pub(crate) fn name(&self, path: &SecretPath) -> Result<String> {
        self.names
            .name(path)
            .map_err(|error| Fault::InvalidArgument(error.to_string()))
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
