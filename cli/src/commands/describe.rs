//! `strongroom describe`: what is known of a secret beside its value.

use serde_json::{Value, json};

use crate::context::Context;
use crate::failure::Failure;
use crate::output;
use crate::support::describe;

/// Show what is known of a secret beside its value
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  strongroom describe stripe/api-key
  strongroom describe prod:db/main --json | jq .labels")]
pub(crate) struct Args {
    /// The secret: [<vault-id>:]<path>
    #[arg(value_name = "REF")]
    reference: String,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<(), Failure> {
    context
        .operate("strongroom describe", async |session| {
            let (reference, description) = session.describe(&args.reference).await?;
            if context.json {
                let mut fields = describe::fields(&description);
                fields.insert("reference".into(), json!(reference.to_string()));
                fields.insert("version".into(), json!(description.version));
                return output::document(&Value::Object(fields));
            }
            let lines = describe::lines(&reference, &description);
            let lines = lines.iter().map(|(name, text)| {
                format!("{:13}{}\n", format!("{name}:"), output::printable(text))
            });
            output::text(&lines.collect::<String>())
        })
        .await
}
