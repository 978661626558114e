//! The token in use: got when it is first needed, renewed before it ends, got anew when it is not
//! accepted any more.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use reqwest::header::HeaderValue;
use strongroom_backend::{Error, ErrorKind};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, sleep_until};

use crate::client::{Client, Reply, Request};
use crate::error::{Fault, Result};
use crate::login::{Granted, Lease, Login, Lookup, look_up, look_up_request, renew};
use crate::place::Place;

/// For how long a login that failed is not tried again: all calls that wait for it share it.
const AFTER_FAILURE: Duration = Duration::from_secs(1);
/// For how long a token that was just accepted counts as accepted: a guest that is denied again and
/// again does not double the server's load.
const ACCEPTED: Duration = Duration::from_secs(5);
/// Between two tries to renew, at least and at most.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Authenticated calls to one server.
pub(crate) struct Session {
    client: Client,
    place: Arc<Place>,
    login: Login,
    /// Held while a token is got or renewed, so that many callers make one login.
    refreshing: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    token: Option<Arc<Token>>,
    generation: u64,
    failed: Option<(Instant, ErrorKind, String)>,
    keeper: Option<AbortHandle>,
}

struct Token {
    header: HeaderValue,
    lease: Option<Lease>,
    generation: u64,
    accepted: Mutex<Option<Instant>>,
}

impl Token {
    fn is_over(&self) -> bool {
        self.lease
            .is_some_and(|lease| Instant::now() >= lease.end())
    }

    fn accepted(&self) -> MutexGuard<'_, Option<Instant>> {
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    pub(crate) fn new(client: Client, place: Arc<Place>, login: Login) -> Arc<Self> {
        Arc::new(Self {
            client,
            place,
            login,
            refreshing: tokio::sync::Mutex::default(),
            state: Mutex::default(),
        })
    }

