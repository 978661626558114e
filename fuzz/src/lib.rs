//! What the fuzzer calls, one function for each target, so that stable tests can call it too.
//!
//! Each takes any bytes and must return. What it asserts beyond that is said at each.

mod audit_reader;
mod config;
mod grants;
mod local_record;
mod reference;

pub use audit_reader::audit_reader;
pub use config::config;
pub use grants::grants;
pub use local_record::local_record;
pub use reference::reference;

/// Every target with its name.
pub const TARGETS: [(&str, fn(&[u8])); 5] = [
    ("reference", reference),
    ("grants", grants),
    ("config", config),
    ("audit_reader", audit_reader),
    ("local_record", local_record),
];
