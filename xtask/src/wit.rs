//! `cargo xtask wit`: a published crate must hold its WIT, so there are copies; they may not differ.

use std::fs;
use std::path::Path;

use crate::process::Result;
use crate::workspace;

/// Folders that hold a copy of `wit/`, and nothing else.
const COPIES: [&str; 3] = [
    "guest-sdk/wit",
    "host/wit",
    "tests/bench-guest/wit/deps/strongroom-vault",
];

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Make the copies equal to `wit/` instead of complaining.
    #[arg(long)]
    write: bool,
}

impl Args {
    /// Only looks.
    pub(crate) fn check() -> Self {
        Self { write: false }
    }
}

pub(crate) fn run(args: &Args) -> Result<()> {
    for copy in COPIES {
        if args.write {
            write(&workspace::root().join(copy))?;
        }
        check(copy)?;
    }
    println!("all copies of wit/ are equal");
    Ok(())
}

fn check(copy: &str) -> Result<()> {
    let ours = contents(&workspace::root().join("wit"))?;
    let theirs = contents(&workspace::root().join(copy))?;
    if ours == theirs {
        return Ok(());
    }
    let differs = ours.iter().filter(|file| !theirs.contains(file));
    let extra = theirs
        .iter()
        .filter(|(name, _)| !ours.iter().any(|(ours, _)| ours == name));
    let names: Vec<&str> = differs
        .chain(extra)
        .map(|(name, _)| name.as_str())
        .collect();
    Err(format!("{copy} differs from wit/ in {names:?}; run `cargo xtask wit --write`").into())
}

fn write(copy: &Path) -> Result<()> {
    fs::create_dir_all(copy)?;
    for (name, _) in contents(copy)? {
        fs::remove_file(copy.join(name))?;
    }
    for (name, text) in contents(&workspace::root().join("wit"))? {
        fs::write(copy.join(name), text)?;
    }
    Ok(())
}

/// The names and texts of the WIT files in a folder, by name.
fn contents(dir: &Path) -> Result<Vec<(String, String)>> {
    let mut contents = Vec::new();
    for path in workspace::files(dir, "wit")? {
        let name = path.strip_prefix(dir)?.to_string_lossy().into_owned();
        contents.push((name, fs::read_to_string(&path)?));
    }
    Ok(contents)
}
