//! Reading a value: the warm path, which never waits, and the cold one behind it.

use std::sync::Arc;

use strongroom_audit::{
    AppendError, Cache as CacheState, Call, Durability, Entry, Outcome, Target, Text,
};
use strongroom_backend::{Reference, SecretValue, VersionNumbers, Which, json};
use strongroom_backend_layers::{Look, Standing};
use tokio::time::Instant;

use super::InForce;
use super::cache::{self, Answer};
use super::error::{CallError, ErrorCode};
use super::heard::Heard;
use super::session::{Secret, Session, now_us};
use crate::grants::{Action, Granted};

const ACTION: Action = Action::Read;

/// A value on its way out.
pub(crate) struct Hit<'h> {
    pub(crate) value: &'h Arc<SecretValue>,
    pub(crate) version: u64,
    /// The field that it is, where the grant gives no more of the secret.
    pub(crate) field: Option<&'h Arc<str>>,
    /// When the version expires.
    pub(crate) expires: Option<u64>,
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
        let release = |hit: Hit<'_>| (Arc::clone(hit.value), hit.version, hit.expires);
        let canonical = self.parse(reference);
        let (value, version, expires) = self.read(reference, which, release).await?;
        Ok(Secret {
            reference: canonical?,
            value,
            version,
            expires,
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
        if let Some(result) = self.warm_read(text, which, &release).await {
            return result;
        }
        // Boxed, so that the future of a warm call is small.
        Box::pin(self.cold(text, which, release)).await
    }

    /// Charges the call and answers it from what is remembered; none where nothing that is stands.
    #[inline]
    pub(crate) async fn warm_read<R>(
        &self,
        text: &str,
        which: Which,
        release: &impl Fn(Hit<'_>) -> R,
    ) -> Option<Result<R, CallError>> {
        // One look at the clock serves the quota, the expiry and the record.
        let mut now = now_us();
        if let Err(wait) = self.scope.calls.take(1, now) {
            return Some(Err(self.over_quota(wait)));
        }
        if which != Which::Current {
            return None;
        }
        let mut paid = false;
        loop {
            match self.warm(text, now, &mut paid, release) {
                Warm::Done(result) => return Some(result),
                Warm::Full => {
                    if let Err(error) = self.shared.log.ready(&self.subject).await {
                        return Some(Err(error.into()));
                    }
                    now = now_us();
                }
                Warm::Recorded(call, version) => {
                    if let Err(error) = self.shared.log.wait_durable(call).await {
                        return Some(Err(error.into()));
                    }
                    return self.release_recorded(text, version, release);
                }
                Warm::Miss => return None,
            }
        }
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
            detail: entry.detail.as_ref(),
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
                    field: entry.field.as_ref(),
                    expires: entry.expires,
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
                field: entry.field.as_ref(),
                expires: entry.expires,
            }))),
            _ => None,
        }
    }

    async fn cold<R>(
        &self,
        text: &str,
        which: Which,
        release: impl Fn(Hit<'_>) -> R,
    ) -> Result<R, CallError> {
        let force = self.shared.force.load_full();
        let wanted = self.want(&force, text, which).await?;
        let Some(_pending) = self.scope.pending() else {
            return Err(self.over_quota(1));
        };
        let until = force.deadline(wanted.reference.vault());
        let heard = self
            .fetch(&force, &wanted, until)
            .await
            .unwrap_or_else(Heard::failed);
        self.finish(wanted, heard, release).await
    }

    /// Parses and decides; a refusal is on record.
    pub(crate) async fn want<'t>(
        &self,
        force: &InForce,
        text: &'t str,
        which: Which,
    ) -> Result<Wanted<'t>, CallError> {
        let reference = match self.parse_in(force, text) {
            Ok(reference) => reference,
            Err(why) => return Err(self.refuse_reference(force, ACTION, text.len(), why).await),
        };
        let target = self.target(&reference);
        let Ok(granted) = self.decide(force, &[ACTION], &reference) else {
            let error = self
                .refuse(force, ACTION, (Some(&target), None), CallError::denied())
                .await;
            if error.code == ErrorCode::Denied {
                let entry = cache::Entry {
                    answer: Answer::Denied,
                    target,
                    grant: None,
                    field: None,
                    expires: None,
                    detail: None,
                    generation: force.generation,
                    until: u64::MAX,
                    standing: Standing::always(),
                    used: true,
                };
                self.remember(text, which, entry);
            }
            return Err(error);
        };
        Ok(Wanted {
            text,
            which,
            reference,
            target,
            granted,
        })
    }

    /// Records what a vault answered and releases it.
    pub(crate) async fn finish<R>(
        &self,
        wanted: Wanted<'_>,
        mut heard: Heard,
        release: impl Fn(Hit<'_>) -> R,
    ) -> Result<R, CallError> {
        let standing = heard.remembered(now_us() / 1000);
        let error = match heard.secret {
            Ok(secret) => {
                let size = secret.value.len() as u64;
                if let Err(wait) = self.scope.bytes.take(size, now_us()) {
                    return Err(self.over_quota(wait));
                }
                let detail = heard.detail.as_deref();
                let fetched = Fetched {
                    wanted,
                    secret,
                    cache: heard.cache,
                    detail: detail.map(|text| self.shared.log.detail(&self.subject, text)),
                    until: heard.until,
                    standing,
                };
                return self.release(fetched, release).await;
            }
            Err(error) => error,
        };
        let Wanted {
            text,
            which,
            reference,
            target,
            granted,
        } = wanted;
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
        if let (ErrorCode::NotFound, Some(standing)) = (&error.code, standing) {
            let entry = cache::Entry {
                answer: Answer::NotFound,
                target,
                grant: Some(grant),
                field: None,
                expires: None,
                detail: None,
                generation: now.generation,
                until: heard.until.min(granted.valid_until().unwrap_or(u64::MAX)),
                standing,
                used: true,
            };
            self.remember(text, which, entry);
        }
        Err(error)
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
        let Fetched { wanted, secret, .. } = &fetched;
        let Wanted {
            reference,
            target,
            granted,
            ..
        } = wanted;
        let until = secret.expires.unwrap_or(u64::MAX);
        let mut recorded = false;
        loop {
            let wait = {
                let locked = self.cache.as_ref().map(|cache| cache.lock());
                let (now, again) = self.decide_again(granted, reference);
                let shown = match again {
                    Ok(_) if until <= now_us() / 1000 => Err(CallError::not_found()),
                    Ok(granted) => shown(&granted, &secret.value).map(|value| (granted, value)),
                    Err(denied) => Err(denied),
                };
                let (granted, value) = match shown {
                    Ok(shown) => shown,
                    Err(refusal) => {
                        drop(locked);
                        let on = (Some(target), None);
                        return Err(self.refuse(&now, ACTION, on, refusal).await);
                    }
                };
                let grant = self.shared.log.grant(granted.label());
                let entry = Entry {
                    target: Some(target),
                    grant: Some(&grant),
                    detail: fetched.detail.as_ref(),
                    version: Some(secret.version),
                    cache: Some(fetched.cache),
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
                            value: &value,
                            version: secret.version,
                            field: granted.field(),
                            expires: secret.expires,
                        });
                        if let Some(locked) = locked {
                            fetched.remember(locked, value, &granted, grant);
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

    /// Asks the vault.
    async fn fetch(
        &self,
        force: &InForce,
        wanted: &Wanted<'_>,
        until: Instant,
    ) -> Result<Heard, CallError> {
        let (reference, which) = (&wanted.reference, wanted.which);
        debug_assert!(wanted.granted.covers(Action::Read, reference));
        let opened = self.open(force, reference.vault(), until).await?;
        let unversioned = opened.backend().capabilities().versions == VersionNumbers::None;
        if which != Which::Current && unversioned {
            return Err(CallError::unsupported("this vault keeps no versions"));
        }
        let answer = opened.store.answer(reference.path(), which, self.look());
        match tokio::time::timeout_at(until, answer).await {
            Ok(answer) => Ok(answer.into()),
            Err(_) => Err(CallError::late()),
        }
    }

    /// Components are served from caches; operators and background work see the store.
    pub(crate) fn look(&self) -> Look {
        match self.cache {
            Some(_) => Look::Kept,
            None => Look::Anew,
        }
    }

    fn remember(&self, text: &str, which: Which, entry: cache::Entry) {
        if let (Some(cache), Which::Current) = (&self.cache, which) {
            cache.lock().insert(text, entry);
        }
    }
}

/// A reference that may be read.
pub(crate) struct Wanted<'t> {
    text: &'t str,
    which: Which,
    pub(crate) reference: Reference,
    target: Target,
    pub(crate) granted: Granted,
}

/// A value that was read and not released yet.
struct Fetched<'t> {
    wanted: Wanted<'t>,
    secret: strongroom_backend::Secret,
    cache: CacheState,
    detail: Option<Text>,
    until: u64,
    standing: Option<Standing>,
}

impl Fetched<'_> {
    fn remember(
        self,
        mut cache: cache::Locked<'_>,
        value: Arc<SecretValue>,
        granted: &Granted,
        grant: Text,
    ) {
        let (Which::Current, Some(standing)) = (self.wanted.which, self.standing) else {
            return;
        };
        let expires = self.secret.expires.unwrap_or(u64::MAX);
        let granted_until = granted.valid_until().unwrap_or(u64::MAX);
        let entry = cache::Entry {
            answer: Answer::Value {
                value,
                version: self.secret.version,
            },
            target: self.wanted.target,
            grant: Some(grant),
            field: granted.field().cloned(),
            expires: self.secret.expires,
            detail: self.detail,
            generation: granted.generation(),
            until: self.until.min(expires).min(granted_until),
            standing,
            used: true,
        };
        cache.insert(self.wanted.text, entry);
    }
}

/// What of a value the grant shows.
fn shown(granted: &Granted, value: &Arc<SecretValue>) -> Result<Arc<SecretValue>, CallError> {
    let Some(field) = granted.field() else {
        return Ok(Arc::clone(value));
    };
    let field = json::field(value.expose(), field).map_err(strongroom_backend::Error::from)?;
    Ok(Arc::new(field))
}
