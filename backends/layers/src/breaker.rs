//! Leaves a store alone that does not answer.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use strongroom_backend::{
    Backend, Capabilities, Change, ChangeCell, Description, Error, ErrorKind, ListPage, Metadata,
    Notices, OnNotice, PutOptions, Result, Secret, SecretPath, SecretValue, StoreMark, VersionInfo,
    Versioning, Which,
};
use tokio::time::Instant;

use crate::Jitter;

/// Answers `Unavailable` at once after several temporary failures in a row, until a probe succeeds.
///
/// Every other answer, a refusal, a conflict or contention too, shows that the store is there.
pub struct Breaker {
    inner: Arc<dyn Backend>,
    settings: BreakerSettings,
    jitter: Jitter,
    state: Mutex<State>,
}

/// When it opens and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerSettings {
    /// How many temporary failures in a row open it.
    pub failures: u32,
    /// How long it stays open before one probe; up to half as long again by chance, so that hosts
    /// do not probe together.
    pub pause: Duration,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self {
            failures: 5,
            pause: Duration::from_secs(10),
        }
    }
}

struct State {
    /// Changes at each opening and closing: an answer to a call from before says nothing.
    round: u64,
    phase: Phase,
}

enum Phase {
    Closed { failures: u32 },
    Open { until: Instant },
    Probing,
}

impl Breaker {
    /// Guards `inner`. `check` always goes through and changes nothing here.
    pub fn new(inner: Arc<dyn Backend>, settings: BreakerSettings, jitter: Jitter) -> Self {
        Self {
            inner,
            settings,
            jitter,
            state: Mutex::new(State {
                round: 0,
                phase: Phase::Closed { failures: 0 },
            }),
        }
    }

    async fn guard<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        let pass = self.enter()?;
        let answer = call.await;
        pass.finish(is_failure(&answer));
        answer
    }

    fn enter(&self) -> Result<Pass<'_>> {
        let mut state = self.state();
        match state.phase {
            Phase::Closed { .. } => {}
            Phase::Open { until } if until <= Instant::now() => {
                state.phase = Phase::Probing;
                state.round += 1;
            }
            Phase::Open { .. } | Phase::Probing => return Err(open()),
        }
        Ok(Pass {
            breaker: self,
            round: state.round,
            finished: false,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn finished(&self, round: u64, failed: Option<bool>) {
        let mut state = self.state();
        if state.round != round {
            return;
        }
        let pause = self.settings.pause;
        let until = Instant::now() + pause + self.jitter.of(pause / 2);
        let next = match (&state.phase, failed) {
            (Phase::Closed { failures }, Some(true)) => {
                let failures = failures + 1;
                if failures < self.settings.failures {
                    Phase::Closed { failures }
                } else {
                    Phase::Open { until }
                }
            }
            (Phase::Closed { .. }, Some(false)) => Phase::Closed { failures: 0 },
            (Phase::Probing, Some(true)) => Phase::Open { until },
            (Phase::Probing, Some(false)) => Phase::Closed { failures: 0 },
            // A probe that nobody waited for said nothing: the next call is one.
            (Phase::Probing, None) => Phase::Open {
                until: Instant::now(),
            },
            (Phase::Closed { .. }, None) | (Phase::Open { .. }, _) => return,
        };
        if std::mem::discriminant(&next) != std::mem::discriminant(&state.phase) {
            state.round += 1;
        }
        state.phase = next;
    }
}

fn open() -> Error {
    Error::new(
        ErrorKind::Unavailable,
        "the store failed several times in a row and is left alone for a while",
    )
}

/// Whether the store did not do its part. Contention for one secret is temporary and still the
/// store's answer, as a conflict is: counted as a failure, it would let one guest that fights over
/// one name shut the whole vault to all others.
fn is_failure<T>(answer: &Result<T>) -> bool {
    answer
        .as_ref()
        .is_err_and(|error| error.is_temporary() && !error.is_contended())
}

/// Leave to make one call; dropped unfinished where the call was cancelled.
struct Pass<'b> {
    breaker: &'b Breaker,
    round: u64,
    finished: bool,
}

