use std::fmt;

/// What a principal does to a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Action {
    /// See the value.
    Read,
    /// See the name and what is known of it beside the value.
    List,
    /// Write a new version, or metadata.
    Write,
    /// Soft-delete.
    Delete,
    /// Take a soft delete back.
    Undelete,
    /// Make the value of an older version current again.
    Rollback,
    /// Make a version unreadable for good.
    Destroy,
    /// Run the secret's rotation.
    Rotate,
    /// Take out a short-lived credential.
    Lease,
    /// Put the value, unseen, into an outgoing HTTP request to a granted host.
    UseHttp,
    /// Encrypt with the key, unseen.
    UseEncrypt,
    /// Decrypt with the key, unseen.
    UseDecrypt,
    /// Sign with the key, unseen.
    UseSign,
    /// Verify with the key, unseen.
    UseVerify,
    /// Make or check an HMAC with the key, unseen.
    UseHmac,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 15] = [
        Self::Read,
        Self::List,
        Self::Write,
        Self::Delete,
        Self::Undelete,
        Self::Rollback,
        Self::Destroy,
        Self::Rotate,
        Self::Lease,
        Self::UseHttp,
        Self::UseEncrypt,
        Self::UseDecrypt,
        Self::UseSign,
        Self::UseVerify,
        Self::UseHmac,
    ];

    /// The word that configuration, audit records and the command line use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::List => "list",
            Self::Write => "write",
            Self::Delete => "delete",
            Self::Undelete => "undelete",
            Self::Rollback => "rollback",
            Self::Destroy => "destroy",
            Self::Rotate => "rotate",
            Self::Lease => "lease",
            Self::UseHttp => "use-http",
            Self::UseEncrypt => "use-encrypt",
            Self::UseDecrypt => "use-decrypt",
            Self::UseSign => "use-sign",
            Self::UseVerify => "use-verify",
            Self::UseHmac => "use-hmac",
        }
    }

    /// The action that a word names; the short forms of a grant are not single actions.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == word)
    }

    const fn bit(self) -> u16 {
        1 << self as u16
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of actions.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Actions(u16);

impl Actions {
    /// `data-read`: names and values.
    pub const DATA_READ: Self = Self::of(&[Action::List, Action::Read]);
    /// `data-write`: what changes data and can be taken back.
    pub const DATA_WRITE: Self = Self::of(&[Action::Write, Action::Delete]);

    /// The set of these actions.
    pub const fn of(mut actions: &[Action]) -> Self {
        let mut bits = 0;
        while let [first, rest @ ..] = actions {
            bits |= first.bit();
            actions = rest;
        }
        Self(bits)
    }

    /// What a word in a grant stands for: an action, `data-read` or `data-write`.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "data-read" => Some(Self::DATA_READ),
            "data-write" => Some(Self::DATA_WRITE),
            _ => Action::parse(word).map(|action| Self(action.bit())),
        }
    }

    /// Every word that [`Actions::parse`] takes.
    pub fn words() -> impl Iterator<Item = &'static str> {
        let actions = Action::ALL.into_iter().map(Action::as_str);
        actions.chain(["data-read", "data-write"])
    }

    /// Both sets.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether the action is in the set.
    pub const fn contains(self, action: Action) -> bool {
        self.0 & action.bit() != 0
    }

    /// Whether nothing is in the set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The actions in the set.
    pub fn iter(self) -> impl Iterator<Item = Action> {
        let all = Action::ALL.into_iter();
        all.filter(move |action| self.contains(*action))
    }
}

impl fmt::Debug for Actions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl fmt::Display for Actions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, action) in self.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{action}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_parses_to_itself_and_nothing_else() {
        for action in Action::ALL {
            assert_eq!(Action::parse(action.as_str()), Some(action));
            let set = Actions::parse(action.as_str()).unwrap();
            assert!(
                Action::ALL
                    .into_iter()
                    .all(|a| set.contains(a) == (a == action))
            );
        }
        for word in ["", "READ", "read ", "data-read", "*", "all", "use-"] {
            assert_eq!(Action::parse(word), None, "{word:?}");
        }
        assert_eq!(Actions::words().count(), Action::ALL.len() + 2);
    }

    #[test]
    fn short_forms_are_what_the_contract_says() {
        assert_eq!(Actions::DATA_READ.to_string(), "read, list");
        assert_eq!(Actions::DATA_WRITE.to_string(), "write, delete");
    }
}
