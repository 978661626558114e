//! What a backend can do, said before any call.

/// How a backend numbers versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum VersionNumbers {
    /// It keeps none: every number is 0 and calls by number are unsupported.
    None,
    /// Numbers of its own that only increase, with gaps.
    Increasing,
    /// 1, 2, 3 for each secret.
    Counted,
}

/// Whether a write can name the version that it expects to be current.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CompareAndSet {
    /// Not at all.
    None,
    /// Only "write if there is none".
    CreateOnly,
    /// Any expected version, atomically.
    Full,
}

/// What a backend can do. The broker refuses with `unsupported` what is not announced here, before
/// it asks the backend, and conformance trials are collected by these fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// The largest value in bytes; checked before any call.
    pub max_value: u64,
    /// Whether values can be written and deleted.
    pub write: bool,
    /// Whether names can be listed.
    pub list: bool,
    /// How versions are numbered.
    pub versions: VersionNumbers,
    /// Whether numbers start again at 1 after a delete and a create.
    pub restarts: bool,
    /// What `expected-version` can mean.
    pub compare_and_set: CompareAndSet,
    /// Whether a deleted secret can be taken back; one version as well where `delete_version`.
    pub undelete: bool,
    /// Whether one version can be deleted, and the others stay. Without it `delete` and `undelete`
    /// with a number are unsupported.
    pub delete_version: bool,
    /// Whether one version can be made unreadable for good.
    pub destroy: bool,
    /// Whether description, kind and labels are kept.
    pub metadata: bool,
    /// Whether a version can expire.
    pub expiry: bool,
}
