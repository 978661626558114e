//! The project's own tasks: `cargo xtask --help`.

#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a task tells what it does by printing"
)]

mod absence;
mod ci;
mod demo;
mod guests;
mod process;
mod servers;
mod test;
mod wit;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

fn main() -> ExitCode {
    let done = match Cli::parse().task {
        Task::Ci(args) => ci::run(&args),
        Task::Demo(args) => demo::run(&args),
        Task::Guests(args) => guests::run(&args),
        Task::Servers(args) => servers::run(&args),
        Task::Test(args) => test::run(&args),
        Task::Wit(args) => wit::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The project's own tasks.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Everything that a change must pass.
    Ci(ci::Args),
    /// Shows on a project of its own what a guest gets, what it is refused and what is recorded.
    Demo(demo::Args),
    /// Builds the guests, checks what they import, and prints their paths.
    Guests(guests::Args),
    /// Starts and stops the servers that the tests of the backends talk to.
    Servers(servers::Args),
    /// Builds the guests, starts the test servers and runs all tests.
    Test(test::Args),
    /// Checks that all copies of the WIT are equal.
    Wit(wit::Args),
}
