//! The settings that each store's page shows, those that are commented out too, are settings.
#![cfg(all(
    feature = "aws-secrets-manager",
    feature = "aws-ssm",
    feature = "azure-key-vault",
    feature = "gcp-secret-manager",
    feature = "kubernetes"
))]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test ends where its helper fails"
)]

use std::path::Path;

use serde::de::DeserializeOwned;
use strongroom::config::Config;
use strongroom_backend_env::{EnvConfig, FilesConfig};
use toml::{Table, Value};

/// The tables under `[vault]` of the blocks of TOML in a page.
fn vaults(page: &str) -> Vec<Table> {
    let lines = page.lines().filter_map(|line| line.strip_prefix("//!"));
    let lines = lines.map(|line| line.strip_prefix(' ').unwrap_or(line));
    let mut text = String::new();
    let mut shown = false;
    for line in lines {
        match line {
            "```toml" => shown = true,
            "```" => shown = false,
            line if shown => {
                text.push_str(line.strip_prefix("# ").unwrap_or(line));
                text.push('\n');
            }
            _ => {}
        }
    }
    let page: Table = toml::from_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let vaults = page.get("vault").and_then(Value::as_table).unwrap();
    let each = vaults.values().filter_map(Value::as_table);
    each.cloned().collect()
}

/// Has the store's own reader take each table of this backend.
#[track_caller]
fn are_settings<C: DeserializeOwned>(backend: &str, page: &str) {
    let mut count = 0;
    for mut vault in vaults(page) {
        let named = vault.remove("backend").unwrap();
        if named.as_str() != Some(backend) {
            continue;
        }
        count += 1;
        if let Err(error) = vault.try_into::<C>() {
            panic!("{backend}: {error}");
        }
    }
    assert!(count > 0, "{backend} is not on its page");
}

#[test]
fn what_the_pages_show_is_what_the_stores_take() {
    use strongroom_backend_aws_secrets_manager::Config as SecretsManager;
    use strongroom_backend_aws_ssm::Config as Ssm;
    use strongroom_backend_azure::Config as Azure;
    use strongroom_backend_gcp::Config as Gcp;
    use strongroom_backend_kubernetes::Config as Kubernetes;
    use strongroom_backend_local::Config as Local;

    are_settings::<Ssm>("aws-ssm", include_str!("../../aws-ssm/src/lib.rs"));
    are_settings::<SecretsManager>(
        "aws-secrets-manager",
        include_str!("../../aws-secrets-manager/src/lib.rs"),
    );
    are_settings::<Gcp>("gcp-secret-manager", include_str!("../../gcp/src/lib.rs"));
    are_settings::<Azure>("azure-key-vault", include_str!("../../azure/src/lib.rs"));
    are_settings::<Kubernetes>("kubernetes", include_str!("../../kubernetes/src/lib.rs"));
    are_settings::<Local>("local", include_str!("../../local/src/lib.rs"));
    are_settings::<EnvConfig>("env", include_str!("../../env/src/lib.rs"));
    are_settings::<FilesConfig>("files", include_str!("../../env/src/lib.rs"));
}

/// The README's own tables, as the host reads them.
#[test]
fn what_the_readme_shows_is_a_configuration() {
    let readme = include_str!("../../../README.md");
    let blocks: Vec<&str> = readme
        .split("```toml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect();
    let [component, vaults, more] = &blocks[..] else {
        panic!("{} blocks", blocks.len());
    };
    let local = "backend = 'local'\npath = 'v'\nkey = { file = 'k' }\n";
    let cloud = "backend = 'aws-ssm'\nregion = 'r'\nprefix = '/a/'\n";
    let started = format!("[vault.app-secrets]\n{local}");
    let audit = "[audit]\npath = 'a'\nkey = { file = 'b' }\n";
    parses(&format!("{component}{vaults}{started}{audit}"));
    // These lay more keys into tables that are there already.
    let more = more.replace("[vault.app-secrets]\n", &started);
    let more = more.replace("[vault.prod] ", &format!("[vault.prod]\n{cloud}"));
    let more = more.replace("[vault.offline] ", "[vault.offline]\nbackend = 'memory'\n");
    parses(&format!("{more}{audit}"));
}

#[track_caller]
fn parses(text: &str) {
    let backends = strongroom_backends::registry().names();
    let file = Path::new("/etc/strongroom.toml");
    if let Err(error) = Config::parse(text.as_bytes(), file, &backends) {
        panic!("{error}\n{text}");
    }
}
