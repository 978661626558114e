//! Listing, right and wrong.

use strongroom_backend::{Backend, ListPage, Result, SecretPath};

use crate::defect::Defect as D;
use crate::store::Store;

impl Store {
    pub(crate) async fn page(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ListPage> {
        let mut names = self.inner.list("", None, usize::MAX).await?.paths;
        if self.is(D::ListsDeleted) {
            let written = self.seen().written.clone();
            names = written
                .iter()
                .map(|n| SecretPath::parse(n).unwrap())
                .collect();
        }
        match self.defect {
            D::SortsWithoutCase => names.sort_by_key(|n| n.as_str().to_lowercase()),
            D::ReservesNames => names.retain(|n| !n.as_str().ends_with(".lock")),
            D::HidesUndeleted => {
                let deleted = self.seen().deleted.clone();
                names.retain(|n| !deleted.contains(n.as_str()));
            }
            _ => {}
        }
        names.retain(|n| match self.defect {
            D::PrefixIsPattern => {
                n.as_str().len() >= prefix.len()
                    && n.as_str()
                        .chars()
                        .zip(prefix.chars())
                        .all(|(a, b)| a == b || "_.".contains(b))
            }
            D::PrefixIsFolder => {
                prefix.is_empty()
                    || n.as_str() == prefix
                    || n.as_str()
                        .starts_with(&format!("{}/", prefix.trim_end_matches('/')))
            }
            _ => n.as_str().starts_with(prefix),
        });
        if let Some(after) = after {
            let at = names.iter().position(|n| n.as_str() == after);
            match self.defect {
                D::PagesByOffset => {
                    let offset = self.seen().offsets.get(after).copied().unwrap_or(0);
                    names.drain(..offset.min(names.len()));
                }
                D::RepeatsCursor => names.retain(|n| n.as_str() >= after),
                D::NeedsCursor => drop(names.drain(..at.map_or(names.len(), |at| at + 1))),
                D::SortsWithoutCase => drop(names.drain(..at.map_or(0, |at| at + 1))),
                _ => names.retain(|n| n.as_str() > after),
            }
        }
        let more = match self.defect {
            D::PromisesMore => names.len() >= limit,
            D::EmptyHasMore => names.is_empty() || names.len() > limit,
            _ => names.len() > limit,
        };
        names.truncate(limit);
        if let Some(last) = names.last() {
            let mut seen = self.seen();
            let before = after
                .and_then(|a| seen.offsets.get(a).copied())
                .unwrap_or(0);
            seen.offsets.insert(last.to_string(), before + names.len());
        }
        Ok(ListPage { paths: names, more })
    }
}
