//! What must not be there: dependencies that a crate may not have, options that leak values.

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

/// The host knows no backend, and a guest knows no host.
const ABSENT: [(&str, &[&str]); 2] = [
    ("strongroom", &[]),
    ("strongroom-guest", &["strongroom", "tokio", "wasmtime"]),
];

/// No platform's client is under the host or the guest SDK.
pub(crate) fn dependencies() -> Result<()> {
    for (package, more) in ABSENT {
        let tree = process::output(process::cargo().args([
            "tree",
            "--package",
            package,
            "--edges",
            "normal,build",
            "--all-features",
            "--prefix",
            "none",
            "--format",
            "{p}",
        ]))?;
        let names = tree
            .lines()
            .filter_map(|line| line.split_whitespace().next());
        let found: Vec<&str> = names
            .filter(|name| *name != package && *name != NO_STORE)
            .filter(|name| {
                PLATFORMS
                    .iter()
                    .chain(more)
                    .any(|absent| name.starts_with(absent))
            })
            .collect();
        if !found.is_empty() {
            return Err(format!("{package} may not depend on {found:?}").into());
        }
        println!("{package}: no platform's client, no store");
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
