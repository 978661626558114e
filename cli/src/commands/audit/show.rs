//! `strongroom audit show`.

use strongroom::audit;

use super::filter::Options;
use super::line;
use crate::context::Context;
use crate::failure::Failure;
use crate::output;

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
    let mut bad = 0u64;
    for shown in records {
        match shown {
            Ok(shown) if wanted(&shown.record) => line::print(&shown, context)?,
            Ok(_) => {}
            // What stands after a line that is no record must not be hidden by it.
            Err(e @ audit::Error::Tampered(_)) => {
                output::report(&super::failure(&e), context.json);
                bad += 1;
            }
            Err(e) => return Err(super::failure(&e)),
        }
    }
    if bad > 0 {
        return Err(Failure::failed(format!(
            "{bad} lines of the log are no records and were not shown"
        )));
    }
    Ok(())
}
