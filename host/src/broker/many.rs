//! Several current values in one call.

use std::sync::Arc;

use strongroom_backend::Which;

use super::error::CallError;
use super::read::Hit;
use super::session::{Secret, Session};
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
        let mut results = Vec::with_capacity(references.len());
        for reference in references {
            results.push(self.read(reference, Which::Current, &release).await);
        }
        Ok(results)
    }
}
