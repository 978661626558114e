//! Lists what it may list, with the versions of each secret. It may see no value.
//!
//! ```toml
//! [component.list-versions]
//! wasm = "list_versions.wasm"
//! grants = [{ vault = "app-secrets", secrets = ["**"], actions = ["list"] }]
//! ```
//!
//! ```console
//! $ strongroom run list_versions.wasm -- stripe/
//! ```

#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command answers by printing"
)]

use std::env;
use std::process::ExitCode;

use strongroom_guest::{Error, VersionState, vault};

fn main() -> ExitCode {
    let prefix = env::args().nth(1).unwrap_or_default();
    match list(&prefix) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn list(prefix: &str) -> Result<(), Error> {
    for reference in vault::list(prefix) {
        let reference = reference?;
        println!("{reference}");
        for version in vault::versions(&reference)? {
            let state = match version.state {
                VersionState::Current => "current",
                VersionState::Superseded => "can still be read by number",
                VersionState::Pending => "being rotated in",
                VersionState::Deleted => "deleted, can be undeleted",
                VersionState::Destroyed => "destroyed",
                _ => "in a state that this program does not know",
            };
            println!("  version {}: {state}", version.version);
        }
    }
    Ok(())
}
