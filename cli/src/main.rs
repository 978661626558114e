//! The command `strongroom`: everything an operator does with vaults, grants and the audit log.
#![forbid(unsafe_code)]

mod backends;
mod cli;
mod commands;
mod context;
mod failure;
mod formats;
mod input;
mod output;
mod process;
mod prompt;
mod record;
mod support;
mod transfer;
mod wasm;

use std::process::ExitCode;

fn main() -> ExitCode {
    process::harden();
    // A panic has said where it came from; its own exit code is none of ours.
    std::panic::catch_unwind(cli::main).unwrap_or(ExitCode::FAILURE)
}
