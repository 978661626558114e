//! `strongroom destroy`: makes a version unreadable for good.

use serde_json::json;

use crate::context::Context;
use crate::failure::Failure;
use crate::output;

/// Make one version unreadable for good, by destroying its key
///
/// Copies of the store that were made earlier still open with the vault's key.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  strongroom destroy stripe/api-key --version 2")]
pub(crate) struct Args {
    /// The secret: [<vault-id>:]<path>
    #[arg(value_name = "REF")]
    reference: String,

    /// The version
    #[arg(long, value_name = "N")]
    version: u64,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<(), Failure> {
    context
        .operate("strongroom destroy", async |session| {
            let reference = session.parse(&args.reference)?;
            session.destroy(&args.reference, args.version).await?;
            if context.json {
                return output::document(&json!({
                    "reference": reference.to_string(),
                    "destroyed": true,
                    "version": args.version,
                }));
            }
            output::line(&format!("{reference} version {} destroyed", args.version))
        })
        .await
}
