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
    let (filter, wanted) = args.options.chosen().split();
    let mut follow = audit::follow(&location, filter).map_err(|e| super::failure(&e))?;
    loop {
        match follow.poll(WAIT).map_err(|e| super::failure(&e))? {
            Some(shown) if wanted(&shown.record) => line::print(&shown, context)?,
            _ => {}
        }
    }
}
