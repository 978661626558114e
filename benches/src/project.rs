//! A folder with a configuration, an audit log and its key.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use strongroom::Broker;
use strongroom::audit::Log;
use strongroom::audit::{self, Location};
use strongroom::backend::{PutOptions, SecretValue};
use tempfile::TempDir;

use crate::{Result, target_dir};

/// As high as quotas can be set, so that no bench meets one; what they cost is in every call.
const QUOTAS: &str = r#"
[quotas]
calls-per-second = 10000000
changes-per-second = 10000000
pages-per-second = 10000000
bytes-per-second = "1 TiB"
pending-calls = 10000000
open-handles = 10000000
"#;

/// A project folder that is removed when this is dropped.
#[derive(Debug)]
pub struct Project {
    folder: TempDir,
}

/// What holds the secrets.
#[derive(Clone, Copy, Debug)]
pub enum Vault<'v> {
    /// The memory of this process.
    Memory,
    /// A local store, made before, in this folder.
    Local(&'v Path),
    /// What stands in the vault's table.
    Table(&'v str),
}

impl Project {
    /// A project whose vault `v` is `vault`, with components `c0`, `c1`, ... that may read, list and write
    /// `s/**` and nothing else. `durability` is that of the audit log: `process` or `disk`.
    ///
    /// # Errors
    ///
    /// Where files cannot be written.
    pub fn new(vault: Vault<'_>, durability: &str, components: usize) -> Result<Self> {
        // In the target folder and not in /tmp: that one may be memory, where a sync costs nothing.
        let parent = target_dir()?.join("bench");
        fs::create_dir_all(&parent)?;
        let folder = tempfile::tempdir_in(parent)?;
        let vault = match vault {
            Vault::Memory => "backend = \"memory\"".to_owned(),
            Vault::Local(store) => local_table(store),
            Vault::Table(text) => text.to_owned(),
        };
        let mut text = format!(
            "default-vault = \"v\"\n\n[vault.v]\n{vault}\n\n\
             [audit]\npath = \"audit.jsonl\"\nkey = {{ file = \"keys/audit.key\" }}\n\
             durability = \"{durability}\"\n{QUOTAS}"
        );
        for number in 0..components {
            write!(
                text,
                "\n[component.c{number}]\ngrants = [{{ vault = \"v\", secrets = [\"s/**\"], \
                 actions = [\"read\", \"list\", \"write\"] }}]\n"
            )?;
        }
        let project = Self { folder };
        fs::write(project.config(), text)?;
        let at = project.location();
        Log::init(&at.log, &at.key)?;
        Ok(project)
    }

    /// The project's folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The configuration file.
    pub fn config(&self) -> PathBuf {
        self.folder().join("strongroom.toml")
    }

    /// Where the audit log and its key are.
    pub fn location(&self) -> Location {
        Location {
            log: self.folder().join("audit.jsonl"),
            key: self.folder().join("keys/audit.key"),
            allow_links: false,
        }
    }

    /// A broker of this project. One at a time: each opens the audit log.
    ///
    /// # Errors
    ///
    /// Where it cannot be made.
    pub async fn broker(&self) -> Result<Broker> {
        Ok(Broker::builder()
            .registry(strongroom_backends::registry())
            .config_file(self.config())
            .build()
            .await?)
    }

    /// Writes a secret as the operator.
    ///
    /// # Errors
    ///
    /// Where the vault does not take it.
    pub async fn put(broker: &Broker, reference: &str, value: &[u8]) -> Result<()> {
        let value = SecretValue::copy_of(value);
        let operator = broker.operator()?;
        operator
            .set(reference, value, PutOptions::default())
            .await?;
        Ok(())
    }

    /// Verifies the whole audit log and counts the reads in it. The broker must have been closed.
    ///
    /// # Errors
    ///
    /// Where the log is not whole, or a record is missing from it.
    pub fn verified_reads(&self) -> Result<u64> {
        let report = audit::verify(&audit::Verify {
            location: self.location(),
            first_key: None,
            checkpoint: None,
        })?;
        if let Some(bad) = report.bad {
            return Err(format!(
                "the audit log is not whole: line {}: {}",
                bad.line, bad.what
            )
            .into());
        }
        if report.pending != 0 {
            return Err(format!("{} records are not in the log", report.pending).into());
        }
        let filter = audit::Filter {
            action: Some(audit::Action::Read),
            ..audit::Filter::default()
        };
        let mut reads = 0;
        for shown in audit::show(&self.location(), filter)? {
            shown?;
            reads += 1;
        }
        Ok(reads)
    }
}

fn local_table(store: &Path) -> String {
    let (file, key) = (store.join("v.vault"), store.join("keys/v.key"));
    format!(
        "backend = \"local\"\npath = \"{}\"\nkey = {{ file = \"{}\" }}",
        file.display(),
        key.display()
    )
}
