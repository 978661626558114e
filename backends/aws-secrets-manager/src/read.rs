//! Reading: the current value and the versions.

use std::sync::Arc;

use futures::future::join;
use strongroom_backend::{Error, Secret, SecretPath, VersionInfo, VersionState};

use crate::client::Read;
use crate::error::{Fault, Result, Why};
use crate::state::{CURRENT, PENDING, State};
use crate::store::SecretsManagerBackend;
use crate::version::{Id, Ids};

/// Numbers of other tools' versions are times in milliseconds: none is older than the service.
const EARLIEST_TIME: u64 = 1_500_000_000_000;

impl SecretsManagerBackend {
    /// The current value. One request, but for a name that does not tell its path: there the tag that
    /// does is read at the same time.
    pub(crate) async fn read_current(&self, path: &SecretPath) -> Result<Secret> {
        let name = self.name(path)?;
        let read = self.service.value(&name, None);
        if !self.names.is_encoded(path) {
            return current(&name, read.await?);
        }
        let (state, read) = join(self.service.state(&name), read).await;
        let state = state?.ok_or_else(Error::not_found)?;
        self.verify(path, &state)?;
        current(&name, read?)
    }

    /// The value of one version. The state of the secret is asked for at the same time: what was
    /// deleted before a later write is still there for the service, and must not be for us.
    pub(crate) async fn read_version(&self, path: &SecretPath, number: u64) -> Result<Secret> {
        if number == 0 {
            return Err(Error::not_found().into());
        }
        let name = self.name(path)?;
        let ids = Ids::of(&name);
        let id = ids.value(number);
        let (state, read) = join(
            self.service.state(&name),
            self.service.value(&name, Some(&id)),
        )
        .await;
        let state = state?.ok_or_else(Error::not_found)?;
        self.verify(path, &state)?;
        if state.is_deleted() {
            return Err(Error::not_found().into());
        }
        match read {
            Ok(read) if state.is_readable(&id, number) => secret(&name, &id, number, read),
            Ok(_) => Err(Error::not_found().into()),
            Err(refused) if refused.why == Why::Missing && number >= EARLIEST_TIME => {
                self.read_foreign(&name, &state, number).await
            }
            Err(refused) => Err(refused.into()),
        }
    }

    /// The value of a version of another tool, found by the time when it was made.
    async fn read_foreign(&self, name: &str, state: &State, number: u64) -> Result<Secret> {
        let listed = self.service.versions(name, true).await?;
        let mut found = listed.iter().filter(|version| {
            version.created == Some(number) && state.ids.parse(&version.id) == Id::Foreign
        });
        let version = found.next().ok_or_else(Error::not_found)?;
        if found.next().is_some() {
            return Err(Fault::Refused(
                "another tool wrote two versions in one millisecond: their number is of neither",
            ));
        }
        if !state.is_readable(&version.id, number) {
            return Err(Error::not_found().into());
        }
        let read = self.service.value(name, Some(&version.id)).await?;
        secret(name, &version.id, number, read)
    }

    /// The versions, newest first.
    pub(crate) async fn read_versions(&self, path: &SecretPath) -> Result<Vec<VersionInfo>> {
        let name = self.name(path)?;
        let (state, listed) = join(
            self.service.state(&name),
            self.service.versions(&name, true),
        )
        .await;
        let mut state = state?.ok_or_else(Error::not_found)?;
        self.verify(path, &state)?;
        let listed = listed?;
        let dates = listed.iter();
        state.dates = dates
            .filter_map(|version| Some((version.id.clone(), version.created?)))
            .collect();
        let mut versions = Vec::with_capacity(listed.len());
        for version in listed {
            let number = match state.ids.parse(&version.id) {
                Id::Deleted(_) => continue,
                Id::Value(number) => number,
                Id::Foreign => version.created.ok_or(Fault::Strange("no date"))?,
            };
            let has = |label: &str| version.labels.iter().any(|other| other == label);
            let version_state = if state.is_deleted() {
                VersionState::Deleted
            } else if state.labelled(CURRENT) == Some(&version.id) {
                VersionState::Current
            } else if has(PENDING) || state.unfinished() == Some(number) {
                VersionState::Pending
            } else if !state.is_readable(&version.id, number) {
                VersionState::Deleted
            } else {
                VersionState::Superseded
            };
            versions.push(VersionInfo {
                version: number,
                state: version_state,
                created: version.created.unwrap_or(state.created),
                expires: None,
                author: state.tags.author(number),
            });
        }
        versions.sort_by_key(|version| std::cmp::Reverse(version.version));
        Ok(versions)
    }
}

/// The current value, from a reply about it.
pub(crate) fn current(name: &str, read: Read) -> Result<Secret> {
    let id = read.id.clone().ok_or(Fault::Strange("no version"))?;
    let number = match Ids::of(name).parse(&id) {
        Id::Value(number) => number,
        Id::Deleted(_) => return Err(Error::not_found().into()),
        Id::Foreign => {
            let time = read.created.filter(|time| *time > 0);
            time.ok_or(Fault::Strange("no date"))?
        }
    };
    secret(name, &id, number, read)
}

/// The value of the version `id`, from a reply that must be about it.
fn secret(name: &str, id: &str, number: u64, read: Read) -> Result<Secret> {
    if read.name.as_deref() != Some(name) {
        return Err(Fault::Strange("another secret's name"));
    }
    if read.id.as_deref() != Some(id) {
        return Err(Fault::Strange("another version"));
    }
    let ours = Ids::of(name).parse(id) != Id::Foreign;
    let value = read.stored.into_value(ours);
    let value = value.ok_or(Fault::Strange("not one value"))?;
    Ok(Secret {
        value: Arc::new(value),
        version: number,
        expires: None,
    })
}
