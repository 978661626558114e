//! The calls of a store, for wrappers that count or break them.

/// A call of [`Backend`](strongroom_backend::Backend) or its extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// `get`.
    Get,
    /// `put`.
    Put,
    /// `describe`.
    Describe,
    /// `delete`.
    Delete,
    /// `list`.
    List,
    /// `versions`.
    Versions,
    /// `check`.
    Check,
    /// `get_many`, once for each call.
    GetMany,
    /// `mark`.
    Mark,
    /// `Versioning::undelete`.
    Undelete,
    /// `Versioning::destroy`.
    Destroy,
    /// `Versioning::set_metadata`.
    SetMetadata,
}

impl Operation {
    /// All of them, in the order of declaration.
    pub const ALL: [Self; 12] = [
        Self::Get,
        Self::Put,
        Self::Describe,
        Self::Delete,
        Self::List,
        Self::Versions,
        Self::Check,
        Self::GetMany,
        Self::Mark,
        Self::Undelete,
        Self::Destroy,
        Self::SetMetadata,
    ];
}
