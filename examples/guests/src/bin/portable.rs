//! Reads secrets in every way that a guest can. It does not know which store they come from, and
//! prints the same over all of them: [`examples/portable`](../../../portable) runs it over each.
//!
//! ```toml
//! [component.portable]
//! wasm = "portable.wasm"
//! grants = [{ vault = "app-secrets", secrets = ["db/*", "stripe/*"], actions = ["data-read"] }]
//! ```
//!
//! ```console
//! $ strongroom run portable.wasm
//! ```

#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command answers by printing"
)]

use std::process::ExitCode;

use serde::Deserialize;
use strongroom_guest::{Error, vault};

#[derive(Deserialize)]
struct Database {
    host: String,
    port: u16,
}

fn main() -> ExitCode {
    match read() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn read() -> Result<(), Error> {
    println!(
        "stripe/api-key: {} bytes",
        vault::get("stripe/api-key")?.len()
    );

    let database: Database = vault::get_json("db/main")?;
    println!("db/main: JSON, {}:{}", database.host, database.port);
    let password = vault::get_json_field("db/main", "password")?;
    println!("db/main, field password: {} bytes", password.len());

    let asked = ["stripe/webhook", "stripe/none", "smtp/password"];
    for (reference, secret) in asked.iter().zip(vault::get_many(asked)?) {
        match secret {
            Ok(secret) => println!("{reference}: {} bytes", secret.len()),
            Err(error) => println!("{reference}: {error}"),
        }
    }

    for reference in vault::list("stripe/") {
        let reference = reference?;
        let path = reference
            .split_once(':')
            .map_or(&*reference, |(_, path)| path);
        println!("lists {path}");
    }
    Ok(())
}
