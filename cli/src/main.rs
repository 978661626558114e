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
mod support;
mod transfer;
mod wasm;

use std::process::ExitCode;

fn main() -> ExitCode {
    process::harden();
    cli::main()
}
