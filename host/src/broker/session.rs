//! A caller: who it is, what it may use, and how its calls are recorded.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{SystemTime, UNIX_EPOCH};

use strongroom_audit::{
    Action as AuditAction, AppendError, Call, Entry, Outcome, Subject, Target, Text, Via,
};
use strongroom_backend::{Prefix, Reference, ReferenceError, SecretValue, VaultId};

use super::cache::Cache;
use super::error::{CallError, ErrorCode};
use super::quota::Rate;
use super::scope::Scope;
use super::{InForce, Shared};
use crate::grants::{Action, Denied, Granted, Principal};

/// The longest text of a reference that is looked at: far more than a canonical one has, so that
/// only its length is said of what is longer.
const MAX_TEXT: usize = 4096;

/// A caller of the broker: a component's instance, an operator, or background work of the host.
///
/// Every call goes the same way: quota, parse, decide, audit, route. Nothing is decided or
/// remembered here; a grant that a reload takes away is gone for the next call.
#[derive(Clone)]
pub struct Session {
    pub(crate) shared: Arc<Shared>,
    pub(crate) principal: Principal,
    pub(crate) subject: Subject,
    pub(crate) scope: Arc<Scope>,
    /// None for operators and background work, whose calls are few and must see the store.
    pub(crate) cache: Option<Arc<Cache>>,
    pub(crate) via: Via,
}

/// A value that a call released, with what is known of it.
#[derive(Debug)]
pub struct Secret {
    /// Its canonical reference.
    pub reference: Reference,
    /// The value.
    pub value: Arc<SecretValue>,
    /// Its version; 0 where the backend keeps none.
    pub version: u64,
    /// When that version expires, in milliseconds since the Unix epoch.
    pub expires: Option<u64>,
}

impl Session {
    /// The same caller, recorded as coming through `via`, such as `"strongroom get"`.
    #[must_use]
    pub fn via(mut self, via: &str) -> Self {
        self.via = self.shared.log.via(via);
        self
    }

    /// Who calls, as the audit log has it.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// Parses a reference as this caller means it: without a vault id, in its default vault.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::InvalidReference`].
    pub fn parse(&self, reference: &str) -> Result<Reference, CallError> {
        Ok(self.parse_in(&self.shared.force.load(), reference)?)
    }

    pub(crate) fn parse_in(
        &self,
        force: &InForce,
        reference: &str,
    ) -> Result<Reference, ReferenceError> {
        if reference.len() > MAX_TEXT {
            return Err(ReferenceError::TooLong);
        }
        Reference::parse(reference, self.default_vault(force))
    }

    pub(crate) fn prefix_in(
        &self,
        force: &InForce,
        prefix: &str,
    ) -> Result<Prefix, ReferenceError> {
        if prefix.len() > MAX_TEXT {
            return Err(ReferenceError::TooLong);
        }
        Prefix::parse(prefix, self.default_vault(force))
    }

