//! A log in a folder of its own.

#![allow(dead_code, reason = "each test file uses what it needs")]

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use strongroom_audit::{
    Action, Checkpoint, Entry, Filter, Location, Log, Options, Outcome, Record, Report, Shown,
    Verify, first_key_path, parse_line, show, verify,
};

pub(crate) struct Home {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) log: PathBuf,
    pub(crate) key: PathBuf,
}

impl Home {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("audit.jsonl");
        let key = dir.path().join("keys/audit.key");
        Log::init(&log, &key).unwrap();
        Self { dir, log, key }
    }

    /// A closed log with `count` reads between `open` and `close`.
    pub(crate) fn with_reads(count: u64) -> Self {
        let home = Self::new();
        let log = home.open();
        reads(&log, "component:a", count);
        log.close().unwrap();
        home
    }

    pub(crate) fn options(&self) -> Options {
        let mut options = Options::new(&self.log, &self.key);
        options.journal = 1 << 20;
        options
    }

    pub(crate) fn open(&self) -> Log {
        Log::open(self.options()).unwrap()
    }

    pub(crate) fn location(&self) -> Location {
        Location {
            log: self.log.clone(),
            key: self.key.clone(),
            allow_links: false,
        }
    }

    pub(crate) fn verify(&self) -> Report {
        self.verify_with(true, None)
    }

    pub(crate) fn verify_with(&self, first: bool, checkpoint: Option<Checkpoint>) -> Report {
        let first_key = first.then(|| first_key_path(&self.key));
        verify(&Verify {
            location: self.location(),
            first_key,
            checkpoint,
        })
        .unwrap()
    }

    pub(crate) fn assert_whole(&self) -> Report {
        let report = self.verify();
        assert!(report.is_whole(), "{}", report.bad.unwrap());
        report
    }

    pub(crate) fn shown(&self) -> Vec<Shown> {
        show(&self.location(), Filter::default())
            .unwrap()
            .map(Result::unwrap)
            .collect()
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        fs::read_to_string(&self.log)
            .unwrap()
            .lines()
            .map(str::to_owned)
            .collect()
    }

    pub(crate) fn records(&self) -> Vec<Record> {
        self.lines()
            .iter()
            .map(|line| parse_line(line.as_bytes()).unwrap())
            .collect()
    }

    /// Rewrites the log in place: the same file, other lines.
    pub(crate) fn write_lines(&self, lines: &[String]) {
        let before = fs::metadata(&self.log).unwrap().ino();
        fs::write(
            &self.log,
            lines
                .iter()
                .map(|line| format!("{line}\n"))
                .collect::<String>(),
        )
        .unwrap();
        assert_eq!(fs::metadata(&self.log).unwrap().ino(), before);
    }

    pub(crate) fn journals(&self) -> Vec<PathBuf> {
        let folder = suffixed(&self.log, ".journals");
        fs::read_dir(folder)
            .map(|entries| entries.map(|e| e.unwrap().path()).collect())
            .unwrap_or_default()
    }

    pub(crate) fn closed_files(&self) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> = fs::read_dir(self.dir.path())
            .unwrap()
            .map(|e| e.unwrap().path())
            .collect();
        files.retain(|path| {
            path.file_name()
                .unwrap()
                .to_string_lossy()
                .starts_with("audit-")
        });
        files.sort();
        files
    }
}

pub(crate) fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    PathBuf::from(format!("{}{suffix}", path.display()))
}

pub(crate) fn reads(log: &Log, principal: &str, count: u64) {
    let subject = log.subject(principal, Some("01J"), Some("sha256:00"));
    let target = log.target(&subject, Some("v"), Some("stripe/api-key"));
    let mut entry = Entry::outcome(&subject, Action::Read, Outcome::Allowed);
    entry.target = Some(&target);
    for _ in 0..count {
        log.append_blocking(&entry).unwrap();
    }
}

pub(crate) fn read_once(
    log: &Log,
) -> Result<strongroom_audit::Call, strongroom_audit::AppendError> {
    let subject = log.subject("component:a", None, None);
    log.append(&Entry::outcome(&subject, Action::Read, Outcome::Allowed))
}

/// Asserts that something comes about within a time.
pub(crate) fn within(time: Duration, what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + time;
    while !done() {
        assert!(Instant::now() < end, "not within {time:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
