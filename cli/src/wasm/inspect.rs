//! What kind of file it is, before an engine is asked.

use std::fs::{File, Metadata};
use std::io::Read;
use std::path::Path;

use strongroom::grants::Digest;
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::failure::{Exit, Failure};
use crate::output;

/// The largest component that is read: many times the largest that toolchains make today.
const MAX_COMPONENT: u64 = 512 << 20;

/// The export of a command: what `run` calls.
const RUN: &str = "wasi:cli/run";

/// A file that can be a component.
#[derive(Debug)]
pub(crate) struct Binary {
    /// Its bytes.
    pub(crate) bytes: Vec<u8>,
    /// Of the file that was opened: another may have its name by now.
    pub(crate) opened: Metadata,
}

/// Reads a file that can be a component.
///
/// # Errors
///
/// There is none, it is too large, or it is something else: then says what, and what to do.
pub(crate) fn read(path: &Path) -> Result<Binary, Failure> {
    let name = output::printable(&path.display().to_string());
    let cannot = |error: std::io::Error| {
        let exit = match error.kind() {
            std::io::ErrorKind::NotFound => Exit::NotFound,
            _ => Exit::Usage,
        };
        Failure::new(exit, format!("cannot read {name}: {error}"))
    };
    let file = File::open(path).map_err(cannot)?;
    let opened = file.metadata().map_err(cannot)?;
    let size = opened.len().min(MAX_COMPONENT);
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
    file.take(MAX_COMPONENT + 1)
        .read_to_end(&mut bytes)
        .map_err(cannot)?;
    if bytes.len() as u64 > MAX_COMPONENT {
        return Err(Failure::usage(format!(
            "{name} has more than {MAX_COMPONENT} bytes"
        )));
    }
    check(&bytes).map_err(|(what, hint)| Failure::usage(format!("{name} {what}")).hint(hint))?;
    Ok(Binary { bytes, opened })
}

/// Says why it is not a component; the engine's own words come after this.
fn check(bytes: &[u8]) -> Result<(), (&'static str, &'static str)> {
    const BUILD: &str = "for Rust: cargo build --target wasm32-wasip2";
    let Some(rest) = bytes.strip_prefix(b"\0asm") else {
        let text = bytes.trim_ascii_start();
        return Err(if bytes.is_empty() {
            ("is empty", BUILD)
        } else if text.starts_with(b"(") {
            (
                "is WebAssembly text, not a binary",
                "wasm-tools parse FILE -o COMPONENT.wasm",
            )
        } else if b"\0asm".starts_with(bytes) {
            (
                "ends within its first bytes",
                "it was not copied whole; build it again",
            )
        } else {
            ("is not WebAssembly", BUILD)
        });
    };
    match rest {
        [_, _, 1, 0, ..] => Ok(()),
        [1, 0, 0, 0, ..] => Err((
            "is a core module, not a component",
            "build it for wasm32-wasip2, or: wasm-tools component new FILE --adapt \
             wasi_snapshot_preview1.command.wasm -o COMPONENT.wasm",
        )),
        [_, _, _, _, ..] => Err((
            "has a WebAssembly version that is not known here",
            "update strongroom, or rebuild it",
        )),
        _ => Err((
            "ends within its first bytes",
            "it was not copied whole; build it again",
        )),
    }
}

/// Says whether a component is a command at all.
///
/// # Errors
///
/// It exports no `wasi:cli/run`.
pub(crate) fn check_world(
    engine: &Engine,
    component: &Component,
    path: &Path,
) -> Result<(), Failure> {
    let ty = component.component_type();
    let mut exports = Vec::new();
    for (name, _) in ty.exports(engine) {
        if name
            .strip_prefix(RUN)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('@'))
        {
            return Ok(());
        }
        exports.push(name.to_owned());
    }
    let what = match exports.as_slice() {
        [] => "nothing".to_owned(),
        names => output::printable(&names.join(", ")),
    };
    let path = output::printable(&path.display().to_string());
    Err(Failure::usage(format!("{path} is a component but no command: it exports {what}"))
        .hint("`run` takes a program with a main function, which exports wasi:cli/run; a library runs in an embedder"))
}

/// The entry of a component that has none, as it can be put into the configuration.
pub(crate) fn entry(
    path: &Path,
    name: Option<&str>,
    digest: Digest,
    vault: Option<&str>,
) -> String {
    let stem = path
        .file_stem()
        .map(|stem| stem.to_string_lossy())
        .unwrap_or_default();
    let legal = |c: char| {
        if c.is_ascii_alphanumeric() || "_-".contains(c) {
            c
        } else {
            '-'
        }
    };
    let from_file = || stem.chars().take(64).map(legal).collect();
    let name: String = name.map_or_else(from_file, str::to_owned);
    let name = if name.is_empty() {
        "component".to_owned()
    } else {
        name
    };
    let wasm = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let wasm = toml::Value::String(wasm.to_string_lossy().into_owned());
    let vault = vault.unwrap_or("app-secrets");
    format!(
        "[component.{name}]\nwasm = {wasm}\n# digest = \"{digest}\"\ngrants = [ {{ vault = \
         \"{vault}\", secrets = [\"path/of/a/secret\"], actions = [\"read\"] }} ]"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_file_is_named() {
        let cases: &[(&[u8], &str)] = &[
            (b"", "is empty"),
            (b"\0as", "first bytes"),
            (b"\0asm\x01", "first bytes"),
            (b"\0asm\x01\0\0\0", "core module"),
            (b"\0asm\x02\0\0\0", "version"),
            (b"\n (component)", "text"),
            (b"#!/bin/sh", "not WebAssembly"),
        ];
        for (bytes, what) in cases {
            assert!(check(bytes).unwrap_err().0.contains(what), "{what}");
        }
        assert!(check(b"\0asm\x0d\0\x01\0").is_ok());
    }

    #[test]
    fn the_entry_is_toml_whatever_the_file_is_called() {
        let digest = Digest::of(b"x");
        for name in ["billing.wasm", "we \"ird\\.wasm", "\u{e9}\n.wasm", ".wasm"] {
            let text = entry(Path::new(name), None, digest, Some("app"));
            let table: toml::Table = text.parse().unwrap();
            let components = table["component"].as_table().unwrap();
            let (component, fields) = components.iter().next().unwrap();
            assert!(
                component
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "_-".contains(c))
            );
            assert_eq!(fields["wasm"].as_str().unwrap(), name);
            assert_eq!(fields["grants"][0]["vault"].as_str(), Some("app"));
        }
    }
}
