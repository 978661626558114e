//! The trials, a file for each subject. A trial is one function; its doc line is what it proves.

mod cas;
mod changes;
mod errors;
mod held;
mod lifecycle;
mod listing;
mod many;
mod metadata;
mod model;
mod names;
mod races;
mod refusals;
mod values;
mod versions;

use strongroom_backend::{CompareAndSet, VersionNumbers};

use crate::run::{Case, Traits};

/// Every trial there is.
pub(crate) fn all() -> Vec<Case> {
    [
        values::cases(),
        names::cases(),
        versions::cases(),
        cas::cases(),
        listing::cases(),
        lifecycle::cases(),
        metadata::cases(),
        many::cases(),
        errors::cases(),
        changes::cases(),
        races::cases(),
        model::cases(),
        refusals::cases(),
        held::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn writes(t: &Traits) -> bool {
    t.can.write
}

fn writes_and_lists(t: &Traits) -> bool {
    t.can.write && t.can.list
}

fn numbered(t: &Traits) -> bool {
    t.can.write && t.can.versions != VersionNumbers::None
}

fn creates(t: &Traits) -> bool {
    t.can.write && t.can.compare_and_set != CompareAndSet::None
}

fn compares(t: &Traits) -> bool {
    t.can.write && t.can.compare_and_set == CompareAndSet::Full
}

fn undeletes(t: &Traits) -> bool {
    numbered(t) && t.can.undelete
}

fn deletes_versions(t: &Traits) -> bool {
    undeletes(t) && t.can.delete_version
}

fn destroys(t: &Traits) -> bool {
    numbered(t) && t.can.destroy
}
