//! What the stores across a network share: names, endpoints, what tells one from another, text
//! values, limits, and what a failed transport means.
//!
//! None of it makes a call. Each store has its service's own client; this crate holds the rules that
//! must be the same for all of them, so that two references never meet and no reply is trusted.

#![forbid(unsafe_code)]

pub mod clock;
mod credential;
mod endpoint;
pub mod limits;
mod names;
mod place;
mod text;
mod transport;

pub use credential::refuse_credential;
pub use endpoint::{Endpoint, EndpointError};
pub use names::{NameError, NameRules, Names};
pub use place::place;
pub use text::{Form, TextError, from_text, to_text};
pub use transport::{Transport, status_kind, transport};
