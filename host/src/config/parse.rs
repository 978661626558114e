//! The whole file, table by table.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use strongroom_backend::VaultId;

use super::audit::audit;
use super::error::ConfigError;
use super::grant::grants;
use super::quotas::quotas;
use super::reader::{At, Reader, Section, quoted};
use super::vault::{Backends, VaultConfig, vault};
use super::{
    ComponentConfig, Config, Quotas, RoleConfig, Source, chain, deadline, file, reach, secrets,
    workspace,
};
use crate::grants::{Digest, Name, nearest};

/// What follows vaults that lead to vaults nests as deep as there are of them.
const MOST_VAULTS: usize = 1000;

pub(super) fn parse(
    bytes: &[u8],
    file: &Path,
    backends: &Backends,
    workspace: Option<&str>,
) -> Result<Config, ConfigError> {
    let source = Arc::new(source(bytes, file, workspace)?);
    let mut document = workspace::document(&source)?;
    let reader = Reader::new(&source.text);
    secrets::refuse_values(&reader, &document);
    let mut whole = Section::new(&reader, String::new(), &document, 0..0);
    let reached = workspace::check(&mut whole, &source);
    workspace::apply(&mut document, workspace, &source)?;
    let mut root = Section::new(&reader, String::new(), &document, 0..0);
    let mut config = read(&mut root, &source, backends);
    root.finish();
    let problems = reader.into_problems();
    if !problems.is_empty() {
        return Err(ConfigError::new(file, problems));
    }
    config.reaches_out.extend(reached.reaches);
    config.named_files.extend(reached.files);
    config.reaches_out.sort_by_key(|reach| reach.line);
    Ok(config)
}

fn source(bytes: &[u8], file: &Path, workspace: Option<&str>) -> Result<Source, ConfigError> {
    let refused = |message: String| ConfigError::file(file, message);
    if bytes.len() > file::MAX_BYTES {
        return Err(refused(file::too_large()));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = bytes.iter().take(error.valid_up_to());
        let line = before.filter(|byte| **byte == b'\n').count() + 1;
        refused(format!("line {line} is not UTF-8"))
    })?;
    let absolute = std::path::absolute(file).map_err(|error| refused(error.to_string()))?;
    let dir = absolute.parent().map_or_else(PathBuf::new, Path::to_owned);
    Ok(Source {
        file: absolute,
        dir,
        digest: Digest::of(bytes),
        text: text.to_owned(),
        workspace: workspace.map(Into::into),
    })
}

/// What names in the rest of the file may refer to.
pub(super) struct Known {
    pub(super) vaults: BTreeMap<VaultId, ()>,
    pub(super) roles: BTreeMap<Name, ()>,
}

fn read(root: &mut Section<'_, '_>, source: &Arc<Source>, backends: &Backends) -> Config {
    let reader = root.reader;
    let mut config = Config {
        source: source.clone(),
        reaches_out: Vec::new(),
        named_files: BTreeSet::new(),
        names_in: backends.names_in().to_vec(),
        default_vault: None,
        vaults: BTreeMap::new(),
        components: BTreeMap::new(),
        roles: BTreeMap::new(),
        audit: None,
        quotas: Quotas::default(),
    };
    let mut known = Known {
        vaults: BTreeMap::new(),
        roles: BTreeMap::new(),
    };
    let mut stores = Stores::default();
    let mut links = BTreeMap::new();
    for (id, section) in root.entries("vault") {
        let Some(id) = checked(reader, &id, "vault id", VaultId::parse(id.value).ok()) else {
            continue;
        };
        // A vault with problems of its own is still there for grants to name.
        known.vaults.insert(id.clone(), ());
        if let Some((vault, to)) = vault(section, id.clone(), source, backends) {
            stores.vault(reader, source, &vault);
            links.insert(id.clone(), to);
            config.vaults.insert(id, vault);
        }
    }
    if known.vaults.len() > MOST_VAULTS {
        let message = || format!("more than {MOST_VAULTS} vaults");
        reader.report(root.span(), message);
    } else {
        chain::check(reader, &known, &config.vaults, &links);
        deadline::settle(reader, &mut config.vaults);
    }
    config.default_vault = default_vault(root, &known);
    config.quotas = quotas(root.section("quotas"), Quotas::default());
    let mut reached = reach::Reached::default();
    config.audit = root.section("audit").and_then(|section| {
        secrets::refuse_keys(&section);
        reached = reach::of_audit(&section, source);
        let span = section.span().clone();
        let audit = audit(section, source)?;
        stores.audit(reader, &audit, &span);
        Some(audit)
    });
    config.reaches_out = reached.reaches;
    config.named_files = reached.files;
    for (name, mut section) in root.entries("role") {
        let line = reader.line(&name.span);
        let grants = grants(&mut section, &known);
        section.finish();
        if let Some(name) = checked(reader, &name, "role name", Name::parse(name.value).ok()) {
            known.roles.insert(name.clone(), ());
            let role = RoleConfig {
                name: name.clone(),
                grants,
                line,
            };
            config.roles.insert(name, role);
        }
    }
    for (name, section) in root.entries("component") {
        if let Some(entry) = component(&name, section, &config, &known) {
            config.components.insert(entry.name.clone(), entry);
        }
    }
    config
}

