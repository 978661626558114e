//! A store in memory: for tests, for caches of nothing, and as the model of the others.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;

use crate::{
    Backend, Capabilities, Change, ChangeCell, ChangeTable, CompareAndSet, Description, Error,
    History, ListPage, Metadata, PutOptions, Result, Secret, SecretPath, SecretValue, VersionInfo,
    VersionNumbers, Versioning, Which,
};

/// How many versions of a secret are kept.
const KEEP_VERSIONS: usize = 100;

/// A store whose secrets live and end with the process.
pub struct MemoryBackend {
    capabilities: Capabilities,
    secrets: Mutex<BTreeMap<SecretPath, Entry>>,
    changes: Arc<ChangeTable>,
}

#[derive(Default)]
struct Entry {
    history: History,
    values: BTreeMap<u64, Arc<SecretValue>>,
}

impl MemoryBackend {
    /// An empty store that holds values of up to 1 MiB.
    pub fn new() -> Self {
        Self {
            capabilities: Capabilities {
                max_value: 1 << 20,
                write: true,
                list: true,
                versions: VersionNumbers::Counted,
                restarts: false,
                compare_and_set: CompareAndSet::Full,
                undelete: true,
                delete_version: true,
                destroy: true,
                metadata: true,
                expiry: true,
            },
            secrets: Mutex::default(),
            changes: ChangeTable::in_memory(),
        }
    }

    fn secrets(&self) -> MutexGuard<'_, BTreeMap<SecretPath, Entry>> {
        // An entry is changed by assignments that cannot panic half way, so poison means nothing.
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<R>(
        &self,
        path: &SecretPath,
        change: impl FnOnce(&mut Entry) -> Result<R>,
    ) -> Result<R> {
        let mut secrets = self.secrets();
        let cell = self.cell(path);
        let _changing = cell.begin_write();
        change(secrets.get_mut(path).ok_or_else(Error::not_found)?)
    }

    fn cell(&self, path: &SecretPath) -> ChangeCell {
        use std::hash::{Hash, Hasher};
        let mut hasher = siphasher::sip::SipHasher13::new();
        path.hash(&mut hasher);
        self.changes.cell(hasher.finish())
    }
}

impl Default for MemoryBackend {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Backend for MemoryBackend {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn get(&self, path: &SecretPath, which: Which) -> Result<Secret> {
        let secrets = self.secrets();
        let entry = secrets.get(path).ok_or_else(Error::not_found)?;
        let version = entry.history.readable(which, now())?;
        let value = entry.values.get(&version).ok_or_else(Error::not_found)?;
        let expires = entry
            .history
            .times(version)
            .and_then(|(_, expires)| expires);
        Ok(Secret {
            value: Arc::clone(value),
            version,
            expires,
        })
    }

    async fn put(
        &self,
        path: &SecretPath,
        value: &SecretValue,
        options: &PutOptions,
    ) -> Result<Change> {
        if value.len() as u64 > self.capabilities.max_value {
            return Err(Error::too_large(self.capabilities.max_value));
        }
        let mut secrets = self.secrets();
        let cell = self.cell(path);
        let _changing = cell.begin_write();
        let mut history = secrets
            .get(path)
            .map(|e| e.history.clone())
            .unwrap_or_default();
        let version = history.put(options, now())?;
        let pruned = history.prune(KEEP_VERSIONS);
        let entry = secrets.entry(path.clone()).or_default();
        entry.history = history;
        entry
            .values
            .insert(version, Arc::new(SecretValue::copy_of(value.expose())));
        entry.values.retain(|number, _| !pruned.contains(number));
        Ok(Change {
            version,
            counter: None,
        })
    }

    async fn describe(&self, path: &SecretPath) -> Result<Description> {
        self.secrets()
            .get(path)
            .map(|e| e.history.describe())
            .ok_or_else(Error::not_found)
    }

    async fn delete(&self, path: &SecretPath, version: Option<u64>) -> Result<Change> {
        let version = self.change(path, |entry| entry.history.delete(version, now()))?;
        Ok(Change {
            version,
            counter: None,
        })
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<ListPage> {
        let secrets = self.secrets();
        let mut page = ListPage::default();
        let after = after.map(SecretPath::parse).transpose().map_err(|e| {
            Error::new(
                crate::ErrorKind::InvalidArgument,
                "the cursor is not a path",
            )
            .with_source(e)
        })?;
        let from = after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let matching = secrets
            .range::<SecretPath, _>((from, Bound::Unbounded))
            .filter(|(path, entry)| path.as_str().starts_with(prefix) && entry.history.is_listed());
        for (path, _) in matching {
            if page.paths.len() == limit {
                page.more = true;
                break;
            }
            page.paths.push(path.clone());
        }
        Ok(page)
    }

    async fn versions(&self, path: &SecretPath) -> Result<Vec<VersionInfo>> {
        self.secrets()
            .get(path)
            .map(|e| e.history.versions())
            .ok_or_else(Error::not_found)
    }

    async fn check(&self) -> Result<Vec<String>> {
        Ok(vec![format!("in memory: {} secrets", self.secrets().len())])
    }

    fn versioning(&self) -> Option<&dyn Versioning> {
        Some(self)
    }

    fn change_cell(&self, path: &SecretPath) -> Option<ChangeCell> {
        Some(self.cell(path))
    }
}

#[async_trait]
impl Versioning for MemoryBackend {
    async fn undelete(&self, path: &SecretPath, version: Option<u64>) -> Result<Change> {
        let version = self.change(path, |entry| entry.history.undelete(version, now()))?;
        Ok(Change {
            version,
            counter: None,
        })
    }

    async fn destroy(&self, path: &SecretPath, version: u64) -> Result<Change> {
        self.change(path, |entry| {
            entry.history.destroy(version, now())?;
            entry.values.remove(&version);
            Ok(Change {
                version,
                counter: None,
            })
        })
    }

    async fn set_metadata(&self, path: &SecretPath, metadata: &Metadata) -> Result<Change> {
        self.change(path, |entry| {
            entry.history.set_metadata(metadata, now());
            Ok(Change {
                version: entry.history.describe().version.unwrap_or(0),
                counter: None,
            })
        })
    }
}

fn now() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
