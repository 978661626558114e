//! A broker over a store across a network: without change counters, behind layers, faults and counts.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use strongroom::backend::{
    Backend, Capabilities, Change, Description, ListPage, MemoryBackend, Notice, Notices, OnNotice,
    PutOptions, Result, Secret, SecretPath, SecretValue, VersionInfo, Versioning, Which,
};
use strongroom::{Broker, Registry, Session, VaultTable};
use strongroom_backend_testkit::{Counting, Counts, Faults, Faulty};

use super::{Home, name, until};

/// A store without change counters, as services are. Those in the list are told of changes when a test
/// says so.
pub struct Service(pub Arc<MemoryBackend>, Listeners);

type Listeners = Arc<Mutex<Vec<OnNotice>>>;

#[async_trait]
impl Backend for Service {
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
    fn notices(&self, on_notice: OnNotice) -> Option<Notices> {
        self.1.lock().unwrap().push(on_notice);
        Some(Notices::until_dropped(()))
    }
}

/// One service, which any number of brokers may reach.
pub struct Cloud {
    pub store: Arc<MemoryBackend>,
    pub faults: Faults,
    pub counts: Counts,
    listeners: Listeners,
    registry: Registry,
}

impl Cloud {
    /// A service behind the backend `cloud`; `here` and `memory` are stores of this machine.
    pub fn new() -> Self {
        let store = Arc::new(MemoryBackend::new());
        let listeners = Listeners::default();
        let service = Service(Arc::clone(&store), Arc::clone(&listeners));
        let (faulty, faults) = Faulty::new(Arc::new(service));
        let (counting, counts) = Counting::new(Arc::new(faulty));
        let service: Arc<dyn Backend> = Arc::new(counting);
        // Whoever logs in, it is one store.
        let place = |settings: &toml::Table| {
            let mut settings = settings.clone();
            settings.remove("auth");
            settings.to_string()
        };
        let open = move |_: &VaultTable<'_>| Ok(Arc::clone(&service));
        let registry = Registry::new().with_remote("cloud", place, open);
        Self {
            store,
            faults,
            counts,
            listeners,
            registry,
        }
    }

    /// Adds a store of this machine as the backend `here`.
    pub fn with_here(mut self, here: &Arc<MemoryBackend>) -> Self {
        let here: Arc<dyn Backend> = Arc::clone(here) as _;
        self.registry = self.registry.with("here", move |_| Ok(Arc::clone(&here)));
        self
    }

    /// Has every vault of the backend `memory` be this store.
    pub fn with_memory(self, memory: &Arc<MemoryBackend>) -> Self {
        self.with_memory_store(Arc::clone(memory) as _)
    }

    pub fn with_memory_store(mut self, memory: Arc<dyn Backend>) -> Self {
        self.registry = self
            .registry
            .with("memory", move |_| Ok(Arc::clone(&memory)));
        self
    }

    pub async fn broker(&self, home: &Home) -> Broker {
        home.build(self.registry.clone()).await
    }

    /// Tells all who listen that a secret changed; how many there are.
    pub fn tell(&self, path: &str) -> usize {
        self.notice(Notice::Changed(&name(path)))
    }

    /// Tells that any may have changed, as when a watch begins.
    pub fn tell_any(&self) -> usize {
        self.notice(Notice::Any)
    }

    fn notice(&self, notice: Notice<'_>) -> usize {
        let listeners = self.listeners.lock().unwrap();
        for listener in &*listeners {
            listener(notice);
        }
        listeners.len()
    }

    /// Writes past every broker, as somebody elsewhere does.
    pub async fn put(&self, path: &str, value: &str) {
        put(&self.store, path, value).await;
    }
}

pub async fn put(store: &MemoryBackend, path: &str, value: &str) {
    let value = SecretValue::copy_of(value.as_bytes());
    let options = PutOptions::default();
    store.put(&name(path), &value, &options).await.unwrap();
}

/// A broker over one service.
pub struct Far {
    pub home: Home,
    pub cloud: Cloud,
    pub broker: Broker,
}

impl Far {
    pub async fn new(config: &str) -> Self {
        Self::over(Cloud::new(), config).await
    }

    pub async fn over(cloud: Cloud, config: &str) -> Self {
        let home = Home::new();
        home.write_config(config);
        let broker = cloud.broker(&home).await;
        Self {
            home,
            cloud,
            broker,
        }
    }

    pub fn session(&self) -> Session {
        self.broker.component("billing").unwrap().session(None)
    }

    pub async fn edit(&self, config: &str) {
        let before = self.broker.config().digest();
        self.home.write_config(config);
        until("the edit is in force", || {
            self.broker.config().digest() != before
        })
        .await;
    }
}
