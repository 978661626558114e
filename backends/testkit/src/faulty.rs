//! A store that fails, delays, pauses, lies, or dies on command.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use strongroom_backend::{
    Backend, Capabilities, Change, ChangeCell, Description, Error, ErrorKind, ListPage, Metadata,
    Notices, OnNotice, PutOptions, Result, Secret, SecretPath, SecretValue, StoreMark, VersionInfo,
    Versioning, Which,
};
use tokio::sync::Semaphore;

use crate::Operation;

/// Passes calls on to a store until its [`Faults`] say otherwise.
pub struct Faulty<B: ?Sized> {
    faults: Faults,
    inner: Arc<B>,
}

impl<B: Backend + ?Sized> Faulty<B> {
    /// Wraps `inner`, which works until a fault is armed through the handle.
    pub fn new(inner: Arc<B>) -> (Self, Faults) {
        let faults = Faults(Arc::default());
        let handle = faults.clone();
        (Self { faults, inner }, handle)
    }

    fn extension(&self, ability: &'static str) -> Result<&dyn Versioning> {
        self.inner
            .versioning()
            .ok_or_else(|| Error::unsupported(ability))
    }
}

/// What goes wrong.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Fault {
    /// The call fails and does nothing.
    Fail(ErrorKind),
    /// The call is carried out and its answer lost: what a broken connection does.
    FailAfter(ErrorKind),
    /// The call takes this much longer.
    Delay(Duration),
    /// The call never answers and does nothing.
    Hang,
    /// The call waits at the gate before it is carried out.
    Pause(Gate),
    /// The call waits at the gate with its answer in hand.
    PauseAfter(Gate),
    /// The process aborts before the call is carried out.
    Abort,
    /// The process aborts after the call was carried out, before it answers.
    AbortAfter,
    /// `get` answers with this version, whichever was asked for.
    Lie(u64),
}

/// Which calls a fault is for: all of them unless narrowed.
#[derive(Clone, Copy, Debug)]
pub struct When {
    operation: Option<Operation>,
    skip: u64,
    times: u64,
}

impl When {
    /// Every call, until [`Faults::heal`].
    pub fn always() -> Self {
        Self::next(u64::MAX)
    }

    /// The next `times` calls.
    pub fn next(times: u64) -> Self {
        Self {
            operation: None,
            skip: 0,
            times,
        }
    }

    /// Only calls of `operation`, which alone are counted then.
    #[must_use]
    pub fn on(mut self, operation: Operation) -> Self {
        self.operation = Some(operation);
        self
    }

    /// Lets `skip` calls pass first.
    #[must_use]
    pub fn after(mut self, skip: u64) -> Self {
        self.skip = skip;
        self
    }
}

/// Commands a [`Faulty`] store.
#[derive(Clone, Default)]
pub struct Faults(Arc<Mutex<Vec<(Fault, When)>>>);

impl Faults {
    /// Arms `fault` for the calls that `when` names. Of several that fit a call, the one armed
    /// first strikes; the others wait.
    pub fn arm(&self, fault: Fault, when: When) {
        self.armed().push((fault, when));
    }

    /// Disarms everything. Calls that hang or wait at a gate stay where they are.
    pub fn heal(&self) {
        self.armed().clear();
    }

    fn armed(&self) -> MutexGuard<'_, Vec<(Fault, When)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The fault that strikes this call.
    fn strike(&self, operation: Operation) -> Option<Fault> {
        let mut armed = self.armed();
        let mut struck = None;
        for (fault, when) in armed.iter_mut() {
            if when.operation.is_some_and(|only| only != operation) {
                continue;
            }
            if when.skip > 0 {
                when.skip -= 1;
            } else if struck.is_none() && when.times > 0 {
                when.times -= 1;
                struck = Some(fault.clone());
            }
        }
        armed.retain(|(_, when)| when.times > 0);
        struck
    }

    /// What comes before the call; returns what is to come after it.
    async fn before(&self, operation: Operation) -> Result<Option<Fault>> {
        let fault = self.strike(operation);
        match &fault {
            Some(Fault::Fail(kind)) => return Err(struck(*kind)),
            Some(Fault::Delay(time)) => tokio::time::sleep(*time).await,
            Some(Fault::Hang) => std::future::pending().await,
            Some(Fault::Pause(gate)) => gate.wait().await,
            Some(Fault::Abort) => std::process::abort(),
            _ => {}
        }
        Ok(fault)
    }
}

/// A place where calls wait until they are let through.
#[derive(Clone, Debug)]
pub struct Gate(Arc<(Semaphore, Semaphore)>);

impl Gate {
    /// A closed gate.
    pub fn new() -> Self {
        Self(Arc::new((Semaphore::new(0), Semaphore::new(0))))
    }

