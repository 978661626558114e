//! Listing names in byte order.
//!
//! The service lists secrets by age and tells nothing of their versions, so each page of ours reads all of
//! its pages, and asks for the newest version of those secrets in our page that are noted as deleted.

use std::collections::BTreeMap;
use std::ops::Bound;

use futures::stream::{self, StreamExt, TryStreamExt};
use strongroom_backend::{ListPage, SecretPath};

use crate::error::{Fault, Result};
use crate::notes::Notes;
use crate::service::{Life, PAGES};
use crate::vault::Vault;

/// How many newest versions are asked for at once.
const AT_ONCE: usize = 16;

/// Up to `limit` paths with `prefix` after `after`.
pub(crate) async fn list(
    vault: &Vault,
    prefix: &str,
    after: Option<&SecretPath>,
    limit: usize,
) -> Result<ListPage> {
    let from = after.map_or(Bound::Unbounded, Bound::Excluded);
    let names = names(vault, prefix).await?;
    let mut page = ListPage::default();
    let mut left = names.range::<SecretPath, _>((from, Bound::Unbounded));
    // One more than asked for tells whether there are more.
    while page.paths.len() <= limit {
        let missing = limit.saturating_add(1) - page.paths.len();
        let next: Vec<_> = left
            .by_ref()
            .take(missing)
            .map(|(path, may_be_gone)| look(vault, path, *may_be_gone))
            .collect();
        if next.is_empty() {
            break;
        }
        let looked: Vec<Option<&SecretPath>> =
            stream::iter(next).buffered(AT_ONCE).try_collect().await?;
        page.paths.extend(looked.into_iter().flatten().cloned());
    }
    page.more = page.paths.len() > limit;
    page.paths.truncate(limit);
    Ok(page)
}

/// Every path with `prefix`, and whether it may have no current version.
async fn names(vault: &Vault, prefix: &str) -> Result<BTreeMap<SecretPath, bool>> {
    let mut names = BTreeMap::new();
    let mut token = String::new();
    for _ in 0..PAGES {
        let page = vault.rest.secrets(vault.space.parent(), &token).await?;
        for secret in &page.secrets {
            let path = vault.space.path(&secret.name, Notes::path_of(secret));
            if let Some(path) = path.filter(|path| path.as_str().starts_with(prefix)) {
                names.insert(path, Notes::may_be_gone(secret));
            }
        }
        if page.next_page_token.is_empty() {
            return Ok(names);
        }
        // A page may be empty and yet not the last; one that repeats itself has no end.
        if page.next_page_token == token {
            break;
        }
        token = page.next_page_token;
    }
    Err(Fault::Reply("a listing without an end"))
}

async fn look<'p>(
    vault: &Vault,
    path: &'p SecretPath,
    may_be_gone: bool,
) -> Result<Option<&'p SecretPath>> {
    if !may_be_gone {
        return Ok(Some(path));
    }
    let resource = vault.space.resource(path)?;
    match vault.rest.version(&resource, None).await {
        Ok(newest) => Ok((newest.life == Life::Enabled).then_some(path)),
        Err(fault) if fault.is_not_found() => Ok(None),
        Err(fault) => Err(fault),
    }
}
