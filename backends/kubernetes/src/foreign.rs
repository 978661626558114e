//! Secrets that other tools wrote, read-only: a reference is `name/key`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::StreamExt;
use kube::core::params::ListParams;
use strongroom_backend::{Description, Error, ListPage, Secret, SecretPath, SecretValue};
use strongroom_backend_remote::{Names, limits};

use crate::client::Api;
use crate::error::{Fault, Result};
use crate::list::{self, First, Wanted};
use crate::naming;
use crate::object::SecretObject;
use crate::watch::Asked;

/// How many requests of one call are under way at once.
const AT_ONCE: usize = 8;
/// Objects on a page. The names of keys come with their values only: this many of the largest
/// Secrets still fit into a reply.
const PAGE: u32 = 10;

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
        let names: BTreeSet<String> = places
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

    pub(crate) async fn list(&self, wanted: &Wanted<'_>) -> Result<ListPage> {
        list::again(|| self.list_once(wanted)).await
    }

    async fn list_once(&self, wanted: &Wanted<'_>) -> Result<ListPage> {
        let mut params = ListParams {
            limit: Some(PAGE),
            ..ListParams::default()
        };
        let mut first = First::new(wanted);
        for _ in 0..limits::PAGES {
            let mut page = self.api.page(&params).await?;
            for object in page.items() {
                first.extend(self.listed(object));
            }
            if !list::follows(&mut params, page.metadata) {
                return Ok(first.page());
            }
        }
        Err(list::ENDLESS)
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
