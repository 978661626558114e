//! The end of versions in KV v2: soft delete, undelete and destroy.
//!
//! The engine deletes versions one by one and takes none of them back by itself. A delete of the whole
//! secret names all versions that can be read, and leaves a mark in the custom metadata of which
//! they were, so that an undelete of the whole secret takes back these and no others.

use std::collections::BTreeSet;

use bytes::Bytes;
use strongroom_backend::SecretPath;

use crate::client::Request;
use crate::custom::{self, Changes, DELETED};
use crate::error::{Fault, Result};
use crate::record::Record;
use crate::v2::{TRIES, V2};

const DELETE: &str = "delete versions (`update` on the engine's delete/)";
const UNDELETE: &str = "undelete versions (`update` on the engine's undelete/)";
const DESTROY: &str = "destroy versions (`update` on the engine's destroy/)";

impl V2<'_> {
    /// Deletes one version, or all that can be read. Numbers are named to the engine, so a version
    /// that somebody writes meanwhile stays.
    pub(crate) async fn delete(&self, path: &SecretPath, version: Option<u64>) -> Result<u64> {
        for _ in 0..TRIES {
            let record = self.record(path).await?;
            let live = record.live();
            let (numbers, mark) = match version {
                None => (live.clone(), self.mark_of(&record, &live)),
                Some(number) if record.is_live(number) => {
                    let mut rest = record.deleted_with_secret();
                    rest.remove(&number);
                    let mark = record.is_marked(number).then(|| record.mark(&rest));
                    (BTreeSet::from([number]), mark)
                }
                Some(_) => return Err(Fault::Missing),
            };
            let Some(newest) = numbers.last().copied() else {
                return Err(Fault::Missing);
            };
            // The mark first: without the delete it means nothing, as it only counts for versions
            // that are deleted. A delete without its mark could not be taken back as a whole.
            if let Some(mark) = mark {
                let changes = Changes::from([(DELETED.to_owned(), Some(mark))]);
                match self.patch(path, &record, &changes).await {
                    Err(Fault::MetadataCas) => continue,
                    other => other?,
                }
            }
            self.act("delete", path, numbers, DELETE).await?;
            return Ok(newest);
        }
        Err(Fault::Busy)
    }

    /// The mark that a delete of all of `live` needs: none where an undelete finds the one version
    /// without, or where no pair is left, as a delete must not fail for that.
    fn mark_of(&self, record: &Record, live: &BTreeSet<u64>) -> Option<String> {
        let mut together = record.deleted_with_secret();
        let alone = together.is_empty() && live.iter().eq([&record.newest()]);
        together.extend(live);
        let needed = !alone && !live.is_empty() && custom::has_room(&record.custom, DELETED);
        needed.then(|| record.mark(&together))
    }

    pub(crate) async fn undelete(&self, path: &SecretPath, version: Option<u64>) -> Result<u64> {
        let record = self.record(path).await?;
        let together = record.deleted_with_secret();
        let numbers = match version {
            Some(number) => BTreeSet::from([number]),
            None if together.is_empty() => BTreeSet::from([record.newest()]),
            None => together.clone(),
        };
        let Some(newest) = numbers.last().copied().filter(|n| record.is_deleted(*n)) else {
            return Err(Fault::Missing);
        };
        self.act("undelete", path, numbers.clone(), UNDELETE)
            .await?;
        let rest: BTreeSet<u64> = together.difference(&numbers).copied().collect();
        if rest != together {
            let mark = (!rest.is_empty()).then(|| record.mark(&rest));
            let changes = Changes::from([(DELETED.to_owned(), mark)]);
            // A mark that stays names versions that are not deleted, which counts for nothing.
            if let Err(fault) = self.patch(path, &record, &changes).await {
                tracing::debug!(cause = %fault, "a mark of deleted versions was left behind");
            }
        }
        Ok(newest)
    }

    pub(crate) async fn destroy(&self, path: &SecretPath, version: u64) -> Result<()> {
        if !self.record(path).await?.is_left(version) {
            return Err(Fault::Missing);
        }
        self.act("destroy", path, [version], DESTROY).await
    }

    async fn act(
        &self,
        action: &str,
        path: &SecretPath,
        versions: impl IntoIterator<Item = u64>,
        what: &'static str,
    ) -> Result<()> {
        let url = self.place.secret(action, &self.place.name(path)?)?;
        let request = Request::post(url, numbers(versions), what);
        self.session.call(&request).await.map(drop)
    }
}

/// `{"versions":[...]}`.
fn numbers(versions: impl IntoIterator<Item = u64>) -> Bytes {
    let list: Vec<_> = versions.into_iter().map(|n| n.to_string()).collect();
    Bytes::from(format!("{{\"versions\":[{}]}}", list.join(",")))
}
