//! How long calls to chains may take: those of their members must fit.

use std::collections::BTreeMap;
use std::time::Duration;

use strongroom_backend::VaultId;

use super::layers::MOST_DEADLINE;
use super::reader::Reader;
use super::vault::VaultConfig;

/// Gives every chain that says no `deadline` the time of all its members, as they are asked one after
/// the other. Refuses one that ends a member's call before its own deadline does: a stale value would
/// never be served, the breaker never count the failure and `on-error = "next"` never ask the next.
pub(super) fn settle(reader: &Reader<'_>, vaults: &mut BTreeMap<VaultId, VaultConfig>) {
    let mut known = BTreeMap::new();
    for id in vaults.keys() {
        limits(id, vaults, &mut known);
    }
    for (id, vault) in vaults.iter_mut().filter(|(_, vault)| vault.chain.is_some()) {
        let Some(limits) = known.get(id) else {
            continue;
        };
        vault.deadline = limits.whole;
        if let Some(span) = &vault.deadline_at
            && limits.whole < limits.member
        {
            let most = limits.member;
            let message =
                || format!("'deadline' is below that of a vault of the chain, which is {most:?}");
            reader.report(span, message);
        }
    }
}

#[derive(Clone, Copy, Default)]
struct Limits {
    /// Of a call.
    whole: Duration,
    /// The longest of those that layers keep, here and below.
    member: Duration,
}

fn limits(
    id: &VaultId,
    vaults: &BTreeMap<VaultId, VaultConfig>,
    known: &mut BTreeMap<VaultId, Limits>,
) -> Limits {
    if let Some(limits) = known.get(id) {
        return *limits;
    }
    // Ends the way of a loop, which is reported where chains are checked.
    known.insert(id.clone(), Limits::default());
    let Some(vault) = vaults.get(id) else {
        return Limits::default();
    };
    let found = match &vault.chain {
        None => Limits {
            whole: vault.deadline,
            member: vault
                .layers
                .map_or(Duration::ZERO, |layers| layers.deadline),
        },
        Some(chain) => {
            let members = chain.members.iter();
            let members: Vec<_> = members.map(|id| limits(id, vaults, known)).collect();
            let sum = members.iter().map(|member| member.whole).sum::<Duration>();
            let whole = match &vault.deadline_at {
                None if !sum.is_zero() => sum.min(MOST_DEADLINE),
                _ => vault.deadline,
            };
            let member = members.iter().map(|member| member.member).max();
            Limits {
                whole,
                member: member.unwrap_or_default(),
            }
        }
    };
    known.insert(id.clone(), found);
    found
}
