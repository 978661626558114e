use std::collections::BTreeSet;

use strongroom_backend::VaultId;

use super::{AuditConfig, ComponentConfig, Config};
use crate::grants::Grant;

/// A change that a running host cannot make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestartOnly {
    /// The line of the new file; none where the table is gone.
    pub line: Option<usize>,
    /// What changed, in words.
    pub what: String,
}

/// What differs between two configurations that takes a restart: `[audit]`, and which vaults there
/// are with their settings. Where there is any, the whole new file should be refused: a grant written
/// for a new store under an old vault id must not act on the old store.
pub fn restart_only_changes(old: &Config, new: &Config) -> Vec<RestartOnly> {
    let mut changes = Vec::new();
    if !same_audit(old.audit.as_ref(), new.audit.as_ref()) {
        changes.push(RestartOnly {
            line: new.audit.as_ref().map(|audit| audit.line),
            what: "[audit] changed".into(),
        });
    }
    for (id, vault) in &new.vaults {
        let what = match old.vaults.get(id) {
            None => "is new",
            Some(before) if before.backend != vault.backend => "has another backend",
            Some(before) if before.table != vault.table => "has other settings",
            // The same words in another folder are other files.
            Some(before) if before.dir() != vault.dir() => "is in another folder",
            Some(_) => continue,
        };
        changes.push(RestartOnly {
            line: Some(vault.line),
            what: format!("[vault.{id}] {what}"),
        });
    }
    for id in old.vaults.keys().filter(|id| !new.vaults.contains_key(id)) {
        changes.push(RestartOnly {
            line: None,
            what: format!("[vault.{id}] is gone"),
        });
    }
    changes
}

fn same_audit(old: Option<&AuditConfig>, new: Option<&AuditConfig>) -> bool {
    // Named one by one: a field that is added must be thought of here.
    let fields = |audit: &AuditConfig| {
        let AuditConfig {
            path,
            key,
            durability,
            rotate,
            keep_for,
            line: _,
        } = audit.clone();
        (path, key, durability, rotate, keep_for)
    };
    old.map(fields) == new.map(fields)
}

/// The vaults in which the new configuration grants less than the old one: what is kept of them for
/// those who could read it should go.
pub(crate) fn revoked_vaults(old: &Config, new: &Config) -> BTreeSet<VaultId> {
    let mut revoked = BTreeSet::new();
    for (name, component) in &old.components {
        let now = new.components.get(name);
        // Other bytes may use the grants now, and these may not.
        let pinned = now.is_some_and(|now| now.digest == component.digest);
        let left: Vec<Grant> = match now {
            Some(now) if pinned => grants(now, new).collect(),
            _ => Vec::new(),
        };
        let gone = grants(component, old).filter(|grant| !left.contains(grant));
        revoked.extend(gone.map(|grant| grant.vault));
    }
    revoked
}

/// All grants of a component, wherever they stand in the file.
fn grants<'c>(
    component: &'c ComponentConfig,
    config: &'c Config,
) -> impl Iterator<Item = Grant> + 'c {
    let roles = component.roles.iter();
    let roles = roles.filter_map(|role| config.roles.get(role));
    let all = component
        .grants
        .iter()
        .chain(roles.flat_map(|role| &role.grants));
    all.map(|grant| Grant {
        line: 0,
        ..grant.clone()
    })
}

impl std::fmt::Display for RestartOnly {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        write!(f, "{}, which takes a restart", self.what)
    }
}
