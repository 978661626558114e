//! What the trials run against.

use std::any::Any;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use strongroom_backend::{Backend, Result, SecretPath};

/// How long one trial may take unless [`Target::patience`] says otherwise: a trial makes some
/// hundred calls, and a debug build of a store that syncs each write makes about 50 a second.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) type Making = Pin<Box<dyn Future<Output = Result<Fixture>> + Send>>;
pub(crate) type Make = Arc<dyn Fn() -> Making + Send + Sync>;

/// A store to try: a name and a way to make it, or the reason why there is none.
#[derive(Clone)]
pub struct Target {
    pub(crate) name: String,
    pub(crate) source: Source,
    pub(crate) patience: Duration,
    pub(crate) gaps: Vec<(String, String)>,
}

#[derive(Clone)]
pub(crate) enum Source {
    Made(Make),
    NotConfigured(String),
}

impl Target {
    /// A store that `make` makes afresh for each trial: empty, or in a namespace of its own. It is
    /// called within a multi-threaded tokio runtime that lives as long as the trial, and once more
    /// to learn the capabilities.
    pub fn new<F, M>(name: impl Into<String>, make: F) -> Self
    where
        F: Fn() -> M + Send + Sync + 'static,
        M: Future<Output = Result<Fixture>> + Send + 'static,
    {
        Self::with_source(
            name.into(),
            Source::Made(Arc::new(move || Box::pin(make()))),
        )
    }

    /// A store that cannot be tried here, with the reason: every trial is reported ignored.
    pub fn not_configured(name: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::with_source(name.into(), Source::NotConfigured(reason.into()))
    }

    /// How long one trial may take; 120 seconds if not set.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Declares that the store is known not to pass `trial` (as `values::empty_value`): it is
    /// reported ignored with `reason`. A name that no trial has fails the run.
    #[must_use]
    pub fn without(mut self, trial: impl Into<String>, reason: impl Into<String>) -> Self {
        self.gaps.push((trial.into(), reason.into()));
        self
    }

    fn with_source(name: String, source: Source) -> Self {
        Self {
            name,
            source,
            patience: PATIENCE,
            gaps: Vec::new(),
        }
    }
}

/// A store made for one trial, and what must live as long.
pub struct Fixture {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) holds: Vec<(SecretPath, Vec<u8>)>,
    pub(crate) guards: Vec<Box<dyn Any + Send>>,
}

impl Fixture {
    /// A store that needs nothing beside itself.
    pub fn new(backend: Arc<dyn Backend>) -> Self {
        Self {
            backend,
            holds: Vec::new(),
            guards: Vec::new(),
        }
    }

    /// Keeps `guard` (a temporary folder, a server) until the trial is over.
    #[must_use]
    pub fn keeping(mut self, guard: impl Any + Send) -> Self {
        self.guards.push(Box::new(guard));
        self
    }

    /// Says what a store that cannot write was made with: every secret in it, by path.
    #[must_use]
    pub fn holding(mut self, secrets: Vec<(SecretPath, Vec<u8>)>) -> Self {
        self.holds = secrets;
        self
    }
}
