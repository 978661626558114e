//! Writing only where nobody else has, as far as the target's store can tell.

use std::sync::atomic::{AtomicBool, Ordering};

use strongroom::backend::{PutOptions, SecretValue};
use strongroom::{CallError, ErrorCode, Session};

use crate::output;

/// Writes values to targets that were compared before.
pub(crate) struct Writer<'s> {
    session: &'s Session,
    overwrite: bool,
    warned: AtomicBool,
}

impl<'s> Writer<'s> {
    /// With `overwrite`, whatever stands at a target is replaced.
    pub(crate) fn new(session: &'s Session, overwrite: bool) -> Self {
        Self {
            session,
            overwrite,
            warned: AtomicBool::new(false),
        }
    }

    /// Writes `value`. Without `overwrite` it is written only where there still is none; a store that
    /// cannot promise that is told of once, and written to all the same.
    ///
    /// # Errors
    ///
    /// As [`Session::set`]: a conflict where somebody has written since the comparison.
    pub(crate) async fn put(
        &self,
        target: &str,
        value: &SecretValue,
        options: PutOptions,
    ) -> Result<u64, CallError> {
        let plain = PutOptions {
            expected: None,
            ..options.clone()
        };
        if !self.overwrite {
            let careful = PutOptions {
                expected: Some(0),
                ..options
            };
            match self.session.set(target, copy(value), careful).await {
                Err(error) if matches!(error.code, ErrorCode::Unsupported(_)) => {
                    if !self.warned.swap(true, Ordering::Relaxed) {
                        output::warning(
                            "the target's store cannot write only where there is no value: what \
                             somebody else writes there during this command may be replaced",
                        );
                    }
                }
                answer => return answer,
            }
        }
        self.session.set(target, copy(value), plain).await
    }
}

fn copy(value: &SecretValue) -> SecretValue {
    SecretValue::copy_of(value.expose())
}
