//! `strongroom man`: manual pages from the tree that the parser uses.

use std::path::{Path, PathBuf};

use clap::CommandFactory;
use serde_json::json;

use crate::cli::Cli;
use crate::context::Context;
use crate::failure::Failure;
use crate::output;

/// Print the manual page, or write the pages of all commands to a folder
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  strongroom man | man -l -
  strongroom man ~/.local/share/man/man1")]
pub(crate) struct Args {
    /// The folder; it is made if missing
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<(), Failure> {
    let Some(folder) = args.folder else {
        let mut page = Vec::new();
        clap_mangen::Man::new(Cli::command())
            .render(&mut page)
            .map_err(|e| Failure::output(&e))?;
        return output::bytes(&page);
    };
    let wrong =
        |e: std::io::Error| Failure::failed(format!("cannot write to {}: {e}", folder.display()));
    std::fs::create_dir_all(&folder).map_err(wrong)?;
    clap_mangen::generate_to(Cli::command(), &folder).map_err(wrong)?;
    say(&folder, context)
}

fn say(folder: &Path, context: &Context) -> Result<(), Failure> {
    if context.json {
        return output::document(&json!({ "folder": folder }));
    }
    output::line(&format!("wrote the manual pages to {}", folder.display()))
}
