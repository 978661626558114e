//! `cargo xtask test`: the guests and the test servers, then every test of the workspace, those in the docs too,
//! and one run of each bench that needs a server.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, IsTerminal, Write, stdout};
use std::process::Stdio;

use crate::guests::{self, GUESTS_VARIABLE};
use crate::process::{self, Result};
use crate::servers::Session;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Starts no server: tests that need one that is not up fail.
    #[arg(long)]
    no_servers: bool,
    /// Further arguments of `cargo test`, as `-- --skip slow`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    cargo: Vec<OsString>,
}

impl Args {
    /// All tests.
    pub(crate) fn all() -> Self {
        Self {
            no_servers: false,
            cargo: Vec::new(),
        }
    }
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let guests = guests::build(false)?;
    let servers = if args.no_servers {
        Session::of_running()?
    } else {
        Session::start()?
    };
    // Each once: without servers, the benches' own run has left these out.
    let benches = match args.cargo.is_empty() && !args.no_servers {
        true => process::run(
            process::cargo()
                .args(["bench", "--profile", "dev", "--workspace"])
                .args(["--bench", "speed", "--", "--test", "remote"])
                .envs(servers.environment()),
        ),
        false => Ok(()),
    };
    let mut cargo = process::cargo();
    cargo
        .args(["test", "--workspace", "--no-fail-fast"])
        .args([
            "--color",
            if stdout().is_terminal() {
                "always"
            } else {
                "never"
            },
        ])
        .args(&args.cargo)
        .env(GUESTS_VARIABLE, guests)
        .envs(servers.environment())
        .stdout(Stdio::piped());
    eprintln!("$ {}", process::shown(&cargo));

    let mut running = cargo.spawn()?;
    let mut total = Total::default();
    if let Some(lines) = running.stdout.take() {
        for line in BufReader::new(lines).split(b'\n') {
            let line = line?;
            stdout().write_all(&line)?;
            stdout().write_all(b"\n")?;
            total.add(&String::from_utf8_lossy(&line));
        }
    }
    let status = running.wait()?;
    // Before the summary, which closes the output.
    drop(servers);
    println!("\n{}", total.summary(status.success() && benches.is_ok()));
    benches?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{status}: cargo test").into())
    }
}

/// The sum over the summaries that the test programs print.
#[derive(Debug, Default, Eq, PartialEq)]
struct Total {
    programs: u64,
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl Total {
    /// Adds a line such as `test result: ok. 3 passed; 0 failed; 1 ignored; ...`, and no other.
    fn add(&mut self, line: &str) {
        let Some((_, counts)) = line.split_once("test result: ") else {
            return;
        };
        self.programs += 1;
        for part in counts.split([';', '.']) {
            let Some((number, what)) = part.trim().split_once(' ') else {
                continue;
            };
            let Ok(number) = number.parse::<u64>() else {
                continue;
            };
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }

    fn summary(&self, ok: bool) -> String {
        let word = if ok { "ok" } else { "FAILED" };
        let Self {
            programs,
            passed,
            failed,
            ignored,
        } = self;
        format!(
            "test result: {word}. {passed} passed; {failed} failed; {ignored} ignored; \
             in {programs} programs"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_what_the_programs_print() {
        let mut total = Total::default();
        for line in [
            "running 15 tests",
            "test a::b ... ok",
            "test result: ok. 15 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; \
             finished in 0.03s",
            "test result: \u{1b}[31mFAILED\u{1b}[0m. 2 passed; 1 failed; 4 ignored; 0 measured",
        ] {
            total.add(line);
        }
        assert_eq!(
            total,
            Total {
                programs: 2,
                passed: 17,
                failed: 1,
                ignored: 4
            }
        );
        assert!(
            total
                .summary(false)
                .starts_with("test result: FAILED. 17 passed; 1 failed")
        );
    }
}
