//! Several current values in one call.

use std::sync::Arc;

use strongroom_backend::{Reference, Which};

use super::error::CallError;
use super::read::Hit;
use super::session::{Secret, Session, now_us};
use super::{InForce, deadline};
use crate::grants::Action;

/// References in one call: each is decided and recorded on its own, so this bounds the work of
/// one message.
const MAX_MANY: usize = 100;

impl Session {
    /// The current values of up to 100 secrets: one result for each, in the order asked. Needs
    /// `read` for each.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::InvalidArgument`](super::ErrorCode::InvalidArgument) for more than 100.
    pub async fn get_many(
        &self,
        references: &[String],
    ) -> Result<Vec<Result<Secret, CallError>>, CallError> {
        let release = |hit: Hit<'_>| (Arc::clone(hit.value), hit.version);
        let results = self.read_many(references, release).await?;
        let secret = |(text, result): (&String, Result<_, CallError>)| {
            let (value, version) = result?;
            Ok(Secret {
                reference: self.parse(text)?,
                value,
                version,
            })
        };
        Ok(references.iter().zip(results).map(secret).collect())
    }

    /// One result for each reference, in the order asked; each decided and recorded on its own.
    pub(crate) async fn read_many<R>(
        &self,
        references: &[String],
        release: impl Fn(Hit<'_>) -> R,
    ) -> Result<Vec<Result<R, CallError>>, CallError> {
        if references.len() > MAX_MANY {
            self.charge(None)?;
            let error = CallError::argument("more than 100 references");
            let force = self.shared.force.load_full();
            return Err(self.refuse(&force, Action::Read, (None, None), error).await);
        }
        let (force, now, until) = (self.shared.force.load_full(), now_us() / 1000, deadline());
        let mut results = Vec::with_capacity(references.len());
        for reference in references {
            let read = self.read_until(reference, Which::Current, Some(until), &release);
            results.push(read.await);
        }
        self.withhold(&force, now, references, &mut results).await;
        Ok(results)
    }

    /// Takes back what was read first if its grant went while the rest was read: nothing of it
    /// has reached the caller yet. `began` and `now` are those of the whole call.
    async fn withhold<R>(
        &self,
        began: &InForce,
        mut now: u64,
        texts: &[String],
        results: &mut [Result<R, CallError>],
    ) {
        let mut generation = began.generation;
        loop {
            let force = self.shared.force.load_full();
            let time = now_us() / 1000;
            if (generation, now) == (force.generation, time) {
                return;
            }
            (generation, now) = (force.generation, time);
            let mut withheld: Vec<(Reference, &mut Result<R, CallError>)> = Vec::new();
            for (text, result) in texts.iter().zip(&mut *results) {
                let Ok(reference) = self.parse_in(began, text) else {
                    continue;
                };
                if result.is_ok() && self.decide(&force, &[Action::Read], &reference).is_err() {
                    *result = Err(CallError::denied());
                    withheld.push((reference, result));
                }
            }
            if withheld.is_empty() {
                return;
            }
            for (reference, result) in withheld {
                let target = self.target(&reference);
                let on = (Some(&target), None);
                let denied = CallError::denied();
                *result = Err(self.refuse(&force, Action::Read, on, denied).await);
            }
        }
    }
}
