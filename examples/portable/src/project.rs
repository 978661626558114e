//! A folder with a configuration around the vaults of a file, gone with the program.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use strongroom::Broker;
use strongroom::audit::{self, Filter, Location, Log, Phase, Verify};
use strongroom::backend::{PutOptions, SecretPath, SecretValue};
use strongroom_backend_env::{EnvBackend, EnvConfig, FilesConfig, FilesSource};
use strongroom_backend_local::LocalBackend;
use toml::Table;

use crate::Result;
use crate::secrets::{EXPECTED, SECRETS};

/// What stands beside the vaults, whichever they are.
const REST: &str = r#"
[component.portable]
grants = [{ vault = "app", secrets = ["db/*", "stripe/*"], actions = ["data-read"] }]

[audit]
path = "audit.jsonl"
key = { file = "keys/audit.key" }
"#;

/// What a vault file gives a name that no run before had.
const RUN: &str = "RUN";

/// A project of its own for one run.
pub(crate) struct Project {
    folder: tempfile::TempDir,
    text: String,
    /// The stores behind the vault `app`, first asked first.
    stores: Vec<Store>,
}

/// A vault that is no chain.
struct Store {
    id: String,
    backend: String,
    /// Its table without `backend`.
    settings: Table,
    secrets: Vec<(&'static str, &'static str)>,
}

impl Project {
    /// Reads a file of vaults. Each `${NAME}` in it is filled in from the environment.
    pub(crate) fn new(file: &Path) -> Result<Self> {
        let text =
            fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
        let text = fill_in(&text, file)?;
        let stores = stores(&text.parse()?)?;
        Ok(Self {
            folder: tempfile::tempdir()?,
            // A default for all comes first, since it is in no table.
            text: format!("default-vault = \"app\"\n{text}{REST}"),
            stores,
        })
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.folder().join("strongroom.toml")
    }

