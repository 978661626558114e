use std::sync::Arc;

use strongroom_backend::{Reference, VaultId};

use super::Action;

/// The proof that a principal may do one thing. Only [`Policy`](super::Policy) makes one, and every
/// operation of a backend through the broker takes one.
#[derive(Clone, Debug)]
pub struct Granted {
    label: Arc<str>,
    generation: u64,
    valid_until: Option<u64>,
    action: Action,
    scope: Scope,
    field: Option<Arc<str>>,
}

/// What a proof is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    Secret(Reference),
    /// The listing of a vault as such; what it shows is decided name by name.
    Listing(VaultId),
}

impl Granted {
    pub(super) fn new(
        label: Arc<str>,
        generation: u64,
        valid_until: Option<u64>,
        action: Action,
        scope: Scope,
        field: Option<Arc<str>>,
    ) -> Self {
        Self {
            label,
            generation,
            valid_until,
            action,
            scope,
            field,
        }
    }

    /// Which grant decided: `component.billing.grants[0]`, `role.backend.grants[1]`, `operator` or `host`.
    pub fn label(&self) -> &Arc<str> {
        &self.label
    }

    /// The generation of the policy that decided.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// When the grant expires, in milliseconds since the Unix epoch: from that instant on it is no
    /// longer good. None: it does not expire.
    pub fn valid_until(&self) -> Option<u64> {
        self.valid_until
    }

    /// The action that was granted.
    pub fn action(&self) -> Action {
        self.action
    }

    /// The one field of the value, a JSON object, that may be seen; none: all of it.
    pub fn field(&self) -> Option<&Arc<str>> {
        self.field.as_ref()
    }

    /// Whether a remembered proof is still good under the policy of this generation at this time.
    pub fn stands(&self, generation: u64, now_ms: u64) -> bool {
        self.generation == generation && self.valid_until.is_none_or(|until| now_ms < until)
    }

    /// Whether the proof is about exactly this action on this secret.
    pub fn covers(&self, action: Action, reference: &Reference) -> bool {
        let same = |scope: &Scope| matches!(scope, Scope::Secret(of) if of == reference);
        self.action == action && same(&self.scope)
    }

    /// Whether the proof is about the listing of this vault.
    pub fn covers_listing(&self, vault: &VaultId) -> bool {
        matches!(&self.scope, Scope::Listing(of) if of == vault)
    }
}

/// No grant allows it. The same for a secret that exists, one that does not, and a vault that does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("denied")]
pub struct Denied;
