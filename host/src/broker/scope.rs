//! What all instances of one component share: its quotas and its remembered answers.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use strongroom_audit::Subject;

use super::cache::Cache;
use super::quota::Rate;
use crate::config::Quotas;

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
    /// None for operators and background work, whose calls are few and must see the store.
    pub(crate) cache: Option<Cache>,
}

impl Scope {
    /// The scope of a component.
    pub(crate) fn of_component(subject: Subject, quotas: &Quotas) -> Self {
        let scope = Self {
            cache: Some(Cache::new()),
            ..Self::unlimited(subject)
        };
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
            cache: None,
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

    /// A place among the calls that wait for a backend; none where all are taken.
    pub(crate) fn pending(&self) -> Option<Pending<'_>> {
        let limit = self.pending_limit.load(Ordering::Relaxed);
        let taken = self.pending.fetch_add(1, Ordering::Relaxed);
        let pending = Pending(&self.pending);
        (limit == 0 || taken < limit).then_some(pending)
    }
}

/// A place that is given back on drop, cancelled calls included.
pub(crate) struct Pending<'s>(&'s AtomicU32);

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
