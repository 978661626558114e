//! What guests printed against what the log says.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// How often each component printed each value: (component, secret, value in hex).
pub(crate) type Printed = BTreeMap<(String, String, String), u64>;
/// How many reads are on record: (component, secret, version).
pub(crate) type Recorded = BTreeMap<(String, String, u64), u64>;
/// The version of each value: (secret, value in hex).
pub(crate) type Versions = BTreeMap<(String, String), u64>;

/// Digits of a value from which on it is this one and no other: the tests' values begin with a
/// number of their own.
pub(crate) const DISTINCT: usize = 16;

/// Adds what a killed guest printed. A last line that was cut off counts as soon as it tells which
/// value it is.
pub(crate) fn add_printed(printed: &mut Printed, component: &str, secret: &str, output: &[u8]) {
    let output = std::str::from_utf8(output).unwrap();
    let mut lines = output.split('\n').peekable();
    while let Some(line) = lines.next() {
        let whole = lines.peek().is_some();
        let value = line.strip_prefix("value ");
        if whole {
            assert!(value.is_some(), "{component} printed {line:?}");
        }
        if let Some(value) = value.filter(|value| whole || value.len() >= DISTINCT) {
            let key = (
                component.into(),
                secret.into(),
                value.get(..DISTINCT).unwrap().into(),
            );
            *printed.entry(key).or_default() += 1;
        }
    }
}

/// Reads the records that the log got since `offset`, which moves on.
pub(crate) fn recorded_since(log: &Path, offset: &mut u64) -> Recorded {
    let mut file = File::open(log).unwrap();
    file.seek(SeekFrom::Start(*offset)).unwrap();
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    *offset += bytes.len() as u64;
    recorded(&bytes)
}

/// The allowed reads of components among these lines.
pub(crate) fn recorded(lines: &[u8]) -> Recorded {
    let mut recorded = Recorded::new();
    for line in lines.split(|byte| *byte == b'\n') {
        if line.is_empty() {
            continue;
        }
        let record: serde_json::Value = serde_json::from_slice(line).unwrap();
        let text = |name: &str| record[name].as_str().unwrap_or_default();
        let Some(component) = text("principal").strip_prefix("component:") else {
            continue;
        };
        if text("action") == "read" && text("outcome") == "allowed" {
            let version = record["version"].as_u64().unwrap();
            let key = (component.into(), text("secret").into(), version);
            *recorded.entry(key).or_default() += 1;
        }
    }
    recorded
}

/// The values that a guest printed and no record tells of; empty where all is on record.
pub(crate) fn unrecorded(
    printed: &Printed,
    recorded: &Recorded,
    versions: &Versions,
) -> Vec<String> {
    let mut missing = Vec::new();
    for ((component, secret, value), count) in printed {
        let Some(version) = versions.get(&(secret.clone(), value.clone())) else {
            missing.push(format!(
                "{component} printed a value of {secret} that it never had"
            ));
            continue;
        };
        let key = (component.clone(), secret.clone(), *version);
        let on_record = recorded.get(&key).copied().unwrap_or(0);
        if on_record < *count {
            missing.push(format!(
                "{component} printed version {version} of {secret} {count} times, {on_record} are on record"
            ));
        }
    }
    missing
}
