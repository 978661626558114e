//! Several stores under one name, asked in order.

mod backend;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use strongroom_backend::{
    Backend, Capabilities, Change, CompareAndSet, Description, Error, ErrorKind, Result,
    SecretPath, VersionNumbers, Which,
};

use crate::{Answer, Counters, Look, Standing, Store};

/// Answers with the first of its members that has a secret.
///
/// - **Reads** ask the members in order and stop at the first that has a current value. What a member
///   cannot have under its naming, it does not have. A failure is never taken for not-found: it ends
///   the call, or with [`OnError::Next`] it is told where no later member has the secret.
/// - **Writes** go to the first member that can write, which may not be the one that answers. Where one
///   before it has the secret, a plain write succeeds and stays hidden behind that; one that names an
///   expected version is refused. Otherwise an expected version is compared, atomically, with that
///   of the member that is written: 0 is "none in that one".
/// - **Everything else about one secret** (its versions, a version by number, rollback, delete,
///   undelete, destroy, metadata) goes to the member that answers for it now; where none has a current value,
///   to the first that knows the name. Numbers are those of that member: they start again when
///   another begins to answer.
/// - **A copy** of an earlier member is asked only where that one failed: what the source has deleted,
///   its copy may still have.
/// - **Lists** are those of all members but such copies, each name once. They need every member whatever the setting:
///   a list with silent gaps would have names taken for deleted.
pub struct Chain {
    members: Vec<Member>,
    on_error: OnError,
    capabilities: Capabilities,
    writer: Option<usize>,
}

/// A store in a chain.
pub struct Member {
    /// The id of its vault, for records and messages.
    pub id: Arc<str>,
    /// The store.
    pub store: Arc<dyn Store>,
    /// The place of an earlier member of which this one is a copy. It is asked only where that one
    /// failed: what that one does not have any more, its copy does not have either.
    pub copy_of: Option<usize>,
}

/// What a chain does when a member fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// The call fails.
    #[default]
    Stop,
    /// The next member is asked, unless the store is damaged. What fails so is told where no later
    /// one has the secret.
    Next,
}

impl Chain {
    /// A chain of these, first asked first.
    pub fn new(members: Vec<Member>, on_error: OnError) -> Self {
        let writer = members
            .iter()
            .position(|member| member.can().capabilities().write);
        Self {
            capabilities: together(&members, writer),
            members,
            on_error,
            writer,
        }
    }

    fn writer(&self) -> Result<(usize, &Member)> {
        let none = || Error::unsupported("every vault of the chain is only read");
        let at = self.writer.ok_or_else(none)?;
        Ok((at, self.members.get(at).ok_or_else(none)?))
    }

    /// The member that answers for `path` now, else the first that knows it, with what it says.
    async fn holder(&self, path: &SecretPath) -> Result<(usize, &Member, Description)> {
        let mut known = None;
        let mut passed = None;
        let mut failed = Failed::default();
        for (at, member) in self.members.iter().enumerate() {
            if failed.skips(member) {
                continue;
            }
            match member.can().describe(path).await {
                Ok(described) if is_current(&described) => return Ok((at, member, described)),
                Ok(described) => known = known.or(Some((at, member, described))),
                Err(error) => {
                    failed.hear(at, &error);
                    self.pass(member, error, &mut passed)?;
                }
            }
        }
        match passed {
            Some(failure) => Err(failure),
            None => known.ok_or_else(Error::not_found),
        }
    }

    /// Whether the next member may be asked after this failure; a real one is kept in `passed`.
    fn pass(&self, member: &Member, error: Error, passed: &mut Option<Error>) -> Result<()> {
        match error.kind() {
            _ if !is_failure(&error) => Ok(()),
            ErrorKind::Damaged | ErrorKind::Config => Err(member.told(error)),
            _ if self.on_error == OnError::Next => {
                passed.get_or_insert(member.told(error));
                Ok(())
            }
            _ => Err(member.told(error)),
        }
    }
}

impl Member {
    fn can(&self) -> &dyn Backend {
        self.store.backend()
    }

    fn told(&self, error: Error) -> Error {
        let text = format!("vault {} of the chain: {error}", self.id);
        Error::new(error.kind(), text).with_source(error)
    }

    /// Signs an answer, where nobody further down the chain has.
    fn sign(&self, mut answer: Answer) -> Answer {
        answer.from.get_or_insert_with(|| Arc::clone(&self.id));
        answer
    }
}

/// What the members can do together. Announced is what some member can do: a call for a secret whose
/// own store cannot is unsupported, which that store says.
fn together(members: &[Member], writer: Option<usize>) -> Capabilities {
    let all = || members.iter().map(|member| member.can().capabilities());
    let writes = writer.and_then(|at| all().nth(at));
    let versioned = all().any(|can| can.versions != VersionNumbers::None);
    let versions = match (members, versioned) {
        ([only], true) => only.can().capabilities().versions,
        (_, true) => VersionNumbers::Increasing,
        (_, false) => VersionNumbers::None,
    };
    Capabilities {
        max_value: writes.map_or(0, |can| can.max_value),
        write: writes.is_some(),
        list: all().all(|can| can.list),
        versions,
        restarts: all().any(|can| can.restarts),
        compare_and_set: writes.map_or(CompareAndSet::None, |can| can.compare_and_set),
        undelete: all().any(|can| can.undelete),
        delete_version: all().any(|can| can.delete_version),
        destroy: all().any(|can| can.destroy),
        metadata: writes.is_some_and(|can| can.metadata),
        expiry: writes.is_some_and(|can| can.expiry),
    }
}

