//! Changing secrets: intent on disk, then the backend, then the outcome.

use std::sync::Arc;

use strongroom_audit::{Call, Counter, Entry, Outcome, Target, Text};
use strongroom_backend::{
    Capabilities, Change, CompareAndSet, Metadata, PutOptions, Reference, SecretValue,
    VersionNumbers,
};

use super::error::{CallError, ErrorCode};
use super::scope::Pending;
use super::session::{Session, audit_action, now_us};
use super::vaults::Opened;
use super::{InForce, within};
use crate::grants::{Action, Granted};

/// Limits of metadata, as HashiCorp Vault's KV v2 has them for its custom metadata; a description
/// is bounded like twice a label's value.
mod limits {
    pub(super) const DESCRIPTION: usize = 1024;
    pub(super) const KIND: usize = 64;
    pub(super) const LABELS: usize = 64;
    pub(super) const LABEL_NAME: usize = 128;
    pub(super) const LABEL_VALUE: usize = 512;
}

/// What is asked of the backend.
enum Operation {
    Put {
        value: SecretValue,
        options: PutOptions,
    },
    SetMetadata(Metadata),
    Delete(Option<u64>),
    Undelete(Option<u64>),
    Destroy(u64),
    Rollback {
        to: u64,
        author: String,
    },
}

impl Session {
    /// Writes a new version and returns its number. Needs `write`; the author is the caller.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::TooLarge`] and [`ErrorCode::Unsupported`] before the backend is asked;
    /// [`ErrorCode::Conflict`] where `options.expected` is not the current version.
    pub async fn set(
        &self,
        reference: &str,
        value: SecretValue,
        mut options: PutOptions,
    ) -> Result<u64, CallError> {
        options.author = Some(self.principal.to_string());
        self.change(reference, Action::Write, Operation::Put { value, options })
            .await
    }

    /// Changes what is known of a secret beside its value. Needs `write`.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::InvalidArgument`] for metadata over its limits.
    pub async fn set_metadata(&self, reference: &str, metadata: Metadata) -> Result<(), CallError> {
        self.change(reference, Action::Write, Operation::SetMetadata(metadata))
            .await
            .map(drop)
    }

    /// Soft-deletes the secret, or one version of it. Needs `delete`.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::NotFound`] where there is nothing to delete.
    pub async fn delete(&self, reference: &str, version: Option<u64>) -> Result<(), CallError> {
        self.change(reference, Action::Delete, Operation::Delete(version))
            .await
            .map(drop)
    }

    /// Takes a soft delete back. Needs `undelete`.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::NotFound`] where nothing is deleted.
    pub async fn undelete(&self, reference: &str, version: Option<u64>) -> Result<(), CallError> {
        self.change(reference, Action::Undelete, Operation::Undelete(version))
            .await
            .map(drop)
    }

    /// Makes a version unreadable for good. Needs `destroy`.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::NotFound`] where there is no such version.
    pub async fn destroy(&self, reference: &str, version: u64) -> Result<(), CallError> {
        self.change(reference, Action::Destroy, Operation::Destroy(version))
            .await
            .map(drop)
    }

    /// Writes the value of an older version as a new one and returns its number. Needs
    /// `rollback`; the value stays in the host.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::NotFound`] where that version cannot be read.
    pub async fn rollback(&self, reference: &str, to: u64) -> Result<u64, CallError> {
        let author = self.principal.to_string();
        self.change(
            reference,
            Action::Rollback,
            Operation::Rollback { to, author },
        )
        .await
    }

    /// Runs the secret's rotation now. Needs `rotate`.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::Unsupported`]: this version of Strongroom has no rotation.
    pub async fn rotate(&self, reference: &str) -> Result<u64, CallError> {
        self.not_served(Action::Rotate, reference, "rotation is not built in")
            .await
    }

    /// Decides and records a call whose interface links and whose work this version does not do.
    pub(crate) async fn not_served<T>(
        &self,
        action: Action,
        reference: &str,
        what: &'static str,
    ) -> Result<T, CallError> {
        self.charge(None)?;
        let force = self.shared.force.load_full();
        let reference = match self.parse_in(&force, reference) {
            Ok(parsed) => parsed,
            Err(why) => {
                return Err(self
                    .refuse_reference(&force, action, reference.len(), why)
                    .await);
            }
        };
        let target = self.target(&reference);
        let (grant, error) = match self.decide(&force, &[action], &reference) {
            Ok(granted) => (
                Some(self.shared.log.grant(granted.label())),
                CallError::unsupported(what),
            ),
            Err(_) => (None, CallError::denied()),
        };
        Err(self
            .refuse(&force, action, (Some(&target), grant.as_ref()), error)
            .await)
    }

