use std::fmt;
use std::sync::Arc;

use super::{Action, Actions, Digest, Name};

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Principal {
    /// A component: the outermost one of a store. Its roles are those that the policy gives it.
    Component {
        /// Its name, which comes from the host.
        name: Name,
        /// The digest of its bytes; none where the embedder compiled it unseen.
        digest: Option<Digest>,
    },
    /// A person at the command line, by the name of the real user id.
    Operator {
        /// The operating system's user name.
        user: Arc<str>,
    },
    /// Work of the host in the background.
    Host {
        /// Which work.
        job: Job,
    },
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Component { name, .. } => write!(f, "component:{name}"),
            Self::Operator { user } => write!(f, "operator:{user}"),
            Self::Host { job } => write!(f, "host:{}", job.as_str()),
        }
    }
}

/// Work in the background. Each job may do only what it is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Job {
    /// Fetches a value anew that a component has asked for before.
    Refresh,
    /// Keeps a vault a copy of a part of another: what it may touch, its `sync` table says.
    Sync,
}

impl Job {
    /// The job's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refresh => "refresh",
            Self::Sync => "sync",
        }
    }

    pub(super) const fn may(self, action: Action) -> bool {
        let actions = match self {
            Self::Refresh => Actions::of(&[Action::Read]),
            Self::Sync => {
                Actions::of(&[Action::Read, Action::List, Action::Write, Action::Destroy])
            }
        };
        actions.contains(action)
    }
}
