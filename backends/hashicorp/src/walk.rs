//! The names below a prefix, in byte order, folder by folder.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Deserialize;
use strongroom_backend::{Error, ErrorKind, ListPage, SecretPath};
use strongroom_backend_remote::limits;

use crate::client::Request;
use crate::error::{Fault, Result};
use crate::place::Place;
use crate::session::Session;

/// What may be listed, and where it begins.
pub(crate) struct Range<'r> {
    prefix: &'r str,
    after: Option<&'r str>,
}

impl<'r> Range<'r> {
    /// Both must be what a path can begin with, so that no folder outside ours is asked for.
    pub(crate) fn new(prefix: &'r str, after: Option<&'r str>) -> Result<Self> {
        let open = prefix.strip_suffix('/').unwrap_or(prefix);
        let texts = [Some(open).filter(|_| !prefix.is_empty()), after];
        for text in texts.into_iter().flatten() {
            SecretPath::parse(text).map_err(|e| {
                Fault::Answer(
                    Error::new(
                        ErrorKind::InvalidArgument,
                        "the prefix or cursor is not a path",
                    )
                    .with_source(e),
                )
            })?;
        }
        Ok(Self { prefix, after })
    }

    fn holds(&self, path: &str) -> bool {
        path.starts_with(self.prefix) && self.after.is_none_or(|after| path > after)
    }

    /// Whether anything in `folder` (with its `/`) can be held.
    fn reaches(&self, folder: &str) -> bool {
        let prefix = folder.starts_with(self.prefix) || self.prefix.starts_with(folder);
        let after = |after: &str| folder > after || after.starts_with(folder);
        prefix && self.after.is_none_or(after)
    }

    /// The deepest folder that holds everything with the prefix, with its `/`, or empty.
    fn folder(&self) -> &'r str {
        let end = self.prefix.rfind('/').map_or(0, |at| at + 1);
        self.prefix.get(..end).unwrap_or_default()
    }
}

/// Goes through the names in byte order and asks for a folder when it comes to it.
pub(crate) struct Walk<'w> {
    session: &'w Arc<Session>,
    place: &'w Place,
    /// `metadata` for KV v2, nothing for v1.
    area: &'static str,
    range: Range<'w>,
    /// What is left of the folders on the way, last first.
    open: Vec<Vec<String>>,
    /// Paths whose names others gave; listed where their names are, wherever that is.
    given: BTreeSet<SecretPath>,
    asked: usize,
}

#[derive(Deserialize)]
struct Keys {
    keys: Vec<String>,
}

impl<'w> Walk<'w> {
    pub(crate) fn new(
        session: &'w Arc<Session>,
        place: &'w Place,
        area: &'static str,
        range: Range<'w>,
    ) -> Self {
        let given = place.given().map(|(path, _)| path.clone());
        Self {
            session,
            place,
            area,
            given: given.filter(|path| range.holds(path.as_str())).collect(),
            open: vec![vec![range.folder().to_owned()]],
            range,
            asked: 0,
        }
    }

    /// The next path and whether its name was given, so that it may not be there.
    pub(crate) async fn next(&mut self) -> Result<Option<(SecretPath, bool)>> {
        let own = self.next_own().await?;
        let given = self.given.first();
        let comes_first = match (&own, given) {
            (Some(own), Some(given)) => given < own,
            (None, given) => given.is_some(),
            (Some(_), None) => false,
        };
        if !comes_first {
            return Ok(own.map(|path| (path, false)));
        }
        if let (Some(own), Some(last)) = (own, self.open.last_mut()) {
            last.push(own.to_string());
        } else {
            self.open.clear();
        }
        Ok(self.given.pop_first().map(|path| (path, true)))
    }

    async fn next_own(&mut self) -> Result<Option<SecretPath>> {
        while let Some(last) = self.open.last_mut() {
            let Some(entry) = last.pop() else {
                self.open.pop();
                continue;
            };
            if entry.is_empty() || entry.ends_with('/') {
                let entries = self.entries(&entry).await?;
                self.open.push(entries);
            } else if let Ok(path) = SecretPath::parse(&entry) {
                return Ok(Some(path));
            }
        }
        Ok(None)
    }

    /// What of a folder can be held, last first: names, and folders with their `/`. Names that no
    /// path has are other tools' own.
    async fn entries(&mut self, folder: &str) -> Result<Vec<String>> {
        self.asked += 1;
        if self.asked > limits::PAGES {
            return Err(Fault::Limit(
                "the listing has more folders than are followed in one call",
            ));
        }
        let inside = format!("{}{folder}", self.place.prefix());
        let keys = keys(self.session, self.place, self.area, &inside).await?;
        let mut entries: Vec<String> = keys
            .into_iter()
            .map(|key| format!("{folder}{key}"))
            .filter(|entry| match entry.strip_suffix('/') {
                Some(name) => SecretPath::parse(name).is_ok() && self.range.reaches(entry),
                None => {
                    let name = format!("{}{entry}", self.place.prefix());
                    self.range.holds(entry) && !self.place.is_taken(&name)
                }
            })
            .collect();
        entries.sort_unstable_by(|a, b| b.cmp(a));
        entries.dedup();
        Ok(entries)
    }
}

/// The keys of one folder below the mount; none where there is no such folder.
pub(crate) async fn keys(
    session: &Arc<Session>,
    place: &Place,
    area: &str,
    folder: &str,
) -> Result<Vec<String>> {
    let url = place.folder(area, folder)?;
    let request = Request::list(url, "list names (`list` on the engine's folders)");
    match session.call(&request).await {
        Ok(reply) => Ok(reply.data::<Keys>()?.keys),
        Err(Fault::Missing) => Ok(Vec::new()),
        Err(fault) => Err(fault),
    }
}

/// A page of paths that come in order; `more` is told by one path above the limit.
pub(crate) fn page(mut paths: Vec<SecretPath>, limit: usize) -> ListPage {
    let more = paths.len() > limit;
    paths.truncate(limit);
    ListPage { paths, more }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_that_cannot_hold_anything_are_not_asked_for() {
        let range = Range::new("a/b", Some("a/b-c/d")).ok().unwrap();
        assert_eq!(range.folder(), "a/");
        for (folder, reaches) in [
            ("a/", true),
            ("a/b/", true),
            ("a/b-c/", true),
            ("a/b-b/", false),
            ("a/c/", false),
            ("b/", false),
        ] {
            assert_eq!(range.reaches(folder), reaches, "{folder}");
        }
        assert!(range.holds("a/b-c/e") && !range.holds("a/b-c/d") && !range.holds("a/c"));
    }

    #[test]
    fn what_is_no_beginning_of_a_path_is_refused() {
        for prefix in ["/", "a//", "../", "a/../", "a b", "%2e"] {
            assert!(Range::new(prefix, None).is_err(), "{prefix}");
        }
        assert!(Range::new("", Some("not a path: ::")).is_err());
        for prefix in ["", "a", "a/", "a/b"] {
            assert!(Range::new(prefix, None).is_ok(), "{prefix}");
        }
    }
}
