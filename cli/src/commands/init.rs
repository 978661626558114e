//! `strongroom init`: a configuration, a vault with its key, and an audit log.

mod draft;

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags};
use serde_json::json;
use strongroom::audit;
use strongroom::backend::{ErrorKind, VaultId};
use strongroom::config::Config;
use strongroom_backend_local as local;

use crate::backends;
use crate::commands::trust;
use crate::context::Context;
use crate::failure::{Failure, chain};
use crate::output;

/// The names that the contract gives to what `init` makes.
const CONFIG: &str = "strongroom.toml";
const KEYS: &str = "keys";
const AUDIT_LOG: &str = "audit.jsonl";
const AUDIT_KEY: &str = "keys/audit.key";

/// Make a configuration, one local vault with its key, and an audit log
///
/// Nothing that exists is overwritten, and a failure leaves nothing behind. After a kill, run it again.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  strongroom init
  strongroom init ~/secrets --vault app-secrets
  strongroom init --passphrase-file /run/keys/vault-passphrase")]
pub(crate) struct Args {
    /// The folder; it is made if missing
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,

    /// The id of the vault
    #[arg(long, value_name = "ID", default_value = "local")]
    vault: String,

    /// Derive the vault's key from the passphrase in this file, in place of making a key file
    #[arg(long, value_name = "F")]
    passphrase_file: Option<PathBuf>,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<(), Failure> {
    let plan = Plan::new(&args)?;
    let mut made = Made::default();
    make(&plan, &mut made)?;
    made.keep();
    if context.json {
        output::document(&plan.document())
    } else {
        output::text(&plan.report())
    }
}

/// What is to be made, and where.
struct Plan {
    folder: PathBuf,
    vault: VaultId,
    /// Absolute, so that it means the same from everywhere.
    passphrase_file: Option<PathBuf>,
}

impl Plan {
    fn new(args: &Args) -> Result<Self, Failure> {
        let vault = VaultId::parse(&args.vault)
            .map_err(|e| Failure::usage(format!("the name of the vault: {e}")))?;
        if vault.as_str() == "audit" {
            return Err(Failure::usage(
                "a vault named 'audit' would share its key file with the audit log",
            ));
        }
        let absolute = |path: &PathBuf| {
            std::path::absolute(path)
                .map_err(|e| Failure::usage(format!("cannot find {}: {e}", path.display())))
        };
        let passphrase_file = args.passphrase_file.as_ref().map(absolute).transpose()?;
        if passphrase_file
            .as_ref()
            .is_some_and(|path| path.to_str().is_none())
        {
            return Err(Failure::usage(
                "the path of the passphrase file is not UTF-8",
            ));
        }
        Ok(Self {
            folder: args.folder.clone(),
            vault,
            passphrase_file,
        })
    }

    fn store(&self) -> String {
        format!("{}.vault", self.vault)
    }

    fn key(&self) -> String {
        format!("{KEYS}/{}.key", self.vault)
    }

    fn key_source(&self) -> local::KeySource {
        match &self.passphrase_file {
            Some(path) => local::KeySource::passphrase_file(path),
            None => local::KeySource::file(self.key()),
        }
    }

    /// What must not be there yet.
    fn results(&self) -> Vec<String> {
        let first_key = format!("{AUDIT_KEY}.first");
        let mut results = vec![CONFIG.to_owned(), self.store(), AUDIT_LOG.to_owned()];
        results.extend([format!("{AUDIT_LOG}.head"), AUDIT_KEY.to_owned(), first_key]);
        if self.passphrase_file.is_none() {
            results.push(self.key());
        }
        results
    }

    fn template(&self) -> String {
        let (key, key_note) = match &self.passphrase_file {
            Some(path) => {
                let path = toml::Value::from(path.to_string_lossy().into_owned());
                (
                    format!("{{ passphrase-file = {path} }}"),
                    "nothing opens the store without it",
                )
            }
            None => (
                format!("{{ file = \"{}\" }}", self.key()),
                "nothing opens the store without it: back it up, apart from the store",
            ),
        };
        format!(
            include_str!("init.toml"),
            vault = self.vault,
            store = self.store(),
            key = key,
            key_note = key_note,
            audit_log = AUDIT_LOG,
            audit_key = AUDIT_KEY,
        )
    }

    /// Where a result is, as one would type it.
    fn at(&self, name: &str) -> String {
        if self.folder == Path::new(".") {
            return name.to_owned();
        }
        self.folder.join(name).display().to_string()
    }

