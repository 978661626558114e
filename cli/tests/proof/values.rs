//! The values that must not show, by the names that a leak is reported under.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::watched::Watched;

/// What no output is asked for.
pub(crate) const NONE: &[&str] = &[];
/// The three values of `app/key`, one after the other.
pub(crate) const PREVIOUS: &str = "previous value";
pub(crate) const CURRENT: &str = "current value";
pub(crate) const DESTROYED: &str = "destroyed value";
/// A field of the JSON value `app/json`.
pub(crate) const FIELD: &str = "JSON field";
/// What guests write and read back.
pub(crate) const GUEST: &str = "guest's value";
/// What is in files to be imported.
pub(crate) const IMPORTED: &str = "imported value";
/// The value of a variable that is given to a guest.
pub(crate) const VARIABLE: &str = "variable for a guest";
pub(crate) const PASSPHRASE: &str = "passphrase";
pub(crate) const OTHER_PASSPHRASE: &str = "passphrase after rekey";
pub(crate) const KEY: &str = "key of the vault";
pub(crate) const KEY_TEXT: &str = "text of the vault's key";
/// The key in a variable, for a vault that takes it from there.
pub(crate) const VARIABLE_KEY: &str = "key in a variable";
pub(crate) const AUDIT_KEY: &str = "first key of the audit log";
/// The backends that values are put through: those of this machine here, the others over their servers.
pub(crate) const BACKENDS: &str = "one of aws-secrets-manager, aws-ssm, azure-key-vault, env, files, \
    gcp-secret-manager, hashicorp-vault, kubernetes, local, memory\n";
/// What is given where no value belongs.
pub(crate) const MISPLACED: &str = "misplaced value";

/// 32 letters and digits that nothing else has.
pub(crate) fn random() -> String {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).unwrap();
    bytes
        .iter()
        .map(|byte| {
            char::from(
                b"abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ0123456789"
                    [usize::from(*byte) % 59],
            )
        })
        .collect()
}

/// A value with what escapes must not garble: quotes, a backslash, a line end, a letter of two bytes.
pub(crate) fn awkward() -> String {
    format!("{}\"\\\n\u{e9}<&>{}", random(), random())
}

pub(crate) fn hide_all(watched: &mut Watched) {
    for name in [PREVIOUS, CURRENT, DESTROYED, GUEST] {
        watched.hide(name, awkward(), &[]);
    }
    for name in [FIELD, IMPORTED, VARIABLE, MISPLACED] {
        watched.hide(name, random(), &[]);
    }
    watched.hide(
        PASSPHRASE,
        random(),
        &["passphrase", "passphrase.room/passphrase"],
    );
    watched.hide(OTHER_PASSPHRASE, random(), &["other-passphrase"]);
    let mut key = [0; 32];
    getrandom::fill(&mut key).unwrap();
    watched.hide(VARIABLE_KEY, STANDARD.encode(key), &[]);
}
