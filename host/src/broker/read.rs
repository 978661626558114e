//! Reading a value: the warm path, which never waits, and the cold one behind it.

use std::sync::Arc;
use std::time::Duration;

use strongroom_audit::{AppendError, Cache as CacheState, Call, Durability, Entry, Outcome};
use strongroom_backend::{ChangeCell, Reference, SecretPath, SecretValue, VersionNumbers, Which};

use super::cache::{self, Answer};
use super::error::CallError;
use super::session::{Secret, Session, now_us};
use super::vaults::{DEADLINE, Opened};
use super::{InForce, deadline};
use crate::grants::{Action, Granted};

/// How often a read that met a writer is repeated before its value is used without being
/// remembered: a writer that died leaves its counter odd until the next one mends it.
const READS_UNDER_WRITES: u32 = 50;

/// How long such a reader waits for the writer: a durable commit takes about this long.
const WRITER_PAUSE: Duration = Duration::from_millis(1);

/// A value on its way out.
pub(crate) struct Hit<'h> {
    pub(crate) value: &'h Arc<SecretValue>,
    pub(crate) version: u64,
}

enum Warm<R> {
    /// Released, or refused, on record.
    Done(Result<R, CallError>),
    /// On record, and to be released when the record is on disk.
    Recorded(Call),
    /// The journal has no room now.
    Full,
    /// Nothing remembered that still stands.
    Miss,
}

impl Session {
    /// The value of the current version, or of one by number. Needs `read`.
    ///
    /// # Errors
    ///
    /// [`CallError`], with the variants of the WIT interface.
    pub async fn get(&self, reference: &str, which: Which) -> Result<Secret, CallError> {
        let release = |hit: Hit<'_>| (Arc::clone(hit.value), hit.version);
        let canonical = self.parse(reference);
        let (value, version) = self.read(reference, which, release).await?;
        Ok(Secret {
            reference: canonical?,
            value,
            version,
        })
    }

