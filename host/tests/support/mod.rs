//! A broker over stores that fail, pause and count, and what it wrote into its log.

#![allow(dead_code, reason = "each test program uses what it needs")]
#![allow(unreachable_pub, reason = "a module of tests has no outside")]

pub mod far;
pub mod guest;

use std::fs;
use std::future::Future;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use strongroom::audit::{self, Action, Filter, Location, Log, Outcome, Phase, Record};
use strongroom::backend::{Backend, MemoryBackend, PutOptions, SecretPath, SecretValue};
use strongroom::{Broker, CallError, ErrorCode, Registry, Session};
use strongroom_backend_testkit::{Counting, Counts, Faults, Faulty};
use tempfile::TempDir;

/// Long enough for anything that happens at all, on a busy machine.
pub const LONG: Duration = Duration::from_secs(20);

/// The vaults of every configuration here: `app`, which the [`Rig`] commands, and `other`.
pub const VAULTS: &str = "default-vault = \"app\"\n\
    [vault.app]\nbackend = \"test\"\n[vault.other]\nbackend = \"memory\"\n";

/// A folder with a configuration and an audit log.
pub struct Home {
    pub dir: TempDir,
}

impl Home {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let home = Self { dir };
        let location = home.location();
        Log::init(&location.log, &location.key).unwrap();
        home
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn log_file(&self) -> PathBuf {
        self.path("audit.jsonl")
    }

    pub fn location(&self) -> Location {
        Location {
            log: self.log_file(),
            key: self.path("keys/audit.key"),
            allow_links: false,
        }
    }

    /// Puts `text` and the audit table in the place of the configuration, as an editor does: the
    /// whole new file at once.
    pub fn write_config(&self, text: &str) {
        self.write_config_with(text, "");
    }

    pub fn write_config_with(&self, text: &str, audit: &str) {
        let new = self.path("strongroom.toml.new");
        let audit = format!(
            "\n[audit]\npath = \"audit.jsonl\"\nkey = {{ file = \"keys/audit.key\" }}\n{audit}\n"
        );
        fs::write(&new, format!("{text}{audit}")).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).unwrap();
        fs::rename(&new, self.path("strongroom.toml")).unwrap();
    }

    pub async fn build(&self, registry: Registry) -> Broker {
        let builder = Broker::builder()
            .registry(registry)
            .state_dir(self.path("state"));
        let file = self.path("strongroom.toml");
        builder.config_file(file).build().await.unwrap()
    }

    /// All that was recorded so far, of calls and not of the log itself.
    pub fn records(&self, broker: &Broker) -> Vec<Record> {
        broker.log().flush().unwrap();
        self.recorded()
    }

    /// What stands in the log and the journals now.
    pub fn recorded(&self) -> Vec<Record> {
        let shown = audit::show(&self.location(), Filter::default()).unwrap();
        let records = shown.map(|shown| shown.unwrap().record);
        records.filter(|r| r.principal != "host:audit").collect()
    }
}

/// A broker whose vault `app` is a memory store behind faults and counts.
pub struct Rig {
    pub home: Home,
    pub broker: Broker,
    pub store: Arc<MemoryBackend>,
    pub faults: Faults,
    pub counts: Counts,
}

impl Rig {
    /// A broker over [`VAULTS`] and `text`.
    pub async fn new(text: &str) -> Self {
        Self::with_audit(text, "").await
    }

    pub async fn with_audit(text: &str, audit: &str) -> Self {
        let home = Home::new();
        home.write_config_with(&format!("{VAULTS}{text}"), audit);
        let store = Arc::new(MemoryBackend::new());
        let (faulty, faults) = Faulty::new(Arc::clone(&store));
        let (counting, counts) = Counting::new(Arc::new(faulty));
        let app: Arc<dyn Backend> = Arc::new(counting);
        let registry = Registry::new().with("test", move |_| Ok(Arc::clone(&app)));
        let broker = home.build(registry).await;
        Self {
            home,
            broker,
            store,
            faults,
            counts,
        }
    }

    pub fn session(&self, component: &str) -> Session {
        self.broker.component(component).unwrap().session(None)
    }

    /// Writes past the broker, as another process does.
    pub async fn put(&self, path: &str, value: &str) -> u64 {
        self.put_with(path, value, PutOptions::default()).await
    }

    pub async fn put_with(&self, path: &str, value: &str, options: PutOptions) -> u64 {
        let value = SecretValue::copy_of(value.as_bytes());
        let written = self.store.put(&name(path), &value, &options).await;
        written.unwrap().version
    }

    /// Edits the configuration and waits until it is in force.
    pub async fn edit(&self, text: &str) -> Duration {
        let before = self.broker.config().digest();
        let started = Instant::now();
        self.home.write_config(&format!("{VAULTS}{text}"));
        until("the edit is in force", || {
            self.broker.config().digest() != before
        })
        .await;
        started.elapsed()
    }

    pub fn records(&self) -> Vec<Record> {
        self.home.records(&self.broker)
    }

    pub fn outcomes(&self, action: Action) -> Vec<Outcome> {
        let records = self.records();
        let of = records.iter().filter(|r| r.action == action);
        of.filter_map(|record| record.outcome).collect()
    }
}

pub fn name(path: &str) -> SecretPath {
    SecretPath::parse(path).unwrap()
}

pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

/// The time `ms` from now, as the configuration has it.
pub fn in_ms(ms: u64) -> String {
    let at = i64::try_from(now_ms() + ms).unwrap();
    jiff::Timestamp::from_millisecond(at).unwrap().to_string()
}

/// Reads the current value as text.
pub async fn get(session: &Session, reference: &str) -> Result<String, ErrorCode> {
    let secret = session
        .get(reference, strongroom::backend::Which::Current)
        .await
        .map_err(|error| error.code)?;
    Ok(String::from_utf8(secret.value.expose().to_vec()).unwrap())
}

pub async fn set(session: &Session, reference: &str, value: &str) -> Result<u64, CallError> {
    let value = SecretValue::copy_of(value.as_bytes());
    session.set(reference, value, PutOptions::default()).await
}

/// Waits for a condition, which must come.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < LONG, "not within {LONG:?}: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Waits for a future, which must end.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(LONG, future).await {
        Ok(done) => done,
        Err(_) => panic!("not within {LONG:?}: {what}"),
    }
}

pub fn intents(records: &[Record]) -> Vec<&Record> {
    records
        .iter()
        .filter(|r| r.phase == Phase::Intent)
        .collect()
}

/// The outcome record of an intent.
pub fn outcome_of<'r>(records: &'r [Record], intent: &Record) -> Option<&'r Record> {
    records
        .iter()
        .find(|r| r.of.as_deref() == Some(&*intent.call))
}
