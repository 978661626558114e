//! `strongroom audit show`.

use strongroom::audit;

use super::filter::Options;
use super::line;
use crate::context::Context;
use crate::failure::Failure;

/// Show the records of the log, also those that are still in journals
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  strongroom audit show --since 30d --component billing
  strongroom audit show --outcome denied --json | jq .secret")]
pub(crate) struct Args {
    #[command(flatten)]
    options: Options,
}

/// Runs `audit show`.
pub(super) fn run(args: Args, context: &Context) -> Result<(), Failure> {
    let location = super::location(&super::settings(context)?);
    let (filter, wanted) = args.options.chosen().split();
    let records = audit::show(&location, filter).map_err(|e| super::failure(&e))?;
    for shown in records {
        let shown = shown.map_err(|e| super::failure(&e))?;
        if wanted(&shown.record) {
            line::print(&shown, context)?;
        }
    }
    Ok(())
}
