//! `strongroom rollback`: an older value as a new version.

use serde_json::json;

use crate::context::Context;
use crate::failure::Failure;
use crate::output;

/// Write the value of an older version as a new version
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  strongroom rollback stripe/api-key --to 2")]
pub(crate) struct Args {
    /// The secret: [<vault-id>:]<path>
    #[arg(value_name = "REF")]
    reference: String,

    /// The version whose value becomes current again
    #[arg(long, value_name = "N")]
    to: u64,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<(), Failure> {
    context
        .operate("strongroom rollback", async |session| {
            let reference = session.parse(&args.reference)?;
            let version = session.rollback(&args.reference, args.to).await?;
            if context.json {
                return output::document(&json!({
                    "reference": reference.to_string(),
                    "version": version,
                    "from": args.to,
                }));
            }
            output::line(&format!(
                "{reference} version {version}, with the value of {}",
                args.to
            ))
        })
        .await
}
