//! Copies within chains.
//!
//! A chain asks a copy for the very name that the copy's source did not answer for. Where the two have
//! their names otherwise, another secret would answer in an outage. And a chain passes a copy over where
//! its source says that there is none, which it knows of its own members alone.

use std::collections::{BTreeMap, BTreeSet};

use strongroom_backend::VaultId;

use super::chain::{ChainConfig, Links, SyncConfig};
use super::reader::{Reader, quoted};
use super::vault::VaultConfig;

type Vaults = BTreeMap<VaultId, VaultConfig>;

/// Checks each chain that has a copy behind what that is a copy of. The chains must be bounded.
pub(super) fn check(reader: &Reader<'_>, vaults: &Vaults, links: &BTreeMap<VaultId, Links>) {
    for (id, vault) in vaults {
        let Some(chain) = &vault.chain else { continue };
        for (member, why) in wrong(vaults, chain) {
            let links = links.get(id).into_iter().flatten();
            let mut of_member = links.filter(|(text, _)| text == member.as_str());
            if let Some((_, span)) = of_member.next() {
                reader.report(span, || why);
            }
        }
    }
}

/// The members of a chain that may not stand where they do, and why.
fn wrong<'v>(vaults: &'v Vaults, chain: &'v ChainConfig) -> Vec<(&'v VaultId, String)> {
    let mut wrong = Vec::new();
    let mut earlier = BTreeSet::new();
    for (at, member) in chain.members.iter().enumerate() {
        let stores = stores(vaults, member);
        for (copy, sync) in stores.iter().filter_map(|id| copy(vaults, id)) {
            let source = sync.from.vault();
            if self::stores(vaults, source).is_disjoint(&earlier) {
                continue;
            }
            let before = chain.members.iter().take(at);
            let (from, to) = (sync.from.path(), sync.to.as_str());
            if copy != member || !before.clone().any(|it| it == source) {
                wrong.push((
                    member,
                    format!(
                        "[vault.{copy}] is a copy of [vault.{source}]: a chain that asks both must \
                         have the two among its own members, the copy behind its source"
                    ),
                ));
            } else if from != to {
                wrong.push((
                    member,
                    format!(
                        "[vault.{copy}] has the secrets of {} under other names, and this chain asks \
                         both for the same name: give [vault.{copy}.sync] to = {}",
                        sync.from,
                        quoted(from)
                    ),
                ));
            }
        }
        earlier.extend(stores);
    }
    wrong
}

fn copy<'v>(vaults: &'v Vaults, id: &'v VaultId) -> Option<(&'v VaultId, &'v SyncConfig)> {
    let sync = vaults.get(id)?.sync.as_ref()?;
    Some((id, sync))
}

/// A vault, or those that a chain stands for.
fn stores<'v>(vaults: &'v Vaults, id: &'v VaultId) -> BTreeSet<&'v VaultId> {
    let (mut left, mut seen) = (vec![id], BTreeSet::new());
    let mut stores = BTreeSet::new();
    while let Some(id) = left.pop() {
        if !seen.insert(id) {
            continue;
        }
        match vaults.get(id).and_then(|it| it.chain.as_ref()) {
            Some(chain) => left.extend(&chain.members),
            None => {
                stores.insert(id);
            }
        }
    }
    stores
}
