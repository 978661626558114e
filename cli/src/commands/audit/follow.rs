//! `strongroom audit follow`.

use std::time::Duration;

use strongroom::audit;

use super::filter::Options;
use super::line;
use crate::context::Context;
use crate::failure::Failure;

/// How long one look for new records waits; only the end of a pipe is noticed between two.
const WAIT: Duration = Duration::from_millis(250);

/// Show records as they are written, until interrupted
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    options: Options,
}

/// Runs `audit follow`.
pub(super) fn run(args: Args, context: &Context) -> Result<(), Failure> {
    let location = super::location(&super::settings(context)?);
    let mut follow =
        audit::follow(&location, args.options.filter()).map_err(|e| super::failure(&e))?;
    loop {
        if let Some(shown) = follow.poll(WAIT).map_err(|e| super::failure(&e))? {
            line::print(&shown, context)?;
        }
    }
}
