//! Changes: each a sequence of calls after any of which an older value is still not current.

use futures::StreamExt;
use strongroom_backend::{Change, Metadata, PutOptions, SecretPath, SecretValue};

use crate::backend::Inner;
use crate::config::Deletion;
use crate::error::{Fault, Held, Result};
use crate::pause::Pause;
use crate::record::{Life, Record};
use crate::stored::Stored;
use crate::tags::Tags;
use crate::vault::{Deleted, New, NewAttributes, Version};

/// How many versions are changed at once: the service counts requests.
const AT_ONCE: usize = 8;

const STILL_BUSY: &str = "the vault is still busy with an earlier delete or recovery of this secret, which takes it up \
     to half a minute: try again, or raise `settle` and the deadline";

/// A change of one version.
struct Update {
    id: String,
    enabled: Option<bool>,
    tags: Tags,
}

impl Update {
    fn new(version: &Version, enabled: bool, tags: Tags) -> Self {
        Self {
            id: version.id.clone(),
            enabled: Some(enabled),
            tags,
        }
    }
}

impl Inner {
    /// Writes a new version. May be dropped at any await: before the write only what is deleted
    /// was recovered, and stays disabled.
    pub(crate) async fn put(
        &self,
        path: &SecretPath,
        value: &SecretValue,
        options: &PutOptions,
    ) -> Result<Change> {
        if options.expected.is_some() {
            return Err(Fault::Unsupported("Key Vault has no compare-and-set"));
        }
        let stored = Stored::of(value)?;
        // What is too much of its own needs no call to be refused.
        self.tags_of(path, None, options)?;
        let name = self.name(path)?;
        let _turn = self.turns.take(&name).await;
        let mut before = self.newest(&name).await?;
        let mut pause = Pause::new(self.settle);
        let mut rewritten = false;
        loop {
            if let Some(before) = &before {
                self.owned(path, &before.tags)?;
                self.pass(before.number).await;
            }
            let (tags, exp) = self.tags_of(path, before.as_ref(), options)?;
            let content_type = before.as_ref().and_then(|b| b.content_type.as_deref());
            let new = New {
                value: &stored.text,
                content_type: stored.content_type(content_type),
                tags: tags.as_map(),
                attributes: NewAttributes { enabled: true, exp },
            };
            match self.vault.set(&name, &new).await {
                Ok(version) => {
                    self.recent.remove(&name);
                    self.listing.forget();
                    let tied = before.as_ref().is_some_and(|b| b.number == version.number);
                    if !tied || rewritten {
                        return Ok(changed(version.number));
                    }
                    // Somebody else wrote in the same second. Written once more, the value has a
                    // number by which it can be read.
                    rewritten = true;
                    before = Some(version);
                }
                Err(Fault::Held(held)) => {
                    before = self.release(path, &name, held, &mut pause).await?;
                }
                Err(fault) => return Err(fault),
            }
        }
    }

    /// Waits until the second of a version is over: the next one then has a higher number.
    async fn pass(&self, second: u64) {
        tokio::time::sleep(self.vault.clock.until_past(second)).await;
    }

    /// The tags of a new version, and the seconds of its expiry.
    fn tags_of(
        &self,
        path: &SecretPath,
        before: Option<&Version>,
        options: &PutOptions,
    ) -> Result<(Tags, Option<u64>)> {
        let mut tags = before.map(|b| b.tags.carried()).unwrap_or_default();
        tags.set_path(self.names.is_encoded(path).then_some(path.as_str()));
        tags.set_author(options.author.as_deref());
        tags.set_metadata(&options.metadata);
        let exp = tags.set_expires(options.expires);
        tags.check()?;
        Ok((tags, exp))
    }

    /// The newest version; none where the secret is not there, or is deleted.
    async fn newest(&self, name: &str) -> Result<Option<Version>> {
        match self.vault.get(name, None).await {
            Ok(bundle) => Ok(Some(bundle.version)),
            Err(Fault::NotFound) => Ok(None),
            // Disabled, or we may write and list but not read: a listing tells as much.
            Err(Fault::Disabled | Fault::Service { status: 403, .. }) => {
                let record = Record::new(self.vault.versions(name).await?);
                Ok(record.map(|record| record.newest().clone()))
            }
            Err(fault) => Err(fault),
        }
    }

    /// Makes the name of a deleted secret free for a write: recovers it with all of its versions
    /// disabled. Refuses where the newest is not: it would be current until the write. None where
    /// there is nothing to recover: only a write tells a purge that is over from one under way.
    async fn release(
        &self,
        path: &SecretPath,
        name: &str,
        mut held: Held,
        pause: &mut Pause,
    ) -> Result<Option<Version>> {
        while pause.wait().await {
            match self.vault.deleted(name).await {
                Ok(deleted) => {
                    self.owned(path, &deleted.newest.tags)?;
                    if deleted.newest.enabled {
                        return Err(Fault::DeletedElsewhere);
                    }
                    self.recover(name).await?;
                    held = Held::BeingRecovered;
                }
                Err(Fault::NotFound) => {}
                Err(fault) => return Err(fault),
            }
            let Some(record) = Record::new(self.vault.versions(name).await?) else {
                if held != Held::BeingRecovered {
                    return Ok(None);
                }
                continue;
            };
            if record.current().is_none() {
                let left = record.versions().filter(|v| v.enabled);
                let off = left.map(|v| Update::new(v, false, v.tags.clone()));
                self.update_all(name, off.collect()).await?;
            }
            return Ok(Some(record.newest().clone()));
        }
        Err(Fault::Busy(STILL_BUSY))
    }

