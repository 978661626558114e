//! Each way to tamper with a log, by name, and the record that `verify` names for it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails should stop where it fails"
)]

mod common;

use std::fs;

use common::{Home, reads, suffixed};
use strongroom_audit::{Action, Bad, Error, Filter, Log, MAX_LINE, parse_line, show};

/// What is wrong must show with the first key, and without it.
fn bad(home: &Home) -> Bad {
    let with = home.verify().bad.expect("tampering shows");
    assert!(
        home.verify_with(false, None).bad.is_some(),
        "tampering shows without the first key"
    );
    with
}

#[test]
fn a_flipped_bit_anywhere_names_its_record() {
    let home = Home::with_reads(8);
    let whole = fs::read(&home.log).unwrap();
    let mut line = 1;
    for at in 0..whole.len() {
        if at % 7 == 0 || whole[at] == b'\n' {
            let mut other = whole.clone();
            other[at] ^= 1;
            fs::write(&home.log, &other).unwrap();
            let found = bad(&home);
            assert_eq!(found.seq, line, "byte {at}: {found}");
        }
        line += u64::from(whole[at] == b'\n');
    }
}

#[test]
fn a_removed_record_is_named() {
    let home = Home::with_reads(8);
    let mut lines = home.lines();
    lines.remove(4);
    home.write_lines(&lines);
    assert_eq!(bad(&home).seq, 5);
}

#[test]
fn swapped_records_are_named() {
    let home = Home::with_reads(8);
    let mut lines = home.lines();
    lines.swap(3, 6);
    home.write_lines(&lines);
    assert_eq!(bad(&home).seq, 4);
}

#[test]
fn a_duplicated_record_is_named() {
    let home = Home::with_reads(8);
    let mut lines = home.lines();
    lines.insert(4, lines[3].clone());
    home.write_lines(&lines);
    assert_eq!(bad(&home).seq, 5);
}

#[test]
fn an_inserted_record_is_named() {
    let home = Home::with_reads(8);
    let mut lines = home.lines();
    lines.insert(4, lines[4].replace("component:a", "component:b"));
    home.write_lines(&lines);
    assert_eq!(bad(&home).seq, 5);
}

#[test]
fn a_cut_tail_is_named() {
    let home = Home::with_reads(8);
    let lines = home.lines();
    home.write_lines(&lines[..7]);
    assert_eq!(bad(&home).seq, 8);
    assert!(matches!(Log::open(home.options()), Err(Error::Tampered(_))));
}

#[test]
fn a_tail_cut_right_after_a_batch_is_tampering_before_any_sync() {
    let home = Home::new();
    let log = home.open();
    reads(&log, "component:a", 5);
    log.flush().unwrap();
    let lines = home.lines();
    home.write_lines(&lines[..lines.len() - 1]);
    assert_eq!(bad(&home).seq, lines.len() as u64);
}

#[test]
fn a_replaced_file_is_named() {
    let home = Home::with_reads(3);
    let copy = suffixed(&home.log, ".copy");
    fs::copy(&home.log, &copy).unwrap();
    fs::rename(&copy, &home.log).unwrap();
    assert!(bad(&home).what.contains("replaced"));
    assert!(Log::open(home.options()).is_err());
}

#[test]
fn the_log_of_another_key_is_named() {
    let (home, other) = (Home::with_reads(3), Home::with_reads(3));
    fs::write(&home.log, fs::read(&other.log).unwrap()).unwrap();
    assert_eq!(home.verify().bad.unwrap().seq, 1);
}

#[test]
fn an_emptied_log_and_a_deleted_one_are_named() {
    let home = Home::with_reads(3);
    fs::write(&home.log, "").unwrap();
    assert_eq!(bad(&home).seq, 1);
    fs::remove_file(&home.log).unwrap();
    assert!(bad(&home).what.contains("missing"));
    assert!(matches!(Log::open(home.options()), Err(Error::Missing(_))));
    assert!(!home.log.exists(), "opening made no new log");
}

#[test]
fn a_lost_or_forged_head_is_named() {
    let home = Home::with_reads(3);
    let head = suffixed(&home.log, ".head");
    let text = fs::read_to_string(&head).unwrap();
    fs::write(&head, text.replace("\"seq\":", "\"seq\":1")).unwrap();
    assert!(bad(&home).what.contains("head"));
    assert!(matches!(Log::open(home.options()), Err(Error::Tampered(_))));
    fs::remove_file(&head).unwrap();
    assert!(bad(&home).what.contains("head"));
    assert!(matches!(Log::open(home.options()), Err(Error::Tampered(_))));
}

