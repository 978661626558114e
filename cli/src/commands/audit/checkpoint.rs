//! `strongroom audit checkpoint`.

use crate::context::Context;
use crate::failure::Failure;
use crate::output;

/// Print a line that proves the log so far, and erase the key that made it
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  strongroom audit checkpoint | ssh safe 'cat >> checkpoints.jsonl'

Keep the line where nobody who can write the log can change it; `audit verify --checkpoint` then
proves that nothing before it was changed or cut off.")]
pub(crate) struct Args {}

/// Runs `audit checkpoint`. The line is JSON already, with or without `--json`.
pub(super) async fn run(_: Args, context: &Context) -> Result<(), Failure> {
    let broker = context.broker().await?;
    let checkpoint = broker.log().checkpoint();
    let closed = broker.close().await;
    let checkpoint = checkpoint.map_err(|e| super::failure(&e))?;
    output::line(&checkpoint.to_string())?;
    Ok(closed?)
}
