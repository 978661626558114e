//! Listing names.

use std::collections::BTreeSet;

use aws_sdk_secretsmanager::types::SecretListEntry;
use strongroom_backend::{ListPage, SecretPath};

use crate::client::{self, MOST_IN_FILTER, Matching};
use crate::error::Result;
use crate::state::CURRENT;
use crate::store::SecretsManagerBackend;
use crate::tags::Tags;
use crate::version::{Id, Ids};

impl SecretsManagerBackend {
    /// A page of paths in byte order. The service has no order that can be relied on, so all that
    /// match are looked at, of which no more than a page is kept.
    pub(crate) async fn page(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ListPage> {
        if limit == 0 {
            return Ok(ListPage::default());
        }
        let wanted =
            |path: &str| path.starts_with(prefix) && after.is_none_or(|after| path > after);
        let mut page = BTreeSet::new();
        for matching in self.searches(prefix, &wanted) {
            let visit = |entry: SecretListEntry| {
                let Some(path) = self.path_of(entry).filter(|path| wanted(path.as_str())) else {
                    return;
                };
                page.insert(path);
                // One more than asked for tells whether more follow.
                if page.len() > limit + 1 {
                    page.pop_last();
                }
            };
            self.service.list(&matching, visit).await?;
        }
        let more = page.len() > limit;
        let paths = page.into_iter().take(limit).collect();
        Ok(ListPage { paths, more })
    }

    /// Whether the credentials may list, for `doctor`.
    pub(crate) async fn check_list(&self) -> Result<String> {
        let matching = Matching::Names(vec![self.names.prefix().to_owned()]);
        self.service.page(&matching, 1, None).await?;
        Ok("secrets can be listed".to_owned())
    }

    /// What finds every secret with a path that is `wanted`: those whose names tell their paths, those whose
    /// names do not, and those with names that others gave.
    fn searches(&self, prefix: &str, wanted: &impl Fn(&str) -> bool) -> Vec<Matching> {
        let own = self.names.prefix();
        let mut searches = vec![Matching::Names(vec![format!("{own}{prefix}")])];
        if !prefix.is_empty() {
            searches.push(Matching::Encoded(own.to_owned()));
        }
        let given = self.names.given().filter(|(path, _)| wanted(path.as_str()));
        let given: Vec<String> = given.map(|(_, name)| name.to_owned()).collect();
        for names in given.chunks(MOST_IN_FILTER) {
            searches.push(Matching::Names(names.to_vec()));
        }
        searches
    }

    /// The path of a secret that has a current value, or may have one: the service does not always say.
    fn path_of(&self, entry: SecretListEntry) -> Option<SecretPath> {
        let name = entry.name?;
        if entry.deleted_date.is_some() {
            return None;
        }
        let ids = Ids::of(&name);
        let is_marked = |(id, labels): (String, Vec<String>)| {
            labels.iter().any(|label| label == CURRENT) && matches!(ids.parse(&id), Id::Deleted(_))
        };
        let versions = entry.secret_versions_to_stages.into_iter().flatten();
        if versions.into_iter().any(is_marked) {
            return None;
        }
        let tags = Tags(
            entry
                .tags
                .into_iter()
                .flatten()
                .filter_map(client::pair)
                .collect(),
        );
        self.names.path(&name, tags.path())
    }
}
