use std::fmt;
use std::str::FromStr;

/// Makes an enum of words that the log knows, with their spelling and a code for the journal.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $code:literal, $text:literal;)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name { $($(#[$vmeta])* $variant = $code,)* }

        impl $name {
            /// The word as the log spells it.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            pub(crate) fn from_code(code: u8) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)* _ => None }
            }

            /// Every word of this kind.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = UnknownWord;

            fn from_str(text: &str) -> Result<Self, UnknownWord> {
                match text { $($text => Ok(Self::$variant),)* _ => Err(UnknownWord(stringify!($name))) }
            }
        }
    };
}

words! {
    /// What was asked for, or what the log did itself.
    Action {
        /// See a value.
        Read = 1, "read";
        /// See names.
        List = 2, "list";
        /// Write a value or its metadata.
        Write = 3, "write";
        /// Delete a version.
        Delete = 4, "delete";
        /// Take a deletion back.
        Undelete = 5, "undelete";
        /// Make an older value current.
        Rollback = 6, "rollback";
        /// Destroy a version for good.
        Destroy = 7, "destroy";
        /// Replace a value by a newly made one.
        Rotate = 8, "rotate";
        /// A credential for a time.
        Lease = 9, "lease";
        /// Use unseen in an HTTP request.
        UseHttp = 10, "use-http";
        /// Encrypt unseen.
        UseEncrypt = 11, "use-encrypt";
        /// Decrypt unseen.
        UseDecrypt = 12, "use-decrypt";
        /// Sign unseen.
        UseSign = 13, "use-sign";
        /// Verify a signature unseen.
        UseVerify = 14, "use-verify";
        /// Make or verify an HMAC unseen.
        UseHmac = 15, "use-hmac";
        /// A new key-encryption key.
        KeysRotate = 16, "keys-rotate";
        /// A new key source.
        KeysRekey = 17, "keys-rekey";
        /// An operator accepted something on record, such as an older store.
        Accept = 18, "accept";
        /// Calls whose kind does not matter, such as the count of those over quota.
        Any = 19, "any";
        /// A writer began.
        Open = 64, "open";
        /// A writer ended.
        Close = 65, "close";
        /// The last record of a writer that died, written for it by another.
        Recovered = 66, "recovered";
        /// The MAC key was ratcheted after this record.
        Checkpoint = 67, "checkpoint";
        /// A closed file was removed after this record.
        Removed = 68, "removed";
        /// The log begins anew after one was lost.
        Resumed = 69, "resumed";
        /// The clock went back.
        Clock = 70, "clock";
        /// The configuration in force changed.
        Policy = 71, "policy";
        /// A torn last line was cut.
        Cut = 72, "cut";
    }
}

words! {
    /// How a call ended.
    Outcome {
        /// It was granted and done.
        Allowed = 1, "allowed";
        /// No grant.
        Denied = 2, "denied";
        /// Granted, but there is none.
        NotFound = 3, "not-found";
        /// The version was another.
        Conflict = 4, "conflict";
        /// The reference or the request is malformed.
        Invalid = 5, "invalid";
        /// Over quota.
        Quota = 6, "quota";
        /// A backend failed.
        Failed = 7, "failed";
        /// The caller went away before anything was changed.
        Cancelled = 8, "cancelled";
        /// The writer died between intent and outcome.
        Unknown = 9, "unknown";
    }
}

words! {
    /// Which half of a change a record is; reads have outcomes alone.
    Phase {
        /// Before the backend is asked.
        Intent = 1, "intent";
        /// After it answered.
        Outcome = 2, "outcome";
    }
}

words! {
    /// Where a value that was read came from.
    Cache {
        /// From the cache.
        Hit = 1, "hit";
        /// From the backend.
        Miss = 2, "miss";
        /// From the cache, past its time, because the backend failed.
        Stale = 3, "stale";
    }
}

/// A word that the log does not know; carries the kind of word, not the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a known {0}")]
pub struct UnknownWord(pub &'static str);

/// The number of a record within its writer, from 1 without gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Call(pub u64);

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One line of the log, read back. Field order and meaning are those of the format.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record {
    /// Position in the chain, from 1.
    pub seq: u64,
    /// RFC 3339, UTC, microseconds.
    pub time: String,
    /// `<writer>.<n>`.
    pub call: String,
    /// The `call` of the intent that this outcome ends.
    pub of: Option<String>,
    /// `component:<name>`, `operator:<user>` or `host:<job>`.
    pub principal: String,
    /// The component instance.
    pub instance: Option<String>,
    /// The component's bytes, `sha256:<hex>`.
    pub digest: Option<String>,
    /// The interface function.
    pub via: Option<String>,
    /// What was asked for.
    pub action: Action,
    /// The vault id.
    pub vault: Option<String>,
    /// The path within the vault.
    pub secret: Option<String>,
    /// The version that was read or made.
    pub version: Option<u64>,
    /// Intent or outcome.
    pub phase: Phase,
    /// How it ended; none for an intent.
    pub outcome: Option<Outcome>,
    /// The grant that decided.
    pub grant: Option<String>,
    /// The configuration in force.
    pub policy: u32,
    /// Where a value came from.
    pub cache: Option<Cache>,
    /// A text for people; `key=value` words where the log needs them itself.
    pub detail: Option<String>,
    /// SHA-256 of the line before.
    pub prev: [u8; 32],
    /// HMAC-SHA-256 of this line up to `,"mac"`.
    pub mac: [u8; 32],
}

impl Record {
    /// The record's time in microseconds since 1970, where it parses.
    pub fn time_us(&self) -> Option<i64> {
        self.time
            .parse::<jiff::Timestamp>()
            .ok()
            .map(|t| t.as_microsecond())
    }

    /// Writer and number of [`call`](Self::call).
    pub fn call_parts(&self) -> Option<(&str, u64)> {
        split_call(&self.call)
    }

    /// The value of a `key=value` word in the detail of a record that the log wrote itself.
    pub fn word(&self, key: &str) -> Option<&str> {
        self.detail.as_deref().and_then(|detail| word(detail, key))
    }
}

/// The principal of records that the log writes about itself. No component or operator can have it.
pub(crate) const SYSTEM: &str = "host:audit";

pub(crate) fn word<'a>(detail: &'a str, key: &str) -> Option<&'a str> {
    detail
        .split(' ')
        .find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
}

pub(crate) fn split_call(call: &str) -> Option<(&str, u64)> {
    let (writer, number) = call.split_once('.')?;
    Some((writer, number.parse().ok()?))
}