fn is_current(described: &Description) -> bool {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let expired = |at: u64| u128::from(at) <= now.as_millis();
    described.version.is_some() && !described.expires.is_some_and(expired)
}

#[async_trait]
impl Store for Chain {
    fn backend(&self) -> &dyn Backend {
        self
    }

    async fn answer(&self, path: &SecretPath, which: Which, look: Look) -> Answer {
        if which != Which::Current {
            return match self.holder(path).await {
                Ok((_, member, _)) => match member.can().capabilities().versions {
                    VersionNumbers::None => Answer::failed(unnumbered()),
                    _ => member.sign(member.store.answer(path, which, look).await),
                },
                Err(error) => Answer::failed(error),
            };
        }
        let mut asked = Asked::new();
        for (at, member) in self.members.iter().enumerate() {
            if asked.failed.skips(member) {
                continue;
            }
            let answer = member.store.answer(path, which, look).await;
            if let Some(answer) = asked.hear(self, at, member, answer) {
                return answer;
            }
        }
        asked.none()
    }

    async fn answer_many(&self, paths: &[SecretPath], look: Look) -> Vec<Answer> {
        let mut asked: Vec<_> = paths.iter().map(|_| Asked::new()).collect();
        let mut answers: Vec<_> = paths.iter().map(|_| None).collect();
        for (place, member) in self.members.iter().enumerate() {
            let open: Vec<usize> = (0..paths.len())
                .filter(|at| answers.get(*at).is_some_and(Option::is_none))
                .filter(|at| asked.get(*at).is_some_and(|it| !it.failed.skips(member)))
                .collect();
            if open.is_empty() {
                continue;
            }
            let names: Vec<_> = open
                .iter()
                .filter_map(|at| paths.get(*at).cloned())
                .collect();
            let mut heard = member.store.answer_many(&names, look).await.into_iter();
            for at in open {
                let answer = heard.next().unwrap_or_else(Answer::short);
                if let (Some(asked), Some(slot)) = (asked.get_mut(at), answers.get_mut(at)) {
                    *slot = asked.hear(self, place, member, answer);
                }
            }
        }
        answers
            .into_iter()
            .zip(asked)
            .map(|(answer, asked)| answer.unwrap_or_else(|| asked.none()))
            .collect()
    }

    async fn rollback(&self, path: &SecretPath, to: u64, author: Option<String>) -> Result<Change> {
        let (at, member) = self.writable(path).await?;
        match member.can().capabilities().versions {
            VersionNumbers::None => Err(unnumbered()),
            _ => self.made(at, member.store.rollback(path, to, author).await),
        }
    }

    fn counters(&self, path: &SecretPath) -> Counters {
        let mut all = Counters {
            complete: true,
            ..Counters::default()
        };
        for member in &self.members {
            let one = member.store.counters(path);
            all.cells.extend(one.cells);
            all.complete &= one.complete;
            all.far |= one.far;
        }
        all
    }
}

fn unnumbered() -> Error {
    Error::unsupported("the vault of the chain that has this secret keeps no versions")
}

/// What the members asked so far say. An answer hangs on all of them: one that did not have the
/// secret may have it next.
struct Asked {
    good_until: u64,
    standing: Option<Standing>,
    passed: Option<Error>,
    failed: Failed,
}

/// The places of the members that did not answer.
#[derive(Default)]
struct Failed(Vec<usize>);

impl Failed {
    fn hear(&mut self, at: usize, error: &Error) {
        if is_failure(error) {
            self.0.push(at);
        }
    }

    /// Whether a member is a copy of one that answered.
    fn skips(&self, member: &Member) -> bool {
        member.copy_of.is_some_and(|at| !self.0.contains(&at))
    }
}

/// A name that a member cannot carry, it does not have.
fn is_failure(error: &Error) -> bool {
    !matches!(
        error.kind(),
        ErrorKind::NotFound | ErrorKind::InvalidArgument
    )
}

impl Asked {
    fn new() -> Self {
        Self {
            good_until: u64::MAX,
            standing: Some(Standing::always()),
            passed: None,
            failed: Failed::default(),
        }
    }

    /// Takes a member's answer: the chain's own, where it is one.
    fn hear(
        &mut self,
        chain: &Chain,
        at: usize,
        member: &Member,
        answer: Answer,
    ) -> Option<Answer> {
        self.good_until = self.good_until.min(answer.good_until);
        let standing = self.standing.take().zip(answer.standing);
        self.standing = standing.map(|(all, one)| all.and(one));
        match answer.secret {
            Ok(secret) => Some(member.sign(Answer {
                secret: Ok(secret),
                good_until: self.good_until,
                standing: self.standing.take(),
                ..answer
            })),
            Err(error) => {
                let real = error.kind() != ErrorKind::NotFound;
                self.failed.hear(at, &error);
                match chain.pass(member, error, &mut self.passed) {
                    // Passed over a failure: what comes now holds only while the failure lasts.
                    Ok(()) if real => self.standing = None,
                    Ok(()) => {}
                    Err(error) => return Some(Answer::failed(error)),
                }
                None
            }
        }
    }

    /// No member has it.
    fn none(self) -> Answer {
        match self.passed {
            Some(error) => Answer::failed(error),
            None => Answer {
                good_until: self.good_until,
                ..Answer::fresh(Err(Error::not_found()), self.standing)
            },
        }
    }
}
