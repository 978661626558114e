//! A memory store in several shapes, sound or broken in one way.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use strongroom_backend::{
    Backend, Capabilities, Change, ChangeCell, ChangeTable, CompareAndSet, Description, Error,
    ErrorKind, ListPage, MemoryBackend, Metadata, PutOptions, Result, Secret, SecretPath,
    SecretValue, StoreMark, VersionInfo, VersionNumbers, VersionState, Versioning, Which,
};
use tokio::task::yield_now;

use crate::defect::{Defect, Defect as D, MAX_VALUE, Shape};

pub(crate) struct Store {
    pub(crate) inner: MemoryBackend,
    can: Capabilities,
    shape: Shape,
    pub(crate) defect: Defect,
    table: Arc<ChangeTable>,
    counter: AtomicU64,
    locked: AtomicBool,
    seen: Mutex<Seen>,
}

/// What the store remembers for its defects.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) written: BTreeSet<String>,
    pub(crate) deleted: BTreeSet<String>,
    pub(crate) lives: BTreeMap<String, u32>,
    pub(crate) offsets: BTreeMap<String, usize>,
    buffer: Vec<u8>,
}

impl Store {
    pub(crate) fn new(shape: Shape, defect: Defect) -> Self {
        Self {
            inner: MemoryBackend::new(),
            can: shape.capabilities(),
            shape,
            defect,
            table: ChangeTable::in_memory(),
            counter: AtomicU64::new(1),
            locked: AtomicBool::new(false),
            seen: Mutex::default(),
        }
    }

    pub(crate) fn is(&self, defect: Defect) -> bool {
        self.defect == defect
    }

    pub(crate) fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap()
    }

    /// Refuses unless the capability is there, or pretended.
    fn needs(&self, capability: bool) -> Result<()> {
        match capability || self.is(D::Pretends) {
            true => Ok(()),
            false => Err(Error::unsupported("not announced")),
        }
    }

    fn numbered(&self) -> bool {
        self.can.versions != VersionNumbers::None
    }

    /// The number that this store tells for one of the memory store's.
    fn told(&self, number: u64) -> u64 {
        match self.can.versions {
            VersionNumbers::None => 0,
            VersionNumbers::Increasing => number * 10 + 7,
            _ => number,
        }
    }

    fn asked(&self, number: u64) -> u64 {
        match self.can.versions {
            VersionNumbers::Increasing if number % 10 == 7 => number / 10,
            VersionNumbers::Increasing => u64::MAX,
            _ => number,
        }
    }

    fn name(&self, path: &SecretPath) -> SecretPath {
        let text = path.as_str();
        let text = match self.defect {
            D::IgnoresCase => text.to_lowercase(),
            D::Flattens => text.replace('/', "-"),
            D::CutsNames => text.chars().take(200).collect(),
            D::Restarts => {
                let life = self.seen().lives.get(text).copied().unwrap_or(0);
                format!("{text}/life-{life}")
            }
            _ => text.to_owned(),
        };
        SecretPath::parse(text.trim_end_matches('/')).unwrap()
    }

    fn begins_anew(&self, path: &SecretPath) {
        *self.seen().lives.entry(path.to_string()).or_default() += 1;
    }

    fn changed(&self, change: Change) -> Change {
        let counter = match (self.shape, self.defect) {
            (Shape::Marked, D::MarkStuck) => Some(1),
            (Shape::Marked, _) => Some(self.counter.fetch_add(1, Ordering::SeqCst) + 1),
            _ => None,
        };
        Change {
            version: self.told(change.version),
            counter,
        }
    }

    fn error(&self, error: Error) -> Error {
        match error.kind() {
            ErrorKind::Conflict(_) if self.is(D::TellsNoCurrent) => Error::conflict(0),
            ErrorKind::Conflict(current) if current != 0 => Error::conflict(self.told(current)),
            ErrorKind::NotFound if self.is(D::MissingIsFailure) => {
                Error::new(ErrorKind::Failed, "404").with_source(error)
            }
            _ => error,
        }
    }

    /// Writes as the defect has it, after the checks.
    async fn write(
        &self,
        path: &SecretPath,
        value: &SecretValue,
        options: &PutOptions,
    ) -> Result<Change> {
        let mut bytes = value.expose().to_vec();
        let mut options = options.clone();
        let before = self.inner.get(path, Which::Current).await;
        match self.defect {
            D::LossyText => bytes = String::from_utf8_lossy(&bytes).trim().as_bytes().to_vec(),
            D::CutsBlocks if bytes.len().is_multiple_of(16) => drop(bytes.pop()),
            D::LeavesTail => {
                let old = before.as_ref().map_or(&[][..], |s| s.value.expose());
                bytes.extend(old.iter().skip(bytes.len()).copied().collect::<Vec<_>>());
            }
            D::AsciiLabels => {
                let ascii = |(k, v): (String, String)| (k, v.replace(|c: char| !c.is_ascii(), "?"));
                let labels = options.metadata.labels.take();
                options.metadata.labels = labels.map(|l| l.into_iter().map(ascii).collect());
            }
            D::ForgetsAuthors => options.author = None,
            D::ForgetsExpiry => options.expires = None,
            D::ForgetsMetadata => options.metadata = Metadata::default(),
            D::NoneClears => options.metadata = cleared(&options.metadata),
            D::IgnoresExpected => options.expected = None,
            D::NeverCreates if options.expected == Some(0) => return Err(Error::conflict(0)),
            D::ChecksThenWrites => {
                let current = before.as_ref().map_or(0, |s| s.version);
                if options.expected.is_some_and(|expected| expected != current) {
                    return Err(Error::conflict(current));
                }
                options.expected = None;
                yield_now().await;
                std::thread::sleep(std::time::Duration::from_micros(200));
            }
            D::MetadataFirst if before.is_ok() => {
                self.inner.set_metadata(path, &options.metadata).await?;
            }
            D::CounterEarly => {
                drop(self.table.cell(1).begin_write());
                std::thread::sleep(std::time::Duration::from_micros(200));
            }
            D::SharesABuffer => {
                self.seen().buffer = bytes;
                yield_now().await;
                std::thread::sleep(std::time::Duration::from_micros(50));
                bytes = self.seen().buffer.clone();
            }
            D::WritesInHalves => {
                let half = SecretValue::copy_of(&bytes[..bytes.len() / 2]);
                self.inner.put(path, &half, &PutOptions::default()).await?;
                yield_now().await;
            }
            D::KeepsLock if self.locked.load(Ordering::SeqCst) => {
                return Err(Error::new(ErrorKind::Unavailable, "locked"));
            }
            D::Hangs => std::future::pending().await,
            D::Panics => panic!("told to"),
            _ => {}
        }
        let was_deleted = before.is_err() && self.inner.describe(path).await.is_ok();
        let change = self
            .inner
            .put(path, &SecretValue::new(bytes), &options)
            .await?;
        if self.is(D::StaysDead) && was_deleted {
            self.inner.delete(path, None).await?;
        }
        Ok(change)
    }
}