fn component(
    name: &At<&str>,
    mut section: Section<'_, '_>,
    config: &Config,
    known: &Known,
) -> Option<ComponentConfig> {
    let reader = section.reader;
    let line = reader.line(&name.span);
    let wasm = path(&mut section, "wasm").map(|path| config.resolve(&path));
    let digest = section.string("digest").and_then(|text| {
        let parsed = Digest::parse(text.value);
        let report = |error| reader.report(&text.span, || format!("'digest': {error}"));
        parsed.map_err(report).ok()
    });
    let default_vault = default_vault(&mut section, known);
    let mut roles = Vec::new();
    for role in section.strings("roles") {
        match Name::parse(role.value) {
            Ok(name) if known.roles.contains_key(&name) => roles.push(name),
            _ => reader.report(&role.span, || {
                let near = nearest(role.value, known.roles.keys().map(Name::as_str));
                format!("unknown role {}{near}", quoted(role.value))
            }),
        }
    }
    let grants = grants(&mut section, known);
    let quotas = quotas(section.section("quotas"), config.quotas);
    section.finish();
    Some(ComponentConfig {
        name: checked(reader, name, "component name", Name::parse(name.value).ok())?,
        wasm,
        digest,
        default_vault: default_vault.or_else(|| config.default_vault.clone()),
        roles,
        grants,
        quotas,
        line,
    })
}

fn default_vault(section: &mut Section<'_, '_>, known: &Known) -> Option<VaultId> {
    let text = section.string("default-vault")?;
    known_vault(section.reader, &text, known)
}

/// The id of a vault that the file has.
pub(super) fn known_vault(reader: &Reader<'_>, text: &At<&str>, known: &Known) -> Option<VaultId> {
    let id = VaultId::parse(text.value).ok();
    let id = id.filter(|id| known.vaults.contains_key(id));
    if id.is_none() {
        reader.report(&text.span, || {
            let near = nearest(text.value, known.vaults.keys().map(VaultId::as_str));
            format!("unknown vault {}{near}", quoted(text.value))
        });
    }
    id
}

fn checked<T>(reader: &Reader<'_>, name: &At<&str>, what: &str, parsed: Option<T>) -> Option<T> {
    if parsed.is_none() {
        reader.report(&name.span, || {
            let name = quoted(name.value);
            format!("{name} is no {what}: 1 to 64 letters, digits, '_' or '-'")
        });
    }
    parsed
}

/// Takes a path as the file has it.
pub(super) fn path(section: &mut Section<'_, '_>, key: &'static str) -> Option<PathBuf> {
    let text = section.string(key)?;
    if text.value.is_empty() || text.value.contains('\0') {
        let message = || format!("'{key}' must be the path of a file");
        section.reader.report(&text.span, message);
        return None;
    }
    Some(PathBuf::from(text.value))
}

/// Which files are taken, so that no two stores share one and no store overwrites a key.
#[derive(Default)]
struct Stores {
    stores: HashMap<PathBuf, Taken>,
    keys: HashMap<PathBuf, Taken>,
    places: HashMap<String, Taken>,
}

/// Who has it, and where that stands.
#[derive(Clone)]
struct Taken {
    label: String,
    line: usize,
}

impl std::fmt::Display for Taken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "[{}] in line {}", self.label, self.line)
    }
}

impl Stores {
    fn vault(&mut self, reader: &Reader<'_>, source: &Source, vault: &VaultConfig) {
        let span = vault.span.clone();
        let label = format!("vault.{}", vault.id);
        for key in vault.key_files() {
            self.key(reader, &source.resolve(key), &label, &span, false);
        }
        if let Some(place) = vault.place() {
            let here = Taken {
                label: label.clone(),
                line: vault.line,
            };
            if let Some(taken) = self.places.insert(place, here) {
                let message = || format!("[{label}] is the same place as {taken}");
                reader.report(&span, message);
            }
        }
        if let Some(store) = vault.store() {
            self.store(reader, &source.resolve(store), label, &span);
        }
    }

    fn audit(
        &mut self,
        reader: &Reader<'_>,
        audit: &super::AuditConfig,
        span: &std::ops::Range<usize>,
    ) {
        self.key(reader, &audit.key.path, "audit", span, true);
        self.store(reader, &audit.path, "audit".into(), span);
    }

    fn store(
        &mut self,
        reader: &Reader<'_>,
        path: &Path,
        label: String,
        span: &std::ops::Range<usize>,
    ) {
        let path = normal(path);
        let taken = self.stores.get(&path).or_else(|| self.keys.get(&path));
        if let Some(taken) = taken {
            let message = || format!("[{label}] has the path that {taken} has already");
            reader.report(span, message);
        }
        let line = reader.line(span);
        self.stores.insert(path, Taken { label, line });
    }

    /// Vaults may share a key file, since each store derives its own keys from it; the log may not.
    fn key(
        &mut self,
        reader: &Reader<'_>,
        path: &Path,
        label: &str,
        span: &std::ops::Range<usize>,
        alone: bool,
    ) {
        let path = normal(path);
        let shared = self.keys.get(&path).filter(|_| alone);
        if let Some(taken) = self.stores.get(&path) {
            let message = || format!("the key of [{label}] is the file that {taken} writes");
            reader.report(span, message);
        } else if let Some(taken) = shared {
            let message =
                || format!("[{label}] needs a key of its own: this is the key of {taken}");
            reader.report(span, message);
        }
        let (label, line) = (label.to_owned(), reader.line(span));
        self.keys.insert(path, Taken { label, line });
    }
}

/// A path without `.` and `..`, as text alone: symbolic links are for `load` to find.
pub(super) fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                normal.pop();
            }
            other => normal.push(other),
        }
    }
    normal
}