    async fn recover(&self, name: &str) -> Result<()> {
        match self.vault.recover(name).await {
            Ok(()) | Err(Fault::Held(_) | Fault::NotFound) => Ok(()),
            Err(fault) => Err(fault),
        }
    }

    /// Changes several versions at once.
    async fn update_all(&self, name: &str, changes: Vec<Update>) -> Result<()> {
        let updates = changes.into_iter().map(|update| self.update(name, update));
        let mut updates = futures::stream::iter(updates).buffer_unordered(AT_ONCE);
        while let Some(done) = updates.next().await {
            done?;
        }
        Ok(())
    }

    async fn update(&self, name: &str, update: Update) -> Result<()> {
        let Update { id, enabled, tags } = update;
        self.vault.update(name, &id, enabled, &tags).await?;
        Ok(())
    }

    /// Deletes one version: disables it.
    pub(crate) async fn delete_version(&self, path: &SecretPath, number: u64) -> Result<Change> {
        if self.deletion == Deletion::Purge {
            return Err(Fault::Unsupported(
                "Key Vault cannot purge one version: delete the secret",
            ));
        }
        let name = self.name(path)?;
        let _turn = self.turns.take(&name).await;
        let record = self.record(path, &name).await?.ok_or(Fault::NotFound)?;
        let version = record.find(number)?;
        if !version.enabled {
            return Err(Fault::NotFound);
        }
        let mut tags = version.tags.clone();
        tags.unmark();
        self.vault
            .update(&name, &version.id, Some(false), &tags)
            .await?;
        self.listing.forget();
        Ok(changed(number))
    }

    /// Deletes the secret: disables every version, the newest first, and then deletes and, where
    /// the settings say so, purges it. Where this is broken off after the first call there is no
    /// current version any more, and a purge that is missing is made by the next delete.
    pub(crate) async fn delete_secret(&self, path: &SecretPath) -> Result<Change> {
        let name = self.name(path)?;
        let _turn = self.turns.take(&name).await;
        let purges = self.deletion == Deletion::Purge;
        let record = match self.record(path, &name).await? {
            Some(record) => record,
            None if purges => return Ok(changed(self.purge(path, &name).await?)),
            None => return Err(Fault::NotFound),
        };
        let newest = record.newest();
        let live: Vec<_> = record.versions().filter(|v| v.enabled).collect();
        let deleted = match live.first() {
            Some(version) => version.number,
            None if purges => newest.number,
            None => return Err(Fault::NotFound),
        };

        let mut tags = newest.tags.clone();
        if newest.enabled {
            tags.mark_deleted_with(&newest.id);
        }
        let older = record.versions().skip(1).map(|v| v.number);
        tags.note_older(newest.number, older);
        let off = newest.enabled.then_some(false);
        self.vault.update(&name, &newest.id, off, &tags).await?;
        self.listing.forget();
        let older = live.iter().filter(|v| v.id != newest.id).map(|v| {
            let mut tags = v.tags.clone();
            tags.mark_deleted_with(&newest.id);
            Update::new(v, false, tags)
        });
        self.update_all(&name, older.collect()).await?;

        let asks_service = match self.deletion {
            Deletion::Soft => newest.recoverable,
            Deletion::Disable => false,
            Deletion::Purge => true,
        };
        if !asks_service {
            return Ok(changed(deleted));
        }
        if !newest.recoverable {
            // This delete is for good, so that numbers are minded as before a purge.
            self.pass(newest.number).await;
        }
        match self.vault.delete(&name).await {
            Ok(()) | Err(Fault::NotFound | Fault::Held(_)) => {
                if newest.recoverable {
                    self.recent.add(&name);
                }
            }
            Err(fault) if fault.is_temporary() && purges => return Err(Fault::not_purged(fault)),
            // Nobody can read it any more, which is what was asked for.
            Err(fault) if fault.is_temporary() => {
                tracing::warn!(%fault, "a deleted secret stays in the vault, disabled");
            }
            Err(fault) => {
                self.enable(&name, &record, &live).await?;
                return Err(fault);
            }
        }
        if purges && newest.recoverable {
            let purge = self.purge(path, &name).await;
            purge.map_err(Fault::not_purged)?;
        }
        Ok(changed(deleted))
    }

