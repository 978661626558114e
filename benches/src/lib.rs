//! What the benches share: a folder with a configuration of its own, stores of any size, and the guest that
//! calls.

#![forbid(unsafe_code)]

mod azure;
mod build;
pub mod clients;
mod guest;
mod project;
mod stores;

pub use build::{cargo_build, guests, profile_dir, target_dir};
pub use guest::{Bytes, FloodReport, Instance, World};
pub use project::{Project, Vault};
pub use stores::{Stored, store};

/// What went wrong, in words: a bench has no caller that could do anything about it.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// What a bench's helper answers.
pub type Result<T> = std::result::Result<T, Error>;
