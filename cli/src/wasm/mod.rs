//! Running a component: the engine and its compiled-code cache, what a guest sees, and how it ends.

pub(crate) mod cache;
pub(crate) mod engine;
pub(crate) mod guest;
pub(crate) mod inspect;
pub(crate) mod stop;

/// The exit code of a program that trapped, as shells report an abort.
pub(crate) const TRAP: u8 = 134;
