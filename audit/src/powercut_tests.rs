//! What a power cut may leave: files that were not synced hold anything, and the boot is another.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use crate::files::{TEST_BOOT, with_suffix};
use crate::journal::layout::{Layout, W_DRAINED_CALL};
use crate::{
    Action, Entry, Error, Location, Log, Options, Outcome, Report, Verify, first_key_path, verify,
};

struct Cut {
    _dir: tempfile::TempDir,
    log: PathBuf,
    key: PathBuf,
    journal: PathBuf,
}

/// A log whose writer recorded `reads` reads, the first two of them on disk with their head, and
/// lost its power: its journal stays.
fn cut(reads: u64) -> Cut {
    TEST_BOOT.set(Some("before".to_owned()));
    let dir = tempfile::tempdir().unwrap();
    let (path, key) = (
        dir.path().join("audit.jsonl"),
        dir.path().join("keys/audit.key"),
    );
    Log::init(&path, &key).unwrap();
    let mut options = Options::new(&path, &key);
    options.journal = 256 * 1024;
    let log = Log::open(options).unwrap();
    let subject = log.subject("component:a", None, None);
    let mut head = Vec::new();
    for n in 0..reads {
        let call = log
            .append(&Entry::outcome(&subject, Action::Read, Outcome::Allowed))
            .unwrap();
        if n == 1 {
            log.wait_durable_blocking(call).unwrap();
            // The head follows the sync.
            for _ in 0..300 {
                head = fs::read(with_suffix(&path, ".head")).unwrap();
                if head.starts_with(b"{\"v\":1,\"seq\":3,") {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
        }
    }
    log.flush().unwrap();
    let journal = fs::read_dir(with_suffix(&path, ".journals"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let copy = fs::read(&journal).unwrap();
    let kept =
        [path.clone(), with_suffix(&path, ".live")].map(|path| (fs::read(&path).unwrap(), path));
    drop(log);
    for (content, path) in kept {
        fs::write(path, content).unwrap();
    }
    fs::write(with_suffix(&path, ".head"), head).unwrap();
    fs::write(&journal, copy).unwrap();
    fs::set_permissions(&journal, PermissionsExt::from_mode(0o600)).unwrap();
    TEST_BOOT.set(Some("after".to_owned()));
    Cut {
        _dir: dir,
        log: path,
        key,
        journal,
    }
}

impl Cut {
    fn keep_lines(&self, count: usize) {
        let text = fs::read_to_string(&self.log).unwrap();
        let kept: String = text
            .lines()
            .take(count)
            .map(|line| format!("{line}\n"))
            .collect();
        fs::write(&self.log, kept).unwrap();
    }

    fn reopen(&self) -> Result<Report, Error> {
        Log::open(Options::new(&self.log, &self.key))?.close()?;
        Ok(self.verify())
    }

    fn verify(&self) -> Report {
        let location = Location {
            log: self.log.clone(),
            key: self.key.clone(),
            allow_links: false,
        };
        verify(&Verify {
            location,
            first_key: Some(first_key_path(&self.key)),
            checkpoint: None,
        })
        .unwrap()
    }

    fn reads(&self) -> usize {
        fs::read_to_string(&self.log)
            .unwrap()
            .lines()
            .filter(|line| line.contains("component:a"))
            .count()
    }
}

#[test]
fn a_torn_live_claim_does_not_matter_after_a_reboot() {
    let cut = cut(5);
    fs::write(with_suffix(&cut.log, ".live"), [0; 700]).unwrap();
    let report = cut.reopen().unwrap();
    assert!(report.is_whole(), "{:?}", report.bad);
    assert_eq!(cut.reads(), 5);
}

#[test]
fn what_the_log_lost_comes_back_from_the_journal() {
    let cut = cut(9);
    cut.keep_lines(4);
    let report = cut.reopen().unwrap();
    assert!(report.is_whole(), "{:?}", report.bad);
    assert_eq!(cut.reads(), 9);
}

#[test]
fn what_both_lost_is_a_gap_on_record() {
    let cut = cut(9);
    cut.keep_lines(4);
    // The ring's pages never reached the disk; the header's did.
    let mut journal = fs::read(&cut.journal).unwrap();
    assert_eq!(journal[W_DRAINED_CALL * 8], 10);
    let ring = Layout::for_size(256 * 1024).slot(0) * 8;
    journal[ring..].fill(0);
    fs::write(&cut.journal, journal).unwrap();
    let report = cut.reopen().unwrap();
    assert!(report.is_whole(), "{:?}", report.bad);
    assert!(
        report
            .notes
            .iter()
            .any(|note| note.contains("lost-from=5 lost-to=10")),
        "{:?}",
        report.notes
    );
    assert_eq!(cut.reads(), 3);
}

#[test]
fn a_journal_that_lost_its_header_is_noted() {
    let cut = cut(9);
    let size = fs::metadata(&cut.journal).unwrap().len();
    fs::write(&cut.journal, vec![0; size as usize]).unwrap();
    let report = cut.reopen().unwrap();
    assert!(report.is_whole(), "{:?}", report.bad);
    assert!(
        report.notes.iter().any(|note| note.contains("damaged")),
        "{:?}",
        report.notes
    );
    assert_eq!(cut.reads(), 9);
}

#[test]
fn a_log_shorter_than_its_durable_head_is_tampering_after_a_reboot_too() {
    let cut = cut(9);
    cut.keep_lines(1);
    assert!(matches!(cut.reopen(), Err(Error::Tampered(_))));
}

#[test]
fn an_emptied_journal_is_bad_within_one_boot_before_and_after_its_recovery() {
    for size in [0, 256 * 1024] {
        let cut = cut(9);
        // Killed, not cut off from its power.
        TEST_BOOT.set(Some("before".to_owned()));
        fs::write(&cut.journal, vec![0; size]).unwrap();
        let found = cut.verify().bad.unwrap();
        assert!(found.what.contains("journal"), "{found}");
        let found = cut.reopen().unwrap().bad.unwrap();
        assert!(found.what.contains("within one boot"), "{found}");
    }
}

#[test]
fn a_journal_damaged_behind_its_header_is_bad_within_one_boot_whatever_boot_it_claims() {
    let cut = cut(9);
    TEST_BOOT.set(Some("before".to_owned()));
    let mut journal = fs::read(&cut.journal).unwrap();
    journal[crate::journal::layout::W_BOOT * 8] ^= 1;
    let layout = Layout::for_size(256 * 1024);
    // A committed record that is not as it was written.
    let next = layout.slot(10) * 8;
    journal[next] = 11;
    fs::write(&cut.journal, journal).unwrap();
    assert!(cut.verify().bad.is_some());
    let found = cut.reopen().unwrap().bad.unwrap();
    assert!(found.what.contains("within one boot"), "{found}");
}

#[test]
fn a_journal_of_a_writer_without_records_is_no_loss() {
    let cut = cut(2);
    Log::open(Options::new(&cut.log, &cut.key))
        .unwrap()
        .close()
        .unwrap();
    let name = cut
        .journal
        .with_file_name("01ARZ3NDEKTSV4RRFFQ69G5FAV.journal");
    fs::write(&name, b"").unwrap();
    fs::set_permissions(&name, PermissionsExt::from_mode(0o600)).unwrap();
    assert!(cut.verify().is_whole());
    let report = cut.reopen().unwrap();
    assert!(report.is_whole(), "{:?}", report.bad);
}
