//! `strongroom undelete`: takes a soft delete back.

use serde_json::json;

use crate::context::Context;
use crate::failure::Failure;
use crate::output;

/// Take a delete back, of a secret or of one version
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  strongroom undelete stripe/api-key
  strongroom undelete stripe/api-key --version 2")]
pub(crate) struct Args {
    /// The secret: [<vault-id>:]<path>
    #[arg(value_name = "REF")]
    reference: String,

    /// Only this version
    #[arg(long, value_name = "N")]
    version: Option<u64>,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<(), Failure> {
    context
        .operate("strongroom undelete", async |session| {
            let reference = session.parse(&args.reference)?;
            session.undelete(&args.reference, args.version).await?;
            if context.json {
                return output::document(&json!({
                    "reference": reference.to_string(),
                    "undeleted": true,
                    "version": args.version,
                }));
            }
            let version = args
                .version
                .map_or_else(String::new, |v| format!(" version {v}"));
            output::line(&format!("{reference}{version} undeleted"))
        })
        .await
}
