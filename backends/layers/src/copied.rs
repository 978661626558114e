//! A store that is kept a copy of a part of another.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use strongroom_backend::{
    Backend, Capabilities, Change, ChangeCell, CompareAndSet, Description, Error, ErrorKind,
    ListPage, Metadata, Notices, OnNotice, PutOptions, Result, Secret, SecretPath, SecretValue,
    StoreMark, VersionInfo, Versioning, Which,
};

use crate::{Answer, Counters, Look, Standing, Store};

/// The name under which the store keeps when it was last in step. It is served to nobody.
const MARK: &str = "_strongroom/synced";

/// How far ahead of the clock a mark may be, in milliseconds.
const SLACK: u64 = 60_000;

/// The label of a copy that names what it is a copy of; without it a secret is nobody's copy.
pub const COPY_OF: &str = "synced-from";
/// The label of a copy that names the version that it is a copy of.
const COPY_OF_VERSION: &str = "synced-version";
/// The label by which a description says how old the copy is.
const COPY_AGE: &str = "synced-age";
/// All labels of a copy. They say what is true of it alone: what is made from it must not have them.
pub const COPY_LABELS: [&str; 3] = [COPY_OF, COPY_OF_VERSION, COPY_AGE];

/// Serves a store as the copy that it is: only read, with its age, and not at all when it is too old.
///
/// Who keeps it in step writes to the store itself, and says with [`mark`](copy_mark) that it has done so.
/// The mark is a secret like any other, so that nobody who cannot write the store can make a copy look
/// younger than it is.
pub struct Copied {
    inner: Arc<dyn Store>,
    capabilities: Capabilities,
    from: String,
    origin: String,
    mark: SecretPath,
    max_stale: Duration,
}

impl Copied {
    /// Serves `inner` as a copy of `from`, as messages call it. `origin` tells that from all that it
    /// may become when settings change: a mark with another one is none.
    ///
    /// # Errors
    ///
    /// None that can come to pass: the name of the mark is a path.
    pub fn new(
        inner: Arc<dyn Store>,
        from: String,
        origin: String,
        max_stale: Duration,
    ) -> Result<Self> {
        let capabilities = Capabilities {
            write: false,
            compare_and_set: CompareAndSet::None,
            undelete: false,
            delete_version: false,
            destroy: false,
            metadata: false,
            ..inner.backend().capabilities().clone()
        };
        Ok(Self {
            inner,
            capabilities,
            from,
            origin,
            mark: copy_mark()?,
            max_stale,
        })
    }