    /// Purges a deleted secret, once the service is done with its delete, and returns the number of
    /// its newest version. Nothing tells how high numbers were after it, so their second is over
    /// before it. `NotFound` where no secret of this name is deleted.
    async fn purge(&self, path: &SecretPath, name: &str) -> Result<u64> {
        let mut pause = Pause::new(self.settle);
        let newest = self.deleted_within(path, name, &mut pause).await?.newest;
        if !newest.purgeable {
            return Err(Fault::not_purged(Fault::PurgeProtected));
        }
        self.pass(newest.number).await;
        loop {
            match self.vault.purge(name).await {
                Ok(()) => {
                    self.recent.remove(name);
                    return Ok(newest.number);
                }
                // It was shown as deleted and is not everywhere yet, or somebody recovers it.
                Err(Fault::Held(_) | Fault::NotFound) => {
                    if !pause.wait().await {
                        return Err(Fault::not_purged(Fault::Busy(STILL_BUSY)));
                    }
                    self.still_deleted(name, &newest).await?;
                }
                Err(fault) => return Err(Fault::not_purged(fault)),
            }
        }
    }

    /// Refuses where somebody recovered the secret meanwhile, and perhaps wrote and deleted it again.
    async fn still_deleted(&self, name: &str, newest: &Version) -> Result<()> {
        match self.vault.deleted(name).await {
            Ok(deleted) if deleted.newest.id == newest.id => Ok(()),
            Ok(_) => Err(Fault::Recovered),
            Err(Fault::NotFound) if self.vault.versions(name).await?.is_empty() => Ok(()),
            Err(Fault::NotFound) => Err(Fault::Recovered),
            Err(fault) => Err(Fault::not_purged(fault)),
        }
    }

    /// Takes back a delete of the secret, or of one version.
    pub(crate) async fn undelete(&self, path: &SecretPath, number: Option<u64>) -> Result<Change> {
        if self.deletion == Deletion::Purge {
            return Err(Fault::Unsupported(
                "with `delete = \"purge\"` no delete is taken back",
            ));
        }
        let name = self.name(path)?;
        let _turn = self.turns.take(&name).await;
        let record = match self.record(path, &name).await? {
            Some(record) => record,
            None => {
                let deleted = self.deleted(path, &name).await?;
                let elsewhere = deleted.newest.enabled;
                match number {
                    // It would bring back all that the other tool deleted.
                    Some(_) if elsewhere => return Err(Fault::DeletedElsewhere),
                    Some(number) if !may_have(&deleted, number) => return Err(Fault::NotFound),
                    _ => {}
                }
                let record = self.recovered(path, &name).await?;
                if elsewhere {
                    self.listing.forget();
                    return Ok(changed(record.newest().number));
                }
                record
            }
        };
        let newest = record.newest();
        let back: Vec<_> = match number {
            Some(number) => vec![record.find(number)?],
            None => {
                let deleted_with_it = |v: &&Version| record.life(v) == Life::DeletedWithSecret;
                let whole: Vec<_> = record.versions().filter(deleted_with_it).collect();
                if whole.is_empty() {
                    vec![newest]
                } else {
                    whole
                }
            }
        };
        let first = back.first().filter(|v| !v.enabled);
        let number = first.ok_or(Fault::NotFound)?.number;
        self.enable(&name, &record, &back).await?;
        self.listing.forget();
        Ok(changed(number))
    }

    /// Waits until a recovered secret is there.
    async fn recovered(&self, path: &SecretPath, name: &str) -> Result<Record> {
        self.recover(name).await?;
        self.recent.remove(name);
        let mut pause = Pause::new(self.settle);
        while pause.wait().await {
            if let Some(record) = self.record(path, name).await? {
                return Ok(record);
            }
        }
        Err(Fault::Busy(STILL_BUSY))
    }

    /// Enables versions, the newest of the secret last: with it the secret is back.
    async fn enable(&self, name: &str, record: &Record, versions: &[&Version]) -> Result<()> {
        let unmarked = |version: &Version| {
            let mut tags = version.tags.clone();
            tags.unmark();
            tags
        };
        let newest = record.newest();
        let (last, older): (Vec<_>, Vec<_>) =
            versions.iter().copied().partition(|v| v.id == newest.id);
        let on = older.into_iter().map(|v| Update::new(v, true, unmarked(v)));
        self.update_all(name, on.collect()).await?;
        if !last.is_empty() {
            let tags = unmarked(newest);
            self.vault
                .update(name, &newest.id, Some(true), &tags)
                .await?;
        }
        Ok(())
    }

    /// Changes the metadata, which stands with the newest version.
    pub(crate) async fn set_metadata(
        &self,
        path: &SecretPath,
        metadata: &Metadata,
    ) -> Result<Change> {
        let name = self.name(path)?;
        let _turn = self.turns.take(&name).await;
        let record = self.record(path, &name).await?.ok_or(Fault::NotFound)?;
        let newest = record.newest();
        let mut tags = newest.tags.clone();
        tags.set_metadata(metadata);
        tags.check()?;
        if tags != newest.tags {
            self.vault.update(&name, &newest.id, None, &tags).await?;
        }
        Ok(changed(record.current().unwrap_or(0)))
    }
}

/// Whether a deleted secret has a version of this number, as far as was noted when it was deleted.
fn may_have(deleted: &Deleted, number: u64) -> bool {
    let newest = &deleted.newest;
    newest.number == number || newest.tags.older(newest.number).contains(&number)
}

fn changed(version: u64) -> Change {
    Change {
        version,
        counter: None,
    }
}
