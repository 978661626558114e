//! Delete, undelete and destroy, by the states that the service has.
//!
//! A deleted version is a disabled one. The newest version is the current one for as long as it is
//! enabled: the service's `latest` never falls back to an older one, and neither does this store. A
//! deleted secret has all its versions disabled and goes on counting; deleting it in the service
//! would be for good, and its numbers would start again at 1.

use futures::stream::{self, TryStreamExt};
use strongroom_backend::{Error, SecretPath};

use crate::error::{Fault, Result};
use crate::gone::Gone;
use crate::resource::Resource;
use crate::service::{Life, Turn, Version};
use crate::vault::{Vault, pause};

/// How many versions of a secret are changed at once.
const AT_ONCE: usize = 8;
/// How often a change of one version is tried anew when others change the same version.
const ATTEMPTS: u32 = 8;

/// Soft-deletes every version; returns the newest that was deleted.
pub(crate) async fn delete_all(vault: &Vault, path: &SecretPath) -> Result<u64> {
    let resource = vault.space.resource(path)?;
    let versions = vault.rest.versions(&resource).await?;
    let live: Vec<u64> = numbers(&versions, Life::Enabled).collect();
    let (Some(newest), Some(deleted)) = (versions.first(), live.first().copied()) else {
        return Err(Error::not_found().into());
    };
    let newest = newest.number;
    let off: Vec<u64> = numbers(&versions, Life::Disabled).collect();
    // Noted before it is done: half of it is then taken back whole.
    vault
        .note(path, &resource, |notes| {
            let before = notes.gone.take().filter(|gone| gone.newest == newest);
            let with = |number: &u64| before.as_ref().is_some_and(|gone| gone.has(*number));
            let off = off.iter().copied().filter(with);
            notes.gone = Some(Gone::new(newest, live.iter().copied().chain(off)));
        })
        .await?;
    // The newest first: with it the secret is gone for whoever asks for the current value.
    if let Some((newest, older)) = live.split_first() {
        disable(vault, &resource, *newest).await?;
        turn_each(older, |number| disable(vault, &resource, number)).await?;
    }
    Ok(deleted)
}

/// Soft-deletes one version.
pub(crate) async fn delete_one(vault: &Vault, path: &SecretPath, number: u64) -> Result<u64> {
    let resource = vault.space.resource(path)?;
    turn_one(vault, path, &resource, number, Turn::Disable).await?;
    Ok(number)
}

/// Makes one version unreadable for good.
pub(crate) async fn destroy(vault: &Vault, path: &SecretPath, number: u64) -> Result<u64> {
    let resource = vault.space.resource(path)?;
    let version = turn_one(vault, path, &resource, number, Turn::Destroy).await?;
    if version.life != Life::Destroyed {
        return Err(Fault::Failed(
            "the secret has a delay of destruction (version_destroy_ttl): the version is disabled now, and \
             the service destroys it when the delay is over",
        ));
    }
    Ok(number)
}

/// Takes the delete of one version back.
pub(crate) async fn undelete_one(vault: &Vault, path: &SecretPath, number: u64) -> Result<u64> {
    let resource = vault.space.resource(path)?;
    let version = turn_one(vault, path, &resource, number, Turn::Enable).await?;
    let newest = vault.rest.version(&resource, None).await?;
    forget(vault, path, &resource, &[version.number], &newest).await?;
    Ok(number)
}

