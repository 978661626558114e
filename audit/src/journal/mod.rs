//! Journals: what a process has recorded and the log does not have yet, in memory-mapped files that
//! outlive their process.
//!
//! A journal has a header, a table of interface names, a table of intents without outcome, two
//! halves for names, and a ring of 64-byte slots. A record is committed by its call number, stored
//! last; a keyed checksum tells whether it is whole. Names are entered into one half at a time; when
//! it is full and no waiting record needs the other half any more, that one begins anew.

pub(crate) mod format;
pub(crate) mod image;
pub(crate) mod layout;
pub(crate) mod map;
pub(crate) mod names;
pub(crate) mod ring;
