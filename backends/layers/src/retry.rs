//! Another try, where it is harmless.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use strongroom_backend::{
    Backend, Capabilities, Change, ChangeCell, Description, ListPage, Notices, OnNotice,
    PutOptions, Result, Secret, SecretPath, SecretValue, StoreMark, VersionInfo, Versioning, Which,
};

use crate::Jitter;

/// What one retry costs, in the budget's units.
const RETRY_COST: u64 = 100;

/// Repeats reads that failed temporarily.
///
/// Changes are never repeated. Where the answer of a write was lost, the same write again makes a
/// second version or, with an expected version, answers a conflict with itself; a second delete may
/// hit what somebody wrote in between.
pub struct Retry {
    inner: Arc<dyn Backend>,
    settings: RetrySettings,
    jitter: Jitter,
    budget: Mutex<u64>,
}

/// How often and how soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetrySettings {
    /// The most tries of one call, the first included.
    pub attempts: u32,
    /// The longest wait before the second try; it doubles with each. The wait is any part of it.
    pub base: Duration,
    /// The longest wait of all.
    pub cap: Duration,
    /// How many retries each hundred calls earn, for all callers together.
    pub percent: u32,
    /// How many retries can be saved up; a new store starts with them.
    pub burst: u32,
}

impl Default for RetrySettings {
    fn default() -> Self {
        Self {
            attempts: 3,
            base: Duration::from_millis(100),
            cap: Duration::from_secs(2),
            percent: 10,
            burst: 10,
        }
    }
}

impl Retry {
    /// Repeats reads of `inner`. How long all tries together may take is for a
    /// [`Deadline`](crate::Deadline) around this.
    pub fn new(inner: Arc<dyn Backend>, settings: RetrySettings, jitter: Jitter) -> Self {
        Self {
            inner,
            budget: Mutex::new(u64::from(settings.burst) * RETRY_COST),
            settings,
            jitter,
        }
    }

    async fn read<T, C: Future<Output = Result<T>>>(&self, call: impl Fn() -> C) -> Result<T> {
        self.earn();
        let mut tried = 1;
        loop {
            match call().await {
                Err(error) if error.is_temporary() && self.may_retry(tried) => {}
                answer => return answer,
            }
            self.pause(tried).await;
            tried += 1;
        }
    }

    fn earn(&self) {
        let most = u64::from(self.settings.burst) * RETRY_COST;
        let mut budget = self.budget.lock().unwrap_or_else(PoisonError::into_inner);
        *budget = most.min(*budget + u64::from(self.settings.percent));
    }

    fn may_retry(&self, tried: u32) -> bool {
        if tried >= self.settings.attempts {
            return false;
        }
        let mut budget = self.budget.lock().unwrap_or_else(PoisonError::into_inner);
        let left = budget.checked_sub(RETRY_COST);
        *budget = left.unwrap_or(*budget);
        left.is_some()
    }

    async fn pause(&self, tried: u32) {
        let factor = 2u32.saturating_pow(tried.saturating_sub(1));
        let longest = self.settings.base.saturating_mul(factor);
        tokio::time::sleep(self.jitter.of(longest.min(self.settings.cap))).await;
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Backend for Retry {
    fn capabilities(&self) -> &Capabilities {
        self.inner.capabilities()
    }

    async fn get(&self, path: &SecretPath, which: Which) -> Result<Secret> {
        self.read(|| self.inner.get(path, which)).await
    }

    async fn put(
        &self,
        path: &SecretPath,
        value: &SecretValue,
        options: &PutOptions,
    ) -> Result<Change> {
        self.inner.put(path, value, options).await
    }

    async fn describe(&self, path: &SecretPath) -> Result<Description> {
        self.read(|| self.inner.describe(path)).await
    }

    async fn delete(&self, path: &SecretPath, version: Option<u64>) -> Result<Change> {
        self.inner.delete(path, version).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<ListPage> {
        self.read(|| self.inner.list(prefix, after, limit)).await
    }

    async fn versions(&self, path: &SecretPath) -> Result<Vec<VersionInfo>> {
        self.read(|| self.inner.versions(path)).await
    }

    /// Not repeated: who checks wants to see the failure.
    async fn check(&self) -> Result<Vec<String>> {
        self.inner.check().await
    }

    /// Asks again only for those that failed temporarily.
    async fn get_many(&self, paths: &[SecretPath]) -> Vec<Result<Secret>> {
        self.earn();
        let mut answers = self.inner.get_many(paths).await;
        let mut tried = 1;
        loop {
            let failed: Vec<SecretPath> = paths
                .iter()
                .zip(&answers)
                .filter(|(_, answer)| is_temporary(answer))
                .map(|(path, _)| path.clone())
                .collect();
            if failed.is_empty() || !self.may_retry(tried) {
                return answers;
            }
            self.pause(tried).await;
            tried += 1;
            let again = self.inner.get_many(&failed).await;
            let open = answers.iter_mut().filter(|answer| is_temporary(answer));
            for (answer, newer) in open.zip(again) {
                *answer = newer;
            }
        }
    }

    fn versioning(&self) -> Option<&dyn Versioning> {
        self.inner.versioning()
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

fn is_temporary<T>(answer: &Result<T>) -> bool {
    answer.as_ref().is_err_and(|error| error.is_temporary())
}