    fn default_vault<'f>(&self, force: &'f InForce) -> Option<&'f VaultId> {
        match &self.principal {
            Principal::Component { name, .. } => force
                .config
                .components
                .get(name)
                .map_or(&force.config.default_vault, |c| &c.default_vault)
                .as_ref(),
            _ => force.config.default_vault.as_ref(),
        }
    }

    /// Asks the one decision function.
    pub(crate) fn decide(
        &self,
        force: &InForce,
        actions: &[Action],
        reference: &Reference,
    ) -> Result<Granted, Denied> {
        force
            .policy
            .decide_any(&self.principal, actions, reference, now_us() / 1000)
    }

    /// Asks again after an await: the policy in force now, and the grant that it has for what
    /// `granted` was made for.
    pub(crate) fn decide_again(
        &self,
        granted: &Granted,
        reference: &Reference,
    ) -> (Arc<InForce>, Result<Granted, CallError>) {
        let force = self.shared.force.load_full();
        if granted.stands(force.generation, now_us() / 1000) {
            return (force, Ok(granted.clone()));
        }
        let again = self.decide(&force, &[granted.action()], reference);
        (force, again.map_err(|_| CallError::denied()))
    }

    /// How many handles one instance may hold.
    #[cfg(feature = "wasmtime")]
    pub(crate) fn handle_limit(&self) -> usize {
        self.scope.handle_limit()
    }

    pub(crate) fn target(&self, reference: &Reference) -> Target {
        let (vault, path) = (reference.vault().as_str(), reference.path().as_str());
        self.shared
            .log
            .target(&self.subject, Some(vault), Some(path))
    }

    /// A record of this caller, with its way in and the policy under which it was decided.
    pub(crate) fn entry(&self, force: &InForce, action: Action, outcome: Outcome) -> Entry<'_> {
        Entry {
            via: self.via,
            policy: force.number(),
            ..Entry::outcome(&self.subject, audit_action(action), outcome)
        }
    }

    /// Records, waiting where the journal is full; a value may leave only after this.
    pub(crate) async fn append(&self, entry: &Entry<'_>) -> Result<Call, CallError> {
        loop {
            match self.shared.log.append(entry) {
                Ok(call) => return Ok(call),
                Err(AppendError::Full) => self.shared.log.ready(&self.subject).await?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Records how a call that released nothing ended, and gives its error back; where even that
    /// cannot be recorded, the answer is that.
    pub(crate) async fn refuse(
        &self,
        force: &InForce,
        action: Action,
        on: (Option<&Target>, Option<&Text>),
        error: CallError,
    ) -> CallError {
        let detail = match &error.code {
            ErrorCode::InvalidArgument(why) | ErrorCode::Unsupported(why) => Some(why.as_str()),
            ErrorCode::TooLarge(_) => Some("value too large"),
            _ => None,
        };
        let detail = detail.map(|why| self.shared.log.detail(&self.subject, why));
        let entry = Entry {
            target: on.0,
            grant: on.1,
            detail: detail.as_ref(),
            ..self.entry(force, action, error.outcome())
        };
        match self.append(&entry).await {
            Ok(_) => error,
            Err(unrecorded) => unrecorded,
        }
    }

    /// Records a text that is no reference by its length and the reason: the text itself may be a
    /// secret that was passed by mistake.
    pub(crate) async fn refuse_reference(
        &self,
        force: &InForce,
        action: Action,
        length: usize,
        why: ReferenceError,
    ) -> CallError {
        let text = format!("reference of {length} bytes: {why}");
        let detail = self.shared.log.detail(&self.subject, &text);
        let entry = Entry {
            detail: Some(&detail),
            ..self.entry(force, action, Outcome::Invalid)
        };
        match self.append(&entry).await {
            Ok(_) => why.into(),
            Err(unrecorded) => unrecorded,
        }
    }

    /// Counts a call over its quota; housekeeping records the exact count once a second, so that
    /// a flood cannot fill the log.
    pub(crate) fn over_quota(&self, wait_ms: u64) -> CallError {
        self.scope.refused.fetch_add(1, Ordering::Relaxed);
        CallError::new(ErrorCode::QuotaExceeded(wait_ms.max(1)))
    }

    /// Takes one call, and one of `rate` where given, from the quotas.
    pub(crate) fn charge(&self, rate: Option<&Rate>) -> Result<(), CallError> {
        let now = now_us();
        self.scope
            .calls
            .take(1, now)
            .and_then(|()| rate.map_or(Ok(()), |rate| rate.take(1, now)))
            .map_err(|wait| self.over_quota(wait))
    }
}

/// Microseconds since the Unix epoch.
pub(crate) fn now_us() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    since.as_secs() * 1_000_000 + u64::from(since.subsec_micros())
}

pub(crate) fn audit_action(action: Action) -> AuditAction {
    match action {
        Action::Read => AuditAction::Read,
        Action::List => AuditAction::List,
        Action::Write => AuditAction::Write,
        Action::Delete => AuditAction::Delete,
        Action::Undelete => AuditAction::Undelete,
        Action::Rollback => AuditAction::Rollback,
        Action::Destroy => AuditAction::Destroy,
        Action::Rotate => AuditAction::Rotate,
        Action::Lease => AuditAction::Lease,
        Action::UseHttp => AuditAction::UseHttp,
        Action::UseEncrypt => AuditAction::UseEncrypt,
        Action::UseDecrypt => AuditAction::UseDecrypt,
        Action::UseSign => AuditAction::UseSign,
        Action::UseVerify => AuditAction::UseVerify,
        Action::UseHmac => AuditAction::UseHmac,
    }
}
