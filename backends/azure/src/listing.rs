//! Listings: all names of the vault at once, since the service orders them in its own way.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use strongroom_backend::{ListPage, SecretPath};

use crate::backend::Inner;
use crate::error::Result;

/// How long the names that a first page was cut from serve the pages after it. A vault of many
/// secrets is not read anew for each page.
const AGE: Duration = Duration::from_secs(15);

/// The names of the last listing.
#[derive(Default)]
pub(crate) struct Listing(Mutex<State>);

#[derive(Default)]
struct State {
    kept: Option<(Instant, Arc<BTreeSet<SecretPath>>)>,
    /// Counts our own changes: names read before one are not kept after it.
    changes: u64,
}

impl Listing {
    /// To be called after each change of ours that may change which names there are.
    pub(crate) fn forget(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.kept = None;
        state.changes += 1;
    }

    fn kept(&self) -> Option<Arc<BTreeSet<SecretPath>>> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, names) = state.kept.as_ref()?;
        (at.elapsed() < AGE).then(|| Arc::clone(names))
    }

    fn changes(&self) -> u64 {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .changes
    }

    fn keep(&self, names: &Arc<BTreeSet<SecretPath>>, changes: u64) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.changes == changes {
            state.kept = Some((Instant::now(), Arc::clone(names)));
        }
    }
}

impl Inner {
    pub(crate) async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ListPage> {
        let kept = after.and_then(|_| self.listing.kept());
        let names = match kept {
            Some(names) => names,
            None => self.read_names().await?,
        };
        let mut page = ListPage::default();
        let matching = names.iter().filter(|path| {
            let path = path.as_str();
            path.starts_with(prefix) && after.is_none_or(|after| path > after)
        });
        for path in matching {
            if page.paths.len() == limit {
                page.more = true;
                break;
            }
            page.paths.push(path.clone());
        }
        Ok(page)
    }

    async fn read_names(&self) -> Result<Arc<BTreeSet<SecretPath>>> {
        let changes = self.listing.changes();
        let listed = self.vault.names().await?;
        let names: BTreeSet<_> = listed
            .iter()
            .filter(|listed| listed.enabled)
            .filter_map(|listed| self.names.path(&listed.name, listed.tags.path()))
            .collect();
        let names = Arc::new(names);
        self.listing.keep(&names, changes);
        Ok(names)
    }
}
