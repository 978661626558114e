//! `strongroom audit`: reading, proving and mending the audit log.

pub(crate) mod checkpoint;
pub(crate) mod filter;
pub(crate) mod follow;
pub(crate) mod line;
pub(crate) mod resume;
pub(crate) mod show;
pub(crate) mod verify;

use strongroom::audit::{self, Location};
use strongroom::config::AuditConfig;

use crate::context::Context;
use crate::failure::{Exit, Failure, chain};

/// Query, watch and prove the audit log
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Show(show::Args),
    Follow(follow::Args),
    Verify(verify::Args),
    Checkpoint(checkpoint::Args),
    Resume(resume::Args),
}

/// Runs `audit`.
pub(crate) async fn run(args: Args, context: &Context) -> Result<(), Failure> {
    match args.command {
        Command::Show(args) => show::run(args, context),
        Command::Follow(args) => follow::run(args, context),
        Command::Verify(args) => verify::run(args, context),
        Command::Checkpoint(args) => checkpoint::run(args, context).await,
        Command::Resume(args) => resume::run(args, context),
    }
}

/// The table `[audit]` of the configuration.
fn settings(context: &Context) -> Result<AuditConfig, Failure> {
    let (_, config) = context.load()?;
    let file = config.file().display().to_string();
    config.audit.ok_or_else(|| {
        Failure::usage(format!("{file} has no [audit] table")).hint("there is no log without one")
    })
}

fn location(settings: &AuditConfig) -> Location {
    Location {
        log: settings.path.clone(),
        key: settings.key.path.clone(),
        allow_links: settings.key.allow_links,
    }
}

/// A log that cannot be read or written is unavailable; one that was tampered with has failed.
fn failure(error: &audit::Error) -> Failure {
    let (exit, hint) = match error {
        audit::Error::Tampered(_) => (
            Exit::Failed,
            Some("`strongroom audit verify` says where it begins"),
        ),
        audit::Error::Healthy => (Exit::Failed, None),
        audit::Error::Untrusted { .. } | audit::Error::Malformed { .. } => (Exit::Usage, None),
        _ => (Exit::Unavailable, None),
    };
    let failure = Failure::new(exit, chain(error));
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}
