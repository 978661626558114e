//! The key source of a vault in `strongroom.toml`, replaced in one step.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use strongroom::backend::VaultId;
use strongroom::config::Config;
use strongroom_backend_local::{self as local, KeySource};
use tempfile::NamedTempFile;
use toml_edit::{DocumentMut, InlineTable, Item, Value};

use crate::backends;
use crate::failure::Failure;

/// A configuration with the new source, beside the one in force.
pub(super) struct Setting {
    draft: NamedTempFile,
    file: PathBuf,
    line: String,
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
        let folder = file.parent().unwrap_or_else(|| Path::new("."));
        let draft = write(&text, &file, folder).map_err(|e| cannot(&file, &e))?;
        Ok(Self { draft, file, line })
    }

    /// What the vault's table says from now on.
    pub(super) fn line(&self) -> &str {
        &self.line
    }

    /// Puts the draft in the place of the configuration.
    pub(super) fn commit(self) -> Result<(), Failure> {
        let Self { draft, file, line } = self;
        draft.persist(&file).map(drop).map_err(|error| {
            cannot(&file, &error.error).hint(format!(
                "the store has its new key already: put this into its table: {line}"
            ))
        })
    }
}

fn write(text: &str, file: &Path, folder: &Path) -> std::io::Result<NamedTempFile> {
    let mut draft = NamedTempFile::new_in(folder)?;
    draft.write_all(text.as_bytes())?;
    draft
        .as_file()
        .set_permissions(fs::metadata(file)?.permissions())?;
    draft.as_file().sync_all()?;
    Ok(draft)
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

fn cannot(file: &Path, error: &std::io::Error) -> Failure {
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