    fn report(&self) -> String {
        let vault = format!("the vault '{}', empty", self.vault);
        let mut made = vec![
            (
                CONFIG.to_owned(),
                "the configuration: grants are written here",
            ),
            (self.store(), &vault),
        ];
        if self.passphrase_file.is_none() {
            made.push((self.key(), "its key: back it up, apart from the vault"));
        }
        let first_key = format!("{AUDIT_KEY}.first");
        made.push((AUDIT_LOG.to_owned(), "the audit log"));
        made.push((AUDIT_KEY.to_owned(), "its key, replaced as the log grows"));
        made.push((first_key.clone(), "its first key: move it off this machine"));
        let width = made
            .iter()
            .map(|(name, _)| self.at(name).len())
            .max()
            .unwrap_or_default();
        let mut lines: Vec<String> = made
            .iter()
            .map(|(name, what)| format!("{:width$}  {what}", self.at(name)))
            .collect();
        lines.push(format!(
            "\nWith {} kept elsewhere, `strongroom audit verify` proves\n\
             that no record was changed, even after someone took this machine over.\n\nNext:",
            self.at(&first_key)
        ));
        if self.folder != Path::new(".") {
            let config = shell_word(&self.at(CONFIG));
            lines.push(format!("  export STRONGROOM_CONFIG={config}"));
        }
        lines.push("  strongroom set stripe/api-key    # asks for the value".into());
        lines.push("  strongroom get stripe/api-key".into());
        lines.push("  strongroom run app.wasm          # once it has an entry and grants".into());
        lines.join("\n") + "\n"
    }

    fn document(&self) -> serde_json::Value {
        let at = |name: &str| self.folder.join(name);
        json!({
            "config": at(CONFIG),
            "vault": self.vault.as_str(),
            "store": at(&self.store()),
            "key": self.passphrase_file.clone().unwrap_or_else(|| at(&self.key())),
            "audit-log": at(AUDIT_LOG),
            "audit-key": at(AUDIT_KEY),
            "audit-first-key": at(&format!("{AUDIT_KEY}.first")),
        })
    }
}

/// Makes everything in a folder of its own beside its place and moves it there when it is whole,
/// the configuration last: a failure leaves nothing that looks like a result, and after a kill the
/// next run goes on.
fn make(plan: &Plan, made: &mut Made) -> Result<(), Failure> {
    made.folder(&plan.folder)?;
    check_places(plan)?;
    let _alone = draft::lock(&plan.folder)?;
    if let Some(draft) = draft::left(plan)? {
        return finish(plan, &draft);
    }
    if let Some(name) = plan
        .results()
        .iter()
        .find(|name| exists(&plan.folder.join(name)))
    {
        return Err(Failure::usage(format!(
            "{} exists already",
            plan.folder.join(name).display()
        ))
        .hint("`init` overwrites nothing: choose another folder, or move it away"));
    }
    let staging = tempfile::Builder::new()
        .prefix(draft::PREFIX)
        .permissions(Permissions::from_mode(0o700))
        .tempdir_in(&plan.folder)
        .map_err(|e| cannot("write to", &plan.folder, &e))?;
    fill(plan, staging.path())?;
    place(plan, staging.path(), made)
}

/// Refuses folders that the vault would refuse later.
fn check_places(plan: &Plan) -> Result<(), Failure> {
    let mut places = vec![plan.folder.join(plan.store())];
    if exists(&plan.folder.join(KEYS)) {
        places.push(plan.folder.join(AUDIT_KEY));
    }
    for place in places {
        local::check_place(&place).map_err(|e| Failure::usage(chain(&e)))?;
    }
    Ok(())
}

/// Moves the rest of a draft into place. Nothing is taken back: what was moved before may be in use.
fn finish(plan: &Plan, draft: &Path) -> Result<(), Failure> {
    let mut made = Made::default();
    made.kept = true;
    place(plan, draft, &mut made).map_err(|failure| draft::stuck(plan, draft, &failure.message))?;
    fs::remove_dir(draft).map_err(|e| cannot("remove", draft, &e))
}

/// Moves what is in `from` into place, the configuration once everything else can be opened there.
fn place(plan: &Plan, from: &Path, made: &mut Made) -> Result<(), Failure> {
    // Move what is in the keys' folder by itself where there is such a folder already.
    let (source, keys) = (from.join(KEYS), plan.folder.join(KEYS));
    if exists(&source) && exists(&keys) {
        made.contents(&source, &keys)?;
        fs::remove_dir(&source).map_err(|e| cannot("remove", from, &e))?;
        sync(&keys)?;
    }
    made.contents(from, &plan.folder)?;
    let settings = local::Config::new(plan.store(), plan.key_source());
    local::LocalBackend::open(&settings, &plan.folder)
        .map_err(|e| Failure::usage(format!("cannot open the vault: {}", chain(&e))))?;
    made.entry(from, &plan.folder, CONFIG.as_ref())?;
    // What was made must be what every later command accepts: owners and modes of the folders too.
    let config = Config::load(&plan.folder.join(CONFIG), &backends::names())
        .map_err(|wrong| Failure::usage(wrong.to_string()))?;
    // The user named what it reaches a moment ago, in this very command.
    trust::accept(&config)?;
    sync(&plan.folder)
}

fn fill(plan: &Plan, staging: &Path) -> Result<(), Failure> {
    let keys = staging.join(KEYS);
    DirBuilder::new()
        .mode(0o700)
        .create(&keys)
        .map_err(|e| cannot("make", &keys, &e))?;
    audit::Log::init(&staging.join(AUDIT_LOG), &staging.join(AUDIT_KEY))
        .map_err(|e| Failure::failed(format!("cannot make the audit log: {}", chain(&e))))?;
    let settings = local::Config::new(plan.store(), plan.key_source());
    let store = local::LocalBackend::create(&settings, staging).map_err(|e| {
        let message = format!("cannot make the vault: {}", chain(&e));
        match e.kind() {
            ErrorKind::Unavailable => Failure::unavailable(message),
            _ => Failure::usage(message),
        }
    })?;
    // Closed before it is moved: its write-ahead log goes with it.
    drop(store);
    let (config, whole) = (staging.join("config"), staging.join(CONFIG));
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&config)
        .and_then(|mut file| {
            file.write_all(plan.template().as_bytes())?;
            file.sync_all()?;
            // Under its name only when it is whole, and the last of all.
            fs::rename(&config, &whole)
        })
        .map_err(|e| cannot("write", &config, &e))
}