    async fn change(
        &self,
        text: &str,
        action: Action,
        operation: Operation,
    ) -> Result<u64, CallError> {
        self.charge(Some(&self.scope.changes))?;
        if let Operation::Put { value, .. } = &operation
            && let Err(wait) = self.scope.bytes.take(value.len() as u64, now_us())
        {
            return Err(self.over_quota(wait));
        }
        let force = self.shared.force.load_full();
        let reference = match self.parse_in(&force, text) {
            Ok(reference) => reference,
            Err(why) => return Err(self.refuse_reference(&force, action, text.len(), why).await),
        };
        let target = self.target(&reference);
        let Ok(granted) = self.decide(&force, &[action], &reference) else {
            let on = (Some(&target), None);
            return Err(self.refuse(&force, action, on, CallError::denied()).await);
        };
        let grant = self.shared.log.grant(granted.label());
        let on = (Some(&target), Some(&grant));
        let Some(pending) = self.scope.pending() else {
            return Err(self.over_quota(1));
        };
        let opened = match self
            .open(&force, reference.vault(), force.deadline(reference.vault()))
            .await
        {
            Ok(opened) => opened,
            Err(error) => return Err(self.refuse(&force, action, on, error).await),
        };
        if let Err(error) = operation.check(opened.backend().capabilities()) {
            return Err(self.refuse(&force, action, on, error).await);
        }
        let intent = Entry {
            via: self.via,
            target: on.0,
            grant: on.1,
            policy: force.number(),
            ..Entry::intent(&self.subject, audit_action(action))
        };
        let intent = self.append(&intent).await?;
        // From here, with no await between, the change belongs to the broker: dropping the caller
        // drops only the waiter.
        let started = Started {
            session: self.clone(),
            force,
            action,
            intent,
            target,
            grant,
            _pending: pending,
        };
        let task = tokio::spawn(started.run(opened, granted, reference, operation));
        task.await.unwrap_or_else(|_| {
            Err(CallError::new(ErrorCode::Failed(
                "the change broke off".to_owned(),
            )))
        })
    }
}

/// A change whose intent is on record and whose outcome is not.
struct Started {
    session: Session,
    force: Arc<InForce>,
    action: Action,
    intent: Call,
    target: Target,
    grant: Text,
    _pending: Pending,
}

impl Started {
    async fn run(
        self,
        opened: Arc<Opened>,
        granted: Granted,
        reference: Reference,
        operation: Operation,
    ) -> Result<u64, CallError> {
        let result = self.act(&opened, &granted, &reference, operation).await;
        self.end(&opened, result).await
    }

    async fn act(
        &self,
        opened: &Opened,
        granted: &Granted,
        reference: &Reference,
        operation: Operation,
    ) -> Result<Change, CallError> {
        self.session.shared.log.wait_durable(self.intent).await?;
        let (_, again) = self.session.decide_again(granted, reference);
        let granted = again?;
        let change = operation.run(&granted, reference, opened);
        within(self.force.deadline(reference.vault()), change).await
    }

    async fn end(
        self,
        opened: &Opened,
        result: Result<Change, CallError>,
    ) -> Result<u64, CallError> {
        let (outcome, version, counter) = match &result {
            Ok(change) => (Outcome::Allowed, Some(change.version), change.counter),
            // At its deadline nobody knows whether the backend will still do it.
            Err(error) if error.is_deadline() => (Outcome::Unknown, None, None),
            Err(error) => (error.outcome(), None, None),
        };
        let counter = opened.mark.as_deref().zip(counter);
        let counter = counter.map(|(store, value)| Counter {
            store,
            value,
            accept: false,
        });
        let entry = Entry {
            target: Some(&self.target),
            grant: Some(&self.grant),
            version,
            of: Some(self.intent),
            counter,
            ..self.session.entry(&self.force, self.action, outcome)
        };
        self.session.append(&entry).await?;
        result.map(|change| change.version)
    }
}

