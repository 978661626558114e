//! What must not be there: dependencies that a crate may not have, options that leak values.

use std::collections::BTreeSet;
use std::fs;

use crate::process::{self, Result};
use crate::workspace;

/// Dependencies by the beginning of their name: clients of a platform, and stores.
const PLATFORMS: [&str; 15] = [
    "aws-",
    "azure_",
    "azure-",
    "gcloud-",
    "gcp",
    "google-",
    "k8s-openapi",
    "kube",
    "libsqlite3-sys",
    "rusoto_",
    "rusqlite",
    "strongroom-backend-",
    "strongroom-backends",
    "strongroom-cli",
    "vaultrs",
];

/// What the host has around any store, and is none.
const NO_STORE: &str = "strongroom-backend-layers";

/// What the command without clouds has of those: the stores of this machine, and what they need.
const OF_THIS_MACHINE: [&str; 6] = [
    "libsqlite3-sys",
    "rusqlite",
    "strongroom-backend-env",
    "strongroom-backend-local",
    "strongroom-backends",
    "strongroom-cli",
];

/// A crate, its features, and what may not be under it beside platforms' clients and stores.
const ABSENT: [(&str, &str, &[&str]); 3] = [
    // The host knows no backend, and a guest knows no host.
    ("strongroom", "--all-features", &[]),
    (
        "strongroom-guest",
        "--all-features",
        &["strongroom", "tokio", "wasmtime"],
    ),
    // Who wants no cloud builds none.
    ("strongroom-cli", "--no-default-features", &[]),
];

/// No platform's client is under the host, the guest SDK and the command without clouds.
pub(crate) fn dependencies() -> Result<()> {
    for (package, features, more) in ABSENT {
        let tree = process::output(process::cargo().args([
            "tree",
            "--package",
            package,
            "--edges",
            "normal,build",
            features,
            "--prefix",
            "none",
            "--format",
            "{p}",
        ]))?;
        let all: BTreeSet<&str> = tree
            .lines()
            .filter_map(|line| line.split_whitespace().next())
            .collect();
        let allowed = |name: &str| {
            let of_machine = package == "strongroom-cli" && OF_THIS_MACHINE.contains(&name);
            name == package || name == NO_STORE || of_machine
        };
        let found: Vec<&str> = all
            .iter()
            .copied()
            .filter(|name| !allowed(name))
            .filter(|name| {
                PLATFORMS
                    .iter()
                    .chain(more)
                    .any(|absent| name.starts_with(absent))
            })
            .collect();
        if !found.is_empty() {
            return Err(format!("{package} {features} may not depend on {found:?}").into());
        }
        let count = all.len();
        println!("{package} {features}: no platform's client among {count} crates");
    }
    Ok(())
}

/// No bindings trace: they would write arguments and results, values among them, to the log.
pub(crate) fn traced_bindings() -> Result<()> {
    let mut found = Vec::new();
    for path in workspace::files(workspace::root(), "rs")? {
        if traces(&fs::read_to_string(&path)?) {
            found.push(path.display().to_string());
        }
    }
    if found.is_empty() {
        println!("no bindings trace");
        return Ok(());
    }
    Err(format!(
        "bindings may not trace, they would log values: {}",
        found.join(", ")
    )
    .into())
}

/// Whether a source has bindings made with `tracing` or `verbose_tracing`, in any of the ways to
/// ask for it.
fn traces(source: &str) -> bool {
    let code: String = source
        .lines()
        .map(|line| line.split("//").next().unwrap_or(line))
        .flat_map(|line| [line, "\n"])
        .collect();
    // In two parts, or this file would be found.
    code.split(concat!("bind", "gen!"))
        .skip(1)
        .any(|rest| arguments(rest).contains("tracing"))
}

/// The text up to where the first bracket is closed again.
fn arguments(text: &str) -> &str {
    let mut depth = 0_u32;
    for (at, c) in text.char_indices() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return text.get(..at).unwrap_or(text);
                }
            }
            _ => {}
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_bindings_that_trace_and_no_other_word() {
        let with =
            |options: &str| format!("use tracing::info;\nwasmtime::component::bind{options}");
        assert!(traces(&with("gen!({ world: \"w\", tracing: true });")));
        assert!(traces(&with(
            "gen!({ imports: { default: async | tracing } });"
        )));
        assert!(traces(&with("gen!({ verbose_tracing: true });")));
        assert!(!traces(&with(
            "gen!({ imports: { default: async } });\ntracing::info!(\"x\");"
        )));
        assert!(!traces(&with(
            "gen!({\n    // never tracing\n    world: \"w\" });"
        )));
    }
}
