//! The command line: one tree, from which help, completions and man pages come too.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Parser, Subcommand};

use crate::commands;
use crate::context::Context;
use crate::failure::Failure;
use crate::{output, process};

/// Keeps secrets, and gives WebAssembly components those that they are granted.
#[derive(Debug, Parser)]
#[command(
    name = "strongroom",
    bin_name = "strongroom",
    version,
    max_term_width = 100,
    after_long_help = "\
Begin:
  strongroom init                              a vault, its key and an audit log, here
  printf %s \"$KEY\" | strongroom set stripe/api-key
  strongroom get stripe/api-key
  strongroom run billing.wasm                  with the grants of its entry in strongroom.toml

Environment:
  STRONGROOM_CONFIG      the configuration file, where `--config` names none
  STRONGROOM_WORKSPACE   the workspace, where `--workspace` names none
  STRONGROOM_LOG         what is logged on standard error: off, error (default), warn, info, debug, trace
  NO_COLOR               no colours

Exit codes:
  0 done   1 failed   2 wrong usage, reference, key or configuration   3 denied
  4 not found   5 a backend or the audit log is unavailable, or a quota is used up   6 conflict"
)]
pub(crate) struct Cli {
    /// The configuration file [default: $STRONGROOM_CONFIG, then ./strongroom.toml, then the user's
    /// configuration directory]
    #[arg(long, value_name = "F", global = true)]
    config: Option<PathBuf>,

    /// The workspace of the configuration to use [default: $STRONGROOM_WORKSPACE, else none]
    #[arg(long, value_name = "NAME", global = true)]
    workspace: Option<String>,

    /// Machine-readable output: one JSON document on standard output, errors as one on standard error
    #[arg(long, global = true)]
    json: bool,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(commands::init::Args),
    Set(commands::set::Args),
    Get(commands::get::Args),
    List(commands::list::Args),
    Describe(commands::describe::Args),
    Versions(commands::versions::Args),
    Delete(commands::delete::Args),
    Undelete(commands::undelete::Args),
    Destroy(commands::destroy::Args),
    Rollback(commands::rollback::Args),
    Rotate(commands::rotate::Args),
    Run(commands::run::Args),
    Exec(commands::exec::Args),
    Check(commands::check::Args),
    Audit(commands::audit::Args),
    Keys(commands::keys::Args),
    Trust(commands::trust::Args),
    Doctor(commands::doctor::Args),
    Copy(commands::copy::Args),
    Sync(commands::sync::Args),
    Import(commands::import::Args),
    Export(commands::export::Args),
    Completions(commands::completions::Args),
    Man(commands::man::Args),
}

/// Parses the arguments, runs the command and reports how it ended.
pub(crate) fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refuse(&error),
    };
    let json = cli.json;
    match run(cli) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            output::report(&failure, json);
            ExitCode::from(failure.exit as u8)
        }
    }
}

fn run(cli: Cli) -> Result<u8, Failure> {
    process::start_log()?;
    let context = Context::new(cli.config, cli.workspace, cli.json);
    // One thread is enough for one command, and starts fastest.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::failed(format!("cannot start the runtime: {e}")))?;
    runtime.block_on(dispatch(cli.command, &context))
}

/// Runs one command; those that run a program return its exit code.
async fn dispatch(command: Command, context: &Context) -> Result<u8, Failure> {
    match command {
        Command::Init(args) => commands::init::run(args, context).await,
        Command::Set(args) => commands::set::run(args, context).await,
        Command::Get(args) => commands::get::run(args, context).await,
        Command::List(args) => commands::list::run(args, context).await,
        Command::Describe(args) => commands::describe::run(args, context).await,
        Command::Versions(args) => commands::versions::run(args, context).await,
        Command::Delete(args) => commands::delete::run(args, context).await,
        Command::Undelete(args) => commands::undelete::run(args, context).await,
        Command::Destroy(args) => commands::destroy::run(args, context).await,
        Command::Rollback(args) => commands::rollback::run(args, context).await,
        Command::Rotate(args) => commands::rotate::run(args, context).await,
        Command::Run(args) => return commands::run::run(args, context).await,
        Command::Exec(args) => return commands::exec::run(args, context).await,
        Command::Check(args) => commands::check::run(args, context).await,
        Command::Audit(args) => commands::audit::run(args, context).await,
        Command::Keys(args) => commands::keys::run(args, context).await,
        Command::Trust(args) => commands::trust::run(args, context).await,
        Command::Doctor(args) => commands::doctor::run(args, context).await,
        Command::Copy(args) => commands::copy::run(args, context).await,
        Command::Sync(args) => commands::sync::run(args, context).await,
        Command::Import(args) => commands::import::run(args, context).await,
        Command::Export(args) => commands::export::run(args, context).await,
        Command::Completions(args) => commands::completions::run(args, context).await,
        Command::Man(args) => commands::man::run(args, context).await,
    }
    .map(|()| 0)
}

