//! A chain as a backend.

use std::collections::BTreeSet;

use async_trait::async_trait;
use strongroom_backend::{
    Backend, Capabilities, Change, ChangeCell, Description, Error, ListPage, Metadata, Notices,
    OnNotice, PutOptions, Result, Secret, SecretPath, SecretValue, StoreMark, VersionInfo,
    VersionNumbers, Versioning, Which,
};

use super::{Chain, Member, OnError, is_current, unnumbered};
use crate::{Look, Store};

impl Chain {
    /// The member that answers for `path`, to be changed there.
    pub(super) async fn writable(&self, path: &SecretPath) -> Result<(usize, &Member)> {
        let (at, member, _) = self.holder(path).await?;
        if !member.can().capabilities().write {
            return Err(Error::unsupported(
                "the vault of the chain that has this secret is only read",
            ));
        }
        Ok((at, member))
    }

    /// A change by the member at `at`. The change counter is that of the store which
    /// [`mark`](Backend::mark) tells of, and no other's.
    pub(super) fn made(&self, at: usize, change: Result<Change>) -> Result<Change> {
        let change = change?;
        Ok(Change {
            counter: change.counter.filter(|_| self.writer == Some(at)),
            ..change
        })
    }

    /// Refuses a compared write that an earlier member would hide.
    async fn refuse_hidden(&self, writer: usize, path: &SecretPath) -> Result<()> {
        let before = self.members.iter().take(writer);
        for member in before.filter(|member| member.copy_of.is_none()) {
            match member.can().describe(path).await {
                Ok(described) if is_current(&described) => {
                    return Err(match described.version {
                        Some(version) if version > 0 => Error::conflict(version),
                        _ => Error::unsupported(
                            "an earlier vault of the chain has this secret, without a version to compare",
                        ),
                    });
                }
                Ok(_) => {}
                // Whether it would be hidden must be known here, whatever the setting.
                Err(error) => match self.on_error {
                    OnError::Stop => self.pass(member, error, &mut None)?,
                    OnError::Next => {
                        let mut failed = None;
                        self.pass(member, error, &mut failed)?;
                        failed.map_or(Ok(()), Err)?;
                    }
                },
            }
        }
        Ok(())
    }
}

impl Member {
    fn versioning(&self, ability: &'static str) -> Result<&dyn Versioning> {
        self.can().require_versioning(ability)
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Backend for Chain {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
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
        let (at, member) = self.writer()?;
        if options.expected.is_some() {
            self.refuse_hidden(at, path).await?;
        }
        self.made(at, member.can().put(path, value, options).await)
    }

    async fn describe(&self, path: &SecretPath) -> Result<Description> {
        self.holder(path).await.map(|(.., described)| described)
    }

    async fn delete(&self, path: &SecretPath, version: Option<u64>) -> Result<Change> {
        let (at, member) = self.writable(path).await?;
        self.made(at, member.can().delete(path, version).await)
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<ListPage> {
        let mut names = BTreeSet::new();
        let mut more = false;
        for member in self.members.iter().filter(|it| it.copy_of.is_none()) {
            let mut found = 0;
            let mut after = after.map(str::to_owned);
            // Each gives as many as the page may have, so that the first of all of them are known.
            while found < limit {
                let list = member
                    .can()
                    .list(prefix, after.as_deref(), limit - found)
                    .await;
                let page = list.map_err(|error| member.told(error))?;
                let last = page.paths.last().map(|path| path.as_str().to_owned());
                found += page.paths.len();
                names.extend(page.paths);
                if !page.more {
                    break;
                }
                // A page of nothing that says there is more would be asked for without end.
                let Some(last) = last else {
                    more = true;
                    break;
                };
                after = Some(last);
                more |= found >= limit;
            }
        }
        more |= names.len() > limit;
        Ok(ListPage {
            paths: names.into_iter().take(limit).collect(),
            more,
        })
    }

    async fn versions(&self, path: &SecretPath) -> Result<Vec<VersionInfo>> {
        let (_, member, _) = self.holder(path).await?;
        match member.can().capabilities().versions {
            VersionNumbers::None => Err(unnumbered()),
            _ => member.can().versions(path).await,
        }
    }

    /// The order alone: the members are vaults that are checked by their own names.
    async fn check(&self) -> Result<Vec<String>> {
        let ids: Vec<_> = self.members.iter().map(|member| &*member.id).collect();
        let mut lines = vec![format!("asks {}", ids.join(", then "))];
        lines.push(match self.writer() {
            Ok((_, member)) => format!("writes to {}", member.id),
            Err(_) => "is only read".to_owned(),
        });
        Ok(lines)
    }

    async fn get_many(&self, paths: &[SecretPath]) -> Vec<Result<Secret>> {
        let answers = self.answer_many(paths, Look::Kept).await;
        answers.into_iter().map(|answer| answer.secret).collect()
    }

    fn versioning(&self) -> Option<&dyn Versioning> {
        let any = self
            .members
            .iter()
            .any(|member| member.can().versioning().is_some());
        any.then_some(self)
    }

    /// None: what is remembered above hangs on the counters of all members, which
    /// [`Answer::standing`](crate::Answer::standing) has.
    fn change_cell(&self, _: &SecretPath) -> Option<ChangeCell> {
        None
    }

    /// None: the caches are below.
    fn notices(&self, _: OnNotice) -> Option<Notices> {
        None
    }

    /// Of the store that is written.
    fn mark(&self) -> Result<Option<StoreMark>> {
        match self.writer() {
            Ok((_, member)) => member.can().mark(),
            Err(_) => Ok(None),
        }
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Versioning for Chain {
    async fn undelete(&self, path: &SecretPath, version: Option<u64>) -> Result<Change> {
        let (at, member, _) = self.holder(path).await?;
        let change = member.versioning("undelete")?.undelete(path, version).await;
        self.made(at, change)
    }

    async fn destroy(&self, path: &SecretPath, version: u64) -> Result<Change> {
        let (at, member, _) = self.holder(path).await?;
        let change = member.versioning("destroy")?.destroy(path, version).await;
        self.made(at, change)
    }

    async fn set_metadata(&self, path: &SecretPath, metadata: &Metadata) -> Result<Change> {
        let (at, member, _) = self.holder(path).await?;
        let versioning = member.versioning("set metadata")?;
        self.made(at, versioning.set_metadata(path, metadata).await)
    }
}
