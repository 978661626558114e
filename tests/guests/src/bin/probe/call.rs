//! The calls that a well-behaved component makes, one for each function of `strongroom:vault`.

use std::io::{self, Read};
use std::time::{Duration, SystemTime};

use strongroom_guest::handle;
use strongroom_guest::leases::Lease;
use strongroom_guest::writer::{Metadata, SetOptions};
use strongroom_guest::{transit, vault, watch, writer};

use crate::output::{Failure, milliseconds, or_dash, say, say_bytes, say_error, say_value};

/// Makes the call that the arguments name.
pub(crate) fn run(args: &[&str]) -> Result<(), Failure> {
    match *args {
        ["get", reference] => say_value(&vault::get(reference)?),
        ["read", reference] => {
            let read = vault::read(reference)?;
            say_version(read.version);
            say_value(&read.value);
        }
        ["get-version", reference, version] => {
            say_value(&vault::get_version(reference, number(version)?)?);
        }
        ["get-many", ref references @ ..] => {
            for value in vault::get_many(references.iter().copied())? {
                match value {
                    Ok(value) => say_value(&value),
                    Err(error) => say_error(&error),
                }
            }
        }
        ["many", count, prefix] => {
            let references = (0..number(count)?).map(|n| format!("{prefix}{n}"));
            let values = vault::get_many(references)?;
            let errors = values.iter().filter(|value| value.is_err()).count();
            say(format_args!(
                "values {} errors {errors}",
                values.len() - errors
            ));
        }
        ["describe", reference] => describe(reference)?,
        ["versions", reference] => versions(reference)?,
        ["list"] => list("")?,
        ["list", prefix] => list(prefix)?,
        ["list-page", prefix] => list_page(prefix, None)?,
        ["list-page", prefix, cursor] => list_page(prefix, Some(cursor))?,
        ["set-metadata", reference, description, ref labels @ ..] => {
            set_metadata(reference, description, labels)?;
        }
        ["delete", reference] => say_ok(writer::delete(reference, None)?),
        ["delete", reference, version] => {
            say_ok(writer::delete(reference, Some(number(version)?))?);
        }
        ["undelete", reference] => say_ok(writer::undelete(reference, None)?),
        ["undelete", reference, version] => {
            say_ok(writer::undelete(reference, Some(number(version)?))?);
        }
        ["destroy", reference, version] => say_ok(writer::destroy(reference, number(version)?)?),
        ["rollback", reference, to] => say_version(writer::rollback(reference, number(to)?)?),
        ["rotate", reference] => say_version(writer::rotate(reference)?),
        ["watch", reference, known, timeout] => {
            let timeout = Duration::from_millis(number(timeout)?);
            match watch::wait_for_change(reference, number(known)?, timeout)? {
                Some(version) => say_version(version),
                None => say("timeout"),
            }
        }
        ["open-reveal", reference] => {
            let secret = handle::Secret::open(reference)?;
            say_version(secret.version());
            say_value(&secret.reveal()?);
        }
        ["hold", reference] => hold(reference)?,
        ["placeholder", reference] => {
            let secret = handle::Secret::open(reference)?;
            say(format_args!("placeholder {}", secret.placeholder()?));
        }
        ["lease", role] => lease(role, None)?,
        ["lease", role, seconds] => lease(role, Some(Duration::from_secs(number(seconds)?)))?,
        ["transit", function, ref args @ ..] => call_transit(function, args)?,
        ["set" | "set-if" | "set-expiring", ..] => set(args)?,
        _ => return Err(Failure::Usage),
    }
    Ok(())
}

fn set(args: &[&str]) -> Result<(), Failure> {
    let (reference, options, hex) = match *args {
        ["set", reference, ref hex @ ..] => (reference, None, hex),
        ["set-if", reference, version, ref hex @ ..] => (
            reference,
            Some(SetOptions::new().if_version(number(version)?)),
            hex,
        ),
        ["set-expiring", reference, at, ref hex @ ..] => {
            let at = SystemTime::UNIX_EPOCH + Duration::from_millis(number(at)?);
            (reference, Some(SetOptions::new().expires(at)), hex)
        }
        _ => return Err(Failure::Usage),
    };
    let mut value = Vec::new();
    match *hex {
        [] => {
            io::stdin().read_to_end(&mut value)?;
        }
        [hex] => value = bytes(hex)?,
        _ => return Err(Failure::Usage),
    }
    let version = match options {
        Some(options) => writer::set_with(reference, value, options),
        None => writer::set(reference, value),
    };
    say_version(version?);
    Ok(())
}

