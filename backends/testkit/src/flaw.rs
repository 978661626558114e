//! Why a trial failed.

use std::fmt;
use std::panic::Location;

use strongroom_backend::{Error, ErrorKind, ReferenceError, Result};
use tokio::task::JoinError;

/// What a trial returns.
pub(crate) type Verdict = std::result::Result<(), Flaw>;

/// What the store did wrong, and which line of the trial saw it.
pub(crate) struct Flaw {
    text: String,
    at: &'static Location<'static>,
}

impl Flaw {
    #[track_caller]
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            at: Location::caller(),
        }
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}:{})", self.text, self.at.file(), self.at.line())
    }
}

impl From<Error> for Flaw {
    #[track_caller]
    fn from(error: Error) -> Self {
        Self::new(format!("the call failed: {:?}, {error}", error.kind()))
    }
}

impl From<ReferenceError> for Flaw {
    #[track_caller]
    fn from(error: ReferenceError) -> Self {
        Self::new(error.to_string())
    }
}

impl From<JoinError> for Flaw {
    #[track_caller]
    fn from(error: JoinError) -> Self {
        Self::new(format!("a task of the trial panicked: {error}"))
    }
}

/// The call must have failed with `kind`.
#[track_caller]
pub(crate) fn refused<T>(result: Result<T>, kind: ErrorKind, call: &str) -> Verdict {
    match result {
        Err(error) if error.kind() == kind => Ok(()),
        Err(error) => Err(Flaw::new(format!(
            "{call}: expected {kind:?}, got {:?}, {error}",
            error.kind()
        ))),
        Ok(_) => Err(Flaw::new(format!("{call}: expected {kind:?}, got success"))),
    }
}

/// Fails the trial with a text unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($text:tt)+) => {
        if !$condition {
            return Err($crate::flaw::Flaw::new(format!($($text)+)));
        }
    };
}

/// Fails the trial unless both are equal, showing both.
macro_rules! ensure_eq {
    ($got:expr, $expected:expr, $($text:tt)+) => {{
        let (got, expected) = (&$got, &$expected);
        if got != expected {
            return Err($crate::flaw::Flaw::new(format!(
                "{}: expected {expected:?}, got {got:?}",
                format_args!($($text)+)
            )));
        }
    }};
}

pub(crate) use {ensure, ensure_eq};
