//! The shapes of store, and what can be wrong with one.

use strongroom_backend::{Capabilities, CompareAndSet, VersionNumbers};

/// Small, so that trials at the limit are quick; above what the other trials write.
pub(crate) const MAX_VALUE: u64 = 70_000;

/// What a store announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Everything.
    Full,
    /// Everything, and a mark.
    Marked,
    /// Everything, but deletes are of whole secrets.
    Whole,
    /// Reading, writing, deleting.
    Plain,
    /// Versions that rise with gaps, and writing only where there is none.
    CreateOnly,
    /// Reading and listing.
    ReadOnly,
}

impl Shape {
    pub(crate) const ALL: [Self; 6] = [
        Self::Full,
        Self::Marked,
        Self::Whole,
        Self::Plain,
        Self::CreateOnly,
        Self::ReadOnly,
    ];

    pub(crate) fn capabilities(self) -> Capabilities {
        let full = matches!(self, Self::Full | Self::Marked | Self::Whole);
        Capabilities {
            max_value: MAX_VALUE,
            write: self != Self::ReadOnly,
            list: self != Self::Plain,
            versions: match self {
                Self::Plain | Self::ReadOnly => VersionNumbers::None,
                Self::CreateOnly => VersionNumbers::Increasing,
                Self::Full | Self::Marked | Self::Whole => VersionNumbers::Counted,
            },
            restarts: false,
            compare_and_set: match self {
                Self::Plain | Self::ReadOnly => CompareAndSet::None,
                Self::CreateOnly => CompareAndSet::CreateOnly,
                Self::Full | Self::Marked | Self::Whole => CompareAndSet::Full,
            },
            undelete: full,
            delete_version: full && self != Self::Whole,
            destroy: full,
            metadata: full,
            expiry: full,
        }
    }
}

/// What is wrong with a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Defect {
    None,
    /// Does what the capabilities do not announce.
    Pretends,
    AsciiLabels,
    CheckTells,
    ChecksNothing,
    ChecksThenWrites,
    CounterEarly,
    CounterOnReads,
    CounterStuck,
    CutsBlocks,
    CutsNames,
    DeleteAlwaysWorks,
    DeletesAllVersions,
    DeletesCurrentOnly,
    DeletesNothing,
    DeletesTrees,
    DescribesFirst,
    DescribesLiveOnly,
    DestroysLiveOnly,
    DestroysNothing,
    EmptyHasMore,
    EmptyIsMissing,
    ErrorsTell,
    Flattens,
    ForgetsAuthors,
    ForgetsExpiry,
    ForgetsMetadata,
    Hangs,
    HidesUndeleted,
    IgnoresCase,
    IgnoresExpected,
    IgnoresNumbers,
    KeepsLock,
    LeavesTail,
    LimitOffByOne,
    ListsDeleted,
    LossyText,
    ManyCapped,
    ManyFailsWhole,
    ManyOnce,
    ManySorted,
    MarkStuck,
    MergesLabels,
    MetadataAnywhere,
    MetadataFirst,
    MetadataWrites,
    MissingIsFailure,
    NeedsCursor,
    NeverCreates,
    NoLimit,
    NoneClears,
    OlderReturns,
    OldestFirst,
    PagesByOffset,
    Panics,
    PrefixIsFolder,
    PrefixIsPattern,
    PromisesMore,
    RepeatsCursor,
    ReservesNames,
    Restarts,
    SharesABuffer,
    SortsWithoutCase,
    StaysDead,
    TellsNoCurrent,
    TellsWrongNumber,
    UndeleteWrites,
    UndeletesAll,
    UndeletesNothing,
    WritesInHalves,
}