/// What has been made so far; taken back where it is dropped before it is kept.
#[derive(Default)]
struct Made {
    folders: Vec<PathBuf>,
    entries: Vec<PathBuf>,
    kept: bool,
}

impl Made {
    /// Makes a folder and those above it that are missing, for this user alone.
    fn folder(&mut self, folder: &Path) -> Result<(), Failure> {
        let missing: Vec<&Path> = folder
            .ancestors()
            .take_while(|path| !path.as_os_str().is_empty() && !exists(path))
            .collect();
        for path in missing.into_iter().rev() {
            DirBuilder::new()
                .mode(0o700)
                .create(path)
                .map_err(|e| cannot("make", path, &e))?;
            self.folders.push(path.to_owned());
        }
        if folder.is_dir() {
            return Ok(());
        }
        Err(Failure::usage(format!(
            "{} is not a folder",
            folder.display()
        )))
    }

    /// Moves all that is in one folder to another, but the configuration, and replaces nothing.
    fn contents(&mut self, from: &Path, to: &Path) -> Result<(), Failure> {
        let entries = fs::read_dir(from).and_then(|entries| {
            entries
                .map(|e| Ok(e?.file_name()))
                .collect::<io::Result<Vec<_>>>()
        });
        for name in entries.map_err(|e| cannot("read", from, &e))? {
            if name != CONFIG {
                self.entry(from, to, &name)?;
            }
        }
        Ok(())
    }

    /// Moves one entry, and replaces nothing.
    fn entry(&mut self, from: &Path, to: &Path, name: &OsStr) -> Result<(), Failure> {
        let (source, target) = (from.join(name), to.join(name));
        rustix::fs::renameat_with(CWD, &source, CWD, &target, RenameFlags::NOREPLACE)
            .map_err(|e| cannot("make", &target, &e.into()))?;
        self.entries.push(target);
        Ok(())
    }

    fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        // Best effort, on the way to reporting the failure itself.
        for path in self.entries.iter().rev() {
            let _ = match path.symlink_metadata() {
                Ok(found) if found.is_dir() => fs::remove_dir_all(path),
                _ => fs::remove_file(path),
            };
        }
        for path in self.folders.iter().rev() {
            let _ = fs::remove_dir(path);
        }
    }
}

/// Whether there is anything of that name, a dangling link too.
fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

fn sync(folder: &Path) -> Result<(), Failure> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|e| cannot("sync", folder, &e))
}

fn cannot(what: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::failed(format!("cannot {what} {}: {error}", path.display()))
}

/// A word that a shell takes as it is.
fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_takes_back_what_was_made_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        let (old, from) = (root.path().join("old"), root.path().join("from"));
        fs::write(&old, "mine").unwrap();
        fs::create_dir(&from).unwrap();
        for name in ["a", "old", CONFIG] {
            fs::write(from.join(name), "new").unwrap();
        }
        let mut made = Made::default();
        made.folder(&root.path().join("x/y")).unwrap();
        made.contents(&from, root.path()).unwrap_err();
        drop(made);
        assert_eq!(fs::read(&old).unwrap(), b"mine");
        let mut left: Vec<_> = fs::read_dir(root.path())
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, ["from", "old"]);
    }

    #[test]
    fn a_path_is_one_word_for_a_shell() {
        assert_eq!(shell_word("/a/b-c.d"), "/a/b-c.d");
        assert_eq!(shell_word("a b'c"), r"'a b'\''c'");
    }
}
