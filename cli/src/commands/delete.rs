//! `strongroom delete`: a soft delete.

use serde_json::json;

use crate::context::Context;
use crate::failure::Failure;
use crate::output;

/// Delete a secret, or one version of it; `undelete` takes it back
///
/// Where the current version goes, `get` answers "not found": an older value never comes back by
/// itself.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  strongroom delete stripe/api-key
  strongroom delete stripe/api-key --version 2")]
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
        .operate("strongroom delete", async |session| {
            let reference = session.parse(&args.reference)?;
            session.delete(&args.reference, args.version).await?;
            if context.json {
                return output::document(&json!({
                    "reference": reference.to_string(),
                    "deleted": true,
                    "version": args.version,
                }));
            }
            let version = args
                .version
                .map_or_else(String::new, |v| format!(" version {v}"));
            output::line(&format!("{reference}{version} deleted"))
        })
        .await
}
