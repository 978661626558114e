//! `strongroom versions`: the versions of a secret.

use serde_json::json;

use crate::context::Context;
use crate::failure::Failure;
use crate::output::{self, Table};
use crate::support::{describe, time};

/// List the versions of a secret, newest first
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  strongroom versions stripe/api-key
  strongroom versions prod:db/main --json | jq '.versions[0]'")]
pub(crate) struct Args {
    /// The secret: [<vault-id>:]<path>
    #[arg(value_name = "REF")]
    reference: String,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<(), Failure> {
    context
        .operate("strongroom versions", async |session| {
            let (reference, versions) = session.versions(&args.reference).await?;
            if context.json {
                let versions = versions.iter().map(|version| {
                    json!({
                        "version": version.version,
                        "state": describe::state(version.state),
                        "created": time::show(version.created),
                        "expires": version.expires.map(time::show),
                        "author": version.author,
                    })
                });
                return output::document(&json!({
                    "reference": reference.to_string(),
                    "versions": versions.collect::<Vec<_>>(),
                }));
            }
            let mut table = Table::new(["VERSION", "STATE", "CREATED", "EXPIRES", "AUTHOR"]);
            for version in &versions {
                table.row([
                    &version.version.to_string(),
                    describe::state(version.state),
                    &time::show(version.created),
                    &version.expires.map_or_else(|| "-".to_owned(), time::show),
                    version.author.as_deref().unwrap_or("-"),
                ]);
            }
            output::text(&table.render())
        })
        .await
}
