//! The store under trial, with the calls that trials make most.

use std::future::Future;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use strongroom_backend::{
    Backend, Capabilities, ErrorKind, Metadata, PutOptions, Result, SecretPath, SecretValue,
    Versioning, Which,
};

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::flaw::{Flaw, Verdict, ensure, refused};
use crate::target::Fixture;

/// Pages asked for before a listing counts as endless.
const MOST_PAGES: usize = 10_000;

#[derive(Clone)]
pub(crate) struct Subject {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) can: Capabilities,
    pub(crate) holds: Arc<Vec<(SecretPath, Vec<u8>)>>,
}

impl Subject {
    pub(crate) fn new(fixture: &Fixture) -> Self {
        Self {
            backend: Arc::clone(&fixture.backend),
            can: fixture.backend.capabilities().clone(),
            holds: Arc::new(fixture.holds.clone()),
        }
    }

    /// Writes without conditions; returns the version's number.
    pub(crate) async fn put(
        &self,
        path: &SecretPath,
        value: &[u8],
    ) -> std::result::Result<u64, Flaw> {
        self.put_with(path, value, &PutOptions::default())
            .await
            .map_err(|e| Flaw::new(format!("put {path}: {:?}, {e}", e.kind())))
    }

    pub(crate) async fn put_with(
        &self,
        path: &SecretPath,
        value: &[u8],
        options: &PutOptions,
    ) -> Result<u64> {
        let value = SecretValue::copy_of(value);
        let change = self.backend.put(path, &value, options).await?;
        Ok(change.version)
    }

    /// Writes if `expected` is current.
    pub(crate) async fn put_if(
        &self,
        path: &SecretPath,
        value: &[u8],
        expected: u64,
    ) -> Result<u64> {
        let options = PutOptions {
            expected: Some(expected),
            ..PutOptions::default()
        };
        self.put_with(path, value, &options).await
    }

    /// The version and bytes of the current version.
    pub(crate) async fn current(
        &self,
        path: &SecretPath,
    ) -> std::result::Result<(u64, Vec<u8>), Flaw> {
        self.read(path, Which::Current).await
    }

    pub(crate) async fn read(
        &self,
        path: &SecretPath,
        which: Which,
    ) -> std::result::Result<(u64, Vec<u8>), Flaw> {
        let secret = self
            .backend
            .get(path, which)
            .await
            .map_err(|e| Flaw::new(format!("get {path} {which:?}: {:?}, {e}", e.kind())))?;
        Ok((secret.version, secret.value.expose().to_vec()))
    }

    /// The current value must be `expected`; a difference is shown by length and place.
    pub(crate) async fn holds(&self, path: &SecretPath, expected: &[u8]) -> Verdict {
        let (_, got) = self.current(path).await?;
        same_bytes(path.as_str(), &got, expected)
    }

    pub(crate) async fn holds_version(
        &self,
        path: &SecretPath,
        number: u64,
        expected: &[u8],
    ) -> Verdict {
        let (version, got) = self.read(path, Which::Version(number)).await?;
        ensure!(
            version == number,
            "get {path} version {number} answered with version {version}"
        );
        same_bytes(path.as_str(), &got, expected)
    }

    /// There must be no current value, for whoever asks.
    pub(crate) async fn is_gone(&self, path: &SecretPath, why: &str) -> Verdict {
        let got = self.backend.get(path, Which::Current).await;
        refused(got, ErrorKind::NotFound, &format!("get {path} {why}"))
    }

    pub(crate) async fn version_is_gone(
        &self,
        path: &SecretPath,
        number: u64,
        why: &str,
    ) -> Verdict {
        let got = self.backend.get(path, Which::Version(number)).await;
        let call = format!("get {path} version {number} {why}");
        refused(got, ErrorKind::NotFound, &call)
    }

    /// The extension that the capabilities promise.
    pub(crate) fn versioning(&self) -> std::result::Result<&dyn Versioning, Flaw> {
        self.backend
            .versioning()
            .ok_or_else(|| Flaw::new("capabilities announce what `versioning()` does not have"))
    }

    /// Every page of a listing, in one.
    pub(crate) async fn list(
        &self,
        prefix: &str,
        limit: usize,
    ) -> std::result::Result<Vec<String>, Flaw> {
        let mut names: Vec<String> = Vec::new();
        for _ in 0..MOST_PAGES {
            let after = names.last().cloned();
            let page = self.backend.list(prefix, after.as_deref(), limit).await?;
            let len = page.paths.len();
            ensure!(len <= limit, "a page of {len} paths for a limit of {limit}");
            ensure!(
                len == limit || !page.more,
                "a page of {len} paths is not full and says that more follow"
            );
            names.extend(page.paths.iter().map(|path| path.as_str().to_owned()));
            if !page.more {
                return Ok(names);
            }
        }
        Err(Flaw::new("the listing does not end"))
    }
}

/// Runs `work` on a thread of its own: two tasks of a runtime may share one and never truly meet.
pub(crate) fn beside(work: impl Future<Output = Verdict> + Send + 'static) -> JoinHandle<Verdict> {
    let runtime = Handle::current();
    tokio::task::spawn_blocking(move || runtime.block_on(work))
}

pub(crate) fn path(text: &str) -> std::result::Result<SecretPath, Flaw> {
    Ok(SecretPath::parse(text)?)
}

pub(crate) fn paths<'t>(
    texts: impl IntoIterator<Item = &'t str>,
) -> std::result::Result<Vec<SecretPath>, Flaw> {
    texts.into_iter().map(path).collect()
}

pub(crate) fn labelled(pairs: &[(&str, &str)]) -> Metadata {
    let owned = |(k, v): &(&str, &str)| ((*k).to_owned(), (*v).to_owned());
    Metadata {
        labels: Some(pairs.iter().map(owned).collect()),
        ..Metadata::default()
    }
}

pub(crate) fn same_bytes(what: &str, got: &[u8], expected: &[u8]) -> Verdict {
    let differs = got.iter().zip(expected).position(|(a, b)| a != b);
    ensure!(
        got == expected,
        "{what}: {} bytes came back for {} written, first difference at {differs:?}",
        got.len(),
        expected.len()
    );
    Ok(())
}

/// Milliseconds since the Unix epoch.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