#[test]
fn a_lost_journal_is_named() {
    let home = Home::new();
    let log = home.open();
    reads(&log, "component:a", 3);
    log.flush().unwrap();
    assert!(home.assert_whole().is_whole());
    fs::remove_file(&home.journals()[0]).unwrap();
    assert!(bad(&home).what.contains("journal is gone"));
    common::within(std::time::Duration::from_secs(1), "releases stop", || {
        common::read_once(&log).is_err()
    });
}

#[test]
fn a_rollback_of_log_and_head_together_shows_only_against_a_checkpoint_kept_elsewhere() {
    let home = Home::with_reads(3);
    let names = [
        home.log.clone(),
        suffixed(&home.log, ".head"),
        suffixed(&home.log, ".live"),
        home.key.clone(),
    ];
    let old: Vec<Vec<u8>> = names.iter().map(|name| fs::read(name).unwrap()).collect();
    let log = home.open();
    reads(&log, "component:a", 3);
    let checkpoint = log.checkpoint().unwrap();
    log.close().unwrap();
    assert!(home.verify_with(true, Some(checkpoint.clone())).is_whole());
    for (name, content) in names.iter().zip(&old) {
        fs::write(name, content).unwrap();
    }
    assert!(
        home.verify().is_whole(),
        "this is what the checkpoint is needed for"
    );
    let found = home.verify_with(true, Some(checkpoint)).bad.unwrap();
    assert!(found.what.contains("rolled back"), "{found}");
}

#[test]
fn a_rollback_without_the_key_file_shows_by_itself() {
    let home = Home::with_reads(3);
    let names = [
        home.log.clone(),
        suffixed(&home.log, ".head"),
        suffixed(&home.log, ".live"),
    ];
    let old: Vec<Vec<u8>> = names.iter().map(|name| fs::read(name).unwrap()).collect();
    let log = home.open();
    log.checkpoint().unwrap();
    log.close().unwrap();
    for (name, content) in names.iter().zip(&old) {
        fs::write(name, content).unwrap();
    }
    assert!(matches!(Log::open(home.options()), Err(Error::Tampered(_))));
}

#[test]
fn with_the_current_key_nothing_before_the_ratchet_can_be_forged() {
    use hmac::{Hmac, KeyInit, Mac};
    let home = Home::new();
    let log = home.open();
    reads(&log, "component:a", 3);
    log.checkpoint().unwrap();
    reads(&log, "component:a", 1);
    log.close().unwrap();
    // Who took the host over rewrites history, chain and all, with the key that is there now.
    let key = fs::read_to_string(&home.key).unwrap();
    let key = hex::decode(&key.split("\"mac\":\"").nth(1).unwrap()[..64]).unwrap();
    let mut prev = "0".repeat(64);
    let lines: Vec<String> = home
        .lines()
        .iter()
        .map(|line| {
            let record = parse_line(line.as_bytes()).unwrap();
            let line = line
                .replace("component:a", "component:z")
                .replace(&hex::encode(record.prev), &prev);
            let (signed, _) = line.rsplit_once(",\"mac\"").unwrap();
            let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&key).unwrap();
            mac.update(signed.as_bytes());
            let line = format!(
                "{signed},\"mac\":\"{}\"}}",
                hex::encode(mac.finalize().into_bytes())
            );
            prev = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(line.as_bytes()));
            line
        })
        .collect();
    home.write_lines(&lines);
    let found = home.verify().bad.unwrap();
    assert_eq!(
        (found.seq, found.what.contains("MAC")),
        (1, true),
        "{found}"
    );
}

#[test]
fn a_torn_last_line_is_no_tampering_and_is_cut_on_record() {
    let home = Home::with_reads(3);
    let mut text = fs::read(&home.log).unwrap();
    text.extend_from_slice(b"{\"v\":1,\"seq\":6,\"ti");
    fs::write(&home.log, text).unwrap();
    let report = home.assert_whole();
    assert!(report.notes.iter().any(|note| note.contains("torn")));
    home.open().close().unwrap();
    home.assert_whole();
    assert!(home.records().iter().any(|r| r.word("bytes") == Some("18")));
}

#[test]
fn a_log_after_a_loss_begins_anew_on_record_and_only_then() {
    let home = Home::with_reads(3);
    assert!(matches!(Log::resume(&home.options()), Err(Error::Healthy)));
    fs::remove_file(&home.log).unwrap();
    let resumed = Log::resume(&home.options()).unwrap();
    assert_eq!(resumed.seq, 6);
    assert!(resumed.gap.contains("lost-from=1 lost-to=5"));
    let log = home.open();
    reads(&log, "component:a", 2);
    log.close().unwrap();
    let report = home.assert_whole();
    assert!(
        report
            .notes
            .iter()
            .any(|note| note.contains("lost before record 6"))
    );
    assert!(matches!(Log::resume(&home.options()), Err(Error::Healthy)));
    // A damaged one is kept, not overwritten.
    let lines = home.lines();
    home.write_lines(&lines[..1]);
    let kept = Log::resume(&home.options()).unwrap().kept.unwrap();
    assert_eq!(fs::read_to_string(kept).unwrap().lines().count(), 1);
    home.open().close().unwrap();
    home.assert_whole();
}

