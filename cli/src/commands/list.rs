//! `strongroom list`: the names of secrets.

use serde_json::json;
use strongroom::Session;

use crate::context::Context;
use crate::failure::Failure;
use crate::output;

/// List references, never values
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  strongroom list                  all of the default vault
  strongroom list stripe/
  strongroom list prod:")]
pub(crate) struct Args {
    /// What the references start with: [<vault-id>:][<beginning of a path>]
    #[arg(value_name = "PREFIX", default_value = "", hide_default_value = true)]
    prefix: String,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<(), Failure> {
    context
        .operate("strongroom list", async |session| {
            if context.json {
                one_document(session, &args.prefix).await
            } else {
                page_by_page(session, &args.prefix).await
            }
        })
        .await
}

async fn one_document(session: &Session, prefix: &str) -> Result<(), Failure> {
    let mut references = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let page = session.list(prefix, cursor.as_deref()).await?;
        references.extend(page.references.iter().map(ToString::to_string));
        cursor = page.cursor;
        if cursor.is_none() {
            return output::document(&json!({ "references": references }));
        }
    }
}

/// Prints while it asks: the first names of a large vault show at once.
async fn page_by_page(session: &Session, prefix: &str) -> Result<(), Failure> {
    let mut cursor: Option<String> = None;
    loop {
        let page = session.list(prefix, cursor.as_deref()).await?;
        let lines = page
            .references
            .iter()
            .map(|reference| format!("{reference}\n"));
        output::text(&lines.collect::<String>())?;
        cursor = page.cursor;
        if cursor.is_none() {
            return Ok(());
        }
    }
}
