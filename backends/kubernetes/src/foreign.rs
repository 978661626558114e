//! Secrets that other tools wrote, read-only: a reference is `name/key`.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::StreamExt;
use kube::core::params::ListParams;
use strongroom_backend::{Description, Error, ListPage, Secret, SecretPath, SecretValue};
use strongroom_backend_remote::{Names, limits};

use crate::client::Api;
use crate::error::{Fault, Refusal, Result};
use crate::naming;
use crate::object::SecretObject;
use crate::own::First;
use crate::watch::Asked;

/// How many requests of one call are under way at once.
const AT_ONCE: usize = 8;
/// Objects on a page. The names of keys come with their values only: this many of the largest
/// Secrets still fit into a reply.
const PAGE: u32 = 10;
/// How often a listing begins again when the server has forgotten its place.
const RESTARTS: usize = 3;

pub(crate) struct Foreign {
    pub(crate) api: Arc<Api>,
    pub(crate) names: Arc<Names>,
    /// For a watch, where there may be one.
    pub(crate) asked: Option<Arc<Asked>>,
}

impl Foreign {
    pub(crate) async fn get(&self, path: &SecretPath) -> Result<Secret> {
        let (name, key) = self.place(path)?;
        let object = self.api.get(&name).await?;
        let mut values = object
            .map(|mut object| object.take_values())
            .unwrap_or_default();
        values
            .remove(&key)
            .map(secret)
            .ok_or_else(|| missing(&name, &key))
    }

    /// Each Secret is read once, however many of its keys are asked for.
    pub(crate) async fn get_many(&self, paths: &[SecretPath]) -> Vec<Result<Secret>> {
        let places: Vec<_> = paths.iter().map(|path| self.place(path)).collect();
        let names: std::collections::BTreeSet<String> = places
            .iter()
            .flatten()
            .map(|(name, _)| name.clone())
            .collect();
        let read = |name: String| async move {
            let object = self.api.get(&name).await;
            let shared = |value| Arc::new(value);
            let values = object.map(|object| {
                let values = object
                    .map(|mut object| object.take_values())
                    .unwrap_or_default();
                let values = values.into_iter().map(|(key, value)| (key, shared(value)));
                values.collect::<BTreeMap<String, Arc<SecretValue>>>()
            });
            (name, values)
        };
        let read: BTreeMap<_, _> = futures::stream::iter(names)
            .map(read)
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        let answer = |place: Result<(String, String)>| {
            let (name, key) = place?;
            match read.get(&name) {
                Some(Ok(values)) => match values.get(&key) {
                    Some(value) => Ok(Secret {
                        value: Arc::clone(value),
                        version: 0,
                        expires: None,
                    }),
                    None => Err(missing(&name, &key)),
                },
                Some(Err(error)) => Err(crate::own::copy_of(error)),
                None => Err(missing(&name, &key)),
            }
        };
        places.into_iter().map(answer).collect()
    }

    pub(crate) async fn describe(&self, path: &SecretPath) -> Result<Description> {
        let (name, key) = self.place(path)?;
        let object = self.api.get(&name).await?;
        let mut object = object.ok_or_else(|| missing(&name, &key))?;
        if !object.take_values().contains_key(&key) {
            return Err(missing(&name, &key));
        }
        let (created, updated) = object.metadata.times();
        Ok(Description {
            version: None,
            created,
            updated,
            expires: None,
            rotates: None,
            kind: None,
            description: None,
            labels: Vec::new(),
        })
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
            limit: Some(PAGE),
            ..ListParams::default()
        };
        let mut first = First::new(limit);
        for _ in 0..limits::PAGES {
            let mut page = self.api.page(&params).await?;
            for object in page.items() {
                first.extend(self.listed(object).into_iter().filter(|path| {
                    path.as_str().starts_with(prefix) && after.is_none_or(|a| path.as_str() > a)
                }));
            }
            params.continue_token = page.metadata.next.filter(|next| !next.is_empty());
            if params.continue_token.is_none() {
                return Ok(first.page());
            }
        }
        Err(Fault::Reply("a list of Secrets that does not end"))
    }

    /// The secrets in an object: its keys, but those that no path names.
    fn listed(&self, mut object: SecretObject) -> Vec<SecretPath> {
        let name = std::mem::take(&mut object.metadata.name);
        let keys = object.take_values().into_keys();
        keys.filter_map(|key| self.names.path(&format!("{name}/{key}"), None))
            .collect()
    }

    /// The Secret and the key in it.
    fn place(&self, path: &SecretPath) -> Result<(String, String)> {
        if self.names.is_encoded(path) {
            return Err(Fault::Missing(
                "with `layout = \"foreign\"` a path is '<name of a Secret>/<key>'; `names` maps \
                 others"
                    .into(),
            ));
        }
        let name = self.names.name(path);
        let name = name.map_err(|error| Fault::InvalidArgument(error.to_string()))?;
        match naming::split(&name) {
            Some((name, key)) => {
                if let Some(asked) = &self.asked {
                    asked.note(name, path);
                }
                Ok((name.to_owned(), key.to_owned()))
            }
            None => Err(Error::not_found().into()),
        }
    }
}

fn secret(value: SecretValue) -> Secret {
    Secret {
        value: Arc::new(value),
        version: 0,
        expires: None,
    }
}

fn missing(name: &str, key: &str) -> Fault {
    Fault::Missing(format!("there is no Secret '{name}' with a key '{key}'"))
}
