//! What all instances of one component share: its quotas and its remembered answers.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use strongroom_audit::Subject;

use super::cache::Cache;
use super::quota::Rate;
use crate::config::Quotas;
use crate::grants::Digest;

/// Digests of one component whose answers are remembered while nothing runs them: the bytes of
/// a few releases. Answers of bytes that run are always kept.
const MAX_IDLE_CACHES: usize = 8;

pub(crate) struct Scope {
    pub(crate) calls: Rate,
    pub(crate) changes: Rate,
    pub(crate) pages: Rate,
    pub(crate) bytes: Rate,
    /// Calls over quota that are not recorded yet.
    pub(crate) refused: AtomicU64,
    /// Who they are recorded as: the component, not one of its instances.
    pub(crate) subject: Subject,
    pending: AtomicU32,
    pending_limit: AtomicU32,
    handle_limit: AtomicU32,
    /// One for each digest: a pinned one is part of the decision, so what some bytes were
    /// answered must not answer others under the same name.
    caches: Mutex<Vec<(Option<Digest>, Arc<Cache>)>>,
}

impl Scope {
    /// The scope of a component.
    pub(crate) fn of_component(subject: Subject, quotas: &Quotas) -> Self {
        let scope = Self::unlimited(subject);
        scope.set_quotas(quotas);
        scope
    }

    /// The scope of an operator or of background work.
    pub(crate) fn unlimited(subject: Subject) -> Self {
        Self {
            calls: Rate::new(0),
            changes: Rate::new(0),
            pages: Rate::new(0),
            bytes: Rate::new(0),
            refused: AtomicU64::new(0),
            subject,
            pending: AtomicU32::new(0),
            pending_limit: AtomicU32::new(u32::MAX),
            handle_limit: AtomicU32::new(u32::MAX),
            caches: Mutex::default(),
        }
    }

    /// Puts other quotas in force; what was used stays used.
    pub(crate) fn set_quotas(&self, quotas: &Quotas) {
        self.calls.set(u64::from(quotas.calls_per_second));
        self.changes.set(u64::from(quotas.changes_per_second));
        self.pages.set(u64::from(quotas.pages_per_second));
        self.bytes.set(quotas.bytes_per_second);
        self.pending_limit
            .store(quotas.pending_calls, Ordering::Relaxed);
        self.handle_limit
            .store(quotas.open_handles, Ordering::Relaxed);
    }

    /// How many handles one instance may hold.
    #[cfg(feature = "wasmtime")]
    pub(crate) fn handle_limit(&self) -> usize {
        self.handle_limit.load(Ordering::Relaxed) as usize
    }

    /// The remembered answers of bytes with this digest.
    pub(crate) fn cache(&self, digest: Option<Digest>) -> Arc<Cache> {
        let mut caches = self.caches.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, cache)) = caches.iter().find(|(of, _)| *of == digest) {
            return Arc::clone(cache);
        }
        if caches.len() >= MAX_IDLE_CACHES {
            caches.retain(|(_, cache)| Arc::strong_count(cache) > 1);
        }
        let cache = Arc::new(Cache::new());
        caches.push((digest, Arc::clone(&cache)));
        cache
    }

    pub(crate) fn each_cache(&self, mut visit: impl FnMut(&Cache)) {
        let caches = self.caches.lock().unwrap_or_else(PoisonError::into_inner);
        caches.iter().for_each(|(_, cache)| visit(cache));
    }

    /// A place among the calls that wait for a backend; none where all are taken.
    pub(crate) fn pending(self: &Arc<Self>) -> Option<Pending> {
        let limit = self.pending_limit.load(Ordering::Relaxed);
        let taken = self.pending.fetch_add(1, Ordering::Relaxed);
        let pending = Pending(Arc::clone(self));
        (limit == 0 || taken < limit).then_some(pending)
    }
}

/// A place that is given back on drop, cancelled calls included.
pub(crate) struct Pending(Arc<Scope>);

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.pending.fetch_sub(1, Ordering::Relaxed);
    }
}