#[async_trait]
impl Backend for Store {
    fn capabilities(&self) -> &Capabilities {
        &self.can
    }

    async fn get(&self, path: &SecretPath, which: Which) -> Result<Secret> {
        self.needs(which == Which::Current || self.numbered())?;
        let name = self.name(path);
        if self.is(D::KeepsLock) {
            self.locked.store(true, Ordering::SeqCst);
            yield_now().await;
            self.locked.store(false, Ordering::SeqCst);
        }
        if self.is(D::CounterOnReads) {
            drop(self.inner.change_cell(&name).unwrap().begin_write());
        }
        let which = match which {
            Which::Version(_) if self.is(D::IgnoresNumbers) => Which::Current,
            Which::Version(number) => Which::Version(self.asked(number)),
            Which::Current => Which::Current,
        };
        let mut got = self.inner.get(&name, which).await;
        if self.is(D::OlderReturns) && which == Which::Current && got.is_err() {
            let versions = self.inner.versions(&name).await?;
            let older = versions
                .iter()
                .find(|v| v.state == VersionState::Superseded);
            if let Some(older) = older {
                got = self.inner.get(&name, Which::Version(older.version)).await;
            }
        }
        let mut secret = got.map_err(|e| self.error(e))?;
        if self.is(D::EmptyIsMissing) && secret.value.is_empty() {
            return Err(Error::not_found());
        }
        if self.is(D::LossyText) {
            let text = String::from_utf8_lossy(secret.value.expose())
                .trim()
                .to_owned();
            secret.value = Arc::new(SecretValue::new(text.into_bytes()));
        }
        secret.version = self.told(secret.version);
        Ok(secret)
    }

