//! What depends on the operating system.

use std::time::{SystemTime, UNIX_EPOCH};

/// The name of the real user of this process, and never what the environment says; `uid-<number>`
/// for a user whom the system has no name for.
pub(crate) fn user_name() -> String {
    let uid = rustix::process::getuid().as_raw();
    uzers::get_user_by_uid(uid)
        .and_then(|user| user.name().to_str().map(str::to_owned))
        .unwrap_or_else(|| format!("uid-{uid}"))
}

/// A new ULID for an instance: sorts by time, and is not guessed.
pub(crate) fn new_instance_id() -> String {
    let mut random = [0; 16];
    // Only uniqueness is asked of it; a failing generator must not stop a component from starting.
    let _ = getrandom::fill(&mut random);
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let millis = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    ulid::Ulid::from_parts(millis, u128::from_le_bytes(random)).to_string()
}
