//! `strongroom sync`: brings a copy in step with what it is a copy of.

use serde_json::json;
use strongroom::audit::Action;
use strongroom::backend::VaultId;
use strongroom::{Emptied, ErrorCode};

use crate::context::Context;
use crate::failure::Failure;
use crate::output;
use crate::record::Recorded;

/// Bring a vault that is a copy of a part of another in step with it now
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  strongroom sync offline
  strongroom sync offline --accept-empty     after everything was deleted on purpose

A vault is a copy by its table [vault.<id>.sync]. A running host makes it when it starts (on-start), by
time (every) and, of a source that tells, after a change (on-change). This command is on record as
yours, what it reads and writes as that of host:sync.
A source that cannot be read leaves the copy as it was, and it serves until it is older than 'max-stale'.")]
pub(crate) struct Args {
    /// The vault that is the copy
    #[arg(value_name = "VAULT", value_parser = super::doctor::vault)]
    vault: VaultId,

    /// Empty the copy where the source lists no name any more
    #[arg(long)]
    accept_empty: bool,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<(), Failure> {
    let emptied = if args.accept_empty {
        Emptied::Accepted
    } else {
        Emptied::Refused
    };
    let via = if args.accept_empty {
        "strongroom sync --accept-empty"
    } else {
        "strongroom sync"
    };
    let broker = context.broker().await?;
    // The job's own records name the host: this one says who had it run.
    let recorded = Recorded::begin(&broker, &args.vault, Action::Write, via).await?;
    let bar = output::working("reading the source");
    let synced = broker.sync(&args.vault, emptied).await;
    bar.finish_and_clear();
    let recorded = recorded.end(synced.is_ok(), None).await;
    let closed = broker.close().await;
    let synced = synced.map_err(|error| {
        let taken = matches!(error.code, ErrorCode::Conflict(_));
        let failure = Failure::from(error).while_doing(args.vault.as_str());
        match taken {
            true => failure.hint("another process works on this copy: try again"),
            false => failure,
        }
    })?;
    recorded?;
    closed?;
    if context.json {
        return output::document(&json!({
            "vault": args.vault.as_str(),
            "copied": synced.copied,
            "unchanged": synced.unchanged,
            "deleted": synced.deleted,
            "left": synced.left,
        }));
    }
    let left = match synced.left {
        0 => String::new(),
        left => format!(", {left} left out: a copy cannot have their names"),
    };
    output::line(&format!(
        "{}: {} copied, {} unchanged, {} deleted{left}",
        args.vault, synced.copied, synced.unchanged, synced.deleted
    ))
}
