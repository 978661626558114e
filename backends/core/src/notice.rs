//! Notices of changes that others made, for caches.

use std::any::Any;
use std::sync::Arc;

use crate::SecretPath;

/// What a store learned that somebody else changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice<'p> {
    /// This secret.
    Changed(&'p SecretPath),
    /// Any: the store was without news for a while.
    Any,
}

/// What a store does with each notice. It is called from the store's own tasks and must not block.
pub type OnNotice = Arc<dyn Fn(Notice<'_>) + Send + Sync>;

/// Notices come as long as this lives.
pub struct Notices(
    #[expect(dead_code, reason = "only its drop counts")] Box<dyn Any + Send + Sync>,
);

impl Notices {
    /// Notices that end when `guard` is dropped.
    pub fn until_dropped(guard: impl Any + Send + Sync) -> Self {
        Self(Box::new(guard))
    }
}
