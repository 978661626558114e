//! KV version 2: versions, compare-and-set, soft delete and metadata.

use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use strongroom_backend::{
    Description, Error, Metadata, PutOptions, SecretPath, SecretValue, VersionInfo, Which,
};

use crate::client::{Request, now};
use crate::custom::{self, Changes};
use crate::document::{self, Document};
use crate::error::{Fault, Result};
use crate::place::Place;
use crate::record::{Record, millis};
use crate::session::Session;
use crate::text::Writer;
use crate::walk::{Range, Walk};

/// How many requests of one call are under way at once.
pub(crate) const PARALLEL: usize = 8;
/// How often a change is tried that others get in the way of.
pub(crate) const TRIES: usize = 8;
/// How many versions, the newest first, are asked for their author and expiry.
const MOST_ASKED: usize = 128;
/// How many secrets one listing looks at before it gives up: deleted ones fill no page.
const MOST_LOOKED_AT: usize = 50_000;

const READ: &str = "read secrets (`read` on the engine's data/)";
const WRITE: &str = "write secrets (`create` and `update` on the engine's data/)";
const READ_METADATA: &str = "read metadata (`read` on the engine's metadata/)";
const WRITE_METADATA: &str = "change metadata (`patch` on the engine's metadata/)";

pub(crate) struct V2<'s> {
    pub(crate) session: &'s Arc<Session>,
    pub(crate) place: &'s Place,
}

/// One version with its number.
pub(crate) struct Numbered {
    pub(crate) version: u64,
    pub(crate) document: Document,
}

#[derive(Deserialize)]
struct Data<'b> {
    #[serde(borrow)]
    data: &'b RawValue,
    metadata: Meta,
}

#[derive(Deserialize)]
struct Meta {
    version: u64,
    #[serde(default)]
    deletion_time: String,
    #[serde(default)]
    destroyed: bool,
}

#[derive(Deserialize)]
struct Written {
    version: u64,
}