    async fn put(
        &self,
        path: &SecretPath,
        value: &SecretValue,
        options: &PutOptions,
    ) -> Result<Change> {
        self.needs(self.can.write)?;
        self.needs(options.expires.is_none() || self.can.expiry)?;
        self.needs(options.metadata == Metadata::default() || self.can.metadata)?;
        self.needs(match (self.can.compare_and_set, options.expected) {
            (CompareAndSet::Full, _) | (_, None) => true,
            (CompareAndSet::CreateOnly, expected) => expected == Some(0),
            _ => false,
        })?;
        let limit = MAX_VALUE - u64::from(self.is(D::LimitOffByOne));
        if value.len() as u64 > limit && !self.is(D::NoLimit) {
            return Err(Error::too_large(limit));
        }
        let name = self.name(path);
        self.seen().written.insert(path.to_string());
        let mut options = options.clone();
        options.expected = options
            .expected
            .map(|n| if n == 0 { 0 } else { self.asked(n) });
        match self.write(&name, value, &options).await {
            Ok(change) => {
                let mut change = self.changed(change);
                change.version += u64::from(self.is(D::TellsWrongNumber));
                Ok(change)
            }
            Err(error) if self.is(D::ErrorsTell) => {
                let hex: String = value.expose().iter().map(|b| format!("{b:02x}")).collect();
                Err(self
                    .error(error)
                    .with_source(format!("rejected body {hex}")))
            }
            Err(error) => Err(self.error(error)),
        }
    }

    async fn describe(&self, path: &SecretPath) -> Result<Description> {
        let mut told = self.inner.describe(&self.name(path)).await;
        if let Ok(told) = &mut told {
            told.version = told.version.map(|number| self.told(number));
            if self.is(D::DescribesLiveOnly) && told.version.is_none() {
                return Err(Error::not_found());
            }
            if self.is(D::DescribesFirst) {
                told.version = Some(1);
            }
        }
        told.map_err(|e| self.error(e))
    }

    async fn delete(&self, path: &SecretPath, version: Option<u64>) -> Result<Change> {
        self.needs(self.can.write && (version.is_none() || self.can.delete_version))?;
        let name = self.name(path);
        if version.is_none() {
            self.seen().deleted.insert(path.to_string());
        }
        let version = match self.defect {
            D::DeletesAllVersions => None,
            D::DeletesCurrentOnly => match self.inner.describe(&name).await?.version {
                current @ Some(_) => version.or(current),
                None => return Err(Error::not_found()),
            },
            _ => version.map(|number| self.asked(number)),
        };
        if self.is(D::DeletesNothing) {
            let version = self.inner.get(&name, Which::Current).await?.version;
            return Ok(self.changed(Change {
                version,
                counter: None,
            }));
        }
        if self.is(D::DeletesTrees) {
            let under = self
                .inner
                .list(&format!("{name}/"), None, usize::MAX)
                .await?;
            for path in under.paths {
                self.inner.delete(&path, None).await?;
            }
        }
        let deleted = self.inner.delete(&name, version).await;
        if self.is(D::Restarts) && deleted.is_ok() {
            self.begins_anew(path);
        }
        match deleted {
            Ok(change) => Ok(self.changed(change)),
            Err(_) if self.is(D::DeleteAlwaysWorks) => Ok(Change {
                version: 0,
                counter: None,
            }),
            Err(error) => Err(self.error(error)),
        }
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<ListPage> {
        self.needs(self.can.list)?;
        if let Some(Err(error)) = after.map(SecretPath::parse) {
            return Err(Error::new(ErrorKind::InvalidArgument, "cursor").with_source(error));
        }
        self.page(prefix, after, limit).await
    }

    async fn versions(&self, path: &SecretPath) -> Result<Vec<VersionInfo>> {
        self.needs(self.numbered())?;
        let versions = self.inner.versions(&self.name(path)).await;
        let mut versions = versions.map_err(|e| self.error(e))?;
        for version in &mut versions {
            version.version = self.told(version.version);
        }
        if self.is(D::OldestFirst) {
            versions.reverse();
        }
        Ok(versions)
    }

    async fn check(&self) -> Result<Vec<String>> {
        let mut lines = self.inner.check().await?;
        if self.is(D::ChecksNothing) {
            lines.clear();
        }
        if self.is(D::CheckTells) {
            for path in self.inner.list("", None, 10).await?.paths {
                let secret = self.inner.get(&path, Which::Current).await?;
                lines.push(format!("{path}: {:?}", secret.value.expose()));
            }
        }
        Ok(lines)
    }

    async fn get_many(&self, paths: &[SecretPath]) -> Vec<Result<Secret>> {
        let mut paths = paths.to_vec();
        match self.defect {
            D::ManySorted => paths.sort(),
            D::ManyOnce => {
                let mut asked = BTreeSet::new();
                paths.retain(|path| asked.insert(path.clone()));
            }
            D::ManyCapped => paths.truncate(50),
            _ => {}
        }
        let mut answers = Vec::new();
        for path in &paths {
            answers.push(self.get(path, Which::Current).await);
        }
        if self.is(D::ManyFailsWhole) && answers.iter().any(Result::is_err) {
            answers = paths.iter().map(|_| Err(Error::not_found())).collect();
        }
        answers
    }

    fn versioning(&self) -> Option<&dyn Versioning> {
        // One shape has the extension and refuses in it, one has none.
        (self.shape != Shape::ReadOnly).then_some(self)
    }

    fn change_cell(&self, path: &SecretPath) -> Option<ChangeCell> {
        match self.defect {
            D::CounterStuck | D::CounterEarly => Some(self.table.cell(1)),
            _ => self.inner.change_cell(&self.name(path)),
        }
    }

    fn mark(&self) -> Result<Option<StoreMark>> {
        Ok((self.shape == Shape::Marked).then(|| StoreMark {
            store: "store".to_owned(),
            counter: self.counter.load(Ordering::SeqCst),
        }))
    }
}

#[async_trait]
impl Versioning for Store {
    async fn undelete(&self, path: &SecretPath, version: Option<u64>) -> Result<Change> {
        self.needs(self.can.undelete && (version.is_none() || self.can.delete_version))?;
        let name = self.name(path);
        let version = version.map(|number| self.asked(number));
        if self.is(D::UndeletesNothing) || self.is(D::Pretends) {
            return Ok(Change {
                version: 0,
                counter: None,
            });
        }
        let change = self
            .inner
            .undelete(&name, version)
            .await
            .map_err(|e| self.error(e))?;
        if self.is(D::UndeletesAll) {
            for version in self.inner.versions(&name).await? {
                let _ = self.inner.undelete(&name, Some(version.version)).await;
            }
        }
        if let (D::UndeleteWrites, Some(version)) = (self.defect, version) {
            let old = self.inner.get(&name, Which::Version(version)).await?;
            self.inner
                .put(&name, &old.value, &PutOptions::default())
                .await?;
        }
        Ok(self.changed(change))
    }

