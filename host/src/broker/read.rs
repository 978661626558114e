//! Reading a value: the warm path, which never waits, and the cold one behind it.

use std::sync::Arc;
use std::time::Duration;

use strongroom_audit::{
    AppendError, Cache as CacheState, Call, Durability, Entry, Outcome, Target, Text,
};
use strongroom_backend::{ChangeCell, Reference, SecretValue, VersionNumbers, Which};
use tokio::time::Instant;

use super::cache::{self, Answer};
use super::error::{CallError, ErrorCode};
use super::session::{Secret, Session, now_us};
use super::{InForce, deadline, within};
use crate::grants::{Action, Granted};

/// How often a read that met a writer is repeated before its value is used without being
/// remembered: a writer that died leaves its counter odd until the next one mends it.
const READS_UNDER_WRITES: u32 = 50;

/// How long such a reader waits for the writer: a durable commit takes about this long.
const WRITER_PAUSE: Duration = Duration::from_millis(1);

const ACTION: Action = Action::Read;

/// A value on its way out.
pub(crate) struct Hit<'h> {
    pub(crate) value: &'h Arc<SecretValue>,
    pub(crate) version: u64,
}

enum Warm<R> {
    /// Released, or refused, on record.
    Done(Result<R, CallError>),
    /// This version is on record, and to be released when the record is on disk.
    Recorded(Call, u64),
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
        self.read_until(text, which, None, release).await
    }

    /// The same, as part of a call that has a deadline already.
    pub(crate) async fn read_until<R>(
        &self,
        text: &str,
        which: Which,
        until: Option<Instant>,
        release: impl Fn(Hit<'_>) -> R,
    ) -> Result<R, CallError> {
        // One look at the clock serves the quota, the expiry and the record.
        let mut now = now_us();
        self.scope
            .calls
            .take(1, now)
            .map_err(|wait| self.over_quota(wait))?;
        if which == Which::Current {
            let mut paid = false;
            loop {
                match self.warm(text, now, &mut paid, &release) {
                    Warm::Done(result) => return result,
                    Warm::Full => {
                        self.shared.log.ready(&self.subject).await?;
                        now = now_us();
                    }
                    Warm::Recorded(call, version) => {
                        self.shared.log.wait_durable(call).await?;
                        if let Some(result) = self.release_recorded(text, version, &release) {
                            return result;
                        }
                        break;
                    }
                    Warm::Miss => break,
                }
            }
        }
        // Boxed, so that the future of a warm call is small.
        let until = until.unwrap_or_else(deadline);
        Box::pin(self.cold(text, which, until, release)).await
    }

    #[inline]
    fn warm<R>(
        &self,
        text: &str,
        now: u64,
        paid: &mut bool,
        release: &impl Fn(Hit<'_>) -> R,
    ) -> Warm<R> {
        let Some(cache) = &self.cache else {
            return Warm::Miss;
        };
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
                // Once a call, however often the journal has no room.
                if !*paid && let Err(wait) = self.scope.bytes.take(value.len() as u64, now) {
                    return Warm::Done(Err(self.over_quota(wait)));
                }
                *paid = true;
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
                Answer::Value { version, .. }
                    if self.shared.log.durability() == Durability::Disk =>
                {
                    Warm::Recorded(call, *version)
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
        recorded: u64,
        release: &impl Fn(Hit<'_>) -> R,
    ) -> Option<Result<R, CallError>> {
        let cache = self.cache.as_ref()?;
        let mut locked = cache.lock();
        let generation = self.shared.generation();
        let entry = locked
            .find(text)
            .filter(|e| e.stands(generation, now_us() / 1000))?;
        match &entry.answer {
            Answer::Value { value, version } if *version == recorded => Some(Ok(release(Hit {
                value,
                version: *version,
            }))),
            _ => None,
        }
    }

    async fn cold<R>(
        &self,
        text: &str,
        which: Which,
        until: Instant,
        release: impl Fn(Hit<'_>) -> R,
    ) -> Result<R, CallError> {
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
            if error.code == ErrorCode::Denied {
                self.remember(text, which, &force, target, None, Answer::Denied, None);
            }
            return Err(error);
        };
        let Some(_pending) = self.scope.pending() else {
            return Err(self.over_quota(1));
        };
        let (read, change) = self
            .fetch(&force, &granted, &reference, which, until)
            .await
            .unwrap_or_else(|error| (Err(error), None));
        let secret = match read {
            Ok(secret) => secret,
            Err(error) => {
                let (now, again) = self.decide_again(&granted, &reference);
                let granted = match again {
                    Ok(granted) => granted,
                    Err(denied) => {
                        let on = (Some(&target), None);
                        return Err(self.refuse(&now, ACTION, on, denied).await);
                    }
                };
                let grant = self.shared.log.grant(granted.label());
                let on = (Some(&target), Some(&grant));
                let error = self.refuse(&now, ACTION, on, error).await;
                if error.code == ErrorCode::NotFound && change.is_some() {
                    let answer = Answer::NotFound;
                    self.remember(text, which, &now, target, Some(&granted), answer, change);
                }
                return Err(error);
            }
        };
        if let Err(wait) = self.scope.bytes.take(secret.value.len() as u64, now_us()) {
            return Err(self.over_quota(wait));
        }
        let fetched = Fetched {
            text,
            which,
            reference,
            target,
            granted,
            secret,
            change,
        };
        self.release(fetched, release).await
    }

    /// Decides again, as awaits lay before this, then records and releases, all under the lock
    /// that a reload takes after it has moved the generation. Where the record has to be waited
    /// for, it is decided once more.
    async fn release<R>(
        &self,
        fetched: Fetched<'_>,
        release: impl Fn(Hit<'_>) -> R,
    ) -> Result<R, CallError> {
        enum Wait {
            Room,
            Disk(Call),
        }
        let Fetched {
            reference,
            target,
            secret,
            ..
        } = &fetched;
        let until = secret.expires.unwrap_or(u64::MAX);
        let mut recorded = false;
        loop {
            let wait = {
                let locked = self.cache.as_ref().map(|cache| cache.lock());
                let (now, again) = self.decide_again(&fetched.granted, reference);
                let (granted, refusal) = match again {
                    Ok(_) if until <= now_us() / 1000 => (None, Some(CallError::not_found())),
                    Ok(granted) => (Some(granted), None),
                    Err(denied) => (None, Some(denied)),
                };
                let Some(granted) = granted else {
                    drop(locked);
                    let refusal = refusal.unwrap_or_else(CallError::denied);
                    let on = (Some(target), None);
                    return Err(self.refuse(&now, ACTION, on, refusal).await);
                };
                let grant = self.shared.log.grant(granted.label());
                let entry = Entry {
                    target: Some(target),
                    grant: Some(&grant),
                    version: Some(secret.version),
                    cache: Some(CacheState::Miss),
                    ..self.entry(&now, ACTION, Outcome::Allowed)
                };
                let written = if recorded {
                    Ok(None)
                } else {
                    self.shared.log.append(&entry).map(Some)
                };
                match written {
                    Err(AppendError::Full) => Wait::Room,
                    Err(error) => return Err(error.into()),
                    Ok(Some(call)) if self.shared.log.durability() == Durability::Disk => {
                        Wait::Disk(call)
                    }
                    Ok(_) => {
                        let released = release(Hit {
                            value: &secret.value,
                            version: secret.version,
                        });
                        if let Some(locked) = locked {
                            fetched.remember(locked, &granted, grant);
                        }
                        return Ok(released);
                    }
                }
            };
            match wait {
                Wait::Room => self.shared.log.ready(&self.subject).await?,
                Wait::Disk(call) => {
                    self.shared.log.wait_durable(call).await?;
                    recorded = true;
                }
            }
        }
    }

    /// Asks the backend, and says under which number of the change counter the answer stands:
    /// none where a writer was in the way throughout, or where the backend has no counters.
    async fn fetch(
        &self,
        force: &InForce,
        granted: &Granted,
        reference: &Reference,
        which: Which,
        until: Instant,
    ) -> Result<Answered, CallError> {
        debug_assert!(granted.covers(Action::Read, reference));
        let opened = self.open(force, reference.vault(), until).await?;
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
                let read = within(until, opened.backend.get(path, which)).await;
                if cell.load() == before {
                    return Ok((read, Some((cell.clone(), before))));
                }
            }
            if Instant::now() >= until {
                break;
            }
            tokio::time::sleep(WRITER_PAUSE).await;
        }
        let read = within(until, opened.backend.get(path, which)).await;
        Ok((read, None))
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
        target: Target,
        granted: Option<&Granted>,
        answer: Answer,
        change: Option<(ChangeCell, u64)>,
    ) {
        let (Some(cache), Which::Current) = (&self.cache, which) else {
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

/// What a backend answered, and the change counter under which that stands.
type Answered = (
    Result<strongroom_backend::Secret, CallError>,
    Option<(ChangeCell, u64)>,
);

/// A value that was read and not released yet.
struct Fetched<'t> {
    text: &'t str,
    which: Which,
    reference: Reference,
    target: Target,
    granted: Granted,
    secret: strongroom_backend::Secret,
    change: Option<(ChangeCell, u64)>,
}

impl Fetched<'_> {
    fn remember(self, mut cache: cache::Locked<'_>, granted: &Granted, grant: Text) {
        let (Which::Current, Some(change)) = (self.which, self.change) else {
            return;
        };
        let expires = self.secret.expires.unwrap_or(u64::MAX);
        let entry = cache::Entry {
            answer: Answer::Value {
                value: self.secret.value,
                version: self.secret.version,
            },
            target: self.target,
            grant: Some(grant),
            generation: granted.generation(),
            until: expires.min(granted.valid_until().unwrap_or(u64::MAX)),
            change: Some(change),
            used: true,
        };
        cache.insert(self.text, entry);
    }
}