impl V2<'_> {
    /// One request.
    pub(crate) async fn get(&self, path: &SecretPath, which: Which) -> Result<Numbered> {
        let found = self.read(path, which).await?;
        match found.document.expires {
            Some(at) if at <= now() => Err(Fault::Missing),
            _ => Ok(found),
        }
    }

    async fn read(&self, path: &SecretPath, which: Which) -> Result<Numbered> {
        let mut url = self.place.secret("data", &self.place.name(path)?)?;
        if let Which::Version(number) = which {
            url.set_query(Some(&format!("version={}", asked_for(number)?)));
        }
        let reply = self.session.call(&Request::get(url, READ)).await?;
        let data: Data<'_> = reply.data()?;
        if data.metadata.destroyed || data.data.get() == "null" {
            return Err(Fault::Missing);
        }
        if let Which::Version(number) = which
            && number != data.metadata.version
        {
            return Err(Fault::Reply(
                "another version was answered than was asked for",
            ));
        }
        let mut document = document::read(data.data)?;
        // An engine can be told to delete each version after a time.
        if !data.metadata.deletion_time.is_empty() {
            let ends = millis(&data.metadata.deletion_time)?;
            document.expires = Some(document.expires.map_or(ends, |at| at.min(ends)));
        }
        Ok(Numbered {
            version: data.metadata.version,
            document,
        })
    }

    pub(crate) async fn put(
        &self,
        path: &SecretPath,
        value: &SecretValue,
        options: &PutOptions,
    ) -> Result<u64> {
        let changes_metadata = options.metadata != Metadata::default();
        // The engine compares numbers, and takes the number of a deleted version for current: that
        // it is not deleted must be seen before. To create, the engine is asked first.
        let looks = changes_metadata || options.expected.is_some_and(|number| number > 0);
        let mut known = if looks {
            Some(self.find(path).await?)
        } else {
            None
        };
        if let Some(record) = &known {
            let custom = record.as_ref().map(|record| &record.custom);
            custom::changes(custom.unwrap_or(&custom::Custom::new()), &options.metadata)?;
        }
        let mut required = false;
        for _ in 0..TRIES {
            let newest = || known.iter().flatten().next().map_or(0, Record::newest);
            let cas = match options.expected {
                None => required.then(newest),
                Some(expected) => {
                    if let Some(record) = &known {
                        let current = record.as_ref().and_then(Record::current).unwrap_or(0);
                        if current != expected {
                            return Err(Error::conflict(current).into());
                        }
                    }
                    Some(newest())
                }
            };
            match self.write(path, value, options, cas).await {
                Ok(version) => {
                    if changes_metadata {
                        self.describe_as(path, &options.metadata)
                            .await
                            .map_err(half_done)?;
                    }
                    return Ok(version);
                }
                Err(Fault::CasMismatch) => known = Some(self.find(path).await?),
                Err(Fault::CasRequired) if !required => {
                    required = true;
                    known = Some(self.find(path).await?);
                }
                Err(fault) => return Err(fault),
            }
        }
        Err(Fault::Busy)
    }

    async fn write(
        &self,
        path: &SecretPath,
        value: &SecretValue,
        options: &PutOptions,
        cas: Option<u64>,
    ) -> Result<u64> {
        let mut writer = Writer::with_room(document::room(value, options) + 64);
        writer.raw("{");
        if let Some(cas) = cas {
            writer.raw(&format!("\"options\":{{\"cas\":{cas}}},"));
        }
        writer.raw("\"data\":");
        document::write(&mut writer, value, options);
        writer.raw("}");
        let url = self.place.secret("data", &self.place.name(path)?)?;
        let reply = self
            .session
            .call(&Request::post(url, writer.finish(), WRITE))
            .await?;
        Ok(reply.data::<Written>()?.version)
    }

    pub(crate) async fn describe(&self, path: &SecretPath) -> Result<Description> {
        let mut told = self.record(path).await?.describe();
        if let Some(version) = told.version {
            let read = self.read(path, Which::Version(version)).await;
            told.expires = match read {
                Ok(read) => read.document.expires,
                // Deleted a moment ago.
                Err(Fault::Missing) => told.expires,
                Err(fault) => return Err(fault),
            };
        }
        Ok(told)
    }

    pub(crate) async fn versions(&self, path: &SecretPath) -> Result<Vec<VersionInfo>> {
        let record = self.record(path).await?;
        let mut versions = record.versions();
        let live = record.live().into_iter().rev().take(MOST_ASKED);
        let mut read = stream::iter(live.collect::<Vec<_>>())
            .map(|number| async move { (number, self.read(path, Which::Version(number)).await) })
            .buffer_unordered(PARALLEL);
        while let Some((number, read)) = read.next().await {
            let document = match read {
                Ok(read) => read.document,
                Err(Fault::Missing) => continue,
                Err(fault) => return Err(fault),
            };
            if let Some(version) = versions.iter_mut().find(|v| v.version == number) {
                version.expires = document.expires;
                version.author = document.author;
            }
        }
        Ok(versions)
    }

    pub(crate) async fn set_metadata(&self, path: &SecretPath, metadata: &Metadata) -> Result<u64> {
        let record = self.describe_as(path, metadata).await?;
        Ok(record.current().unwrap_or(0))
    }

    /// The names in `range` whose secrets have a current version; one request for each name.
    pub(crate) async fn list(&self, range: Range<'_>, most: usize) -> Result<Vec<SecretPath>> {
        let mut walk = Walk::new(self.session, self.place, "metadata", range);
        let (mut paths, mut looked_at) = (Vec::new(), 0);
        while paths.len() < most {
            let mut batch = Vec::with_capacity(PARALLEL);
            while batch.len() < PARALLEL.min(most - paths.len())
                && let Some((path, _)) = walk.next().await?
            {
                batch.push(path);
            }
            if batch.is_empty() {
                break;
            }
            looked_at += batch.len();
            if looked_at > MOST_LOOKED_AT {
                return Err(Fault::Limit(
                    "too many deleted secrets lie between the names of this listing: list below a \
                     prefix, or remove the metadata of secrets that nobody will take back",
                ));
            }
            let mut found = stream::iter(batch)
                .map(|path| async move { (self.find(&path).await, path) })
                .buffered(PARALLEL);
            while let Some((record, path)) = found.next().await {
                if record?.is_some_and(|record| record.current().is_some()) {
                    paths.push(path);
                }
            }
        }
        Ok(paths)
    }

    async fn describe_as(&self, path: &SecretPath, metadata: &Metadata) -> Result<Record> {
        for _ in 0..TRIES {
            let record = self.record(path).await?;
            let changes = custom::changes(&record.custom, metadata)?;
            match self.patch(path, &record, &changes).await {
                Err(Fault::MetadataCas) => {}
                other => return other.map(|()| record),
            }
        }
        Err(Fault::Busy)
    }

    /// Changes custom metadata; compared with the record where the server can.
    pub(crate) async fn patch(
        &self,
        path: &SecretPath,
        record: &Record,
        changes: &Changes,
    ) -> Result<()> {
        if changes.is_empty() {
            return Ok(());
        }
        let mut body = json!({ "custom_metadata": changes });
        if let (Some(revision), Some(fields)) = (record.revision, body.as_object_mut()) {
            fields.insert("metadata_cas".to_owned(), revision.into());
        }
        let url = self.place.secret("metadata", &self.place.name(path)?)?;
        let request = Request::merge(url, Bytes::from(body.to_string()), WRITE_METADATA);
        self.session.call(&request).await.map(drop)
    }

    async fn find(&self, path: &SecretPath) -> Result<Option<Record>> {
        match self.record(path).await {
            Ok(record) => Ok(Some(record)),
            Err(Fault::Missing) => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    pub(crate) async fn record(&self, path: &SecretPath) -> Result<Record> {
        let url = self.place.secret("metadata", &self.place.name(path)?)?;
        Record::read(&self.session.call(&Request::get(url, READ_METADATA)).await?)
    }
}

/// A number that the engine can have. It takes 0 for the current version, and answers an error
/// where a number does not fit its own.
fn asked_for(number: u64) -> Result<u64> {
    match number {
        0 => Err(Fault::Missing),
        number if i64::try_from(number).is_err() => Err(Fault::Missing),
        number => Ok(number),
    }
}

fn half_done(fault: Fault) -> Fault {
    let error = Error::from(fault);
    let text = format!("the value was written, its kind, description or labels were not: {error}");
    Fault::Answer(error.retold(text))
}
