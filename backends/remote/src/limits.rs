//! Bounds on what a service may send and how long it may take.

use std::time::Duration;

/// The largest reply body that is read, in bytes: above the largest honest one (a get-many of 20
/// values of 64 KiB in base64, a page of Kubernetes Secrets), far below what would hurt the host.
pub const REPLY: usize = 16 << 20;

/// The most pages of one listing that are followed: a service that never ends its pages is cut off.
pub const PAGES: usize = 10_000;

/// How long making a connection may take, TLS included.
pub const CONNECT: Duration = Duration::from_secs(5);

/// How long one request may take, its reply included. The host's own deadline for a call lies above.
pub const REQUEST: Duration = Duration::from_secs(9);