    /// The variables of `env` vaults that are not set yet.
    pub(crate) fn missing_variables(&self) -> Result<BTreeMap<String, &'static str>> {
        let mut missing = BTreeMap::new();
        for store in self.stores.iter().filter(|store| store.backend == "env") {
            let settings: EnvConfig = store.settings.clone().try_into()?;
            let backend = EnvBackend::open(&settings)?;
            for (path, value) in &store.secrets {
                missing.insert(backend.variable(&SecretPath::parse(path)?), *value);
            }
        }
        missing.retain(|name, _| std::env::var_os(name).is_none());
        Ok(missing)
    }

    /// Writes the configuration, and what must be there before a broker opens it: the audit log, a
    /// local vault and its key, files that a vault only reads.
    pub(crate) fn write(&self) -> Result<()> {
        fs::write(self.config(), &self.text)?;
        let Location { log, key, .. } = self.log();
        Log::init(&log, &key)?;
        for store in &self.stores {
            match &*store.backend {
                "local" => {
                    let settings = store.settings.clone().try_into()?;
                    LocalBackend::create(&settings, self.folder())?;
                }
                "files" => self.write_files(store)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn write_files(&self, store: &Store) -> Result<()> {
        let settings: FilesConfig = store.settings.clone().try_into()?;
        let FilesSource::Folder(path) = settings.source else {
            return Err("this example knows a folder of files only".into());
        };
        for (name, value) in &store.secrets {
            private_file(&self.folder().join(&path).join(name), value.as_bytes())?;
        }
        Ok(())
    }

    /// Writes the secrets of those stores that can be written, as the operator.
    pub(crate) async fn seed(&self, broker: &Broker) -> Result<()> {
        let operator = broker.operator()?.via("example");
        for (reference, value) in self.written() {
            let value = SecretValue::new(value.as_bytes().to_vec());
            operator
                .set(&reference, value, PutOptions::default())
                .await
                .map_err(|error| told(&reference, &error))?;
        }
        Ok(())
    }

    /// Deletes what was written: a service would keep it.
    pub(crate) async fn clear(&self, broker: &Broker) -> Result<()> {
        let operator = broker.operator()?.via("example");
        let mut left = Ok(());
        for (reference, _) in self.written() {
            if let Err(error) = operator.delete(&reference, None).await {
                left = Err(told(&reference, &error).into());
            }
        }
        left
    }

    /// The references that are written through the broker, with their values.
    fn written(&self) -> impl Iterator<Item = (String, &'static str)> {
        let writable = |store: &&Store| !matches!(&*store.backend, "env" | "files");
        self.stores.iter().filter(writable).flat_map(|store| {
            let reference = |path| format!("{}:{path}", store.id);
            store
                .secrets
                .iter()
                .map(move |(path, value)| (reference(path), *value))
        })
    }

    /// What the audit log has of the guest, after the log was verified and has all that is expected.
    pub(crate) fn records(&self) -> Result<Vec<String>> {
        let report = audit::verify(&Verify {
            location: self.log(),
            first_key: Some(audit::first_key_path(&self.log().key)),
            checkpoint: None,
        })?;
        if let Some(bad) = report.bad {
            return Err(format!("the audit log does not verify: {}", bad.what).into());
        }
        let mut lines = Vec::new();
        for shown in audit::show(&self.log(), Filter::default())? {
            let record = shown?.record;
            if record.principal != "component:portable" || record.phase != Phase::Outcome {
                continue;
            }
            let outcome = record.outcome.map_or("", |outcome| outcome.as_str());
            let secret = record.secret.unwrap_or_default();
            lines.push(format!("{outcome} {} {secret}", record.action));
        }
        for expected in EXPECTED {
            if !lines.iter().any(|line| line == expected) {
                return Err(format!("the audit log has no record '{expected}'").into());
            }
        }
        Ok(lines)
    }

    fn log(&self) -> Location {
        Location {
            log: self.folder().join("audit.jsonl"),
            key: self.folder().join("keys/audit.key"),
            allow_links: false,
        }
    }
}

/// The stores behind `app`. Where it is a chain, its first member has the first secret and its last
/// all others, so that both have to answer.
fn stores(root: &Table) -> Result<Vec<Store>> {
    let vaults = root.get("vault").and_then(toml::Value::as_table);
    let table = |id: &str| {
        vaults
            .and_then(|vaults| vaults.get(id))
            .and_then(toml::Value::as_table)
            .ok_or_else(|| format!("the file has no [vault.{id}]"))
    };
    let app = table("app")?;
    let ids: Vec<&str> = match app.get("chain").and_then(toml::Value::as_array) {
        Some(members) => members.iter().filter_map(toml::Value::as_str).collect(),
        None => vec!["app"],
    };
    let (first, others) = SECRETS.split_at(1);
    let mut stores = Vec::new();
    for (at, id) in ids.iter().enumerate() {
        let secrets = match (at, at + 1 == ids.len()) {
            (0, true) => SECRETS.to_vec(),
            (0, false) => first.to_vec(),
            (_, true) => others.to_vec(),
            (_, false) => Vec::new(),
        };
        let mut settings = table(id)?.clone();
        let backend = settings.remove("backend");
        let backend = backend.as_ref().and_then(toml::Value::as_str);
        stores.push(Store {
            id: (*id).to_owned(),
            backend: backend
                .ok_or_else(|| format!("[vault.{id}] has no backend"))?
                .to_owned(),
            settings,
            secrets,
        });
    }
    Ok(stores)
}

/// The text with each `${NAME}` outside of comments replaced by that variable, and `${RUN}` by a word
/// of this run.
fn fill_in(text: &str, file: &Path) -> Result<String> {
    let mut filled = String::new();
    for line in text.lines() {
        let mut rest = line;
        while let Some((before, after)) = rest.split_once("${")
            && !before.contains('#')
        {
            let (name, after) = after.split_once('}').ok_or("'${' without '}'")?;
            let value = match name {
                RUN => run()?,
                name => std::env::var(name).map_err(|_| {
                    format!(
                        "{} has ${{{name}}}, and that variable is not set: \
                         set it, or write what it stands for into the file",
                        file.display()
                    )
                })?,
            };
            filled.push_str(before);
            filled.push_str(&value);
            rest = after;
        }
        filled.push_str(rest);
        filled.push('\n');
    }
    Ok(filled)
}

fn run() -> Result<String> {
    let since = UNIX_EPOCH.elapsed()?;
    Ok(format!("{:x}-{}", since.as_micros(), std::process::id()))
}

/// Writes a file that only its owner may read, in folders that only their owner may write.
fn private_file(path: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, bytes)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    }
    Ok(())
}

/// The error with its causes.
fn told(what: &str, error: &dyn std::error::Error) -> String {
    let mut text = format!("{what}: {error}");
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    text
}