#[test]
fn a_log_that_was_wiped_and_begun_anew_does_not_pass_a_kept_checkpoint() {
    let home = Home::new();
    let log = home.open();
    reads(&log, "component:a", 3);
    let kept = log.checkpoint().unwrap();
    reads(&log, "component:a", 3);
    log.close().unwrap();
    assert!(home.verify_with(true, Some(kept.clone())).is_whole());
    // Whoever has the key in force can do the same without us.
    fs::remove_file(&home.log).unwrap();
    Log::resume(&home.options()).unwrap();
    home.open().close().unwrap();
    let report = home.assert_whole();
    assert!(
        report
            .notes
            .iter()
            .any(|note| note.contains("only a checkpoint kept"))
    );
    for kept in [kept.clone(), kept.clone().allow_removed()] {
        let found = home.verify_with(true, Some(kept.clone())).bad.unwrap();
        assert_eq!(found.seq, kept.seq());
        assert!(found.what.contains("is not in the log"), "{found}");
    }
}

#[test]
fn a_checkpoint_in_a_file_removed_by_age_passes_only_where_that_is_allowed() {
    let home = Home::new();
    let mut options = home.options();
    options.rotate = 1;
    let log = Log::open(options.clone()).unwrap();
    reads(&log, "component:a", 3);
    let kept = log.checkpoint().unwrap();
    log.close().unwrap();
    options.keep_for = Some(std::time::Duration::from_millis(1));
    let log = Log::open(options).unwrap();
    common::within(std::time::Duration::from_secs(5), "files go", || {
        home.shown()
            .first()
            .is_none_or(|shown| shown.record.seq > kept.seq())
    });
    log.close().unwrap();
    let report = home.assert_whole();
    assert!(
        report
            .notes
            .iter()
            .any(|note| note.contains("removed by age"))
    );
    assert!(home.verify_with(true, Some(kept.clone())).bad.is_some());
    let report = home.verify_with(true, Some(kept.allow_removed()));
    assert!(report.is_whole(), "{:?}", report.bad);
    assert!(
        report
            .notes
            .iter()
            .any(|note| note.contains("of the checkpoint"))
    );
}

#[test]
fn only_journals_of_ours_are_taken_for_journals() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let home = Home::with_reads(3);
    let folder = suffixed(&home.log, ".journals");
    let id = |last: char| format!("01ARZ3NDEKTSV4RRFFQ69G5FA{last}.journal");
    let private = |name: &str, content: &[u8]| {
        fs::write(folder.join(name), content).unwrap();
        fs::set_permissions(folder.join(name), PermissionsExt::from_mode(0o600)).unwrap();
    };
    for name in [
        "a\"b.journal",
        "a\nb.journal",
        "copy of 01.journal",
        "01ARZ3NDEKTSV4RRFFQ69G5FAL.journal",
    ] {
        private(name, b"");
    }
    rustix::fs::mknodat(
        rustix::fs::CWD,
        folder.join(id('1')),
        rustix::fs::FileType::Fifo,
        0o600.into(),
        0,
    )
    .unwrap();
    fs::create_dir(folder.join(id('2'))).unwrap();
    symlink(&home.log, folder.join(id('3'))).unwrap();
    private(&id('4'), b"");
    fs::set_permissions(folder.join(id('4')), PermissionsExt::from_mode(0o640)).unwrap();
    private(&id('5'), b"");
    fs::File::options()
        .write(true)
        .open(folder.join(id('5')))
        .unwrap()
        .set_len(10 << 30)
        .unwrap();
    home.open().close().unwrap();
    home.open().close().unwrap();
    let report = home.assert_whole();
    assert_eq!(home.journals().len(), 9, "nothing was removed");
    assert!(
        home.records()
            .iter()
            .all(|record| record.action != Action::Recovered)
    );
    let noted = |what: &str| report.notes.iter().any(|note| note.contains(what));
    for what in ["a\\\"b.journal", "a\\nb.journal", "copy of 01.journal"] {
        assert!(noted(what), "{what}: {:?}", report.notes);
    }
    assert!(report.notes.iter().all(|note| !note.contains('\n')));
}

#[test]
fn a_tail_longer_than_any_record_is_bad_for_all_who_read() {
    let home = Home::with_reads(3);
    let whole = fs::read(&home.log).unwrap();
    for (size, end) in [
        (MAX_LINE + 1, ""),
        (70_000, ""),
        (100_000, "\n"),
        (MAX_LINE + 1, "\n"),
    ] {
        let mut text = whole.clone();
        text.extend(std::iter::repeat_n(b'x', size));
        text.extend_from_slice(end.as_bytes());
        fs::write(&home.log, text).unwrap();
        assert_eq!(bad(&home).seq, 6, "{size} {end:?}");
        assert!(Log::open(home.options()).is_err());
    }
    let mut text = whole;
    text.extend(std::iter::repeat_n(b'x', MAX_LINE));
    fs::write(&home.log, text).unwrap();
    home.assert_whole();
    home.open().close().unwrap();
    home.assert_whole();
}

