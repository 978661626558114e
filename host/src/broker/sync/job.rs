//! One run: what is here, what the source has, and what must change.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use strongroom_backend::{
    PutOptions, Reference, SecretPath, SecretValue, VaultId, VersionState, Which,
};
use strongroom_backend_layers::{COPY_OF, copy_marked, copy_metadata};

use super::{Emptied, Synced};
use crate::broker::error::{CallError, ErrorCode};
use crate::broker::session::{Secret, Session, now_us};
use crate::config::SyncConfig;

/// The most names of a copy: all of them are in memory at once.
const MOST_NAMES: usize = 20_000;
/// The most bytes that may have changed since the last time, for the same reason.
const MOST_BYTES: usize = 256 << 20;
/// References in one question: few enough for a slow service to answer within the deadline of a call.
const CHUNK: usize = 20;
/// A run.
pub(super) struct SyncJob<'s> {
    pub(super) session: Session,
    pub(super) origin: &'s str,
    pub(super) to: &'s VaultId,
    pub(super) sync: &'s SyncConfig,
    pub(super) mark: Reference,
    pub(super) emptied: Emptied,
    /// What the last run of this process left.
    pub(super) tidy: Tidy,
}

/// The names of which a run left one version and no other. Another process that was killed may have
/// replaced a value and not destroyed the old one: of a name with another version, nothing is known.
pub(crate) type Tidy = BTreeMap<Reference, u64>;

/// A secret of the source, and where its copy is.
struct Pair {
    source: Reference,
    copy: Reference,
}

/// A secret to be written.
struct Changed {
    to: Reference,
    value: Arc<SecretValue>,
    options: PutOptions,
}

