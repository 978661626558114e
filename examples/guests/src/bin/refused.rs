//! Asks for what it is not granted, and shows how a program tells the refusals apart.
//!
//! It succeeds when all of them are refused as they should be. What is denied reads the same
//! whether or not it exists: a component cannot probe for names.
//!
//! ```toml
//! [component.refused]
//! wasm = "refused.wasm"
//! grants = [{ vault = "app-secrets", secrets = ["stripe/*"], actions = ["read"] }]
//! ```
//!
//! ```console
//! $ strongroom run refused.wasm
//! ```

#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a command answers by printing")]

use std::process::ExitCode;

use strongroom_guest::{Error, vault, writer};

fn main() -> ExitCode {
    let too_many = vec!["stripe/api-key"; vault::MAX_REFERENCES + 1];
    let attempts: [(&str, Result<(), Error>, Expected); 6] = [
        (
            "read db/main, which is others'",
            vault::get("db/main").map(drop),
            Expected::Denied,
        ),
        (
            "read a name that does not exist",
            vault::get("no/such").map(drop),
            Expected::Denied,
        ),
        (
            "write stripe/api-key",
            writer::set("stripe/api-key", "mine").map(drop),
            Expected::Denied,
        ),
        (
            "read stripe/none, which it may",
            vault::get("stripe/none").map(drop),
            Expected::NotFound,
        ),
        (
            "read a malformed name",
            vault::get("stripe//key").map(drop),
            Expected::InvalidReference,
        ),
        (
            "read too much at once",
            vault::get_many(too_many).map(drop),
            Expected::InvalidArgument,
        ),
    ];
    let mut all_as_expected = true;
    for (attempt, answer, expected) in attempts {
        let fits = matches!(&answer, Err(error) if expected.is(error));
        all_as_expected &= fits;
        let mark = if fits { "refused" } else { "UNEXPECTED" };
        match answer {
            Ok(()) => println!("{mark}: {attempt}\n    it was allowed"),
            Err(error) => println!("{mark}: {attempt}\n    {error}\n    -> {}", way_out(&error)),
        }
    }
    if all_as_expected {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

enum Expected {
    Denied,
    InvalidArgument,
    InvalidReference,
    NotFound,
}

impl Expected {
    fn is(&self, error: &Error) -> bool {
        match self {
            Self::Denied => matches!(error, Error::Denied),
            Self::InvalidArgument => matches!(error, Error::InvalidArgument(_)),
            Self::InvalidReference => matches!(error, Error::InvalidReference(_)),
            Self::NotFound => matches!(error, Error::NotFound),
        }
    }
}

/// What a program does about each kind of refusal.
fn way_out(error: &Error) -> &'static str {
    match error {
        Error::Denied => "stop; only the operator can change that",
        Error::NotFound => "fall back to a default, or tell the operator what is missing",
        Error::InvalidReference(_) | Error::InvalidArgument(_) => "a bug of this program",
        Error::TooLarge { .. } => "store less, or keep it elsewhere and its key here",
        Error::Conflict { .. } => "read the current version and apply the change again",
        Error::Unsupported(_) => "do without, or ask for a vault that can",
        Error::QuotaExceeded { .. } => "wait as long as it says",
        Error::Unavailable(_) => "wait a little and try again",
        Error::Failed(_) => "give up and tell the operator: the log says how",
        Error::Json(_) | Error::NoSuchField => "the value is not what this program expects",
        _ => "newer than this program",
    }
}
