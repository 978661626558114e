//! KV version 1: one document for each secret, nothing beside it.

use std::sync::Arc;

use serde_json::value::RawValue;
use strongroom_backend::{Description, PutOptions, SecretPath, SecretValue};

use crate::client::{Request, now};
use crate::document::{self, Document};
use crate::error::{Fault, Result};
use crate::place::Place;
use crate::session::Session;
use crate::text::Writer;
use crate::walk::{Range, Walk, keys};

const READ: &str = "read secrets (`read` on the engine's paths)";
const WRITE: &str = "write secrets (`create` and `update` on the engine's paths)";
const DELETE: &str = "delete secrets (`delete` on the engine's paths)";

pub(crate) struct V1<'s> {
    pub(crate) session: &'s Arc<Session>,
    pub(crate) place: &'s Place,
}

impl V1<'_> {
    pub(crate) async fn get(&self, path: &SecretPath) -> Result<Document> {
        let url = self.place.secret("", &self.place.name(path)?)?;
        let reply = self.session.call(&Request::get(url, READ)).await?;
        let document = document::read(reply.data::<&RawValue>()?)?;
        match document.expires {
            Some(at) if at <= now() => Err(Fault::Missing),
            _ => Ok(document),
        }
    }

    pub(crate) async fn put(
        &self,
        path: &SecretPath,
        value: &SecretValue,
        options: &PutOptions,
    ) -> Result<()> {
        let url = self.place.secret("", &self.place.name(path)?)?;
        let mut writer = Writer::with_room(document::room(value, options));
        document::write(&mut writer, value, options);
        self.session
            .call(&Request::post(url, writer.finish(), WRITE))
            .await?;
        Ok(())
    }

    /// The engine says yes to deleting what is not there, so it is read first.
    pub(crate) async fn delete(&self, path: &SecretPath) -> Result<()> {
        let url = self.place.secret("", &self.place.name(path)?)?;
        self.session.call(&Request::get(url.clone(), READ)).await?;
        self.session.call(&Request::delete(url, DELETE)).await?;
        Ok(())
    }

    /// The engine keeps no times: there is nothing to tell but that it is there, and its expiry.
    pub(crate) async fn describe(&self, path: &SecretPath) -> Result<Description> {
        let expires = self.get(path).await?.expires;
        Ok(Description {
            version: Some(0),
            created: 0,
            updated: 0,
            expires,
            rotates: None,
            kind: None,
            description: None,
            labels: Vec::new(),
        })
    }

    pub(crate) async fn list(&self, range: Range<'_>, most: usize) -> Result<Vec<SecretPath>> {
        let mut walk = Walk::new(self.session, self.place, "", range);
        let mut paths = Vec::new();
        while paths.len() < most
            && let Some((path, given)) = walk.next().await?
        {
            if !given || self.is_there(&path).await? {
                paths.push(path);
            }
        }
        Ok(paths)
    }

    /// Found out without reading the value.
    async fn is_there(&self, path: &SecretPath) -> Result<bool> {
        let name = self.place.name(path)?;
        let (folder, key) = name.rsplit_once('/').unwrap_or(("", &name));
        let keys = keys(self.session, self.place, "", folder).await?;
        Ok(keys.iter().any(|other| other == key))
    }
}
