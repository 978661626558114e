//! The trials that every backend passes, over the whole stack: around a store that has change
//! counters, and around one that has none.

use std::sync::Arc;

use async_trait::async_trait;
use libtest_mimic::Arguments;
use strongroom_backend::{
    Backend, Capabilities, Change, ChangeCell, ChangeTable, Description, ListPage, MemoryBackend,
    PutOptions, Result, Secret, SecretPath, SecretValue, StoreMark, VersionInfo, Versioning, Which,
};
use strongroom_backend_layers::{Chain, Direct, Layers, Member, OnError, Store};
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
    let chain = Target::new("chain", || async {
        let member = |id: &str| Member {
            id: id.into(),
            store: Arc::new(Direct::new(Arc::new(MemoryBackend::new()))),
            copy_of: None,
        };
        let members = vec![member("first"), member("second")];
        Ok(Fixture::new(Arc::new(Chain::new(members, OnError::Stop))))
    });
    let mut all = trials(counted);
    all.extend(trials(uncounted));
    all.extend(trials(chain));
    libtest_mimic::run(&Arguments::from_args(), all).exit();
}

fn stack(store: Arc<dyn Backend>) -> Arc<Stack> {
    Arc::new(Stack(
        Layers::default().around(store, ChangeTable::in_memory()),
    ))
}

/// The whole stack as a backend.
struct Stack(Arc<dyn Store>);

#[async_trait]
impl Backend for Stack {
    fn capabilities(&self) -> &Capabilities {
        self.0.backend().capabilities()
    }
    async fn get(&self, path: &SecretPath, which: Which) -> Result<Secret> {
        self.0.backend().get(path, which).await
    }
    async fn put(&self, p: &SecretPath, v: &SecretValue, o: &PutOptions) -> Result<Change> {
        self.0.backend().put(p, v, o).await
    }
    async fn describe(&self, path: &SecretPath) -> Result<Description> {
        self.0.backend().describe(path).await
    }
    async fn delete(&self, path: &SecretPath, version: Option<u64>) -> Result<Change> {
        self.0.backend().delete(path, version).await
    }
    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<ListPage> {
        self.0.backend().list(prefix, after, limit).await
    }
    async fn versions(&self, path: &SecretPath) -> Result<Vec<VersionInfo>> {
        self.0.backend().versions(path).await
    }
    async fn check(&self) -> Result<Vec<String>> {
        self.0.backend().check().await
    }
    async fn get_many(&self, paths: &[SecretPath]) -> Vec<Result<Secret>> {
        self.0.backend().get_many(paths).await
    }
    fn versioning(&self) -> Option<&dyn Versioning> {
        self.0.backend().versioning()
    }
    fn change_cell(&self, path: &SecretPath) -> Option<ChangeCell> {
        self.0.backend().change_cell(path)
    }
    fn mark(&self) -> Result<Option<StoreMark>> {
        self.0.backend().mark()
    }
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
