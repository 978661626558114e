//! Deleting a secret, and taking that back.
//!
//! The service schedules a secret for deletion and refuses to read or write it until then. To write
//! again it must be restored first, and with it comes back whatever is current. So a delete first makes
//! a mark current, a version without a value: what is restored is deleted still, and no old value is readable before
//! the new one is written. An undelete restores, and moves the label from the mark to where it was.
//!
//! A writer that comes between the mark and the schedule has its version scheduled with the secret. The
//! delete looks for that and begins again, so that it never ends with a value under the schedule. A delete that
//! breaks off after its mark leaves a secret that is deleted for us, and not scheduled.

use strongroom_backend::{Change, Error, SecretPath};

use crate::error::{Fault, Result, Why};
use crate::state::{Current, PREVIOUS, WRITTEN};
use crate::store::SecretsManagerBackend;
use crate::value::Stored;
use crate::version::Id;
use crate::write::{Turns, changed};

impl SecretsManagerBackend {
    /// Deletes a secret, with a window in which it can be taken back.
    pub(crate) async fn mark_deleted(&self, path: &SecretPath) -> Result<Change> {
        let name = self.name(path)?;
        let mut turns = Turns::default();
        let mut deleted = None;
        loop {
            turns.next()?;
            let state = self.service.dated(&name).await?;
            let Some(state) = state.filter(|state| !state.is_deleted()) else {
                return deleted.map_or_else(|| Err(Error::not_found().into()), |n| Ok(changed(n)));
            };
            self.verify(path, &state)?;
            let current = state.current()?;
            let Current::Value { id, number } = &current else {
                return Err(Error::not_found().into());
            };
            if state.replicated {
                return Err(Fault::Refused(
                    "the service does not delete a secret with copies in other regions: remove those first",
                ));
            }
            let Some(next) = turns.number(&state).await? else {
                continue;
            };
            let mark = state.ids.deleted(next);
            let added = self
                .service
                .add(&name, &mark, Stored::deleted(), &[WRITTEN]);
            if let Err(refused) = added.await {
                match refused.why {
                    Why::Exists => turns.collide(next).await,
                    Why::Missing | Why::Deleted => {}
                    _ => return Err(refused.into()),
                }
                continue;
            }
            if !self.promote(&name, &current, &mark).await? {
                continue;
            }
            deleted = Some(*number);
            match self.service.delete(&name, self.recovery_window_days).await {
                Ok(()) => {}
                Err(refused) if matches!(refused.why, Why::Deleted | Why::Missing) => {}
                Err(refused) if refused.is_temporary() => return Err(refused.into()),
                Err(refused) => {
                    // Nothing was deleted, so nothing may look so. Where even this fails the mark stays, and
                    // an undelete moves it.
                    let mark = Current::Deleted(mark);
                    let back = self.promote(&name, &mark, id).await;
                    if !matches!(back, Ok(true)) {
                        tracing::warn!("a delete that was refused could not be taken back");
                    }
                    return Err(refused.into());
                }
            }
            if self.is_marked(&name).await? {
                return Ok(changed(*number));
            }
        }
    }

    /// Whether a scheduled secret has a mark current. A value that a writer brought in between is
    /// taken off the schedule again, to be deleted with a mark of its own.
    async fn is_marked(&self, name: &str) -> Result<bool> {
        let Some(state) = self.service.dated(name).await? else {
            return Ok(true);
        };
        if !state.scheduled || matches!(state.current()?, Current::Deleted(_)) {
            return Ok(true);
        }
        match self.service.restore(name).await {
            Ok(()) => Ok(false),
            Err(refused) if refused.why == Why::Missing => Ok(true),
            Err(refused) => Err(refused.into()),
        }
    }

    /// Takes the delete of a secret back.
    pub(crate) async fn take_back(&self, path: &SecretPath) -> Result<Change> {
        let name = self.name(path)?;
        let mut turns = Turns::default();
        loop {
            turns.next()?;
            let state = self.service.dated(&name).await?;
            let state = state.filter(|state| state.is_deleted());
            let state = state.ok_or_else(Error::not_found)?;
            self.verify(path, &state)?;
            let current = state.current()?;
            let back = match &current {
                Current::Deleted(_) => {
                    let previous = state.labelled(PREVIOUS);
                    let value =
                        previous.filter(|id| !matches!(state.ids.parse(id), Id::Deleted(_)));
                    Some(value.ok_or(Fault::Refused(
                        "the label of the version before the delete is gone: write a value anew",
                    ))?)
                }
                // Another tool deleted it, and what is current was so before.
                Current::Value { .. } => None,
                Current::None => return Err(Error::not_found().into()),
            };
            if state.scheduled
                && let Err(refused) = self.service.restore(&name).await
            {
                return Err(refused.into());
            }
            let Some(id) = back else {
                return Ok(changed(current.number()));
            };
            if self.promote(&name, &current, id).await? {
                let number = state.number(id).ok_or(Fault::Strange("no date"))?;
                return Ok(changed(number));
            }
        }
    }
}
