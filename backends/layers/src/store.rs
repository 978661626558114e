//! What the broker asks: a value, where it came from, and how long that stands.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use strongroom_backend::{
    Backend, Change, ChangeCell, Error, ErrorKind, PutOptions, Result, Secret, SecretPath, Which,
};

/// A store as the broker has it: with what it takes to remember an answer above it.
///
/// Everything but reading a value and rolling one back goes to [`backend`](Self::backend) as it is.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// The store for every other call.
    fn backend(&self) -> &dyn Backend;

    /// As [`Backend::get`], with where the answer came from and how long it stands.
    async fn answer(&self, path: &SecretPath, which: Which, look: Look) -> Answer;

    /// As [`Backend::get_many`], one answer for each path in the order asked.
    async fn answer_many(&self, paths: &[SecretPath], look: Look) -> Vec<Answer>;

    /// Writes the value of an older version as a new one; `author` is who does. Where `get` and `put`
    /// of one name may come to different stores, it must be written where it was read: else the
    /// value of one store lands in another.
    ///
    /// # Errors
    ///
    /// As [`Backend::get`] of that version, and as [`Backend::put`].
    async fn rollback(&self, path: &SecretPath, to: u64, author: Option<String>) -> Result<Change> {
        let old = self.backend().get(path, Which::Version(to)).await?;
        let options = PutOptions {
            expires: old.expires,
            author,
            ..PutOptions::default()
        };
        self.backend().put(path, &old.value, &options).await
    }

    /// The counters that move when `path` changes, as far as this machine can tell.
    fn counters(&self, path: &SecretPath) -> Counters;

    /// Drops what may not be served any more. Without calls nothing else does, so it is called once
    /// in a while.
    fn sweep(&self) {}

    /// Drops everything that is kept: after a revocation, or with other credentials.
    fn clear(&self) {}
}

/// Whether a kept answer will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// One that is kept and stands will do, and in an outage a stale one.
    Kept,
    /// The store itself must answer now.
    Anew,
}

/// What a store answered.
#[derive(Debug)]
pub struct Answer {
    /// The value, or why there is none.
    pub secret: Result<Secret>,
    /// Where it came from.
    pub origin: Origin,
    /// Until when, in milliseconds since the Unix epoch, it may be remembered above.
    pub good_until: u64,
    /// What else must hold for that; none where it may not be remembered.
    pub standing: Option<Standing>,
    /// The member of a chain that answered.
    pub from: Option<Arc<str>>,
    /// When the copy that answered was last the same as what it is a copy of, in milliseconds
    /// since the Unix epoch.
    pub copied: Option<u64>,
}

impl Answer {
    /// An answer of the store itself, good for as long as `standing` holds.
    pub fn fresh(secret: Result<Secret>, standing: Option<Standing>) -> Self {
        Self {
            secret,
            origin: Origin::Fresh,
            good_until: u64::MAX,
            standing,
            from: None,
            copied: None,
        }
    }

    /// A failure that is not to be remembered.
    pub fn failed(error: Error) -> Self {
        Self::fresh(Err(error), None)
    }

    /// What a store says that answered a `get_many` with fewer answers than were asked.
    pub(crate) fn short() -> Self {
        let text = "the store answered fewer than was asked";
        Self::failed(Error::new(ErrorKind::Failed, text))
    }

    /// The same for another caller who asked for the same name in one call. A failure is told by
    /// its kind and text.
    #[must_use]
    pub fn again(&self) -> Self {
        Self {
            secret: match &self.secret {
                Ok(secret) => Ok(Secret {
                    value: Arc::clone(&secret.value),
                    version: secret.version,
                    expires: secret.expires,
                }),
                Err(error) => Err(Error::new(error.kind(), error.to_string())),
            },
            origin: self.origin,
            good_until: self.good_until,
            standing: self.standing.clone(),
            from: self.from.clone(),
            copied: self.copied,
        }
    }
}

/// Where a value came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The store answered now.
    Fresh,
    /// Read this many milliseconds ago, within `ttl`.
    Cached {
        /// Its age.
        age_ms: u64,
    },
    /// Read this many milliseconds ago, and the store does not answer.
    Stale {
        /// Its age.
        age_ms: u64,
    },
}

/// The change counters that an answer hangs on, each with its number when the store was asked.
#[derive(Clone)]
pub struct Standing {
    // Most answers hang on one or two counters, and the broker compares them at every hit.
    first: Option<(ChangeCell, u64)>,
    more: Box<[(ChangeCell, u64)]>,
}

impl Standing {
    /// Hangs on nothing.
    pub fn always() -> Self {
        Self {
            first: None,
            more: Box::default(),
        }
    }

    /// Hangs on these.
    pub fn on(cells: impl IntoIterator<Item = (ChangeCell, u64)>) -> Self {
        let mut cells = cells.into_iter();
        Self {
            first: cells.next(),
            more: cells.collect(),
        }
    }

    /// Whether none of them has moved.
    #[inline]
    pub fn holds(&self) -> bool {
        let same = |(cell, number): &(ChangeCell, u64)| cell.load() == *number;
        self.first.as_ref().is_none_or(same) && self.more.iter().all(same)
    }

    /// Hangs on what either hangs on.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let cells = |it: Self| it.first.into_iter().chain(it.more);
        Self::on(cells(self).chain(cells(other)))
    }
}

impl fmt::Debug for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.first.iter().len() + self.more.len();
        write!(f, "Standing({count} counters)")
    }
}

/// How a change of one name can be noticed.
#[derive(Clone, Default)]
pub struct Counters {
    /// What moves.
    pub cells: Vec<ChangeCell>,
    /// Whether they move at every change. Else somebody elsewhere can make one that does not
    /// show here, and who waits for it has to ask.
    pub complete: bool,
    /// Whether asking goes across a network.
    pub far: bool,
}

impl Counters {
    /// The numbers now.
    pub fn load(&self) -> Vec<u64> {
        self.cells.iter().map(ChangeCell::load).collect()
    }
}
