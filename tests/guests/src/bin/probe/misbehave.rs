//! What a component does that is careless, broken or hostile, and what it tries to reach.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::net::TcpStream;
use std::time::{Duration, Instant};
use std::{env, fs, hint, process};

use strongroom_guest::{handle, vault};
use strongroom_test_guests::{Latencies, variant};

use crate::output::{Failure, say, say_bytes, say_error, say_value};

/// Does what the arguments name.
pub(crate) fn run(args: &[&str]) -> Result<(), Failure> {
    match *args {
        ["loop"] => {
            say("looping");
            loop {
                hint::black_box(());
            }
        }
        ["flood", reference, seconds] => {
            let seconds = seconds.parse().map_err(|_| Failure::Usage)?;
            flood(reference, Duration::from_secs(seconds));
        }
        ["print-forever", reference] => loop {
            say_value(&vault::get(reference)?);
        },
        ["big-string", length] => {
            let length = length.parse().map_err(|_| Failure::Usage)?;
            say_value(&vault::get(&"a".repeat(length))?);
        }
        ["handles", count, reference] => {
            handles(count.parse().map_err(|_| Failure::Usage)?, reference)?;
        }
        ["grow"] => grow(),
        #[expect(clippy::panic, reason = "the test wants to see what a panic shows")]
        ["panic"] => panic!("asked to"),
        ["exit", code] => process::exit(code.parse().map_err(|_| Failure::Usage)?),
        ["env"] => {
            for argument in env::args().skip(1) {
                say(format_args!("arg {argument}"));
            }
            for (name, value) in env::vars() {
                say(format_args!("env {name}={value}"));
            }
        }
        ["file", path] => say_bytes(&fs::read(path)?),
        ["connect", address] => {
            TcpStream::connect(address)?;
            say("connected");
        }
        _ => return Err(Failure::Usage),
    }
    Ok(())
}

/// Reads as fast as it can, and tells how long the reads took.
fn flood(reference: &str, duration: Duration) {
    let mut latencies = Latencies::new();
    let mut errors = BTreeMap::<&str, u64>::new();
    let begin = Instant::now();
    let mut now = begin;
    while now.duration_since(begin) < duration {
        if let Err(error) = vault::get(reference) {
            *errors.entry(variant(&error)).or_default() += 1;
        }
        let after = Instant::now();
        latencies.record(after.duration_since(now));
        now = after;
    }
    let us = |ns: u64| ns as f64 / 1_000.0;
    say(format_args!(
        "flood count={} errors={} elapsed_us={} p50_us={:.3} p99_us={:.3} p99.99_us={:.3} max_us={:.3}",
        latencies.count(),
        errors.values().sum::<u64>(),
        now.duration_since(begin).as_micros(),
        us(latencies.quantile_ns(500_000)),
        us(latencies.quantile_ns(990_000)),
        us(latencies.quantile_ns(999_900)),
        us(latencies.max_ns()),
    ));
    for (variant, count) in errors {
        say(format_args!("flood-error {variant} {count}"));
    }
}

/// Opens handles and closes none of them.
fn handles(count: usize, reference: &str) -> Result<(), Failure> {
    let mut held = Vec::new();
    while held.len() < count {
        match handle::Secret::open(reference) {
            Ok(secret) => held.push(secret),
            Err(error) => {
                say(format_args!("held {}", held.len()));
                return Err(error.into());
            }
        }
    }
    say(format_args!("held {}", held.len()));
    io::stdin().read_to_end(&mut Vec::new())?;
    // Still usable, all of them: the host forgot none.
    for secret in &held {
        if let Err(error) = secret.reveal() {
            say_error(&error);
        }
    }
    Ok(())
}

/// Takes memory until there is none.
fn grow() {
    const STEP_MIB: usize = 16;
    let mut taken = Vec::new();
    loop {
        taken.push(vec![1_u8; STEP_MIB << 20]);
        say(format_args!("grown {}", taken.len() * STEP_MIB));
    }
}
