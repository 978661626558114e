//! Reads several secrets in one call. Each is decided on its own: one that is refused does not
//! spoil the others.
//!
//! ```toml
//! [component.get-many]
//! wasm = "get_many.wasm"
//! grants = [{ vault = "app-secrets", secrets = ["smtp/*", "stripe/*"], actions = ["read"] }]
//! ```
//!
//! ```console
//! $ strongroom run get_many.wasm -- stripe/api-key smtp/password db/main
//! ```

#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command answers by printing"
)]

use std::env;
use std::process::ExitCode;

use strongroom_guest::vault;

fn main() -> ExitCode {
    let mut references: Vec<String> = env::args().skip(1).collect();
    if references.is_empty() {
        references = ["stripe/api-key", "smtp/password", "db/main"]
            .map(String::from)
            .to_vec();
    }
    let secrets = match vault::get_many(&references) {
        Ok(secrets) => secrets,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    for (reference, secret) in references.iter().zip(secrets) {
        match secret {
            Ok(secret) => println!("got {reference}: {} bytes", secret.len()),
            Err(error) => println!("not {reference}: {error}"),
        }
    }
    ExitCode::SUCCESS
}
