//! Listings: the server's pages are in the order of its names, ours in that of paths.

use std::collections::BTreeSet;

use kube::core::params::ListParams;
use strongroom_backend::{ListPage, SecretPath};

use crate::error::{Fault, Refusal, Result};
use crate::object::PageMeta;

/// How often a listing begins again when the server has forgotten its place.
const RESTARTS: usize = 3;

/// A server that gives ever more pages.
pub(crate) const ENDLESS: Fault = Fault::Reply("a list of Secrets that does not end");

/// Which paths are asked for.
pub(crate) struct Wanted<'w> {
    pub(crate) prefix: &'w str,
    pub(crate) after: Option<&'w str>,
    pub(crate) limit: usize,
}

/// The first of many paths in byte order, with no more in memory than are asked for.
pub(crate) struct First<'w> {
    wanted: &'w Wanted<'w>,
    paths: BTreeSet<SecretPath>,
}

impl<'w> First<'w> {
    pub(crate) fn new(wanted: &'w Wanted<'w>) -> Self {
        Self {
            wanted,
            paths: BTreeSet::new(),
        }
    }

    pub(crate) fn extend(&mut self, paths: impl IntoIterator<Item = SecretPath>) {
        let Wanted {
            prefix,
            after,
            limit,
        } = self.wanted;
        for path in paths {
            let text = path.as_str();
            if !text.starts_with(prefix) || after.is_some_and(|after| text <= after) {
                continue;
            }
            self.paths.insert(path);
            if self.paths.len() > limit.saturating_add(1) {
                self.paths.pop_last();
            }
        }
    }

    pub(crate) fn page(self) -> ListPage {
        let limit = self.wanted.limit;
        ListPage {
            more: self.paths.len() > limit,
            paths: self.paths.into_iter().take(limit).collect(),
        }
    }
}

/// Whether a page follows, which `params` then asks for.
pub(crate) fn follows(params: &mut ListParams, page: PageMeta) -> bool {
    params.continue_token = page.next.filter(|next| !next.is_empty());
    params.continue_token.is_some()
}

/// Lists, and again where the server has forgotten the place of a page.
pub(crate) async fn again<F>(list: impl Fn() -> F) -> Result<ListPage>
where
    F: Future<Output = Result<ListPage>>,
{
    for _ in 0..RESTARTS {
        match list().await {
            Err(error) if error.refusal().is_some_and(Refusal::is_expired) => {}
            listed => return listed,
        }
    }
    list().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_are_kept_whatever_the_order() {
        let wanted = Wanted {
            prefix: "a",
            after: Some("a1"),
            limit: 2,
        };
        let mut first = First::new(&wanted);
        let paths = ["b", "a9", "a1", "a3", "a0", "a2", "a5"];
        first.extend(paths.iter().map(|text| SecretPath::parse(text).unwrap()));
        let page = first.page();
        let names: Vec<_> = page.paths.iter().map(SecretPath::as_str).collect();
        assert_eq!(names, ["a2", "a3"]);
        assert!(page.more);
    }
}
