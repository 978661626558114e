//! Putting an edited configuration in force, and what is done once a second.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use strongroom_audit::{Entry, Outcome};
use tokio::sync::oneshot;

use super::builder::Accept;
use super::session::now_us;
use super::vaults::Vaults;
use super::{InForce, Shared};
use crate::config::watch::{Notice, Watch};
use crate::config::{Backends, Config, restart_only_changes, revoked_vaults};

/// How often superseded values are dropped and refusals recorded.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

/// After how many of these the caches of vaults are swept: they can hold thousands of values, each of
/// which is looked at.
const VAULT_SWEEP: u32 = 10;

/// The configuration as the log has it.
pub(super) fn on_record(config: &Config) -> String {
    match config.workspace() {
        Some(workspace) => format!("{} workspace={workspace}", config.digest()),
        None => config.digest().to_string(),
    }
}

/// Watches the configuration file; the watch does not keep the broker alive.
pub(super) fn start_watching(shared: &Arc<Shared>, backends: Backends, accept: Accept) {
    let weak = Arc::downgrade(shared);
    let notify = move |notice| {
        let Some(shared) = Weak::upgrade(&weak) else {
            return;
        };
        match notice {
            Notice::Changed(config) => shared.put_in_force(*config),
            Notice::Refused(error) => {
                tracing::error!(%error, "the edited configuration is refused; the old one stays in force");
            }
            Notice::Alarm(text) => tracing::error!("{text}"),
        }
    };
    let watch = Watch::start_if(&shared.force.load().config, backends, accept, notify);
    *shared.watch.lock().unwrap_or_else(PoisonError::into_inner) = Some(watch);
}

/// Starts the task that runs once a second, until the broker goes.
pub(super) fn start_housekeeping(shared: &Arc<Shared>) {
    let (end, mut ended) = oneshot::channel();
    *shared
        .housekeeping
        .lock()
        .unwrap_or_else(PoisonError::into_inner) = Some(end);
    let weak = Arc::downgrade(shared);
    tokio::spawn(async move {
        let mut second = 0_u32;
        while tokio::time::timeout(HOUSEKEEPING, &mut ended)
            .await
            .is_err()
        {
            second = second.wrapping_add(1);
            let Some(shared) = Weak::upgrade(&weak) else {
                break;
            };
            shared.record_refusals();
            let (generation, now) = (shared.generation(), now_us() / 1000);
            shared.each_scope(|scope| scope.each_cache(|cache| cache.sweep(generation, now)));
            if second.is_multiple_of(VAULT_SWEEP) {
                shared.force.load().vaults.sweep();
            }
        }
    });
}

impl Shared {
    /// Replaces the configuration as a whole. When this returns, every call that was decided under
    /// the old one has released its value or will be decided again.
    fn put_in_force(&self, config: Config) {
        let old = self.force.load_full();
        let fixed = restart_only_changes(&old.config, &config);
        if !fixed.is_empty() {
            for change in &fixed {
                tracing::error!(
                    change = %change.what,
                    "takes force at a restart only; the old configuration stays in force"
                );
            }
            return;
        }
        let generation = old.generation + 1;
        let number = InForce::number_of(generation);
        if let Err(error) = self.log.policy(number, &on_record(&config)) {
            // Nothing is released while the log is down, and a revocation must not wait for it.
            tracing::error!(%error, "the new configuration is not on record");
        }
        let new = InForce {
            policy: config.policy(generation),
            vaults: Vaults::new(&config, Some(&old.vaults)),
            config,
            generation,
        };
        self.force.store(Arc::new(new));
        self.generation.store(generation, Ordering::Release);
        let force = self.force.load();
        let scopes = self.scopes.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, scope) in scopes.iter() {
            if let Some(component) = force.config.components.get(name) {
                scope.set_quotas(&component.quotas);
            }
            // Taking the lock waits for releases that were decided before.
            scope.each_cache(|cache| cache.lock().clear());
        }
        let revoked = revoked_vaults(&old.config, &force.config);
        force.vaults.clear(&revoked);
        tracing::info!(policy = number, "the edited configuration is in force");
    }

    /// Records how many calls of each component were over quota since the last time.
    pub(super) fn record_refusals(&self) {
        let number = self.force.load().number();
        let via = self.log.via("strongroom:vault");
        self.each_scope(|scope| {
            let count = scope.refused.swap(0, Ordering::Relaxed);
            if count == 0 {
                return;
            }
            let detail = self.log.detail(&scope.subject, &format!("calls={count}"));
            let read = strongroom_audit::Action::Read;
            let entry = Entry {
                via,
                detail: Some(&detail),
                policy: number,
                ..Entry::outcome(&scope.subject, read, Outcome::Quota)
            };
            if self.log.append(&entry).is_err() {
                // Nothing was released; the next record has them in its count.
                scope.refused.fetch_add(count, Ordering::Relaxed);
            }
        });
    }

    fn each_scope(&self, mut visit: impl FnMut(&super::Scope)) {
        let scopes: Vec<_> = {
            let scopes = self.scopes.lock().unwrap_or_else(PoisonError::into_inner);
            scopes.values().cloned().collect()
        };
        scopes.iter().for_each(|scope| visit(scope));
    }
}