/// Ends on what the parser did not take, or on help and version, which are no failure.
fn refuse(error: &clap::Error) -> ExitCode {
    let asked = matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    );
    let json = !asked && asks_for_json(std::env::args_os());
    if asked {
        return match error.print().and_then(|()| io::stdout().flush()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                let failure = Failure::output(&error);
                output::report(&failure, false);
                ExitCode::from(failure.exit as u8)
            }
        };
    }
    if let Some(failure) = without_value(error, std::env::args_os()) {
        output::report(&failure, json);
    } else if json {
        output::report(&usage(error), true);
    } else {
        // Nowhere to say that this failed.
        let _ = error.print();
    }
    ExitCode::from(2)
}

/// The parser's refusal as a failure, its tip as the hint.
fn usage(error: &clap::Error) -> Failure {
    let text = error.render().to_string();
    let mut lines = text.lines();
    let message = lines.next().unwrap_or_default();
    let failure = Failure::usage(message.strip_prefix("error: ").unwrap_or(message));
    let rest: Vec<&str> = lines
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    if rest.is_empty() {
        return failure;
    }
    failure.hint(rest.join("; "))
}

/// Whether `--json` was given, where the parser gave up before it could say so.
fn asks_for_json(arguments: impl Iterator<Item = OsString>) -> bool {
    arguments
        .skip(1)
        .take_while(|argument| argument != "--")
        .any(|argument| argument == "--json")
}

/// What is said in place of the parser's text where that would repeat what may be a value: an
/// argument of `set` or `exec` that is like none of their options, or an option's wrong value.
fn without_value(
    error: &clap::Error,
    arguments: impl Iterator<Item = OsString>,
) -> Option<Failure> {
    let command = arguments
        .skip(1)
        .find(|argument| argument == "set" || argument == "exec")?;
    let option = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(option)) => option.as_str(),
        _ => "",
    };
    match error.kind() {
        ErrorKind::UnknownArgument => {
            let mistyped = option.starts_with("--")
                && option != "--value"
                && error.get(ContextKind::SuggestedArg).is_some();
            if mistyped {
                None
            } else if command == "set" {
                Some(commands::set::on_the_command_line())
            } else {
                Some(commands::exec::unknown_argument())
            }
        }
        ErrorKind::InvalidValue | ErrorKind::ValueValidation | ErrorKind::TooManyValues => {
            let why = std::error::Error::source(error).map(ToString::to_string);
            let given = match error.get(ContextKind::InvalidValue) {
                Some(ContextValue::String(given)) => given.as_str(),
                _ => "",
            };
            let why = why
                .filter(|why| given.is_empty() || !why.contains(given))
                .map_or_else(String::new, |why| format!(": {why}"));
            Some(
                Failure::usage(format!("'{option}' does not take what it was given{why}"))
                    .hint("that is not repeated here, since it may be a value; see `--help`"),
            )
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_tree_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn json_counts_only_before_the_programs_own_arguments() {
        let words = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        assert!(asks_for_json(words("strongroom get --json").into_iter()));
        assert!(!asks_for_json(
            words("strongroom exec -- x --json").into_iter()
        ));
    }

    #[test]
    fn what_looks_like_an_option_of_set_may_be_its_value() {
        let refused = |words: &[&str]| {
            let error = Cli::try_parse_from(words).unwrap_err();
            without_value(&error, words.iter().map(OsString::from)).is_some()
        };
        assert!(refused(&["strongroom", "set", "a", "--hunter2-canary"]));
        assert!(refused(&["strongroom", "set", "a", "-zunter2"]));
        assert!(refused(&["strongroom", "set", "a", "--value", "hunter2"]));
        assert!(refused(&["strongroom", "set", "a", "hunter2"]));
        assert!(refused(&["strongroom", "set", "a", "--", "--trim"]));
        assert!(!refused(&["strongroom", "set", "a", "--tirm"]));
        assert!(!refused(&["strongroom", "get", "a", "--unknown"]));
    }

    #[test]
    fn a_refusal_keeps_its_tip() {
        let error = Cli::try_parse_from(["strongroom", "lst", "a"]).unwrap_err();
        let failure = usage(&error);
        assert!(failure.message.contains("unrecognized subcommand"));
        assert!(failure.hint.is_some_and(|hint| hint.contains("'list'")));
    }
}