    async fn destroy(&self, path: &SecretPath, version: u64) -> Result<Change> {
        self.needs(self.can.destroy)?;
        let name = self.name(path);
        let version = self.asked(version);
        if self.is(D::DestroysNothing) {
            return Ok(Change {
                version,
                counter: None,
            });
        }
        if self.is(D::DestroysLiveOnly) {
            self.inner.get(&name, Which::Version(version)).await?;
        }
        let change = self
            .inner
            .destroy(&name, version)
            .await
            .map_err(|e| self.error(e))?;
        if self.is(D::Restarts) {
            self.begins_anew(path);
        }
        Ok(self.changed(change))
    }

    async fn set_metadata(&self, path: &SecretPath, metadata: &Metadata) -> Result<Change> {
        self.needs(self.can.metadata)?;
        let name = self.name(path);
        let mut metadata = metadata.clone();
        match self.defect {
            D::NoneClears => metadata = cleared(&metadata),
            D::MergesLabels => {
                let old = self.inner.describe(&name).await?.labels;
                metadata.labels.get_or_insert_default().extend(old);
            }
            D::MetadataAnywhere if self.inner.describe(&name).await.is_err() => {
                return Ok(Change {
                    version: 0,
                    counter: None,
                });
            }
            D::MetadataWrites => {
                let value = self.inner.get(&name, Which::Current).await?.value;
                self.inner
                    .put(&name, &value, &PutOptions::default())
                    .await?;
            }
            _ => {}
        }
        let change = self.inner.set_metadata(&name, &metadata).await;
        Ok(self.changed(change.map_err(|e| self.error(e))?))
    }
}

fn cleared(metadata: &Metadata) -> Metadata {
    Metadata {
        kind: Some(metadata.kind.clone().unwrap_or_default()),
        description: Some(metadata.description.clone().unwrap_or_default()),
        labels: Some(metadata.labels.clone().unwrap_or_default()),
    }
}
