//! `strongroom rotate`: runs a rotation now.

use serde_json::json;

use crate::context::Context;
use crate::failure::Failure;
use crate::output;

/// Run the rotation of a secret now: decided and recorded, but none is built in yet
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  strongroom rotate prod:db/main")]
pub(crate) struct Args {
    /// The secret: [<vault-id>:]<path>
    #[arg(value_name = "REF")]
    reference: String,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<(), Failure> {
    context
        .operate("strongroom rotate", async |session| {
            let reference = session.parse(&args.reference)?;
            let version = session.rotate(&args.reference).await?;
            if context.json {
                return output::document(&json!({
                    "reference": reference.to_string(),
                    "version": version,
                }));
            }
            output::line(&format!("{reference} version {version}"))
        })
        .await
}
