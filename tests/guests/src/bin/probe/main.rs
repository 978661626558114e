//! The guest that the host's tests drive: its arguments name one call, and it prints the answer in
//! lines that a test can match.
//!
//! Values are printed in hex and only on standard output, so that a test can look for a value's own
//! bytes everywhere and must find none.

#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the tests read what a guest prints"
)]

mod call;
mod misbehave;
mod output;

use std::env;
use std::io;
use std::process::ExitCode;

use crate::output::{Failure, say};

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    match run(&args.iter().map(String::as_str).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.report();
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[&str]) -> Result<(), Failure> {
    match args {
        ["script"] => script(),
        _ => match call::run(args) {
            Err(Failure::Usage) => misbehave::run(args),
            answered => answered,
        },
    }
}

/// Runs each line of standard input as a call of its own, all in one instance.
fn script() -> Result<(), Failure> {
    for line in io::stdin().lines() {
        let line = line?;
        let args: Vec<&str> = line.split_whitespace().collect();
        if let Err(failure) = run(&args) {
            failure.report();
        }
        say("done");
    }
    Ok(())
}
