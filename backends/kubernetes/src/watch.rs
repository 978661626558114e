//! News of what others change, from a watch on the namespace.
//!
//! A watch goes on from the version of the namespace that was seen last, so a connection that ends
//! loses nothing. Where the server no longer knows that version, nothing is known of the time
//! between: whoever listens is told that anything may have changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::BodyExt;
use kube::client::Body;
use kube::core::params::{ListParams, WatchParams};
use serde::Deserialize;
use strongroom_backend::{Notice, Notices, OnNotice, SecretPath};
use strongroom_backend_remote::{Names, Transport};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::client::Api;
use crate::error::{Fault, Refusal, Result};
use crate::object::{Meta, parse};
use crate::record;

/// A command that is over sooner than this needs no watch.
const DELAY: Duration = Duration::from_millis(500);
/// How long the server keeps one watch open, in seconds.
const LASTS: u32 = 290;
/// The server sends a bookmark about once a minute: a connection that is quiet for longer is dead.
const QUIET: Duration = Duration::from_secs(100);
/// The longest line: the metadata of one object.
const MAX_LINE: usize = 2 << 20;
/// Pauses between two tries double from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(30);
/// A watch that lasted as long as this worked.
const STEADY: Duration = Duration::from_secs(10);
/// Between tries where our user may not watch: somebody must grant it.
const DENIED_PAUSE: Duration = Duration::from_secs(300);
/// The most foreign Secrets of which it is known what was read of them.
const MOST_ASKED: usize = 10_000;

/// What was read of foreign Secrets: an event names the Secret and not the keys that changed.
#[derive(Default)]
pub(crate) struct Asked(Mutex<Paths>);

#[derive(Default)]
struct Paths {
    by_name: BTreeMap<String, BTreeSet<SecretPath>>,
    count: usize,
    /// There were too many to remember.
    lost: bool,
}

impl Asked {
    pub(crate) fn note(&self, name: &str, path: &SecretPath) {
        let mut paths = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = paths
            .by_name
            .get(name)
            .is_some_and(|paths| paths.contains(path));
        if known || paths.lost {
            return;
        }
        if paths.count == MOST_ASKED {
            paths.lost = true;
            paths.by_name.clear();
            return;
        }
        paths.count += 1;
        paths
            .by_name
            .entry(name.to_owned())
            .or_default()
            .insert(path.clone());
    }

    /// The paths read of this Secret; none where that is not known any more.
    fn of(&self, name: &str) -> Option<BTreeSet<SecretPath>> {
        let paths = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (!paths.lost).then(|| paths.by_name.get(name).cloned().unwrap_or_default())
    }
}

/// Whose Secrets are watched.
pub(crate) enum Watched {
    Own(Arc<Names>),
    Foreign(Arc<Asked>),
}

/// Watches until the answer is dropped.
pub(crate) fn start(
    api: Arc<Api>,
    watched: Watched,
    on_notice: OnNotice,
    runtime: &Handle,
) -> Notices {
    let watcher = Watcher {
        api,
        watched,
        on_notice,
    };
    Notices::until_dropped(Ends(runtime.spawn(watcher.run()).abort_handle()))
}

struct Ends(AbortHandle);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Watcher {
    api: Arc<Api>,
    watched: Watched,
    on_notice: OnNotice,
}

/// A line of a watch.
#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    object: Object,
}

#[derive(Deserialize)]
struct Object {
    #[serde(default)]
    metadata: Option<Meta>,
}

