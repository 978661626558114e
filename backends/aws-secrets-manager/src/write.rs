//! Writing: a new version, and then the label.
//!
//! A write takes two steps. The first adds the version under the next number, with a label that
//! no reader looks at. The second moves `AWSCURRENT` from the version that was current when the write began,
//! which the service does only if it is still there: that is the compare-and-set, of one step, with whoever
//! else writes, the console and rotations included. What was looked at before decides nothing.
//!
//! Who loses and why:
//!
//! - Two writers of different values take the same number. The service keeps the first and refuses the
//!   other, which waits for the first to become current, and then conflicts or takes the next number.
//! - Two writers of the same value take the same number. The service says yes to both, and their version is
//!   one. The label moves once: one of them wins, the other's move is refused, as the label is not where it
//!   says, be it where it wants it.
//! - A writer dies between its steps. Its version keeps the number and never becomes current. The next
//!   writer waits a moment for it and takes a later number.
//! - A writer sleeps between its steps while others write. The label is not where it was: refused.
//! - The first version of a secret comes with the secret. There the service says yes to a second creator
//!   of the same value, too: who wants to be the only one leaves a random mark, and looks whose is there.

use std::time::Duration;

use strongroom_backend::{Change, Error, ErrorKind, Metadata, PutOptions, SecretPath, SecretValue};

use crate::client::New;
use crate::error::{Fault, Result, Why};
use crate::state::{CURRENT, Current, FIRST, State, WRITTEN};
use crate::store::SecretsManagerBackend;
use crate::tags::Written;
use crate::value::Stored;
use crate::version::Ids;

/// How often one call may find that others were faster.
const MOST_TURNS: u32 = 40;
/// How often a writer waits for another that is between its steps, the first time for [`FIRST_WAIT`],
/// then twice as long each: less than a second in all.
const MOST_WAITS: u32 = 5;
const FIRST_WAIT: Duration = Duration::from_millis(25);

impl SecretsManagerBackend {
    /// Writes a value as the new current version.
    pub(crate) async fn write(
        &self,
        path: &SecretPath,
        value: &SecretValue,
        options: &PutOptions,
    ) -> Result<Change> {
        let name = self.name(path)?;
        let metadata = Written::of(&options.metadata)?;
        let mut turns = Turns::default();
        let mut tried = None;
        loop {
            turns.next()?;
            let Some(state) = self.service.dated(&name).await? else {
                expect(options, 0)?;
                if self.create(path, &name, value, options).await? {
                    return Ok(changed(1));
                }
                continue;
            };
            self.verify(path, &state)?;
            let current = state.current()?;
            if options.expected.is_none()
                && let (Some(number), Current::Value { id, .. }) = (tried, &current)
                && *id == state.ids.value(number)
            {
                // Our version became current by the hand of another writer of the same value.
                return self.finish(&name, &state, number, options, metadata).await;
            }
            expect(
                options,
                if state.is_deleted() {
                    0
                } else {
                    current.number()
                },
            )?;
            let Some(number) = turns.number(&state).await? else {
                continue;
            };
            if !self.make_writable(&name, &state, &current).await? {
                continue;
            }
            let id = state.ids.value(number);
            // What is older than the first version after a delete stays deleted. The label is put on
            // before that version can be read, so that nothing comes back in between.
            let labels: &[&str] = match current {
                Current::Deleted(_) => &[WRITTEN, FIRST],
                Current::None | Current::Value { .. } => &[WRITTEN],
            };
            let added = self
                .service
                .add(&name, &id, Stored::of(value), labels)
                .await;
            let there = match added {
                Ok(there) => there,
                Err(refused) => match refused.why {
                    Why::Exists => {
                        turns.collide(number).await;
                        continue;
                    }
                    Why::Missing | Why::Deleted => continue,
                    _ => return Err(refused.into()),
                },
            };
            tried = Some(number);
            // To the first version of a secret that another tool made without one, the service itself
            // gives the label. Two who write the same first value there at once both believe they were first.
            let is_done = current == Current::None && there.iter().any(|label| label == CURRENT);
            if is_done || self.promote(&name, &current, &id).await? {
                return self.finish(&name, &state, number, options, metadata).await;
            }
        }
    }

    /// Changes what is known of a secret beside its value.
    pub(crate) async fn note(&self, path: &SecretPath, metadata: &Metadata) -> Result<Change> {
        let written = Written::of(metadata)?;
        let name = self.name(path)?;
        let state = self.service.dated(&name).await?;
        let state = state.ok_or_else(Error::not_found)?;
        self.verify(path, &state)?;
        self.describe_as(&name, &state, &written).await?;
        Ok(changed(state.current()?.number()))
    }

    /// Makes a secret with its first version; false where another was faster.
    async fn create(
        &self,
        path: &SecretPath,
        name: &str,
        value: &SecretValue,
        options: &PutOptions,
    ) -> Result<bool> {
        let mut written = Written::of(&options.metadata)?;
        written.add_author(1, options.author.as_deref());
        if self.names.is_encoded(path) {
            written.add_path(path);
        }
        let mark = match options.expected {
            Some(_) => Some(random_mark()?),
            None => None,
        };
        if let Some(mark) = &mark {
            written.add_creator(mark);
        }
        let new = New {
            name,
            id: &Ids::of(name).value(1),
            stored: Stored::of(value),
            description: written.description,
            kms_key_id: self.kms_key_id.as_deref(),
            tags: written.tags,
        };
        if let Err(refused) = self.service.create(new).await {
            return match refused.why {
                Why::Exists | Why::Deleted => Ok(false),
                _ => Err(refused.into()),
            };
        }
        let Some(mark) = mark else { return Ok(true) };
        let state = self.service.state(name).await?;
        Ok(state.is_some_and(|state| state.tags.creator() == Some(&*mark)))
    }

