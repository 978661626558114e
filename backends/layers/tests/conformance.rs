//! The trials that every backend passes, over the whole stack: around a store that has change
//! counters, and around one that has none.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use libtest_mimic::Arguments;
use strongroom_backend::{
    Backend, Capabilities, Change, ChangeTable, Description, ListPage, MemoryBackend, PutOptions,
    Result, Secret, SecretPath, SecretValue, VersionInfo, Versioning, Which,
};
use strongroom_backend_layers::{
    Breaker, BreakerSettings, CacheSettings, Cached, Deadline, Jitter, Retry, RetrySettings,
};
use strongroom_backend_testkit::{Fixture, Target, trials};

fn main() {
    let counted = Target::new("counted", || async {
        Ok(Fixture::new(stack(Arc::new(MemoryBackend::new()))))
    });
    let uncounted = Target::new("uncounted", || async {
        Ok(Fixture::new(stack(Arc::new(Uncounted(
            MemoryBackend::new(),
        )))))
    });
    let mut all = trials(counted);
    all.extend(trials(uncounted));
    libtest_mimic::run(&Arguments::from_args(), all).exit();
}

fn stack(store: Arc<dyn Backend>) -> Arc<Cached> {
    let store = Arc::new(Deadline::new(store, Duration::from_secs(3)));
    let (settings, jitter) = (RetrySettings::default(), Jitter::random());
    let store = Arc::new(Retry::new(store, settings, jitter));
    let store = Arc::new(Deadline::new(store, Duration::from_secs(10)));
    let (settings, jitter) = (BreakerSettings::default(), Jitter::random());
    let store = Arc::new(Breaker::new(store, settings, jitter));
    let table = ChangeTable::in_memory();
    Arc::new(Cached::new(store, CacheSettings::default(), table))
}

/// Without change counters, as services are.
struct Uncounted(MemoryBackend);

#[async_trait]
impl Backend for Uncounted {
    fn capabilities(&self) -> &Capabilities {
        self.0.capabilities()
    }
    async fn get(&self, path: &SecretPath, which: Which) -> Result<Secret> {
        self.0.get(path, which).await
    }
    async fn put(&self, p: &SecretPath, v: &SecretValue, o: &PutOptions) -> Result<Change> {
        self.0.put(p, v, o).await
    }
    async fn describe(&self, path: &SecretPath) -> Result<Description> {
        self.0.describe(path).await
    }
    async fn delete(&self, path: &SecretPath, version: Option<u64>) -> Result<Change> {
        self.0.delete(path, version).await
    }
    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<ListPage> {
        self.0.list(prefix, after, limit).await
    }
    async fn versions(&self, path: &SecretPath) -> Result<Vec<VersionInfo>> {
        self.0.versions(path).await
    }
    async fn check(&self) -> Result<Vec<String>> {
        self.0.check().await
    }
    fn versioning(&self) -> Option<&dyn Versioning> {
        self.0.versioning()
    }
}
