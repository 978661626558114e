//! Listings in byte order, of a service that has none.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_sdk_ssm::types::ParameterStringFilter;
use futures::stream::{self, StreamExt, TryStreamExt};
use strongroom_backend::{ListPage, SecretPath};

use crate::backend::SsmBackend;
use crate::error::{Fault, Result};
use crate::note::Note;
use crate::service::MOST_IN_FILTER;

/// How long the pages of one listing may come from what its first page found.
const LIFE: Duration = Duration::from_secs(30);
/// How many questions of one listing run at once.
const AT_ONCE: usize = 4;

/// The listing that was asked for last, so that its further pages need no calls: the service gives its
/// pages in no order, and each of ours would take all of them.
#[derive(Debug, Default)]
pub(crate) struct Listings {
    /// Counts our own changes: after one a page is never an old one.
    changes: AtomicU64,
    last: Mutex<Option<Found>>,
}

#[derive(Clone, Debug)]
struct Found {
    prefix: String,
    /// The name that the last page ended with: only who goes on from there is answered from here.
    after: String,
    paths: Arc<Vec<SecretPath>>,
    changes: u64,
    made: Instant,
}

/// A change of ours that is under way.
pub(crate) struct Changing<'l>(&'l Listings);

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        self.0.changes.fetch_add(1, Ordering::SeqCst);
    }
}

impl Listings {
    /// Says that something changes, from now until the answer is dropped.
    pub(crate) fn changing(&self) -> Changing<'_> {
        self.changes.fetch_add(1, Ordering::SeqCst);
        Changing(self)
    }

    fn going_on(&self, prefix: &str, after: Option<&str>) -> Option<Found> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let found = last.as_ref()?;
        let fresh =
            found.made.elapsed() < LIFE && found.changes == self.changes.load(Ordering::SeqCst);
        if !fresh {
            *last = None;
            return None;
        }
        (found.prefix == prefix && Some(found.after.as_str()) == after).then(|| found.clone())
    }

    fn keep(&self, found: Option<Found>) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = found;
    }
}

impl SsmBackend {
    /// A page of the paths that begin with `prefix`, after `after`.
    pub(crate) async fn page(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ListPage> {
        let mut found = match self.listings.going_on(prefix, after) {
            Some(found) => found,
            None => self.find(prefix).await?,
        };
        let from = after.map_or(0, |after| {
            found.paths.partition_point(|path| path.as_str() <= after)
        });
        let rest = found.paths.get(from..).unwrap_or_default();
        let paths: Vec<_> = rest.iter().take(limit).cloned().collect();
        let more = rest.len() > paths.len();
        match paths.last() {
            Some(path) if more => {
                found.after = path.to_string();
                self.listings.keep(Some(found));
            }
            _ => {}
        }
        Ok(ListPage { paths, more })
    }

    async fn find(&self, prefix: &str) -> Result<Found> {
        let changes = self.listings.changes.load(Ordering::SeqCst);
        let made = Instant::now();
        let mut paths = BTreeSet::new();
        // What no path begins with would be refused by the service.
        if prefix.bytes().all(is_path_byte) {
            let mut lists = stream::iter(self.questions(prefix)?)
                .map(|filters| self.service.list(filters))
                .buffer_unordered(AT_ONCE);
            while let Some(listed) = lists.try_next().await? {
                for parameter in listed {
                    let note = parameter.description.as_deref().and_then(Note::parse);
                    let kept = note.as_ref().and_then(|note| note.path.as_deref());
                    let path = self.naming.path(&parameter.name, kept);
                    paths.extend(path.filter(|path| path.as_str().starts_with(prefix)));
                }
            }
        }
        Ok(Found {
            prefix: prefix.to_owned(),
            after: String::new(),
            paths: Arc::new(paths.into_iter().collect()),
            changes,
            made,
        })
    }

    /// What to ask for all paths that begin with `prefix`: the names that stand as they are, those
    /// that are encoded, right under the vault's prefix, and those that others gave.
    fn questions(&self, prefix: &str) -> Result<Vec<Vec<ParameterStringFilter>>> {
        let root = self.naming.prefix();
        let stands = vec![format!("{root}{prefix}")];
        let mut questions = vec![vec![filter("Name", "BeginsWith", stands)?]];
        if !prefix.is_empty() {
            questions.push(vec![
                filter("Name", "BeginsWith", self.naming.encoded_starts(prefix))?,
                filter("Path", "OneLevel", vec![level(root).to_owned()])?,
            ]);
        }
        let given = self.naming.given();
        let given: Vec<_> = given
            .filter(|(path, _)| path.as_str().starts_with(prefix))
            .map(|(_, name)| name.to_owned())
            .collect();
        for names in given.chunks(MOST_IN_FILTER) {
            questions.push(vec![filter("Name", "Equals", names.to_vec())?]);
        }
        Ok(questions)
    }

    /// Asks for one page, to learn whether we may.
    pub(crate) async fn may_list(&self) -> Result<()> {
        let root = vec![self.naming.prefix().to_owned()];
        let filters = vec![filter("Name", "BeginsWith", root)?];
        self.service.list_one(filters).await
    }
}

/// A prefix as the service names a level.
fn level(prefix: &str) -> &str {
    match prefix.trim_end_matches('/') {
        "" => "/",
        level => level,
    }
}

fn filter(key: &str, option: &str, values: Vec<String>) -> Result<ParameterStringFilter> {
    ParameterStringFilter::builder()
        .key(key)
        .option(option)
        .set_values(Some(values))
        .build()
        .map_err(|_| Fault::Astray("a filter cannot be made"))
}

fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_.-/".contains(&byte)
}