impl Watcher {
    async fn run(self) {
        tokio::time::sleep(DELAY).await;
        let mut place = None;
        let mut pause = FIRST_PAUSE;
        let mut told = false;
        loop {
            let (seen, began) = (place.clone(), Instant::now());
            let followed = self.follow(&mut place).await;
            if place != seen || began.elapsed() > STEADY {
                pause = FIRST_PAUSE;
                told = false;
            }
            let mut rest = pause;
            if let Err(error) = followed {
                let refusal = error.refusal();
                if refusal.is_some_and(|refusal| !is_passing(refusal)) {
                    place = None;
                }
                if refusal.is_some_and(|refusal| matches!(refusal.status, 401 | 403)) {
                    rest = DENIED_PAUSE;
                }
                if !told {
                    tracing::warn!(
                        namespace = self.api.namespace(),
                        "no news of changed Secrets, caches rely on their `ttl`: {error}"
                    );
                    told = true;
                }
            }
            tokio::time::sleep(rest).await;
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }

    /// Follows one watch to its end, from `place` on, which moves with it.
    async fn follow(&self, place: &mut Option<String>) -> Result<()> {
        let from = match place {
            Some(from) => from.clone(),
            None => {
                let now = self.now().await?;
                // Whatever was read before this moment may be old.
                (self.on_notice)(Notice::Any);
                *place = Some(now.clone());
                now
            }
        };
        let params = WatchParams {
            label_selector: self.selector(),
            timeout: Some(LASTS),
            bookmarks: true,
            ..WatchParams::default()
        };
        let mut lines = Lines::new(self.api.watch(&params, &from).await?);
        while let Some(line) = lines.next().await? {
            let event: Event = parse(&line, "a line of a watch")?;
            if event.kind == "ERROR" {
                // Mostly that our place is too old; whatever it says, a new beginning mends it.
                *place = None;
                return Err(Fault::Reply("the watch ended with an error"));
            }
            let Some(meta) = event.object.metadata else {
                return Err(Fault::Reply("a line of a watch without an object"));
            };
            if event.kind != "BOOKMARK" {
                self.tell(&meta);
            }
            if meta.resource_version.is_some() {
                *place = meta.resource_version;
            }
        }
        Ok(())
    }

    fn selector(&self) -> Option<String> {
        match self.watched {
            Watched::Own(_) => Some(record::all_ours()),
            Watched::Foreign(_) => None,
        }
    }

    /// The version of the namespace now.
    async fn now(&self) -> Result<String> {
        let params = ListParams {
            label_selector: self.selector(),
            limit: Some(1),
            ..ListParams::default()
        };
        let page = self.api.page_metadata(&params).await?;
        let version = page.metadata.resource_version;
        version.ok_or(Fault::Reply("a list without a resourceVersion"))
    }

    fn tell(&self, meta: &Meta) {
        match &self.watched {
            Watched::Own(names) => {
                let reference = meta.annotation(record::REFERENCE);
                if let Some(path) = names.path(&meta.name, reference) {
                    (self.on_notice)(Notice::Changed(&path));
                }
            }
            Watched::Foreign(asked) => match asked.of(&meta.name) {
                Some(paths) => paths
                    .iter()
                    .for_each(|path| (self.on_notice)(Notice::Changed(path))),
                None => (self.on_notice)(Notice::Any),
            },
        }
    }
}

/// Whether a refusal says nothing about our place in the watch.
fn is_passing(refusal: &Refusal) -> bool {
    matches!(refusal.status, 401 | 403 | 429 | 500..) && !refusal.is_expired()
}

/// The lines of a body, as they arrive.
struct Lines {
    body: Body,
    buffer: Vec<u8>,
    /// How much of the buffer has no end of line.
    looked: usize,
}

impl Lines {
    fn new(body: Body) -> Self {
        Self {
            body,
            buffer: Vec::new(),
            looked: 0,
        }
    }

    /// None at the end of the body; what stands there without an end of line does not count.
    async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        loop {
            let rest = self.buffer.get(self.looked..).unwrap_or_default();
            if let Some(end) = rest.iter().position(|b| *b == b'\n') {
                let mut line: Vec<u8> = self.buffer.drain(..=self.looked + end).collect();
                line.pop();
                self.looked = 0;
                if line.is_empty() {
                    continue;
                }
                return Ok(Some(line));
            }
            self.looked = self.buffer.len();
            if self.buffer.len() > MAX_LINE {
                return Err(Fault::ReplyTooLong(MAX_LINE));
            }
            let frame = tokio::time::timeout(QUIET, self.body.frame()).await;
            match frame.map_err(|_| Fault::Transport(Transport::Timeout))? {
                None => return Ok(None),
                Some(Ok(frame)) => {
                    let piece = frame.data_ref().map(AsRef::as_ref);
                    self.buffer.extend_from_slice(piece.unwrap_or_default());
                }
                Some(Err(error)) => {
                    let cause = strongroom_backend_remote::transport(&error);
                    return Err(Fault::Transport(cause));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_put_together() {
        let mut lines = Lines::new(Body::from(b"one\n\ntwo\nthr".to_vec()));
        assert_eq!(lines.next().await.unwrap().unwrap(), b"one");
        assert_eq!(lines.next().await.unwrap().unwrap(), b"two");
        assert!(lines.next().await.unwrap().is_none());
        let mut long = Lines::new(Body::from(vec![b' '; MAX_LINE + 1]));
        assert!(matches!(long.next().await, Err(Fault::ReplyTooLong(_))));
    }

    #[test]
    fn too_many_names_become_all_of_them() {
        let asked = Asked::default();
        let path = |text: String| SecretPath::parse(&text).unwrap();
        asked.note("a", &path("a/k".into()));
        asked.note("a", &path("a/l".into()));
        assert_eq!(asked.of("a").unwrap().len(), 2);
        assert!(asked.of("b").unwrap().is_empty());
        for index in 0..=MOST_ASKED {
            asked.note(&format!("n{index}"), &path(format!("n{index}/k")));
        }
        assert!(asked.of("a").is_none());
    }
}
