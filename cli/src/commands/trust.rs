//! `strongroom trust`: accepts a configuration that reaches beyond its folder.

use serde_json::json;
use strongroom::config::Config;
use strongroom::config::trust::{self, TrustList};

use crate::context::Context;
use crate::failure::Failure;
use crate::output;

/// Accept the configuration in the current folder, although it reaches beyond that folder
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A configuration that came with someone else's files could name an endpoint of theirs and draw
secrets or tokens to it, or name your own vault and grant it to their component. So one that names
an endpoint, a variable, a program to log in, or a vault, key or log outside of its folder is used
only once it was accepted. Read it, then accept it as it stands: any change needs accepting anew,
also of the files in its folder that its vaults log in with, as a kubeconfig, credentials, tokens or
certificates, and of the files in it that a kubeconfig or a file of credentials names in turn: keys,
certificates, tokens, the program that logs in, and what is named in its arguments and variables.
What that program reads or runs by itself does not count: a program belongs outside of the folder, as
does a file that is renewed now and then. More than 64 such files, or 64 MiB of them, are not
accepted, nor are more than 4 MiB of files that settings name, wherever these are.

A program that `strongroom run` has under way keeps the configuration that was accepted; an edit
takes force in it within a second of being accepted. The files are looked at again right before a
vault is opened, which is at the first call that reaches it. A vault that is open logs in again now
and then, without another look at them.")]
pub(crate) struct Args {}

/// Runs `trust`.
pub(crate) async fn run(_: Args, context: &Context) -> Result<(), Failure> {
    let (found, config) = context.load()?;
    let reaches = config.reaches_out();
    let needed = !reaches.is_empty();
    let files = match needed {
        true => trust::files(&config)
            .map_err(|e| Failure::failed(format!("cannot look at a file that it names: {e}")))?,
        false => Vec::new(),
    };
    accept(&config)?;
    if context.json {
        let names = reaches.iter().map(
            |reach| json!({ "line": reach.line, "what": reach.what, "why": reach.why.to_string() }),
        );
        return output::document(&json!({
            "config": config.file().display().to_string(),
            "digest": config.digest().to_string(),
            "trusted": needed,
            "files": files,
            "reaches-out": names.collect::<Vec<_>>(),
        }));
    }
    let file = output::printable(&config.file().display().to_string());
    if !needed {
        return output::line(&format!(
            "{file} reaches nothing beyond its folder and needs no trust"
        ));
    }
    for reach in reaches {
        output::line(&format!(
            "line {}: {} {}",
            reach.line,
            output::printable(&reach.what),
            reach.why
        ))?;
    }
    for name in files {
        output::line(&format!("{name} counts as well, as it is now"))?;
    }
    if !found.in_current_folder {
        output::note("it was named, not found in the current folder, so it was trusted already");
    }
    output::line(&format!(
        "{file} is trusted as it stands ({})",
        config.digest()
    ))
}

/// Puts a configuration on the user's list if it needs to be there: by `trust`, and by commands in which the
/// user has just named what it reaches.
pub(crate) fn accept(config: &Config) -> Result<(), Failure> {
    if config.reaches_out().is_empty() {
        return Ok(());
    }
    TrustList::for_user()
        .and_then(|list| list.add(config))
        .map_err(|e| Failure::failed(format!("cannot keep the list of trusted files: {e}")))
}