#[test]
fn what_stands_after_bad_lines_is_shown_all_the_same() {
    let home = Home::with_reads(3);
    let mut lines = home.lines();
    lines[1] = "x".repeat(200_000);
    lines[2] = "{}".to_owned();
    home.write_lines(&lines);
    let shown = show(&home.location(), Filter::default()).unwrap();
    let shown: Vec<_> = shown
        .map(|shown| {
            shown
                .map(|shown| shown.record.seq)
                .map_err(|e| e.to_string())
        })
        .collect();
    let seqs: Vec<u64> = shown.iter().flatten().copied().collect();
    assert_eq!(seqs, [1, 4, 5]);
    for (at, line) in [(1, "audit.jsonl:2:"), (2, "audit.jsonl:3:")] {
        let error = shown[at].as_ref().unwrap_err();
        assert!(error.contains(line), "{error}");
    }
}

#[test]
fn an_empty_or_impossible_closed_file_is_named() {
    for name in [
        "audit-00000000000000099999.jsonl",
        "audit-00000000000000000000.jsonl",
        "audit-99999999999999999999.jsonl",
    ] {
        let home = Home::with_reads(3);
        let stray = home.dir.path().join(name);
        fs::write(&stray, "").unwrap();
        let found = bad(&home);
        assert_eq!(
            (&found.file, found.what.contains("empty")),
            (&stray, true),
            "{found}"
        );
        let error = Log::resume(&home.options()).unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
        fs::remove_file(&stray).unwrap();
        home.assert_whole();
    }
}

#[test]
fn a_log_damaged_before_its_end_begins_anew_on_record() {
    let home = Home::with_reads(3);
    let mut lines = home.lines();
    lines[1] = "x".repeat(lines[1].len());
    home.write_lines(&lines);
    // The end is whole: writers go on.
    home.open().close().unwrap();
    assert_eq!(bad(&home).seq, 2);
    let resumed = Log::resume(&home.options()).unwrap();
    assert!(
        resumed.gap.contains("lost-from=1 lost-to=7"),
        "{}",
        resumed.gap
    );
    let kept = fs::read_to_string(resumed.kept.unwrap()).unwrap();
    assert_eq!(kept.lines().count(), 7);
    home.open().close().unwrap();
    let report = home.assert_whole();
    assert!(
        report
            .notes
            .iter()
            .any(|note| note.contains("lost before record 8"))
    );
    assert!(matches!(Log::resume(&home.options()), Err(Error::Healthy)));
}

#[test]
fn a_damaged_closed_file_is_set_aside_with_all_after_it() {
    for harm in 0..4 {
        let home = Home::new();
        for round in 1..=3 {
            let mut options = home.options();
            options.rotate = 1;
            let log = Log::open(options).unwrap();
            reads(&log, "component:a", 3);
            common::within(
                std::time::Duration::from_secs(5),
                "a file is closed",
                || home.closed_files().len() >= round,
            );
            log.close().unwrap();
        }
        let files = home.closed_files();
        assert!(files.len() > 2);
        match harm {
            0 => {
                let text = fs::read_to_string(&files[1]).unwrap();
                fs::write(&files[1], text.replacen("host:audit", "host:audix", 1)).unwrap();
            }
            1 => fs::remove_file(&files[0]).unwrap(),
            // Its last record, which the first line of the next file accuses.
            2 => {
                let text = fs::read_to_string(&files[1]).unwrap();
                let at = text.rfind("\"time\":\"2").unwrap() + 8;
                let mut text = text.into_bytes();
                text[at] = b'3';
                fs::write(&files[1], text).unwrap();
            }
            _ => fs::remove_file(&files[1]).unwrap(),
        }
        let found = home.verify_with(false, None).bad.unwrap();
        assert!(harm != 2 || found.file == files[1], "{found}");
        let resumed = Log::resume(&home.options()).unwrap();
        assert_eq!(
            home.closed_files()
                .iter()
                .filter(|f| f.extension() == Some("jsonl".as_ref()))
                .count(),
            usize::from(harm != 1),
            "{harm}"
        );
        let there = resumed.also_kept.iter().chain(&resumed.kept);
        assert!(there.clone().count() > 1 && there.clone().all(|file| file.exists()));
        home.open().close().unwrap();
        let report = home.verify_with(false, None);
        assert!(report.is_whole(), "{harm}: {:?}", report.bad);
        home.assert_whole();
    }
}
