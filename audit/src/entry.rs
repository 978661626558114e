use std::sync::Arc;

use crate::journal::names::Cell;
use crate::record::{Action, Cache, Call, Outcome, Phase};

/// Who calls: a principal, and for components the instance and the bytes it was made from.
///
/// Make it once with [`Log::subject`](crate::Log::subject) and keep it; cloning is cheap.
#[derive(Clone, Debug)]
pub struct Subject {
    pub(crate) cell: Arc<Cell>,
    pub(crate) share: u16,
}

/// What is asked for: a vault and the path of a secret. From [`Log::target`](crate::Log::target).
#[derive(Clone, Debug)]
pub struct Target {
    pub(crate) cell: Arc<Cell>,
    pub(crate) share: u16,
}

/// A grant's name or a detail. From [`Log::grant`](crate::Log::grant) and [`Log::detail`](crate::Log::detail).
#[derive(Clone, Debug)]
pub struct Text {
    pub(crate) cell: Arc<Cell>,
    pub(crate) share: u16,
}

/// An interface function, such as `strongroom:vault/vault.get`. From [`Log::via`](crate::Log::via).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Via(pub(crate) u8);

/// The change counter of a store after a change, for its outcome record.
#[derive(Clone, Copy, Debug)]
pub struct Counter<'a> {
    /// The store's own id, at most 128 bytes.
    pub store: &'a str,
    /// Its counter.
    pub value: u64,
    /// An operator accepts that the counter is lower than the log says.
    pub accept: bool,
}

/// One record to be. No field can hold a secret's value: give names, numbers and words only.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// Who calls; the record is charged to this principal.
    pub subject: &'a Subject,
    /// What is asked for; `None` for a malformed reference.
    pub target: Option<&'a Target>,
    /// Through which function.
    pub via: Via,
    /// What is done.
    pub action: Action,
    /// Intent or outcome.
    pub phase: Phase,
    /// How it ended; `None` for an intent.
    pub outcome: Option<Outcome>,
    /// The version that was read or made.
    pub version: Option<u64>,
    /// The grant that decided.
    pub grant: Option<&'a Text>,
    /// A text for people.
    pub detail: Option<&'a Text>,
    /// The number of the configuration in force.
    pub policy: u32,
    /// Where a value that was read came from.
    pub cache: Option<Cache>,
    /// For the outcome of a change: its intent.
    pub of: Option<Call>,
    /// Microseconds since 1970; 0 lets the log read the clock.
    pub time: i64,
    /// For the outcome of a change: the store's change counter. Needs a target with a vault.
    pub counter: Option<Counter<'a>>,
    // Hidden, not private: callers fill entries with `..Entry::outcome(..)`, which needs every field.
    #[doc(hidden)]
    pub rotate: bool,
}

impl<'a> Entry<'a> {
    /// An outcome record.
    pub fn outcome(subject: &'a Subject, action: Action, outcome: Outcome) -> Self {
        Self {
            subject,
            action,
            target: None,
            via: Via(0),
            phase: Phase::Outcome,
            outcome: Some(outcome),
            version: None,
            grant: None,
            detail: None,
            policy: 0,
            cache: None,
            of: None,
            time: 0,
            counter: None,
            rotate: false,
        }
    }

    /// An intent record, to be on disk before the backend is asked.
    pub fn intent(subject: &'a Subject, action: Action) -> Self {
        Self {
            phase: Phase::Intent,
            outcome: None,
            ..Self::outcome(subject, action, Outcome::Unknown)
        }
    }
}
