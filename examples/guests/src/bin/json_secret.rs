//! Reads database credentials that are kept as JSON, as a type of its own.
//!
//! ```toml
//! [component.json-secret]
//! wasm = "json_secret.wasm"
//! grants = [{ vault = "app-secrets", secrets = ["db/main"], actions = ["read"] }]
//! ```
//!
//! ```console
//! $ echo '{"host":"db.internal","port":5432,"username":"app","password":"..."}' |
//!     strongroom set db/main
//! $ strongroom run json_secret.wasm -- db/main
//! ```

#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command answers by printing"
)]

use std::env;
use std::process::ExitCode;

use serde::Deserialize;
use strongroom_guest::{Error, vault};
use zeroize::Zeroizing;

/// No `Debug`: a derived one would print the password.
#[derive(Deserialize)]
struct DbCredentials {
    host: String,
    port: u16,
    username: String,
    /// Wiped on drop, unlike a plain `String`.
    password: Zeroizing<String>,
}

fn main() -> ExitCode {
    let reference = env::args().nth(1).unwrap_or_else(|| "db/main".into());
    match vault::get_json::<DbCredentials>(&reference) {
        Ok(db) => {
            println!(
                "got {reference}: would connect to postgres://{}@{}:{} with a password of {} bytes",
                db.username,
                db.host,
                db.port,
                db.password.len()
            );
            ExitCode::SUCCESS
        }
        // Tells where the JSON is wrong, and none of its text.
        Err(Error::Json(error)) => {
            eprintln!("{reference} is not a set of database credentials: {error}");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{reference}: {error}");
            ExitCode::FAILURE
        }
    }
}
