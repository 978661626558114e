//! Wrappers that stand between the broker and a store that can be slow, busy or away.
//!
//! Each wraps an `Arc<dyn Backend>` and is one itself; [`Layers`] puts them together. The broker asks a
//! [`Store`], whose [`Answer`] says how long it stands: [`Cached`], [`Direct`] where nothing is kept,
//! or a [`Chain`] of stores. The order, from the broker inwards:
//!
//! | layer | why there | defaults |
//! | --- | --- | --- |
//! | [`Cached`] | outermost: a hit costs nothing below, and it alone turns an outage into a stale answer | `ttl` 5 min, `max-stale` 1 h, `negative-ttl` 5 s, 4 MiB |
//! | [`Breaker`] | sees whole calls, so that a retried success is a success | opens after 5, for 10 s |
//! | [`Deadline`] | bounds all tries of a call together | 10 s, as the broker's own |
//! | [`Retry`] | repeats reads only | 3 tries, 100 ms to 2 s, 10 % of calls |
//! | [`Deadline`] | bounds one try, whatever the client library's own retries do | 3 s, so that three tries fit |
//!
//! Five failures in a row are more than one call's bad luck, and 10 s is what a person waits.
//! A budget of 10 % keeps a service that is down from being asked three times as often as one that
//! works. `negative-ttl` is short since a missing secret is usually about to be made.
#![forbid(unsafe_code)]

mod breaker;
mod cache;
mod chain;
mod copied;
mod deadline;
mod direct;
mod fields;
mod jitter;
mod retry;
mod stack;
mod store;

pub use breaker::{Breaker, BreakerSettings};
pub use cache::{CacheSettings, Cached};
pub use chain::{Chain, Member, OnError};
pub use copied::{
    COPY_LABELS, COPY_OF, Copied, age_text, copy_age, copy_mark, copy_marked, copy_metadata,
};
pub use deadline::{Deadline, is_late};
pub use direct::Direct;
pub use fields::{FieldOf, Fields};
pub use jitter::Jitter;
pub use retry::{Retry, RetrySettings};
pub use stack::Layers;
pub use store::{Answer, Counters, Look, Origin, Standing, Store};
