//! What is known of secrets beside their values: describe, versions, list, and waiting for change.

use std::sync::Arc;
use std::time::Duration;

use strongroom_audit::{Entry, Outcome};
use strongroom_backend::{Description, Prefix, Reference, SecretPath, VersionInfo, VersionNumbers};
use strongroom_backend_layers::FieldOf;
use tokio::time::Instant;

use super::error::{CallError, ErrorCode};
use super::scope::Pending;
use super::session::{Session, now_us};
use super::vaults::Opened;
use super::within;
use crate::grants::{Action, Granted};

/// References on a page. A page is one message to the guest: 100 of at most 320 bytes.
pub(crate) const PAGE: usize = 100;

/// Names asked of a backend at once while looking for those that the caller may list.
const SCAN: usize = 256;

/// How often a waiter looks at the change counter: well under the 100 ms within which a change
/// of configuration or value must show.
const WATCH_TICK: Duration = Duration::from_millis(20);

/// How often a waiter asks a backend that has no change counter.
const WATCH_POLL: Duration = Duration::from_secs(1);

/// How often a waiter asks a store across a network, where each question may cost money.
const FAR_POLL: Duration = Duration::from_secs(5);

/// The longest wait of one call.
const WATCH_LIMIT: Duration = Duration::from_secs(60);

/// A page of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// References in byte order, each of which the caller may list.
    pub references: Vec<Reference>,
    /// Pass it to the next call with the same prefix; none on the last page.
    pub cursor: Option<String>,
}

impl Session {
    /// What is known of a secret beside its value. Needs `list` or `read`.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::NotFound`] where the name was never written.
    pub async fn describe(&self, reference: &str) -> Result<(Reference, Description), CallError> {
        let asked = self.ask(reference).await?;
        let described = described(&asked, asked.until).await;
        let version = described.as_ref().ok().and_then(|d| d.version);
        let described = self.told(&asked, version, described).await?;
        Ok((asked.reference, described))
    }

    /// The versions of a secret, newest first. Needs `list` or `read`.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::Unsupported`] where the vault keeps no versions.
    pub async fn versions(
        &self,
        reference: &str,
    ) -> Result<(Reference, Vec<VersionInfo>), CallError> {
        let asked = self.ask(reference).await?;
        let versions = if asked.opened.backend().capabilities().versions == VersionNumbers::None {
            Err(CallError::unsupported("this vault keeps no versions"))
        } else {
            let versions = asked.opened.backend().versions(asked.reference.path());
            within(asked.until, versions).await
        };
        let versions = self.told(&asked, None, versions).await?;
        Ok((asked.reference, versions))
    }

    /// The references of one vault that start with `prefix` and that the caller may list.
    ///
    /// What it may not list is left out and not counted: every page but the last is full. Needs
    /// some `list` grant in that vault.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::InvalidArgument`] for a cursor that was not made for this caller and prefix.
    pub async fn list(&self, prefix: &str, cursor: Option<&str>) -> Result<Page, CallError> {
        const ACTION: Action = Action::List;
        self.charge(Some(&self.scope.pages))?;
        let force = self.shared.force.load_full();
        let prefix = match self.prefix_in(&force, prefix) {
            Ok(parsed) => parsed,
            Err(why) => {
                return Err(self
                    .refuse_reference(&force, ACTION, prefix.len(), why)
                    .await);
            }
        };
        let vault = prefix.vault();
        let path = (!prefix.path().is_empty()).then(|| prefix.path());
        let target = self
            .shared
            .log
            .target(&self.subject, Some(vault.as_str()), path);
        let now = now_us() / 1000;
        let Ok(granted) = force.policy.may_list_any(&self.principal, vault, now) else {
            let on = (Some(&target), None);
            return Err(self.refuse(&force, ACTION, on, CallError::denied()).await);
        };
        let grant = self.shared.log.grant(granted.label());
        let on = (Some(&target), Some(&grant));
        let Some(_pending) = self.scope.pending() else {
            return Err(self.over_quota(1));
        };
        let page = self.page(&granted, &prefix, cursor).await;
        // Awaits lay in between: what was revoked meanwhile is left out.
        let force = self.shared.force.load_full();
        let now = now_us() / 1000;
        if force
            .policy
            .may_list_any(&self.principal, vault, now)
            .is_err()
        {
            let on = (Some(&target), None);
            return Err(self.refuse(&force, ACTION, on, CallError::denied()).await);
        }
        let mut page = match page {
            Ok(page) => page,
            Err(error) => return Err(self.refuse(&force, ACTION, on, error).await),
        };
        if force.generation != granted.generation() {
            page.references
                .retain(|name| self.decide(&force, &[ACTION], name).is_ok());
        }
        let entry = Entry {
            target: on.0,
            grant: on.1,
            ..self.entry(&force, ACTION, Outcome::Allowed)
        };
        self.append(&entry).await?;
        Ok(page)
    }

