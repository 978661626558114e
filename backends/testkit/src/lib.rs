//! Conformance trials that every Strongroom store passes, and stores that break on command.
//!
//! [`trials()`] turns a [`Target`] into named trials, collected by what the store's capabilities
//! say: an ability that is announced is tried, and one that is not must answer `Unsupported`. A
//! store that is not configured is reported *ignored*, never passed.
//!
//! ```
//! use std::sync::Arc;
//!
//! use strongroom_backend::MemoryBackend;
//! use strongroom_backend_testkit::{Fixture, Target, trials};
//!
//! // The whole of a `tests/conformance.rs` with `harness = false`.
//! let target = Target::new("memory", || async {
//!     Ok(Fixture::new(Arc::new(MemoryBackend::new())))
//! });
//! let trials = trials(target);
//! assert!(trials.iter().any(|trial| trial.name() == "memory::values::every_byte_value"));
//! // libtest_mimic::run(&libtest_mimic::Arguments::from_args(), trials).exit();
//! ```
//!
//! [`Faulty`] fails, delays, pauses, lies or kills the process when its handle says so, and
//! [`Counting`] counts calls: the two wrappers that tests of the layers above need.
#![forbid(unsafe_code)]

mod canary;
mod counting;
mod faulty;
mod flaw;
pub mod hostile;
mod operation;
mod run;
mod subject;
mod target;
mod trials;
#[cfg(feature = "wire")]
pub mod wire;

pub use canary::Canary;
pub use counting::{Counting, Counts};
pub use faulty::{Fault, Faults, Faulty, Gate, When};
pub use operation::Operation;
pub use run::{Outcome, Report, judge, trials};
pub use target::{Fixture, Target};