    /// Reads and releases through `release`, which runs while no reload can get between the last
    /// check and it.
    pub(crate) async fn read<R>(
        &self,
        text: &str,
        which: Which,
        release: impl Fn(Hit<'_>) -> R,
    ) -> Result<R, CallError> {
        self.charge(None)?;
        if which == Which::Current {
            loop {
                match self.warm(text, &release) {
                    Warm::Done(result) => return result,
                    Warm::Full => self.shared.log.ready(&self.subject).await?,
                    Warm::Recorded(call) => {
                        self.shared.log.wait_durable(call).await?;
                        if let Some(result) = self.release_recorded(text, &release) {
                            return result;
                        }
                        break;
                    }
                    Warm::Miss => break,
                }
            }
        }
        // Boxed, so that the future of a warm call is small.
        Box::pin(self.cold(text, which, release)).await
    }

    #[inline]
    fn warm<R>(&self, text: &str, release: &impl Fn(Hit<'_>) -> R) -> Warm<R> {
        let Some(cache) = &self.scope.cache else {
            return Warm::Miss;
        };
        let now = now_us();
        let mut locked = cache.lock();
        let generation = self.shared.generation();
        let Some(entry) = locked
            .find(text)
            .filter(|e| e.stands(generation, now / 1000))
        else {
            return Warm::Miss;
        };
        entry.used = true;
        let (outcome, version) = match &entry.answer {
            Answer::Denied => (Outcome::Denied, None),
            Answer::NotFound => (Outcome::NotFound, None),
            Answer::Value { value, version } => {
                if let Err(wait) = self.scope.bytes.take(value.len() as u64, now) {
                    return Warm::Done(Err(self.over_quota(wait)));
                }
                (Outcome::Allowed, Some(*version))
            }
        };
        let record = Entry {
            via: self.via,
            target: Some(&entry.target),
            grant: entry.grant.as_ref(),
            version,
            cache: Some(CacheState::Hit),
            policy: InForce::number_of(generation),
            time: now.cast_signed(),
            ..Entry::outcome(&self.subject, strongroom_audit::Action::Read, outcome)
        };
        match self.shared.log.append(&record) {
            Err(AppendError::Full) => Warm::Full,
            Err(error) => Warm::Done(Err(error.into())),
            Ok(call) => match &entry.answer {
                Answer::Denied => Warm::Done(Err(CallError::denied())),
                Answer::NotFound => Warm::Done(Err(CallError::not_found())),
                Answer::Value { .. } if self.shared.log.durability() == Durability::Disk => {
                    Warm::Recorded(call)
                }
                Answer::Value { value, version } => Warm::Done(Ok(release(Hit {
                    value,
                    version: *version,
                }))),
            },
        }
    }

    /// Releases what was recorded and waited for, if it still stands; else nothing was released
    /// and the call begins again.
    fn release_recorded<R>(
        &self,
        text: &str,
        release: &impl Fn(Hit<'_>) -> R,
    ) -> Option<Result<R, CallError>> {
        let cache = self.scope.cache.as_ref()?;
        let mut locked = cache.lock();
        let generation = self.shared.generation();
        let entry = locked
            .find(text)
            .filter(|e| e.stands(generation, now_us() / 1000))?;
        match &entry.answer {
            Answer::Value { value, version } => Some(Ok(release(Hit {
                value,
                version: *version,
            }))),
            Answer::Denied | Answer::NotFound => None,
        }
    }

    async fn cold<R>(
        &self,
        text: &str,
        which: Which,
        release: impl Fn(Hit<'_>) -> R,
    ) -> Result<R, CallError> {
        const ACTION: Action = Action::Read;
        let force = self.shared.force.load_full();
        let reference = match self.parse_in(&force, text) {
            Ok(reference) => reference,
            Err(why) => return Err(self.refuse_reference(&force, ACTION, text.len(), why).await),
        };
        let target = self.target(&reference);
        let Ok(granted) = self.decide(&force, &[ACTION], &reference) else {
            let error = self
                .refuse(&force, ACTION, (Some(&target), None), CallError::denied())
                .await;
            if error.code == super::ErrorCode::Denied {
                self.remember(text, which, &force, target, None, Answer::Denied, None);
            }
            return Err(error);
        };
        let grant = self.shared.log.grant(granted.label());
        let on = (Some(&target), Some(&grant));
        let Some(_pending) = self.scope.pending() else {
            return Err(self.over_quota(1));
        };
        let (read, change) = match self.fetch(&force, &granted, &reference, which).await {
            Ok(fetched) => fetched,
            Err(error) => return Err(self.refuse(&force, ACTION, on, error).await),
        };
        let (value, version, until) = match read {
            Ok(secret) => {
                let until = secret.expires.unwrap_or(u64::MAX);
                (secret.value, secret.version, until)
            }
            Err(error) => {
                let error = self.refuse(&force, ACTION, on, error).await;
                if error.code == super::ErrorCode::NotFound && change.is_some() {
                    let answer = Answer::NotFound;
                    self.remember(text, which, &force, target, Some(&granted), answer, change);
                }
                return Err(error);
            }
        };
        if let Err(wait) = self.scope.bytes.take(value.len() as u64, now_us()) {
            return Err(self.over_quota(wait));
        }
        let entry = Entry {
            target: on.0,
            grant: on.1,
            version: Some(version),
            cache: Some(CacheState::Miss),
            ..self.entry(&force, ACTION, Outcome::Allowed)
        };
        let call = self.append(&entry).await?;
        if self.shared.log.durability() == Durability::Disk {
            self.shared.log.wait_durable(call).await?;
        }
        // Awaits lay between the decision and this: decide again, then release under the lock that
        // a reload takes after it has moved the generation.
        let mut locked = self.scope.cache.as_ref().map(cache::Cache::lock);
        let now = self.shared.force.load_full();
        if !granted.stands(now.generation, now_us() / 1000)
            && self.decide(&now, &[ACTION], &reference).is_err()
        {
            drop(locked);
            return Err(self.refuse(&now, ACTION, on, CallError::denied()).await);
        }
        let released = release(Hit {
            value: &value,
            version,
        });
        if let (Some(locked), Which::Current, Some(change)) = (&mut locked, which, change) {
            let until = until.min(granted.valid_until().unwrap_or(u64::MAX));
            let answer = Answer::Value { value, version };
            let entry = cache::Entry {
                answer,
                target,
                grant: Some(grant),
                generation: granted.generation(),
                until,
                change: Some(change),
                used: true,
            };
            locked.insert(text, entry);
        }
        Ok(released)
    }

    /// Asks the backend, and says under which number of the change counter the answer stands:
    /// none where a writer was in the way throughout, or where the backend has no counters.
    async fn fetch(
        &self,
        force: &InForce,
        granted: &Granted,
        reference: &Reference,
        which: Which,
    ) -> Result<Fetched, CallError> {
        debug_assert!(granted.covers(Action::Read, reference));
        let opened = self.open(force, reference.vault()).await?;
        let unversioned = opened.backend.capabilities().versions == VersionNumbers::None;
        if which != Which::Current && unversioned {
            return Err(CallError::unsupported("this vault keeps no versions"));
        }
        let path = reference.path();
        let cell = opened.backend.change_cell(path);
        for _ in 0..READS_UNDER_WRITES {
            let Some(cell) = &cell else { break };
            let before = cell.load();
            if before % 2 == 0 {
                let read = read_once(&opened, path, which).await;
                if cell.load() == before {
                    return Ok((read, Some((cell.clone(), before))));
                }
            }
            tokio::time::sleep(WRITER_PAUSE).await;
        }
        Ok((read_once(&opened, path, which).await, None))
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of an entry, named at each call"
    )]
    fn remember(
        &self,
        text: &str,
        which: Which,
        force: &InForce,
        target: strongroom_audit::Target,
        granted: Option<&Granted>,
        answer: Answer,
        change: Option<(ChangeCell, u64)>,
    ) {
        let (Some(cache), Which::Current) = (&self.scope.cache, which) else {
            return;
        };
        let entry = cache::Entry {
            answer,
            target,
            grant: granted.map(|granted| self.shared.log.grant(granted.label())),
            generation: force.generation,
            until: granted.and_then(Granted::valid_until).unwrap_or(u64::MAX),
            change,
            used: true,
        };
        cache.lock().insert(text, entry);
    }
}

type Fetched = (
    Result<strongroom_backend::Secret, CallError>,
    Option<(ChangeCell, u64)>,
);

async fn read_once(
    opened: &Opened,
    path: &SecretPath,
    which: Which,
) -> Result<strongroom_backend::Secret, CallError> {
    deadline(DEADLINE, opened.backend.get(path, which)).await
}
