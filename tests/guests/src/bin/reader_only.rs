//! Reads the secrets that its arguments name, and does nothing else: what a component that only
//! reads must import, and no more.

#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "the tests read what a guest prints")]

use std::env;

use strongroom_guest::vault;
use strongroom_test_guests::error_line;

fn main() {
    for reference in env::args().skip(1) {
        match vault::get(&reference) {
            Ok(value) => println!("value {}", hex::encode(value.expose())),
            Err(error) => println!("{}", error_line(&error)),
        }
    }
}