    async fn page(
        &self,
        granted: &Granted,
        prefix: &Prefix,
        cursor: Option<&str>,
    ) -> Result<Page, CallError> {
        debug_assert!(granted.covers_listing(prefix.vault()));
        let bound = format!("{}\0{}\0{}", self.principal, prefix.vault(), prefix.path());
        let mut after = match cursor {
            Some(cursor) => Some(self.shared.cursors.open(cursor, &bound).ok_or_else(|| {
                CallError::argument("the cursor was not made for this caller and prefix")
            })?),
            None => None,
        };
        let force = self.shared.force.load_full();
        let until = force.deadline(prefix.vault());
        let opened = self.open(&force, prefix.vault(), until).await?;
        if !opened.backend().capabilities().list {
            return Err(CallError::unsupported("this vault cannot list"));
        }
        let mut references = Vec::new();
        loop {
            let list = opened.backend().list(prefix.path(), after.as_deref(), SCAN);
            let found = within(until, list).await?;
            // A store that answers at once must not keep the thread while nothing is shown.
            tokio::task::yield_now().await;
            if Instant::now() >= until {
                return Err(CallError::late());
            }
            let force = self.shared.force.load_full();
            for path in found.paths {
                let reference = Reference::new(prefix.vault().clone(), path);
                after = Some(reference.path().as_str().to_owned());
                if self.decide(&force, &[Action::List], &reference).is_err() {
                    continue;
                }
                if references.len() == PAGE {
                    let last = references
                        .last()
                        .map(Reference::path)
                        .map(SecretPath::as_str);
                    let cursor = self.shared.cursors.seal(last.unwrap_or_default(), &bound)?;
                    return Ok(Page {
                        references,
                        cursor: Some(cursor),
                    });
                }
                references.push(reference);
            }
            if !found.more {
                return Ok(Page {
                    references,
                    cursor: None,
                });
            }
        }
    }

    /// Waits until the current version differs from `known`, or `timeout` (at most a minute) is
    /// over: then none. 0 stands for "there is none". Needs `read`.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::Denied`] at once when the grant goes.
    pub async fn wait_for_change(
        &self,
        reference: &str,
        known: u64,
        timeout: Duration,
    ) -> Result<Option<u64>, CallError> {
        const ACTION: Action = Action::Read;
        let until = Instant::now() + timeout.min(WATCH_LIMIT);
        let mut asked = self.ask_for(reference, &[ACTION]).await?;
        if timeout > WATCH_LIMIT {
            let error = CallError::argument("timeout-ms is more than 60000");
            return self.told(&asked, None, Err(error)).await;
        }
        let counters = asked.opened.store.counters(asked.reference.path());
        let poll = if counters.far { FAR_POLL } else { WATCH_POLL };
        let mut looked: Option<(Instant, Vec<u64>)> = None;
        loop {
            if !asked
                .granted
                .stands(self.shared.generation(), now_us() / 1000)
            {
                let (force, again) = self.decide_again(&asked.granted, &asked.reference);
                match again {
                    Ok(granted) => asked.granted = granted,
                    Err(denied) => {
                        let on = (Some(&asked.target), None);
                        return Err(self.refuse(&force, ACTION, on, denied).await);
                    }
                }
            }
            let numbers = counters.load();
            // Where counters do not show it all the store is asked now and then, the policy at
            // each tick.
            let look = looked.as_ref().is_none_or(|(at, seen)| {
                numbers != *seen || (!counters.complete && at.elapsed() >= poll)
            });
            if look {
                looked = Some((Instant::now(), numbers));
                let within = self.shared.force.load().deadline(asked.reference.vault());
                match current_version(&asked, within).await {
                    Ok(current) if current == known => {}
                    current => {
                        let version = current.as_ref().ok().copied();
                        return self.told(&asked, version, current.map(Some)).await;
                    }
                }
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return self.told(&asked, Some(known), Ok(None)).await;
            }
            tokio::time::sleep(WATCH_TICK.min(left)).await;
        }
    }

