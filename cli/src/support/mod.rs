//! What several commands share.

pub(crate) mod describe;
pub(crate) mod json_field;
pub(crate) mod time;