fn set_metadata(reference: &str, description: &str, labels: &[&str]) -> Result<(), Failure> {
    let mut metadata = Metadata::new();
    if description != "-" {
        metadata = metadata.description(description);
    }
    match labels {
        [] => {}
        ["--clear-labels"] => metadata = metadata.labels::<String, String>([]),
        labels => {
            let pairs: Option<Vec<_>> = labels.iter().map(|label| label.split_once('=')).collect();
            metadata = metadata.labels(pairs.ok_or(Failure::Usage)?);
        }
    }
    say_ok(writer::set_metadata(reference, metadata)?);
    Ok(())
}

fn describe(reference: &str) -> Result<(), Failure> {
    let info = vault::describe(reference)?;
    say(format_args!("reference {}", info.reference));
    say(format_args!("version {}", or_dash(info.version)));
    say(format_args!("created {}", milliseconds(info.created)));
    say(format_args!("updated {}", milliseconds(info.updated)));
    say(format_args!(
        "expires {}",
        or_dash(info.expires.map(milliseconds))
    ));
    say(format_args!(
        "rotates {}",
        or_dash(info.rotates.map(milliseconds))
    ));
    say(format_args!("kind {}", or_dash(info.kind)));
    say(format_args!("description {}", or_dash(info.description)));
    for (name, value) in info.labels {
        say(format_args!("label {name}={value}"));
    }
    Ok(())
}

fn versions(reference: &str) -> Result<(), Failure> {
    for info in vault::versions(reference)? {
        say(format_args!(
            "version {} {} created={} expires={} mine={}",
            info.version,
            format!("{:?}", info.state).to_lowercase(),
            milliseconds(info.created),
            or_dash(info.expires.map(milliseconds)),
            info.mine,
        ));
    }
    Ok(())
}

fn list(prefix: &str) -> Result<(), Failure> {
    let mut count = 0;
    for reference in vault::list(prefix) {
        say(format_args!("reference {}", reference?));
        count += 1;
    }
    say(format_args!("end {count}"));
    Ok(())
}

fn list_page(prefix: &str, cursor: Option<&str>) -> Result<(), Failure> {
    let page = vault::list_page(prefix, cursor)?;
    for reference in page.references {
        say(format_args!("reference {reference}"));
    }
    say(format_args!("cursor {}", or_dash(page.cursor)));
    Ok(())
}

/// Opens once, then reveals as often as the test asks: it can take the grant away in between.
fn hold(reference: &str) -> Result<(), Failure> {
    let secret = handle::Secret::open(reference)?;
    say(format_args!("open {}", secret.version()));
    for line in io::stdin().lines() {
        line?;
        match secret.reveal() {
            Ok(value) => say_value(&value),
            Err(error) => say_error(&error),
        }
    }
    Ok(())
}

fn lease(role: &str, ttl: Option<Duration>) -> Result<(), Failure> {
    let lease = Lease::acquire(role, ttl)?;
    say(format_args!(
        "lease {} expires={}",
        lease.id(),
        milliseconds(lease.expires())
    ));
    for (name, value) in lease.credentials()?.iter() {
        say(format_args!("field {name} {}", hex::encode(value.expose())));
    }
    say_ok(lease.revoke()?);
    Ok(())
}

fn call_transit(function: &str, args: &[&str]) -> Result<(), Failure> {
    let (key, input, second) = match *args {
        [key, input] => (key, bytes(input)?, Vec::new()),
        [key, input, second] => (key, bytes(input)?, bytes(second)?),
        _ => return Err(Failure::Usage),
    };
    match function {
        "encrypt" => say_bytes(&transit::encrypt(key, &input, &second)?),
        "decrypt" => say_value(&transit::decrypt(key, &input, &second)?),
        "rewrap" => say_bytes(&transit::rewrap(key, &input, &second)?),
        "sign" => say_bytes(&transit::sign(key, &input)?),
        "hmac" => say_bytes(&transit::hmac(key, &input)?),
        "verify" => say(format_args!(
            "bool {}",
            transit::verify(key, &input, &second)?
        )),
        "verify-hmac" => say(format_args!(
            "bool {}",
            transit::verify_hmac(key, &input, &second)?
        )),
        _ => return Err(Failure::Usage),
    }
    Ok(())
}

fn say_version(version: u64) {
    say(format_args!("version {version}"));
}

fn say_ok((): ()) {
    say("ok");
}

fn number(text: &str) -> Result<u64, Failure> {
    text.parse().map_err(|_| Failure::Usage)
}

fn bytes(text: &str) -> Result<Vec<u8>, Failure> {
    hex::decode(text).map_err(|_| Failure::Usage)
}
