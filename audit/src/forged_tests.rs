//! Records that only whoever has the key can write, or that earlier recoveries wrote.

use std::path::PathBuf;
use std::sync::Arc;

use crate::chain::{self, Chain};
use crate::line::{self, Parts, TimeText};
use crate::record::{Action, Outcome, Phase, SYSTEM};
use crate::{Location, Log, Options, Report, Verify, first_key_path, parse_line, verify};

struct Forge {
    _dir: tempfile::TempDir,
    options: Options,
}

impl Forge {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path: PathBuf = dir.path().join("audit.jsonl");
        let key = dir.path().join("keys/audit.key");
        Log::init(&path, &key).unwrap();
        let mut options = Options::new(path, key);
        options.journal = 256 * 1024;
        Log::open(options.clone()).unwrap().close().unwrap();
        Self { _dir: dir, options }
    }

    /// The writer and number of the last call in the log.
    fn last_call(&self) -> (String, u64) {
        let text = std::fs::read_to_string(&self.options.path).unwrap();
        let record = parse_line(text.lines().last().unwrap().as_bytes()).unwrap();
        let (writer, call) = record.call_parts().unwrap();
        (writer.to_owned(), call)
    }

    /// Appends a record of the log's own under the key in force.
    fn append(&self, writer: &str, call: u64, action: Action, detail: &str) {
        let options = &self.options;
        let sync = Arc::clone(&options.sync);
        let mut chain = Chain::open(&options.path, &options.key, false, "", sync).unwrap();
        chain.refresh().unwrap();
        let subject = line::subject_piece(SYSTEM, None, None);
        let target = line::target_piece(None, None);
        let detail = line::text_piece(Some(detail));
        let (mut time, mut out) = (TimeText::default(), Vec::new());
        let (seq, prev) = chain.next();
        let parts = Parts {
            seq,
            time: time.format(chain::now_us()),
            writer,
            call,
            of: None,
            subject: &subject,
            via: b"null",
            action,
            target: &target,
            version: None,
            phase: Phase::Outcome,
            outcome: Some(Outcome::Allowed),
            grant: b"null",
            policy: 0,
            cache: None,
            detail: &detail,
        };
        line::write_signed(&mut out, &parts, &prev);
        chain.push(&mut out, 0, false, None);
        chain.commit(&out).unwrap();
    }

    fn verify(&self) -> Report {
        verify(&Verify {
            location: Location {
                log: self.options.path.clone(),
                key: self.options.key.clone(),
                allow_links: false,
            },
            first_key: Some(first_key_path(&self.options.key)),
            checkpoint: None,
        })
        .unwrap()
    }
}

#[test]
fn one_recovery_right_after_a_close_is_noted_and_a_second_is_bad() {
    let forge = Forge::new();
    let (writer, call) = forge.last_call();
    forge.append(&writer, call + 1, Action::Recovered, "by=another");
    let report = forge.verify();
    assert!(report.is_whole(), "{:?}", report.bad);
    assert!(
        report
            .notes
            .iter()
            .any(|note| note.contains("after its close"))
    );
    forge.append(&writer, call + 2, Action::Recovered, "by=another");
    assert!(forge.verify().bad.unwrap().what.contains("after the end"));
}

#[test]
fn nothing_but_the_next_recovery_may_follow_a_close() {
    for (step, action) in [
        (2, Action::Recovered),
        (1, Action::Close),
        (1, Action::Open),
    ] {
        let forge = Forge::new();
        let (writer, call) = forge.last_call();
        forge.append(&writer, call + step, action, "");
        assert!(forge.verify().bad.is_some(), "{step} {action:?}");
    }
}