    /// Takes a secret that was deleted here off the service's schedule: the mark of the delete is
    /// current, so that readers find nothing until the new version is. False where it is there no more.
    async fn make_writable(&self, name: &str, state: &State, current: &Current) -> Result<bool> {
        match (state.scheduled, current) {
            (false, _) => Ok(true),
            (true, Current::Deleted(_)) => match self.service.restore(name).await {
                Ok(()) => Ok(true),
                Err(refused) if refused.why == Why::Missing => Ok(false),
                Err(refused) => Err(refused.into()),
            },
            // Restoring it would show the old value to everyone until ours is current.
            (true, _) => Err(Fault::Refused(
                "another tool scheduled this secret for deletion, and its old value would be readable \
                 before a new one is written: take the delete back first ('strongroom undelete'), or \
                 wait until the service has removed the secret",
            )),
        }
    }

    /// Makes `id` current in the place of `from`; false where `from` is not current any more.
    pub(crate) async fn promote(&self, name: &str, from: &Current, id: &str) -> Result<bool> {
        match self.service.promote(name, from.id(), id).await {
            Ok(()) => Ok(true),
            Err(refused) => match refused.why {
                Why::Parameter | Why::Missing | Why::Deleted => Ok(false),
                _ => Err(refused.into()),
            },
        }
    }

    /// Writes what goes with a version that is current now.
    async fn finish(
        &self,
        name: &str,
        state: &State,
        number: u64,
        options: &PutOptions,
        mut written: Written,
    ) -> Result<Change> {
        let has_metadata = options.metadata != Metadata::default();
        written.add_author(number, options.author.as_deref());
        match self.describe_as(name, state, &written).await {
            Ok(()) => {}
            Err(error) if has_metadata => {
                let error = Error::from(error);
                let text = format!(
                    "the value is written as version {number}, but what goes with it is not: {error}"
                );
                return Err(error.retold(text).into());
            }
            // Who wrote it is in the audit log in any case.
            Err(error) => {
                let error = Error::from(error);
                tracing::warn!(number, %error, "who wrote a version is not kept beside it");
            }
        }
        Ok(changed(number))
    }

    async fn describe_as(&self, name: &str, state: &State, written: &Written) -> Result<()> {
        let missing = written.missing(&state.tags);
        if !missing.is_empty() {
            self.service.tag(name, missing).await?;
        }
        let obsolete = written.obsolete(&state.tags);
        if !obsolete.is_empty() {
            self.service.untag(name, obsolete).await?;
        }
        match &written.description {
            Some(text) if *text != *state.description.as_deref().unwrap_or_default() => {
                Ok(self.service.explain(name, text).await?)
            }
            _ => Ok(()),
        }
    }
}

/// Refuses a write that expects another version than the current one.
fn expect(options: &PutOptions, current: u64) -> Result<()> {
    match options.expected {
        Some(expected) if expected != current => Err(Error::conflict(current).into()),
        _ => Ok(()),
    }
}

pub(crate) fn changed(version: u64) -> Change {
    Change {
        version,
        counter: None,
    }
}

/// A text that nobody else has.
fn random_mark() -> Result<String> {
    let mut bytes = [0; 16];
    let text = "the operating system gives no random bytes";
    let failed = |_| Fault::Answer(Error::new(ErrorKind::Unavailable, text));
    getrandom::fill(&mut bytes).map_err(failed)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// How long one call goes on while others write the same secret.
#[derive(Default)]
pub(crate) struct Turns {
    taken: u32,
    /// The number that another writer has, and how often we waited for it.
    waiting: (u64, u32),
    /// Numbers up to this one are another's.
    passed: u64,
}

impl Turns {
    /// Begins a turn.
    pub(crate) fn next(&mut self) -> Result<()> {
        self.taken += 1;
        match self.taken {
            0..=MOST_TURNS => Ok(()),
            _ => Err(Fault::Busy("others write this secret all the time")),
        }
    }

    /// The number to write, or none where another writer is between its steps and was waited for.
    pub(crate) async fn number(&mut self, state: &State) -> Result<Option<u64>> {
        if let Some(number) = state.unfinished()
            && self.wait(number).await
        {
            return Ok(None);
        }
        let after = self.passed.checked_add(1);
        let used_up = || Error::new(ErrorKind::Failed, "the version numbers are used up");
        Ok(Some(state.next()?.max(after.ok_or_else(used_up)?)))
    }

    /// Another writer has this number.
    pub(crate) async fn collide(&mut self, number: u64) {
        if !self.wait(number).await {
            self.passed = self.passed.max(number);
        }
    }

    /// Waits for the other writer of this number; false where it had its time.
    async fn wait(&mut self, number: u64) -> bool {
        if self.waiting.0 != number {
            self.waiting = (number, 0);
        }
        let waits = self.waiting.1;
        if waits >= MOST_WAITS {
            return false;
        }
        self.waiting.1 += 1;
        tokio::time::sleep(FIRST_WAIT * 2u32.saturating_pow(waits)).await;
        true
    }
}