impl Operation {
    /// Refuses what the backend does not announce, before it is asked.
    fn check(&self, can: &Capabilities) -> Result<(), CallError> {
        let has = |ability: bool, what| {
            if ability {
                Ok(())
            } else {
                Err(CallError::unsupported(what))
            }
        };
        has(can.write, "this vault is read-only")?;
        let versions = can.versions != VersionNumbers::None;
        match self {
            Self::Put { value, options } => {
                if value.len() as u64 > can.max_value {
                    return Err(CallError::new(ErrorCode::TooLarge(can.max_value)));
                }
                match (options.expected, can.compare_and_set) {
                    (None, _)
                    | (Some(_), CompareAndSet::Full)
                    | (Some(0), CompareAndSet::CreateOnly) => {}
                    _ => return Err(CallError::unsupported("this vault has no compare-and-set")),
                }
                has(
                    options.expires.is_none() || can.expiry,
                    "this vault keeps no expiry",
                )?;
                has(
                    options.metadata == Metadata::default() || can.metadata,
                    NO_METADATA,
                )?;
                check_metadata(&options.metadata)
            }
            Self::SetMetadata(metadata) => {
                has(can.metadata, NO_METADATA)?;
                check_metadata(metadata)
            }
            Self::Delete(None) => Ok(()),
            Self::Delete(Some(_)) => {
                has(versions, NO_VERSIONS)?;
                has(can.delete_version, WHOLE_DELETES)
            }
            Self::Undelete(version) => {
                has(can.undelete, "this vault cannot take a delete back")?;
                has(version.is_none() || can.delete_version, WHOLE_DELETES)
            }
            Self::Destroy(_) => has(can.destroy, "this vault cannot destroy a version"),
            Self::Rollback { .. } => has(versions, NO_VERSIONS),
        }
    }

    async fn run(
        self,
        granted: &Granted,
        reference: &Reference,
        opened: &Opened,
    ) -> strongroom_backend::Result<Change> {
        debug_assert!(granted.covers(granted.action(), reference));
        let (path, backend) = (reference.path(), opened.backend());
        match self {
            Self::Put { value, options } => backend.put(path, &value, &options).await,
            Self::SetMetadata(metadata) => {
                let versioning = backend.require_versioning("metadata")?;
                versioning.set_metadata(path, &metadata).await
            }
            Self::Delete(version) => backend.delete(path, version).await,
            Self::Undelete(version) => {
                let versioning = backend.require_versioning("undelete")?;
                versioning.undelete(path, version).await
            }
            Self::Destroy(version) => {
                let versioning = backend.require_versioning("destroy")?;
                versioning.destroy(path, version).await
            }
            Self::Rollback { to, author } => opened.store.rollback(path, to, Some(author)).await,
        }
    }
}

const NO_METADATA: &str = "this vault keeps no metadata";
const WHOLE_DELETES: &str = "this vault deletes whole secrets, not one version";
const NO_VERSIONS: &str = "this vault keeps no versions";

fn check_metadata(metadata: &Metadata) -> Result<(), CallError> {
    let long = |text: &Option<String>, limit| text.as_ref().is_some_and(|t| t.len() > limit);
    if long(&metadata.kind, limits::KIND) {
        return Err(CallError::argument("the kind has more than 64 bytes"));
    }
    if long(&metadata.description, limits::DESCRIPTION) {
        return Err(CallError::argument(
            "the description has more than 1024 bytes",
        ));
    }
    let labels = metadata.labels.as_deref().unwrap_or_default();
    if labels.len() > limits::LABELS {
        return Err(CallError::argument("there are more than 64 labels"));
    }
    for (name, value) in labels {
        if name.is_empty() || name.len() > limits::LABEL_NAME {
            return Err(CallError::argument("a label's name has not 1 to 128 bytes"));
        }
        if value.len() > limits::LABEL_VALUE {
            return Err(CallError::argument(
                "a label's value has more than 512 bytes",
            ));
        }
    }
    let mut names: Vec<&str> = labels.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    if names
        .windows(2)
        .any(|pair| matches!(pair, [a, b] if a == b))
    {
        return Err(CallError::argument("two labels have one name"));
    }
    Ok(())
}
