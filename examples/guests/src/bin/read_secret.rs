//! Reads one secret and uses it: signs a message with an API key.
//!
//! The key itself is never printed. Its length and a signature show that the component has it.
//!
//! ```toml
//! [component.read-secret]
//! wasm = "read_secret.wasm"
//! grants = [{ vault = "app-secrets", secrets = ["stripe/*"], actions = ["read"] }]
//! ```
//!
//! ```console
//! $ strongroom run read_secret.wasm -- stripe/api-key
//! ```

#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command answers by printing"
)]

use std::env;
use std::error::Error;
use std::process::ExitCode;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use strongroom_guest::vault;

const MESSAGE: &[u8] = b"amount=100&currency=eur";

fn main() -> ExitCode {
    let reference = env::args()
        .nth(1)
        .unwrap_or_else(|| "stripe/api-key".into());
    match sign_with(&reference) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{reference}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn sign_with(reference: &str) -> Result<(), Box<dyn Error>> {
    let key = vault::get(reference)?;
    let mut signer = Hmac::<Sha256>::new_from_slice(key.expose())?;
    signer.update(MESSAGE);
    let signature = hex::encode(signer.finalize().into_bytes());

    println!("got {reference}: a key of {} bytes", key.len());
    println!("signed {:?}: {signature}", String::from_utf8_lossy(MESSAGE));
    Ok(())
    // `key` is wiped here.
}
