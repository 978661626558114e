use std::path::PathBuf;
use std::time::Duration;

use super::Source;
use super::layers::unit;
use super::parse::path;
use super::reader::{Section, quoted};
use super::units::{parse_duration, parse_size};
use crate::grants::nearest;

/// `[audit]`: where decisions are recorded. It changes by restart only.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AuditConfig {
    /// The log, made absolute.
    pub path: PathBuf,
    /// The key of its MACs.
    pub key: AuditKey,
    /// What the record of a read survives before the value is released.
    pub durability: Durability,
    /// The size in bytes at which a new file begins.
    pub rotate: u64,
    /// No younger file is ever removed.
    pub keep_for: Duration,
    /// The line where the table begins.
    pub line: usize,
}

impl AuditConfig {
    /// Where a file does not say: a day's log of a busy host, which opens in an editor.
    pub const ROTATE: u64 = 1 << 30;
    /// A smaller file would hold no more than a few records.
    pub const LEAST_ROTATE: u64 = 64 << 10;
    /// Where a file does not say: the quarter that auditors ask for first.
    pub const KEEP_FOR: Duration = Duration::from_secs(90 * 24 * 60 * 60);
}

/// The file with the log's key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditKey {
    /// The file, made absolute.
    pub path: PathBuf,
    /// Whether it may be a symbolic link, as mounted secrets are.
    pub allow_links: bool,
}

/// What the record of a read survives before the value is released.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// The death of the host.
    #[default]
    Process,
    /// The loss of power: the record is on disk first.
    Disk,
}

/// Reads `[audit]`; none where something that it needs is missing or wrong.
pub(super) fn audit(mut section: Section<'_, '_>, source: &Source) -> Option<AuditConfig> {
    let line = section.reader.line(section.span());
    let log = path(&mut section, "path");
    if section.lacks("path") {
        section.missing("path", ": the file that records are written to");
    }
    let key = match section.section("key") {
        Some(key) => self::key(key),
        None if section.lacks("key") => {
            section.missing("key", ", as in key = { file = \"keys/audit.key\" }");
            None
        }
        None => None,
    };
    let durability = durability(&mut section);
    let rotate =
        unit(&mut section, "rotate", parse_size).map_or(AuditConfig::ROTATE, |at| at.value);
    if rotate < AuditConfig::LEAST_ROTATE {
        let message = || "'rotate' must be at least 64 KiB".into();
        section.reader.report(section.span(), message);
    }
    let keep_for = unit(&mut section, "keep-for", parse_duration).map(|at| at.value);
    section.finish();
    let key = key?;
    Some(AuditConfig {
        path: source.resolve(&log?),
        key: AuditKey {
            path: source.resolve(&key.path),
            ..key
        },
        durability,
        rotate,
        keep_for: keep_for.unwrap_or(AuditConfig::KEEP_FOR),
        line,
    })
}

fn key(mut section: Section<'_, '_>) -> Option<AuditKey> {
    let file = path(&mut section, "file");
    if section.lacks("file") {
        section.missing("file", ": the log's key comes from a file");
    }
    let allow_links = section.boolean("allow-links").unwrap_or(false);
    section.finish();
    Some(AuditKey {
        path: file?,
        allow_links,
    })
}

fn durability(section: &mut Section<'_, '_>) -> Durability {
    let Some(word) = section.string("durability") else {
        return Durability::default();
    };
    match word.value {
        "process" => return Durability::Process,
        "disk" => return Durability::Disk,
        _ => {}
    }
    section.reader.report(&word.span, || {
        let near = nearest(word.value, ["process", "disk"].into_iter());
        format!("unknown durability {}{near}", quoted(word.value))
    });
    Durability::default()
}