    /// Returns when a call has come to the gate; each arrival is told once.
    pub async fn reached(&self) {
        take(&self.0.0).await;
    }

    /// Lets one call through: the one that waits, or the next to come.
    pub fn release(&self) {
        self.0.1.add_permits(1);
    }

    async fn wait(&self) {
        self.0.0.add_permits(1);
        take(&self.0.1).await;
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

async fn take(semaphore: &Semaphore) {
    // Never closed, so there is always a permit in the end.
    if let Ok(permit) = semaphore.acquire().await {
        permit.forget();
    }
}

/// What comes after the call.
async fn after<T>(fault: Option<Fault>, answer: Result<T>) -> Result<T> {
    match fault {
        Some(Fault::FailAfter(kind)) => Err(struck(kind)),
        Some(Fault::PauseAfter(gate)) => {
            gate.wait().await;
            answer
        }
        Some(Fault::AbortAfter) => std::process::abort(),
        _ => answer,
    }
}

fn struck(kind: ErrorKind) -> Error {
    Error::new(kind, "the store was told to fail")
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<B: Backend + ?Sized> Backend for Faulty<B> {
    fn capabilities(&self) -> &Capabilities {
        self.inner.capabilities()
    }

    async fn get(&self, path: &SecretPath, which: Which) -> Result<Secret> {
        let fault = self.faults.before(Operation::Get).await?;
        let which = match &fault {
            Some(Fault::Lie(number)) => Which::Version(*number),
            _ => which,
        };
        after(fault, self.inner.get(path, which).await).await
    }

    async fn put(
        &self,
        path: &SecretPath,
        value: &SecretValue,
        options: &PutOptions,
    ) -> Result<Change> {
        let fault = self.faults.before(Operation::Put).await?;
        after(fault, self.inner.put(path, value, options).await).await
    }

    async fn describe(&self, path: &SecretPath) -> Result<Description> {
        let fault = self.faults.before(Operation::Describe).await?;
        after(fault, self.inner.describe(path).await).await
    }

    async fn delete(&self, path: &SecretPath, version: Option<u64>) -> Result<Change> {
        let fault = self.faults.before(Operation::Delete).await?;
        after(fault, self.inner.delete(path, version).await).await
    }

    async fn list(&self, prefix: &str, start: Option<&str>, limit: usize) -> Result<ListPage> {
        let fault = self.faults.before(Operation::List).await?;
        after(fault, self.inner.list(prefix, start, limit).await).await
    }

    async fn versions(&self, path: &SecretPath) -> Result<Vec<VersionInfo>> {
        let fault = self.faults.before(Operation::Versions).await?;
        after(fault, self.inner.versions(path).await).await
    }

    async fn check(&self) -> Result<Vec<String>> {
        let fault = self.faults.before(Operation::Check).await?;
        after(fault, self.inner.check().await).await
    }

    async fn get_many(&self, paths: &[SecretPath]) -> Vec<Result<Secret>> {
        let all = |kind| paths.iter().map(|_| Err(struck(kind))).collect();
        let fault = match self.faults.before(Operation::GetMany).await {
            Ok(fault) => fault,
            Err(error) => return all(error.kind()),
        };
        let answers = Ok(self.inner.get_many(paths).await);
        after(fault, answers)
            .await
            .unwrap_or_else(|error| all(error.kind()))
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

    /// Not an async call, so only failing and aborting strike here.
    fn mark(&self) -> Result<Option<StoreMark>> {
        match self.faults.strike(Operation::Mark) {
            Some(Fault::Fail(kind) | Fault::FailAfter(kind)) => Err(struck(kind)),
            Some(Fault::Abort | Fault::AbortAfter) => std::process::abort(),
            _ => self.inner.mark(),
        }
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<B: Backend + ?Sized> Versioning for Faulty<B> {
    async fn undelete(&self, path: &SecretPath, version: Option<u64>) -> Result<Change> {
        let fault = self.faults.before(Operation::Undelete).await?;
        let answer = self.extension("undelete")?.undelete(path, version).await;
        after(fault, answer).await
    }

    async fn destroy(&self, path: &SecretPath, version: u64) -> Result<Change> {
        let fault = self.faults.before(Operation::Destroy).await?;
        let answer = self.extension("destroy")?.destroy(path, version).await;
        after(fault, answer).await
    }

    async fn set_metadata(&self, path: &SecretPath, metadata: &Metadata) -> Result<Change> {
        let fault = self.faults.before(Operation::SetMetadata).await?;
        let extension = self.extension("set metadata")?;
        after(fault, extension.set_metadata(path, metadata).await).await
    }
}
