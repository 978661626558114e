//! What `copy`, `import` and `export` share: choosing, comparing before writing, and telling what
//! came of each secret.

mod compare;
mod select;
mod tally;
mod write;

pub(crate) use compare::{CHUNK, Fingerprints, Target, chunk_of};
pub(crate) use select::{Selection, is_prefix};
pub(crate) use tally::{Done, Tally};
pub(crate) use write::Writer;
