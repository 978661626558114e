//! A Key Vault of our own over TLS, and the login service beside it.
//!
//! No real one can be installed. It is held to account from two sides: its answers have the shapes
//! of the real service's recordings, which are replayed against our client too, and Microsoft's own
//! client goes through its functional cases against it (`tests/microsoft.rs`).
#![allow(
    dead_code,
    unused_imports,
    reason = "each test program uses a part of it"
)]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop at whatever it did not expect"
)]

mod answer;
mod login;
mod vault;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use strongroom_backend_azure::{Auth, ClientSecret, Config};
use strongroom_backend_testkit::wire::{Identity, Reply, Request, Wire};

pub(crate) use answer::Denial;
pub(crate) use vault::{Phase, Stored, Version};

pub(crate) const VAULT: &str = "fake-vault";
pub(crate) const AUDIENCE: &str = "https://vault.azure.net";
pub(crate) const TENANT: &str = "9f0c1d2e-0000-4000-8000-00000000feed";
pub(crate) const CLIENT: &str = "3b2a1908-0000-4000-8000-00000000cafe";
/// The token of a Kubernetes service account.
pub(crate) const ASSERTION: &str = "assertion-of-a-pod";
pub(crate) const SECRET: &str = "client-secret-of-the-fake";

/// What the service's clock does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clock {
    /// As ours.
    Real,
    /// Begins at our time and goes on by a second with each write: a year of writes in no time.
    Steps,
    /// Stands still: all writes are of one second.
    Stands,
}

/// A running vault; it ends when dropped.
pub(crate) struct Fake {
    wire: Wire,
    identity: Identity,
    pub(crate) state: Arc<Mutex<State>>,
    folder: tempfile::TempDir,
}

/// Everything that a test may look at and turn.
pub(crate) struct State {
    pub(crate) clock: Clock,
    /// Seconds that the clock has gone on by itself.
    pub(crate) ahead: u64,
    started: u64,
    /// How many requests about a name see a delete or recovery of it still under way.
    pub(crate) lag: u32,
    /// How many requests about a name see a purge of it still under way. None unless a test says
    /// so: Microsoft's samples wait by the clock.
    pub(crate) purge_lag: u32,
    /// The most items of a page.
    pub(crate) page: usize,
    /// Whether deleted secrets are kept; else a delete is for good.
    pub(crate) soft_delete: bool,
    /// Whether deleted secrets cannot be purged.
    pub(crate) purge_protected: bool,
    /// Whether the versions of a deleted secret are none, rather than not found.
    pub(crate) no_versions_of_deleted: bool,
    /// The operations that are refused.
    pub(crate) denied: Vec<(&'static str, Denial)>,
    /// How many of the next requests are throttled.
    pub(crate) throttled: u32,
    pub(crate) secrets: std::collections::BTreeMap<String, Stored>,
    pub(crate) tokens: login::Tokens,
    ids: u64,
}

impl State {
    /// The service's time in seconds.
    pub(crate) fn now(&self) -> u64 {
        match self.clock {
            Clock::Real => local_seconds() + self.ahead,
            Clock::Steps | Clock::Stands => self.started + self.ahead,
        }
    }

    /// The time of a write, after which the clock may step.
    pub(crate) fn tick(&mut self) -> u64 {
        let now = self.now();
        if self.clock == Clock::Steps {
            self.ahead += 1;
        }
        now
    }
}

impl Fake {
    pub(crate) fn start(clock: Clock) -> Self {
        let identity = Identity::new("localhost");
        let state = Arc::new(Mutex::new(State {
            clock,
            ahead: 0,
            started: local_seconds(),
            lag: 2,
            purge_lag: 0,
            page: 25,
            soft_delete: true,
            purge_protected: false,
            no_versions_of_deleted: true,
            denied: Vec::new(),
            throttled: 0,
            secrets: std::collections::BTreeMap::new(),
            tokens: login::Tokens::default(),
            ids: 0,
        }));
        let served = Arc::clone(&state);
        let wire = Wire::https(&identity, move |request| {
            let mut state = served.lock().unwrap_or_else(PoisonError::into_inner);
            respond(&mut state, request)
        });
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("ca.pem"), identity.authority()).expect("a file");
        let secret = folder.path().join("client.secret");
        std::fs::write(&secret, SECRET).expect("a file");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::Permissions::from_mode(0o600);
            std::fs::set_permissions(&secret, mode).expect("a mode");
        }
        Self {
            wire,
            identity,
            state,
            folder,
        }
    }

    pub(crate) fn url(&self) -> String {
        self.wire.url()
    }

    /// The folder with `ca.pem` and `client.secret`, which the settings name.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.wire.requests()
    }

    pub(crate) fn forget_requests(&self) {
        self.wire.forget();
    }

    /// Settings that reach it.
    pub(crate) fn config(&self) -> Config {
        config(&self.url())
    }
}

/// Settings for a server on loopback whose authority is `ca.pem`.
pub(crate) fn config(url: &str) -> Config {
    let auth = Auth::ClientSecret {
        tenant_id: TENANT.into(),
        client_id: CLIENT.into(),
        secret: ClientSecret::File("client.secret".into()),
    };
    let endpoint = strongroom_backend_remote::Endpoint::parse(url).expect("an endpoint");
    let mut config = Config::new(VAULT, auth);
    config.endpoint = Some(endpoint.clone());
    config.authority_host = Some(endpoint);
    config.ca_file = Some("ca.pem".into());
    config
}

fn respond(state: &mut State, request: &Request) -> Reply {
    let date = http_date(state.now());
    let reply = match login::respond(state, request) {
        Some(reply) => reply,
        None => answer::respond(state, request),
    };
    reply.with_header("date", &date)
}

pub(crate) fn local_seconds() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("a clock after 1970").as_secs()
}

/// A date as HTTP has it.
pub(crate) fn http_date(seconds: u64) -> String {
    let seconds = i64::try_from(seconds).expect("a time");
    let time = azure_core::time::OffsetDateTime::from_unix_timestamp(seconds).expect("a time");
    azure_core::time::to_rfc7231(&time)
}
