//! Writes a secret that it cannot read: `data-write` comes without `data-read`.
//!
//! It makes a new webhook secret, replaces it only if nobody else did meanwhile, and shows that
//! reading it back is refused.
//!
//! ```toml
//! [component.writer]
//! wasm = "writer.wasm"
//! grants = [{ vault = "app-secrets", secrets = ["stripe/webhook"], actions = ["data-write"] }]
//! ```
//!
//! ```console
//! $ strongroom run writer.wasm -- stripe/webhook
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

use strongroom_guest::writer::SetOptions;
use strongroom_guest::{vault, writer};
use zeroize::Zeroizing;

fn main() -> ExitCode {
    let reference = env::args()
        .nth(1)
        .unwrap_or_else(|| "stripe/webhook".into());
    match renew(&reference) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{reference}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn renew(reference: &str) -> Result<(), Box<dyn Error>> {
    let first = writer::set(reference, &*make_secret()?)?;
    println!("wrote {reference}, version {first}");

    let only_after_first = SetOptions::new().if_version(first);
    let second = writer::set_with(reference, &*make_secret()?, only_after_first.clone())?;
    println!("wrote it again because version {first} was current: version {second}");

    match writer::set_with(reference, &*make_secret()?, only_after_first) {
        Err(strongroom_guest::Error::Conflict { current }) => {
            println!("did not write a third time: version {current} is current by now");
        }
        Ok(version) => return Err(format!("version {version} overwrote version {second}").into()),
        Err(error) => return Err(error.into()),
    }

    match vault::get(reference) {
        Err(strongroom_guest::Error::Denied) => println!("may not read it back: denied"),
        Ok(_) => println!("may read it back: it has a grant for that, too"),
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

/// 32 random bytes in hex.
fn make_secret() -> Result<Zeroizing<String>, Box<dyn Error>> {
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *bytes)?;
    Ok(Zeroizing::new(hex::encode(bytes.as_slice())))
}
