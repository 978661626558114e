//! How the probe answers.

use std::fmt::Display;
use std::io::{self, Write};
use std::time::SystemTime;

use strongroom_guest::{Error, Secret};
use strongroom_test_guests::error_line;

/// One line, which the test sees at once.
pub(crate) fn say(line: impl Display) {
    println!("{line}");
    // A test that has closed its end has seen what it wanted.
    let _ = io::stdout().flush();
}

/// A value, in hex.
pub(crate) fn say_value(value: &Secret) {
    say(format_args!("value {}", hex::encode(value.expose())));
}

/// Bytes that are no secret, in hex.
pub(crate) fn say_bytes(bytes: &[u8]) {
    say(format_args!("bytes {}", hex::encode(bytes)));
}

/// A vault's error.
pub(crate) fn say_error(error: &Error) {
    say(error_line(error));
}

/// Milliseconds since the epoch.
pub(crate) fn milliseconds(time: SystemTime) -> u128 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_millis())
}

/// `-` for none.
pub(crate) fn or_dash<T: Display>(value: Option<T>) -> String {
    value.map_or_else(|| "-".into(), |value| value.to_string())
}

/// Why a call is over.
pub(crate) enum Failure {
    /// The arguments name no call.
    Usage,
    /// The vault said so.
    Vault(Error),
    /// Something else of the outside: a file, the network, standard input.
    Io(io::Error),
}

impl Failure {
    pub(crate) fn report(&self) {
        match self {
            Self::Usage => eprintln!("usage: see the calls in tests/guests/src/bin/probe"),
            Self::Vault(error) => say_error(error),
            Self::Io(error) => say(format_args!("io-error {:?}", error.kind())),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Vault(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