    /// The connections, for calls that need no token.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// How the token is got.
    pub(crate) fn method(&self) -> &'static str {
        self.login.method()
    }

    /// Sends `request` with the token. Where the token is not accepted any more the request is sent
    /// once more with a new one, changes too: what was not authenticated changed nothing.
    pub(crate) async fn call(self: &Arc<Self>, request: &Request) -> Result<Reply> {
        let token = self.token().await?;
        match self.client.send(request, Some(&token.header)).await {
            Err(Fault::Denied(what)) => {
                if self.is_accepted(&token).await? {
                    return Err(Fault::Denied(what));
                }
                let token = self.refresh(token.generation).await?;
                let again = self.client.send(request, Some(&token.header)).await;
                if matches!(again, Err(Fault::Denied(_))) && !self.is_accepted(&token).await? {
                    return Err(self.not_accepted());
                }
                again
            }
            other => other,
        }
    }

    /// What the token says of itself.
    pub(crate) async fn who(self: &Arc<Self>) -> Result<Lookup> {
        self.call(&look_up_request(&self.place)?).await?.data()
    }

    async fn token(self: &Arc<Self>) -> Result<Arc<Token>> {
        match self.current() {
            Some(token) if !token.is_over() => Ok(token),
            Some(token) => self.refresh(token.generation).await,
            None => self.refresh(0).await,
        }
    }

    /// The server answers a token that ended and one that may not in the same words: asking for the
    /// token itself tells them apart.
    async fn is_accepted(&self, token: &Token) -> Result<bool> {
        if token.accepted().is_some_and(|at| at.elapsed() < ACCEPTED) {
            return Ok(true);
        }
        match look_up(&self.client, &self.place, &token.header).await {
            Ok(_) => {
                *token.accepted() = Some(Instant::now());
                Ok(true)
            }
            Err(Fault::Denied(_)) => Ok(false),
            Err(fault) => Err(fault),
        }
    }

    /// A token newer than the one of this generation.
    async fn refresh(self: &Arc<Self>, stale: u64) -> Result<Arc<Token>> {
        let _one = self.refreshing.lock().await;
        if let Some(token) = self.current()
            && token.generation > stale
            && !token.is_over()
        {
            return Ok(token);
        }
        self.obtain().await
    }

    /// Gets a token; `refreshing` is held.
    async fn obtain(self: &Arc<Self>) -> Result<Arc<Token>> {
        if let Some((at, kind, text)) = &self.state().failed
            && at.elapsed() < AFTER_FAILURE
        {
            return Err(Fault::Answer(Error::new(*kind, text.clone())));
        }
        match self.granted().await {
            Ok((granted, accepted)) => {
                let accepted = accepted.then(Instant::now);
                Ok(self.install(granted.header, granted.lease, accepted))
            }
            Err(fault) => {
                let failed = (Instant::now(), fault.kind(), fault.to_string());
                self.state().failed = Some(failed);
                Err(fault)
            }
        }
    }

    /// A token, and whether the server is known to accept it.
    async fn granted(&self) -> Result<(Granted, bool)> {
        // A given token that is still the same may have been renewed by whoever gave it.
        if let Some(token) = self.current()
            && !self.login.logs_in()
            && !self.login.replaced(&token.header).await?
        {
            let lookup = look_up(&self.client, &self.place, &token.header).await;
            let lookup = lookup.map_err(|fault| match fault {
                Fault::Denied(_) => self.not_accepted(),
                other => other,
            })?;
            let header = token.header.clone();
            let lease = lookup.lease();
            return Ok((Granted { header, lease }, true));
        }
        let granted = self.login.obtain(&self.client, &self.place).await?;
        Ok((granted, self.login.logs_in()))
    }

    /// Renews the token of this generation, or gets a new one where that serves longer.
    async fn renew(self: &Arc<Self>, generation: u64) -> Result<()> {
        let _one = self.refreshing.lock().await;
        let current = self
            .current()
            .filter(|token| token.generation == generation);
        let Some((token, lease)) = current.and_then(|t| t.lease.map(|lease| (t, lease))) else {
            return Ok(());
        };
        if self.login.logs_in() && (lease.is_last() || !lease.renewable)
            || self.login.replaced(&token.header).await?
        {
            return self.obtain().await.map(drop);
        }
        if !lease.renewable {
            return Ok(());
        }
        match renew(&self.client, &self.place, &token.header, &lease).await {
            Ok(lease) => {
                if lease.is_some_and(|lease| lease.is_last()) && !self.login.logs_in() {
                    tracing::warn!("the Vault token comes to its last end: give another one");
                }
                self.install(token.header.clone(), lease, Some(Instant::now()));
                Ok(())
            }
            Err(Fault::Denied(_) | Fault::Status(400)) if self.login.logs_in() => {
                self.obtain().await.map(drop)
            }
            Err(fault) => Err(fault),
        }
    }

    fn install(
        self: &Arc<Self>,
        header: HeaderValue,
        lease: Option<Lease>,
        accepted: Option<Instant>,
    ) -> Arc<Token> {
        let mut state = self.state();
        state.generation += 1;
        let token = Arc::new(Token {
            header,
            lease,
            generation: state.generation,
            accepted: Mutex::new(accepted),
        });
        state.token = Some(Arc::clone(&token));
        state.failed = None;
        // The keeper before this one ends by itself: its generation is over.
        state.keeper = lease.map(|lease| {
            let keeper = keep(Arc::downgrade(self), token.generation, lease);
            tokio::spawn(keeper).abort_handle()
        });
        token
    }

    fn not_accepted(&self) -> Fault {
        Fault::Unauthenticated(match self.login {
            Login::Given(_) => "the server does not accept the token: it expired, was revoked, or \
                                belongs to another server or namespace, or its policies forbid it \
                                to look itself up; give a new one"
                .to_owned(),
            _ => format!(
                "the server does not accept the token that its own {} login gave: check 'namespace'",
                self.login.method()
            ),
        })
    }

    fn current(&self) -> Option<Arc<Token>> {
        self.state().token.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Changed by assignments that cannot panic half way, so poison means nothing.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(keeper) = self.state().keeper.take() {
            keeper.abort();
        }
    }
}

/// Renews a token before it ends, also while nobody calls: a token that ended cannot be renewed.
async fn keep(session: Weak<Session>, generation: u64, lease: Lease) {
    sleep_until(lease.due()).await;
    while let Some(session) = session.upgrade() {
        let Err(fault) = session.renew(generation).await else {
            return;
        };
        let left = lease.end().saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        tracing::warn!(cause = %fault, "the Vault token could not be renewed yet");
        drop(session);
        sleep((left / 3).clamp(RETRY.0, RETRY.1)).await;
    }
}
