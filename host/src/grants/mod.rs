//! Who may do what to which secret: the one place that says yes.
//!
//! [`Policy::decide`] is asked for every call of a component, an operator or background work, and
//! answers with a [`Granted`] proof that nothing outside this module can make. There is no action
//! without a grant, grants only add, and a [`Denied`] says nothing about what exists.

mod action;
mod explain;
mod granted;
mod http_host;
mod name;
mod pattern;
mod policy;
mod principal;
mod words;

pub use action::{Action, Actions};
pub use explain::{Explanation, NearMiss};
pub use granted::{Denied, Granted};
pub use http_host::{HttpHost, HttpHostError};
pub use name::{Digest, DigestError, Name, NameError};
pub use pattern::{Pattern, PatternError};
pub use policy::{Grant, Policy};
pub use principal::{Job, Principal};
pub(crate) use words::nearest;