impl SyncJob<'_> {
    pub(super) async fn run(&self) -> Result<(Synced, Tidy), CallError> {
        let (mut synced, mut tidy) = (Synced::default(), Tidy::new());
        let began = now_us() / 1000;
        let marked = self.version(&self.mark).await?;
        // First what is here: what another process adds meanwhile must not seem to be gone from the source.
        let there = self.copies().await?;
        let sources = self.names(&self.sync.from.to_string(), MOST_NAMES).await?;
        let listed = sources.len();
        let pairs: Vec<Pair> = sources
            .into_iter()
            .filter_map(|source| self.pair(source))
            .collect();
        synced.left = listed - pairs.len();
        if pairs.is_empty() && !there.is_empty() && self.emptied == Emptied::Refused {
            return Err(failed(&format!(
                "{} lists no name any more; where that is right, say so with `strongroom sync {} \
                 --accept-empty`",
                self.sync.from, self.to
            )));
        }
        let wanted: BTreeSet<&Reference> = pairs.iter().map(|pair| &pair.copy).collect();
        for (name, version) in there.iter().filter(|(name, _)| !wanted.contains(name)) {
            self.forget(name, *version).await.map_err(at(name))?;
            synced.deleted += 1;
        }
        let mut changed = Vec::new();
        for chunk in pairs.chunks(CHUNK) {
            let same = self.compare(chunk, &there, &mut changed, &mut synced);
            tidy.extend(same.await?);
            let bytes: usize = changed.iter().map(|it: &Changed| it.value.len()).sum();
            if bytes > MOST_BYTES {
                return Err(failed("more than 256 MiB changed at once"));
            }
        }
        for changed in changed {
            let to = changed.to.clone();
            let version = self.write(changed).await.map_err(at(&to))?;
            tidy.insert(to, version);
            synced.copied += 1;
        }
        let options = PutOptions {
            expected: Some(marked),
            ..PutOptions::default()
        };
        let value = copy_marked(began, self.origin);
        let mark = self.mark.to_string();
        self.session
            .set(&mark, value, options)
            .await
            .map_err(at(&self.mark))?;
        Ok((synced, tidy))
    }

    /// All names with a beginning.
    async fn names(&self, prefix: &str, most: usize) -> Result<Vec<Reference>, CallError> {
        let mut names = Vec::new();
        let mut cursor = None;
        loop {
            let page = self.session.list(prefix, cursor.as_deref()).await?;
            names.extend(page.references);
            if names.len() > most {
                return Err(failed(&format!("more than {most} names")));
            }
            cursor = page.cursor;
            if cursor.is_none() {
                return Ok(names);
            }
        }
    }

    /// The copies that are here, with their versions.
    async fn copies(&self) -> Result<BTreeMap<Reference, u64>, CallError> {
        let names = self.names(&format!("{}:", self.to), usize::MAX).await?;
        let mut copies = BTreeMap::new();
        for name in names.into_iter().filter(|name| *name != self.mark) {
            let version = self.version(&name).await?;
            copies.insert(name, version);
        }
        Ok(copies)
    }

    /// A secret that is asked for, and where its copy goes: a source that lists what it was not asked
    /// for must not have that read.
    fn pair(&self, source: Reference) -> Option<Pair> {
        let of_source = source.vault() == self.sync.from.vault();
        let rest = source.path().as_str().strip_prefix(self.sync.from.path())?;
        let path = SecretPath::parse(&format!("{}{rest}", self.sync.to)).ok()?;
        let copy = Reference::new(self.to.clone(), path);
        (of_source && copy != self.mark).then_some(Pair { source, copy })
    }

    /// Reads some secrets of the source and finds those that differ here. Answers with those that do not.
    async fn compare(
        &self,
        pairs: &[Pair],
        there: &BTreeMap<Reference, u64>,
        changed: &mut Vec<Changed>,
        synced: &mut Synced,
    ) -> Result<Vec<(Reference, u64)>, CallError> {
        let mut unchanged = Vec::new();
        // Before the source is read: what another process writes meanwhile is newer than what is read.
        let mut here = Vec::with_capacity(pairs.len());
        for Pair { copy, .. } in pairs {
            here.push(match there.get(copy) {
                Some(version) => *version,
                // Not listed: it may have been deleted, and still be somebody's.
                None => self.version(copy).await?,
            });
        }
        let texts: Vec<String> = pairs.iter().map(|pair| pair.source.to_string()).collect();
        let values = self.session.get_many(&texts).await?;
        let read = pairs.iter().zip(&texts).zip(values).zip(here);
        for (((Pair { source, copy }, text), secret), current) in read {
            let secret = match secret {
                Ok(secret) => secret,
                // Deleted, or expired, since it was listed.
                Err(error) if error.code == ErrorCode::NotFound => {
                    if current > 0 {
                        self.forget(copy, current).await.map_err(at(copy))?;
                        synced.deleted += 1;
                    }
                    continue;
                }
                Err(error) => return Err(at(source)(error)),
            };
            if current > 0 && self.same(copy, &secret).await? {
                if self.tidy.get(copy) != Some(&current) {
                    let versions = self.versions(copy, current).await.map_err(at(copy))?;
                    self.destroy(copy, &versions, Some(current))
                        .await
                        .map_err(at(copy))?;
                }
                unchanged.push((copy.clone(), current));
                synced.unchanged += 1;
                continue;
            }
            changed.push(Changed {
                to: copy.clone(),
                options: PutOptions {
                    expected: Some(current),
                    expires: secret.expires,
                    metadata: copy_metadata(text, secret.version),
                    ..PutOptions::default()
                },
                value: secret.value,
            });
        }
        Ok(unchanged)
    }

    /// Writes a secret, and destroys what it replaces: the source may have done so since it leaked.
    async fn write(&self, changed: Changed) -> Result<u64, CallError> {
        let Changed { to, value, options } = changed;
        let replaced = self.versions(&to, options.expected.unwrap_or(0)).await?;
        let (name, value) = (to.to_string(), SecretValue::copy_of(value.expose()));
        let current = self.session.set(&name, value, options).await?;
        self.destroy(&to, &replaced, Some(current)).await?;
        Ok(current)
    }

    /// Destroys a copy. The current value goes last, so that it is found again if this ends half way.
    async fn forget(&self, name: &Reference, current: u64) -> Result<(), CallError> {
        let versions = self.versions(name, current).await?;
        self.destroy(name, &versions, Some(current)).await?;
        self.destroy(name, &versions, None).await
    }

    /// The versions of a copy that can be read or brought back. All of them must have been left by a
    /// sync: labels outlive a write by hand, and what was written by hand is nobody's to destroy. The
    /// current one must be the one that was looked at.
    async fn versions(&self, name: &Reference, current: u64) -> Result<Vec<u64>, CallError> {
        let mut versions = match self.session.versions(&name.to_string()).await {
            Ok((_, versions)) => versions,
            Err(error) if error.code == ErrorCode::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        versions.retain(|it| it.state != VersionState::Destroyed);
        let sync = self.session.principal().to_string();
        if let Some(version) = versions.iter().find(|it| it.author.as_ref() != Some(&sync)) {
            return Err(failed(&format!(
                "version {} of {name} was written by hand, and a vault that is a copy can hold \
                 nothing else: move it to another vault",
                version.version
            )));
        }
        let now = versions.iter().find(|it| it.state == VersionState::Current);
        if current > 0 && now.map(|it| it.version) != Some(current) {
            let now = now.map_or(0, |it| it.version);
            return Err(CallError::new(ErrorCode::Conflict(now)));
        }
        Ok(versions.into_iter().map(|it| it.version).collect())
    }

    /// Destroys these versions but one.
    async fn destroy(
        &self,
        name: &Reference,
        versions: &[u64],
        keep: Option<u64>,
    ) -> Result<(), CallError> {
        let name = name.to_string();
        for version in versions.iter().filter(|it| keep != Some(**it)) {
            match self.session.destroy(&name, *version).await {
                Err(error) if error.code != ErrorCode::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// The number of the current version, or 0. What is here must be a copy, or the mark: all else
    /// would be served as one, with its age.
    async fn version(&self, name: &Reference) -> Result<u64, CallError> {
        let here = match self.session.describe(&name.to_string()).await {
            Ok((_, here)) => here,
            Err(error) if error.code == ErrorCode::NotFound => return Ok(0),
            Err(error) => return Err(error),
        };
        // Of whatever it once was a copy.
        let is_copy = here.labels.iter().any(|(name, _)| name == COPY_OF);
        if !is_copy && *name != self.mark {
            return Err(failed(&format!(
                "{name} is no copy, and a vault that is one can hold nothing else: move it to \
                 another vault"
            )));
        }
        Ok(here.version.unwrap_or(0))
    }

    /// Whether the copy has this value and expiry. Numbers do not tell: a source that was made anew
    /// begins them again.
    async fn same(&self, copy: &Reference, secret: &Secret) -> Result<bool, CallError> {
        match self.session.get(&copy.to_string(), Which::Current).await {
            Ok(here) => Ok(*here.value == *secret.value && here.expires == secret.expires),
            Err(error) if error.code == ErrorCode::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Says at which secret a call failed.
fn at(name: &Reference) -> impl Fn(CallError) -> CallError {
    let name = name.clone();
    move |error| {
        let code = error.code.clone();
        CallError::with_cause(
            code,
            At {
                name: name.clone(),
                error,
            },
        )
    }
}

#[derive(Debug, thiserror::Error)]
#[error("at {name}")]
struct At {
    name: Reference,
    #[source]
    error: CallError,
}

fn failed(text: &str) -> CallError {
    CallError::new(ErrorCode::Failed(text.to_owned()))
}
