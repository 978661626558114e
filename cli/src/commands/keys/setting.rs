//! The key source of a vault in `strongroom.toml`, replaced in one step.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use strongroom::backend::VaultId;
use strongroom::config::Config;
use strongroom_backend_local::{self as local, KeySource};
use toml_edit::{DocumentMut, InlineTable, Item, Value};

use crate::backends;
use crate::commands::trust;
use crate::failure::Failure;

/// A configuration with the new source, beside the one in force.
///
/// The draft has a fixed name: where a run was killed, it says so to those that the store no longer
/// opens for. The configuration is locked meanwhile, so there is only one draft at a time.
pub(super) struct Setting {
    draft: PathBuf,
    file: PathBuf,
    line: String,
    keep: bool,
    _lock: File,
}

impl Setting {
    /// Writes the draft and reads it back; everything but the one key stays as it was written.
    pub(super) fn prepare(
        config: &Config,
        vault: &VaultId,
        source: &KeySource,
    ) -> Result<Self, Failure> {
        // Through a link: the file itself is replaced, and the link stays.
        let file = fs::canonicalize(config.file()).map_err(|e| cannot(config.file(), &e))?;
        let lock = locked(&file)?;
        let text = fs::read_to_string(&file).map_err(|e| cannot(&file, &e))?;
        let table = inline(source, config.dir())?;
        let line = format!("key = {table}");
        let text = replaced(&text, vault, table)
            .ok_or_else(|| Failure::usage(format!("{} has no [vault.{vault}]", file.display())))?;
        let parsed = Config::parse(text.as_bytes(), &file, &backends::names())
            .map_err(|wrong| Failure::failed(wrong.to_string()))?;
        let read_back: Option<Result<local::Config, _>> =
            parsed.vaults.get(vault).map(|vault| vault.settings());
        if !matches!(read_back, Some(Ok(_))) {
            return Err(Failure::failed(
                "the new key source cannot be written as a setting",
            ));
        }
        let setting = Self {
            draft: draft_beside(&file),
            file,
            line,
            keep: false,
            _lock: lock,
        };
        setting
            .write(&text)
            .map_err(|e| cannot(&setting.draft, &e))?;
        Ok(setting)
    }

    /// Leaves the draft where this run ends before it is committed.
    pub(super) fn keep(&mut self) {
        self.keep = true;
    }

    /// Takes the draft away: the configuration in force stays right.
    pub(super) fn discard(mut self) {
        self.keep = false;
    }

    /// Puts the draft in the place of the configuration; what the vault's table says from now on.
    pub(super) fn commit(mut self) -> Result<String, Failure> {
        self.keep = true;
        fs::rename(&self.draft, &self.file)
            .and_then(|()| sync_folder(&self.file))
            .map_err(|error| {
                cannot(&self.file, &error).hint(format!(
                    "the store has its new key already: put this into its table: {}",
                    self.line
                ))
            })?;
        // It was in force a moment ago, and the user named the new source in this very command.
        let config = Config::load(&self.file, &backends::names())
            .map_err(|wrong| Failure::usage(wrong.to_string()))?;
        trust::accept(&config)?;
        Ok(std::mem::take(&mut self.line))
    }

    fn write(&self, text: &str) -> io::Result<()> {
        match fs::remove_file(&self.draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut draft = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&self.draft)?;
        draft.write_all(text.as_bytes())?;
        draft.set_permissions(fs::metadata(&self.file)?.permissions())?;
        draft.sync_all()?;
        sync_folder(&self.draft)
    }
}

impl Drop for Setting {
    fn drop(&mut self) {
        if !self.keep {
            // Best effort: it is no harm but to the eye.
            let _ = fs::remove_file(&self.draft);
        }
    }
}

/// Where the draft of a configuration is, under its own name and not under that of a link to it.
pub(crate) fn draft_beside(file: &Path) -> PathBuf {
    let mut name = fs::canonicalize(file)
        .unwrap_or_else(|_| file.to_owned())
        .into_os_string();
    name.push(".rekey");
    PathBuf::from(name)
}

/// The configuration, locked as the file that has its name now.
fn locked(path: &Path) -> Result<File, Failure> {
    let busy = || {
        Failure::unavailable(format!(
            "another command is changing {}: try again",
            path.display()
        ))
    };
    let file = File::open(path).map_err(|e| cannot(path, &e))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(busy()),
        Err(TryLockError::Error(error)) => return Err(cannot(path, &error)),
    }
    let (held, named) = (file.metadata(), fs::metadata(path));
    match (held, named) {
        (Ok(held), Ok(named)) if (held.dev(), held.ino()) == (named.dev(), named.ino()) => Ok(file),
        _ => Err(busy()),
    }
}

fn sync_folder(file: &Path) -> io::Result<()> {
    File::open(file.parent().unwrap_or_else(|| Path::new(".")))?.sync_all()
}

/// The text with another `key` in the vault's table; comments and order stay.
fn replaced(text: &str, vault: &VaultId, table: InlineTable) -> Option<String> {
    let mut document: DocumentMut = text.parse().ok()?;
    let settings = document
        .get_mut("vault")?
        .as_table_like_mut()?
        .get_mut(vault.as_str())?
        .as_table_like_mut()?;
    let mut value = Value::InlineTable(table);
    if let Some(old) = settings.get("key").and_then(Item::as_value) {
        *value.decor_mut() = old.decor().clone();
    }
    settings.insert("key", Item::Value(value));
    Some(document.to_string())
}

fn inline(source: &KeySource, base: &Path) -> Result<InlineTable, Failure> {
    let (name, path) = match source {
        KeySource::File { path, .. } => ("file", path),
        KeySource::PassphraseFile { path, .. } => ("passphrase-file", path),
        _ => return Err(Failure::usage("only files can be a new source")),
    };
    // Relative where it can be, so that the folder can be moved as a whole.
    let path = path.strip_prefix(base).unwrap_or(path);
    let text = path
        .to_str()
        .ok_or_else(|| Failure::usage("the path of the key is not UTF-8"))?;
    let mut table = InlineTable::new();
    table.insert(name, text.into());
    Ok(table)
}

fn cannot(file: &Path, error: &io::Error) -> Failure {
    Failure::failed(format!("cannot write {}: {error}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_key_changes() {
        let vault = VaultId::parse("app").unwrap();
        let new = || inline(&KeySource::file("/base/keys/new.key"), Path::new("/base")).unwrap();
        let text = "# top\n[vault.app] # here\npath = 'a' # p\nkey = { file = 'k' }    # note\n\n[vault.b]\nkey = {}\n";
        let expected = text.replace("{ file = 'k' }", "{ file = \"keys/new.key\" }");
        assert_eq!(replaced(text, &vault, new()).unwrap(), expected);
        let nested = "vault = { app = { path = 'a', key = { file = 'k' } } }\n";
        assert!(
            replaced(nested, &vault, new())
                .unwrap()
                .contains("keys/new.key")
        );
        let table = "[vault.app]\npath = 'a'\n[vault.app.key]\nfile = 'k'\n";
        let replaced_table = replaced(table, &vault, new()).unwrap();
        assert_eq!(replaced_table.matches("key").count(), 3, "{replaced_table}");
        assert!(replaced("[vault.b]\n", &vault, new()).is_none());
    }
}