    /// When it was last in step, in milliseconds since the Unix epoch, and what that hangs on.
    async fn since(&self) -> Result<(u64, Option<Standing>)> {
        let mark = self
            .inner
            .answer(&self.mark, Which::Current, Look::Kept)
            .await;
        let at = match mark.secret {
            Ok(secret) => read_mark(secret.value.expose(), &self.origin),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let unavailable = |text| Error::new(ErrorKind::Unavailable, text);
        let at =
            at.ok_or_else(|| unavailable(format!("the copy of {} was not made yet", self.from)))?;
        let age = age(at).ok_or_else(|| {
            unavailable(format!(
                "the copy of {} was made in the future: the clock was set back",
                self.from
            ))
        })?;
        if age >= self.max_stale {
            return Err(unavailable(format!(
                "the copy of {} is older than 'max-stale' allows: {}",
                self.from,
                age_text(now().saturating_sub(at))
            )));
        }
        Ok((at, mark.standing))
    }

    fn signed(&self, answer: Answer, at: u64, standing: Option<Standing>) -> Answer {
        let most = u64::try_from(self.max_stale.as_millis()).unwrap_or(u64::MAX);
        Answer {
            good_until: answer.good_until.min(at.saturating_add(most)),
            standing: answer
                .standing
                .zip(standing)
                .map(|(one, mark)| one.and(mark)),
            copied: Some(at),
            ..answer
        }
    }

    fn can(&self) -> &dyn Backend {
        self.inner.backend()
    }

    fn is_mark(&self, path: &SecretPath) -> bool {
        *path == self.mark
    }

    async fn look_at(&self, path: &SecretPath) -> Result<u64> {
        if self.is_mark(path) {
            return Err(Error::not_found());
        }
        self.since().await.map(|(at, _)| at)
    }

    fn refused<T>(&self) -> Result<T> {
        Err(Error::unsupported(
            "write: this vault is a copy, and only read; write to what it is a copy of",
        ))
    }
}

/// The name of the secret that says when a copy was last in step.
///
/// # Errors
///
/// None that can come to pass: it is a path.
pub fn copy_mark() -> Result<SecretPath> {
    SecretPath::parse(MARK).map_err(|error| Error::new(ErrorKind::Failed, error.to_string()))
}

/// What that secret is where the store has been a copy of `origin` at this time.
pub fn copy_marked(at: u64, origin: &str) -> SecretValue {
    SecretValue::new(format!("{at} {origin}").into_bytes())
}

/// How old a copy with this mark is; none where it is no copy of `origin`, or was made in the future.
pub fn copy_age(mark: &[u8], origin: &str) -> Option<Duration> {
    age(read_mark(mark, origin)?)
}

/// Another origin makes it a copy that was never made.
fn read_mark(value: &[u8], origin: &str) -> Option<u64> {
    let (at, of) = std::str::from_utf8(value).ok()?.split_once(' ')?;
    (of == origin).then(|| at.parse().ok()).flatten()
}

/// How long ago `at` was. A clock that was ahead when the copy was made must not make it young until
/// then, so that what lies further ahead than clocks differ has no age.
fn age(at: u64) -> Option<Duration> {
    let now = now();
    (at <= now.saturating_add(SLACK)).then(|| Duration::from_millis(now.saturating_sub(at)))
}

/// An age in whole minutes, hours or days, rounded down: a few texts for all ages.
pub fn age_text(ms: u64) -> String {
    let minutes = ms / 60_000;
    match minutes {
        0..120 => format!("{minutes}m"),
        120..2880 => format!("{}h", minutes / 60),
        _ => format!("{}d", minutes / 1440),
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

#[async_trait]
impl Store for Copied {
    fn backend(&self) -> &dyn Backend {
        self
    }

    async fn answer(&self, path: &SecretPath, which: Which, look: Look) -> Answer {
        if self.is_mark(path) {
            return Answer::failed(Error::not_found());
        }
        match self.since().await {
            Ok((at, standing)) => {
                let mut answer = self.inner.answer(path, Which::Current, look).await;
                // What the source has replaced or deleted, its copy does not give out under a number.
                let superseded = match (which, &answer.secret) {
                    (Which::Version(number), Ok(secret)) => secret.version != number,
                    _ => false,
                };
                if superseded {
                    answer.secret = Err(Error::not_found());
                }
                self.signed(answer, at, standing)
            }
            Err(error) => Answer::failed(error),
        }
    }

    async fn answer_many(&self, paths: &[SecretPath], look: Look) -> Vec<Answer> {
        let (at, standing) = match self.since().await {
            Ok(since) => since,
            Err(error) => {
                let failed = Answer::failed(error);
                return paths.iter().map(|_| failed.again()).collect();
            }
        };
        let answers = self.inner.answer_many(paths, look).await;
        let signed = paths.iter().zip(answers).map(|(path, answer)| {
            if self.is_mark(path) {
                return Answer::failed(Error::not_found());
            }
            self.signed(answer, at, standing.clone())
        });
        signed.collect()
    }

    fn counters(&self, path: &SecretPath) -> Counters {
        self.inner.counters(path)
    }

    fn sweep(&self) {
        self.inner.sweep();
    }

    fn clear(&self) {
        self.inner.clear();
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Backend for Copied {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn get(&self, path: &SecretPath, which: Which) -> Result<Secret> {
        self.answer(path, which, Look::Kept).await.secret
    }

    async fn put(&self, _: &SecretPath, _: &SecretValue, _: &PutOptions) -> Result<Change> {
        self.refused()
    }

    /// With how old the copy is among the labels.
    async fn describe(&self, path: &SecretPath) -> Result<Description> {
        let at = self.look_at(path).await?;
        let mut described = self.can().describe(path).await?;
        let age = age_text(now().saturating_sub(at));
        described.labels.retain(|(name, _)| name != COPY_AGE);
        described.labels.push((COPY_AGE.to_owned(), age));
        described.labels.sort();
        Ok(described)
    }

    async fn delete(&self, _: &SecretPath, _: Option<u64>) -> Result<Change> {
        self.refused()
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<ListPage> {
        self.since().await?;
        let mut page = self.can().list(prefix, after, limit).await?;
        page.paths.retain(|path| !self.is_mark(path));
        // An empty page could not be gone on from.
        if page.paths.is_empty() && page.more {
            return self.can().list(prefix, Some(MARK), limit).await;
        }
        Ok(page)
    }

    async fn versions(&self, path: &SecretPath) -> Result<Vec<VersionInfo>> {
        self.look_at(path).await?;
        let current = self.can().describe(path).await?.version;
        let mut versions = self.can().versions(path).await?;
        versions.retain(|it| current == Some(it.version));
        Ok(versions)
    }

    async fn check(&self) -> Result<Vec<String>> {
        let mut lines = self.can().check().await?;
        let (at, _) = self.since().await?;
        let age = age_text(now().saturating_sub(at));
        lines.push(format!("a copy of {}, {age} old", self.from));
        Ok(lines)
    }

    async fn get_many(&self, paths: &[SecretPath]) -> Vec<Result<Secret>> {
        let answers = self.answer_many(paths, Look::Kept).await;
        answers.into_iter().map(|answer| answer.secret).collect()
    }

    fn versioning(&self) -> Option<&dyn Versioning> {
        None
    }

    /// Not all that an answer hangs on: a copy that grows too old moves nothing.
    fn change_cell(&self, _: &SecretPath) -> Option<ChangeCell> {
        None
    }

    fn notices(&self, on_notice: OnNotice) -> Option<Notices> {
        self.can().notices(on_notice)
    }

    fn mark(&self) -> Result<Option<StoreMark>> {
        self.can().mark()
    }
}

/// The metadata of a copy of this version of this secret.
pub fn copy_metadata(of: &str, version: u64) -> Metadata {
    Metadata {
        labels: Some(vec![
            (COPY_OF.to_owned(), of.to_owned()),
            (COPY_OF_VERSION.to_owned(), version.to_string()),
        ]),
        ..Metadata::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_few_texts() {
        for (ms, text) in [
            (0, "0m"),
            (59_999, "0m"),
            (60_000, "1m"),
            (119 * 60_000, "119m"),
            (120 * 60_000, "2h"),
            (47 * 3_600_000, "47h"),
            (48 * 3_600_000, "2d"),
        ] {
            assert_eq!(age_text(ms), text);
        }
    }

    #[test]
    fn a_mark_is_of_one_source() {
        let mark = copy_marked(12, "prod:app/");
        assert_eq!(read_mark(mark.expose(), "prod:app/"), Some(12));
        assert_eq!(read_mark(mark.expose(), "prod:"), None);
        assert_eq!(read_mark(b"12", ""), None);
    }

    #[test]
    fn what_was_made_in_the_future_has_no_age() {
        assert!(age(now()).unwrap() < Duration::from_secs(60));
        assert!(age(now() - 5000).unwrap() >= Duration::from_secs(5));
        assert_eq!(age(now() + SLACK / 2), Some(Duration::ZERO));
        assert_eq!(age(now() + 2 * SLACK), None);
        assert_eq!(copy_age(copy_marked(u64::MAX, "o").expose(), "o"), None);
    }
}
