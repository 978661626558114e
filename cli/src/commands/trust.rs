//! `strongroom trust`: accepts a configuration that sends secrets elsewhere.

use serde_json::json;
use strongroom::config::trust::TrustList;

use crate::context::Context;
use crate::failure::Failure;
use crate::output;

/// Accept the configuration in the current folder, although it sends secrets elsewhere
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A configuration that came with someone else's files could name an endpoint of theirs and draw
secrets or tokens to it. Read it, then accept it as it stands: any change needs accepting anew.")]
pub(crate) struct Args {}

/// Runs `trust`.
pub(crate) async fn run(_: Args, context: &Context) -> Result<(), Failure> {
    let (found, config) = context.load()?;
    let elsewhere = config.sends_elsewhere();
    let needed = !elsewhere.is_empty();
    if needed {
        TrustList::for_user()
            .and_then(|list| list.add(&config))
            .map_err(|e| Failure::failed(format!("cannot keep the list of trusted files: {e}")))?;
    }
    if context.json {
        let names = elsewhere
            .iter()
            .map(|e| json!({ "line": e.line, "what": e.what }));
        return output::document(&json!({
            "config": config.file().display().to_string(),
            "digest": config.digest().to_string(),
            "trusted": needed,
            "sends-elsewhere": names.collect::<Vec<_>>(),
        }));
    }
    let file = config.file().display();
    if !needed {
        return output::line(&format!(
            "{file} sends nothing elsewhere and needs no trust"
        ));
    }
    for part in elsewhere {
        output::line(&format!(
            "line {}: {}",
            part.line,
            output::printable(&part.what)
        ))?;
    }
    if !found.in_current_folder {
        output::note("it was named, not found in the current folder, so it was trusted already");
    }
    output::line(&format!(
        "{file} is trusted as it stands ({})",
        config.digest()
    ))
}
