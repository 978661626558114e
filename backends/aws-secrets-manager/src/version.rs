//! The ids of versions: our own number carried by the service.
//!
//! A version's id is the token of the request that wrote it. Ours say the number and the secret:
//!
//! ```text
//! strongroom-00000000000000000007-<32 hex>              version 7
//! strongroom-deleted-00000000000000000008-<24 hex>      the secret was deleted after version 7
//! ```
//!
//! The hex is a hash of the secret's name. So a number has one id, and the service itself
//! refuses a second value under it; a version is read by its number in one request; and an id copied from
//! another secret is not taken for ours.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

const VERSION: &str = "strongroom-";
const DELETED: &str = "strongroom-deleted-";
/// As many as the largest number has, so that ids sort as numbers do.
const DIGITS: usize = 20;
/// The service takes 32 to 64 characters.
const ID: usize = 64;

/// What a version's id says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Id {
    /// A value that we wrote, of this number.
    Value(u64),
    /// The mark of a delete. No value, but the number is used up.
    Deleted(u64),
    /// Written by another tool.
    Foreign,
}

/// The ids within one secret.
#[derive(Clone, Debug)]
pub(crate) struct Ids {
    salt: String,
}

impl Ids {
    /// The ids of the secret that the service knows as `name`.
    pub(crate) fn of(name: &str) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(b"strongroom version 1\0");
        hasher.update(name.as_bytes());
        let mut salt = String::with_capacity(ID);
        for byte in hasher.finalize() {
            // Writing to a string cannot fail.
            let _ = write!(salt, "{byte:02x}");
        }
        Self { salt }
    }

    /// The id of the value of this number.
    pub(crate) fn value(&self, number: u64) -> String {
        self.make(VERSION, number)
    }

    /// The id of the mark of a delete.
    pub(crate) fn deleted(&self, number: u64) -> String {
        self.make(DELETED, number)
    }

    /// What `id` says. Only the exact text that we would write is ours.
    pub(crate) fn parse(&self, id: &str) -> Id {
        let number = |head: &str| {
            let digits = id.strip_prefix(head)?.get(..DIGITS)?;
            let number = digits.parse().ok().filter(|number| *number > 0)?;
            (self.make(head, number) == id).then_some(number)
        };
        match (number(DELETED), number(VERSION)) {
            (Some(number), _) => Id::Deleted(number),
            (None, Some(number)) => Id::Value(number),
            (None, None) => Id::Foreign,
        }
    }

    fn make(&self, head: &str, number: u64) -> String {
        let mut id = format!("{head}{number:0DIGITS$}-");
        let room = ID.saturating_sub(id.len());
        id.push_str(self.salt.get(..room).unwrap_or(&self.salt));
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_say_their_number_and_have_a_length_that_the_service_takes() {
        let ids = Ids::of("prod/db");
        for number in [1, 7, 1_790_000_000_000, u64::MAX] {
            let (value, deleted) = (ids.value(number), ids.deleted(number));
            assert_eq!((value.len(), deleted.len()), (64, 64));
            assert_eq!(ids.parse(&value), Id::Value(number));
            assert_eq!(ids.parse(&deleted), Id::Deleted(number));
        }
    }

    #[test]
    fn ids_never_change() {
        assert_eq!(
            Ids::of("a").value(1),
            "strongroom-00000000000000000001-79e9d495494f628d64669929de865b2a"
        );
    }

    #[test]
    fn anything_else_is_foreign() {
        let ids = Ids::of("a");
        let good = ids.value(12);
        for text in [
            "",
            "strongroom-",
            "4f9f1d2e-97a5-4e0c-8f0b-2d2f6d8c5a11",
            &good[..63],
            &format!("{good}0"),
            &good.to_uppercase(),
            &Ids::of("b").value(12),
            &good.replace("00012-", "+0012-"),
            &ids.value(1).replace("0001-", "0000-"),
            "strongroom-99999999999999999999-00000000000000000000000000000000",
            "strongroom-\u{e9}00000000000000000000",
        ] {
            assert_eq!(ids.parse(text), Id::Foreign, "{text}");
        }
    }
}