impl Pass<'_> {
    fn finish(mut self, failed: bool) {
        self.finished = true;
        self.breaker.finished(self.round, Some(failed));
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if !self.finished {
            self.breaker.finished(self.round, None);
        }
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Backend for Breaker {
    fn capabilities(&self) -> &Capabilities {
        self.inner.capabilities()
    }

    async fn get(&self, path: &SecretPath, which: Which) -> Result<Secret> {
        self.guard(self.inner.get(path, which)).await
    }

    async fn put(
        &self,
        path: &SecretPath,
        value: &SecretValue,
        options: &PutOptions,
    ) -> Result<Change> {
        self.guard(self.inner.put(path, value, options)).await
    }

    async fn describe(&self, path: &SecretPath) -> Result<Description> {
        self.guard(self.inner.describe(path)).await
    }

    async fn delete(&self, path: &SecretPath, version: Option<u64>) -> Result<Change> {
        self.guard(self.inner.delete(path, version)).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<ListPage> {
        self.guard(self.inner.list(prefix, after, limit)).await
    }

    async fn versions(&self, path: &SecretPath) -> Result<Vec<VersionInfo>> {
        self.guard(self.inner.versions(path)).await
    }

    async fn check(&self) -> Result<Vec<String>> {
        self.inner.check().await
    }

    /// A failure where every one failed temporarily.
    async fn get_many(&self, paths: &[SecretPath]) -> Vec<Result<Secret>> {
        let Ok(pass) = self.enter() else {
            return paths.iter().map(|_| Err(open())).collect();
        };
        let answers = self.inner.get_many(paths).await;
        if !answers.is_empty() {
            pass.finish(answers.iter().all(is_failure));
        }
        answers
    }

    fn versioning(&self) -> Option<&dyn Versioning> {
        self.inner.versioning().map(|_| self as &dyn Versioning)
    }

    fn change_cell(&self, path: &SecretPath) -> Option<ChangeCell> {
        self.inner.change_cell(path)
    }

    fn notices(&self, on_notice: OnNotice) -> Option<Notices> {
        self.inner.notices(on_notice)
    }

    fn mark(&self) -> Result<Option<StoreMark>> {
        self.inner.mark()
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Versioning for Breaker {
    async fn undelete(&self, path: &SecretPath, version: Option<u64>) -> Result<Change> {
        let inner = self.inner.require_versioning("undelete")?;
        self.guard(inner.undelete(path, version)).await
    }

    async fn destroy(&self, path: &SecretPath, version: u64) -> Result<Change> {
        let inner = self.inner.require_versioning("destroy")?;
        self.guard(inner.destroy(path, version)).await
    }

    async fn set_metadata(&self, path: &SecretPath, metadata: &Metadata) -> Result<Change> {
        let inner = self.inner.require_versioning("set metadata")?;
        self.guard(inner.set_metadata(path, metadata)).await
    }
}

#[cfg(test)]
mod tests {
    use strongroom_backend::MemoryBackend;
    use tokio::time::advance;

    use super::*;

    fn breaker() -> Breaker {
        let store = Arc::new(MemoryBackend::new());
        Breaker::new(store, BreakerSettings::default(), Jitter::from_fn(|| 0))
    }

    async fn answers(breaker: &Breaker) -> bool {
        breaker.guard(async { Ok(()) }).await.is_ok()
    }

    async fn fails(breaker: &Breaker, times: u32, error: fn() -> Error) {
        for _ in 0..times {
            let failed = breaker.guard(async { Err::<(), _>(error()) }).await;
            assert!(failed.is_err());
        }
    }

    fn contended() -> Error {
        Error::contended("others write it")
    }

    fn outage() -> Error {
        Error::new(ErrorKind::Unavailable, "no answer")
    }

    #[tokio::test(start_paused = true)]
    async fn who_fights_over_one_secret_shuts_no_vault() {
        let breaker = breaker();
        fails(&breaker, 1000, contended).await;
        assert!(answers(&breaker).await);
        // An answer, so what failed before and after it is not in a row.
        fails(&breaker, 4, outage).await;
        fails(&breaker, 1, contended).await;
        fails(&breaker, 4, outage).await;
        assert!(answers(&breaker).await);
        fails(&breaker, 5, outage).await;
        assert!(!answers(&breaker).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_meets_contention_found_the_store() {
        let breaker = breaker();
        fails(&breaker, 5, outage).await;
        advance(BreakerSettings::default().pause).await;
        fails(&breaker, 1, contended).await;
        assert!(answers(&breaker).await);
    }
}