    /// Opens a handle: the canonical reference and the version that is current. Needs one of
    /// `actions`; nothing of the value leaves the backend's answer.
    #[cfg(feature = "wasmtime")]
    pub(crate) async fn open_handle(
        &self,
        reference: &str,
        actions: &[Action],
    ) -> Result<(Reference, u64), CallError> {
        let asked = self.ask_for(reference, actions).await?;
        let read = asked
            .opened
            .backend()
            .get(asked.reference.path(), strongroom_backend::Which::Current);
        let version = within(asked.until, read).await.map(|secret| secret.version);
        let version = self
            .told(&asked, version.as_ref().ok().copied(), version)
            .await?;
        Ok((asked.reference, version))
    }

    async fn ask(&self, reference: &str) -> Result<Asked, CallError> {
        self.ask_for(reference, &[Action::List, Action::Read]).await
    }

    /// The way of every question about one secret, up to the backend.
    pub(crate) async fn ask_for(&self, text: &str, actions: &[Action]) -> Result<Asked, CallError> {
        self.charge(None)?;
        let first = actions.first().copied().unwrap_or(Action::Read);
        let force = self.shared.force.load_full();
        let reference = match self.parse_in(&force, text) {
            Ok(reference) => reference,
            Err(why) => return Err(self.refuse_reference(&force, first, text.len(), why).await),
        };
        let target = self.target(&reference);
        let Ok(granted) = self.decide(&force, actions, &reference) else {
            let on = (Some(&target), None);
            return Err(self.refuse(&force, first, on, CallError::denied()).await);
        };
        let Some(pending) = self.scope.pending() else {
            return Err(self.over_quota(1));
        };
        let until = force.deadline(reference.vault());
        match self.open(&force, reference.vault(), until).await {
            Ok(opened) => Ok(Asked {
                _pending: pending,
                until,
                reference,
                granted,
                target,
                opened,
            }),
            Err(error) => {
                let grant = self.shared.log.grant(granted.label());
                let on = (Some(&target), Some(&grant));
                Err(self.refuse(&force, granted.action(), on, error).await)
            }
        }
    }

    /// Records the answer to a question and gives it back, unless the grant went meanwhile.
    pub(crate) async fn told<T>(
        &self,
        asked: &Asked,
        version: Option<u64>,
        answer: Result<T, CallError>,
    ) -> Result<T, CallError> {
        let action = asked.granted.action();
        let (now, again) = self.decide_again(&asked.granted, &asked.reference);
        // What was asked under a grant of the whole secret may be more than one of a field shows.
        let less = |granted: &Granted| {
            let field = granted.field();
            field.is_some() && field != asked.granted.field()
        };
        let again = again.and_then(|granted| match less(&granted) {
            true => Err(CallError::denied()),
            false => Ok(granted),
        });
        let granted = match again {
            Ok(granted) => granted,
            Err(denied) => {
                let on = (Some(&asked.target), None);
                return Err(self.refuse(&now, action, on, denied).await);
            }
        };
        let grant = self.shared.log.grant(granted.label());
        let on = (Some(&asked.target), Some(&grant));
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return Err(self.refuse(&now, action, on, error).await),
        };
        let entry = Entry {
            target: on.0,
            grant: on.1,
            version,
            ..self.entry(&now, action, Outcome::Allowed)
        };
        self.append(&entry).await?;
        Ok(answer)
    }
}

/// A question about one secret that was decided and whose vault is open.
pub(crate) struct Asked {
    pub(crate) reference: Reference,
    pub(crate) granted: Granted,
    pub(crate) target: strongroom_audit::Target,
    pub(crate) opened: Arc<Opened>,
    /// Until when the backend may take.
    pub(crate) until: Instant,
    _pending: Pending,
}

/// What the grant shows of what is known: of one field, as of a name that is bound to it.
async fn described(asked: &Asked, until: Instant) -> Result<Description, CallError> {
    let (opened, path) = (&asked.opened, asked.reference.path());
    let Some(field) = asked.granted.field() else {
        return within(until, opened.backend().describe(path)).await;
    };
    let part = FieldOf {
        of: path.clone(),
        field: Arc::clone(field),
    };
    within(until, part.describe(&*opened.store)).await
}

async fn current_version(asked: &Asked, until: Instant) -> Result<u64, CallError> {
    match described(asked, until).await {
        Ok(described) => Ok(described.version.unwrap_or(0)),
        Err(error) if error.code == ErrorCode::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}