/// Takes the last delete of the secret back, or that of its newest version; returns the newest
/// that came back.
pub(crate) async fn undelete_all(vault: &Vault, path: &SecretPath) -> Result<u64> {
    let resource = vault.space.resource(path)?;
    let versions = vault.rest.versions(&resource).await?;
    let Some(newest) = versions.first() else {
        return Err(Error::not_found().into());
    };
    let secret = vault.rest.secret(&resource).await?;
    let gone = vault.notes(path, &secret)?.gone;
    let gone = gone.filter(|gone| gone.newest == newest.number);
    let mut back: Vec<u64> = numbers(&versions, Life::Disabled)
        .filter(|number| gone.as_ref().is_some_and(|gone| gone.has(*number)))
        .collect();
    if back.is_empty() && newest.life == Life::Disabled {
        back.push(newest.number);
    }
    let Some(restored) = back.first().copied() else {
        return Err(Error::not_found().into());
    };
    turn_each(&back, |number| enable(vault, &resource, number)).await?;
    let newest = vault.rest.version(&resource, None).await?;
    forget(vault, path, &resource, &back, &newest).await?;
    Ok(restored)
}

/// Notes that versions are back.
async fn forget(
    vault: &Vault,
    path: &SecretPath,
    resource: &Resource,
    back: &[u64],
    newest: &Version,
) -> Result<()> {
    vault
        .note(path, resource, |notes| {
            let Some(gone) = &mut notes.gone else { return };
            for number in back {
                gone.remove(*number);
            }
            let live = newest.life == Life::Enabled;
            if gone.newest < newest.number || (gone.is_bare() && live) {
                notes.gone = None;
            }
        })
        .await
}

/// Changes one version under its entity tag.
async fn turn_one(
    vault: &Vault,
    path: &SecretPath,
    resource: &Resource,
    number: u64,
    turn: Turn,
) -> Result<Version> {
    let mut attempt = 0;
    loop {
        let version = vault.rest.version(resource, Some(number)).await?;
        let fits = match turn {
            Turn::Disable => version.life == Life::Enabled,
            Turn::Enable => version.life == Life::Disabled,
            Turn::Destroy => version.life != Life::Destroyed,
        };
        if !fits {
            return Err(Error::not_found().into());
        }
        if turn != Turn::Enable {
            expect_gone(vault, path, resource, number).await?;
        }
        match vault.rest.turn(resource, number, turn, &version.etag).await {
            Err(fault) if fault.is_stale() && attempt < ATTEMPTS => attempt += 1,
            done => return done,
        }
        pause(attempt).await;
    }
}

/// Notes that a version is about to be deleted on its own or destroyed, where that matters: the
/// newest, and one that was deleted with the secret and taken back.
async fn expect_gone(
    vault: &Vault,
    path: &SecretPath,
    resource: &Resource,
    number: u64,
) -> Result<()> {
    let newest = vault.rest.version(resource, None).await?.number;
    vault
        .note(path, resource, |notes| {
            let before = notes.gone.take().filter(|gone| gone.newest == newest);
            let mut gone = before.clone().unwrap_or_else(|| Gone::new(newest, []));
            gone.remove(number);
            notes.gone = (before.is_some() || number == newest).then_some(gone);
        })
        .await
}

async fn disable(vault: &Vault, resource: &Resource, number: u64) -> Result<()> {
    settled(vault.rest.turn(resource, number, Turn::Disable, "").await)
}

async fn enable(vault: &Vault, resource: &Resource, number: u64) -> Result<()> {
    settled(vault.rest.turn(resource, number, Turn::Enable, "").await)
}

/// A version that is destroyed or gone meanwhile needs no more.
fn settled(turned: Result<Version>) -> Result<()> {
    match turned {
        Err(fault) if fault.is_stale() || fault.is_not_found() => Ok(()),
        turned => turned.map(drop),
    }
}

async fn turn_each<F>(versions: &[u64], turn: impl Fn(u64) -> F) -> Result<()>
where
    F: Future<Output = Result<()>>,
{
    stream::iter(versions.iter().map(|number| Ok(*number)))
        .try_for_each_concurrent(AT_ONCE, turn)
        .await
}

fn numbers(versions: &[Version], life: Life) -> impl Iterator<Item = u64> {
    versions
        .iter()
        .filter(move |version| version.life == life)
        .map(|version| version.number)
}
