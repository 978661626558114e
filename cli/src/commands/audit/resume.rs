//! `strongroom audit resume`.

use serde_json::json;
use strongroom::audit::{self, Log};
use strongroom::config::{AuditConfig, Durability};

use crate::context::Context;
use crate::failure::Failure;
use crate::output;

/// Begin anew after the log was lost or damaged, leaving the gap on record
#[derive(Debug, clap::Args)]
#[command(after_help = "\
It takes a log that is missing, or that `audit verify` refuses: the damaged file and those after it
are set aside. Nothing is removed: what is left of the old log stays beside the new one. First find out how it was lost;
whoever could remove it could also read what the vaults gave away meanwhile.")]
pub(crate) struct Args {}

/// Runs `audit resume`.
pub(super) fn run(_: Args, context: &Context) -> Result<(), Failure> {
    let options = options(&super::settings(context)?);
    let resumed = Log::resume(&options).map_err(|e| super::failure(&e))?;
    if context.json {
        return output::document(&json!({
            "seq": resumed.seq,
            "gap": resumed.gap,
            "kept": resumed.kept,
            "also-kept": resumed.also_kept,
        }));
    }
    output::line(&format!("lost: {}", output::printable(&resumed.gap)))?;
    for kept in resumed.kept.iter().chain(&resumed.also_kept) {
        output::line(&format!("what is left of it is kept as {}", kept.display()))?;
    }
    output::line(&format!(
        "the log goes on with seq {}, which says so",
        resumed.seq
    ))
}

fn options(settings: &AuditConfig) -> audit::Options {
    let mut options = audit::Options::new(&settings.path, &settings.key.path);
    options.allow_links = settings.key.allow_links;
    options.rotate = settings.rotate;
    options.keep_for = Some(settings.keep_for);
    options.durability = match settings.durability {
        Durability::Disk => audit::Durability::Disk,
        _ => audit::Durability::Process,
    };
    options
}
