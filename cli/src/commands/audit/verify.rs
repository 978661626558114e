//! `strongroom audit verify`.

use std::path::{Path, PathBuf};

use serde_json::json;
use strongroom::audit::{self, Checkpoint, Report, Verify, first_key_path};

use crate::context::Context;
use crate::failure::Failure;
use crate::output;

/// The most bytes of a file with a checkpoint line: many times one line.
const MAX_CHECKPOINT: u64 = 64 * 1024;

/// Prove that no record was changed, removed, added or put elsewhere
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  strongroom audit verify
  strongroom audit verify --key /mnt/safe/audit.key.first --checkpoint @checkpoints.jsonl

Without --key it takes the first key that still lies beside the log's key; where that was moved off
the machine, the chain is proven from the key in force, as far back as it reaches. A checkpoint
that was kept on another machine also shows a log that was cut off or written anew as a whole.
Where `keep-for` removes old files, keep newer checkpoints: one whose record is gone does not pass.
With --allow-removed it does, on the word of a record that whoever took the host over could forge.")]
pub(crate) struct Args {
    /// A line of `audit checkpoint`, or @FILE (its last line)
    #[arg(long, value_name = "LINE|@FILE")]
    checkpoint: Option<String>,

    /// Accept that the checkpoint is gone with a file that was removed by age, as the log says
    #[arg(long, requires = "checkpoint")]
    allow_removed: bool,

    /// The log's first key, which `init` made and which is kept off the machine
    #[arg(long, value_name = "FIRSTKEY")]
    key: Option<PathBuf>,
}

/// Runs `audit verify`.
pub(super) fn run(args: Args, context: &Context) -> Result<(), Failure> {
    let location = super::location(&super::settings(context)?);
    let mut checkpoint = args.checkpoint.as_deref().map(checkpoint).transpose()?;
    if args.allow_removed {
        checkpoint = checkpoint.map(Checkpoint::allow_removed);
    }
    let beside = Some(first_key_path(&location.key)).filter(|first| first.exists());
    let verify = Verify {
        location,
        first_key: args.key.or(beside),
        checkpoint,
    };
    let report = audit::verify(&verify).map_err(|e| super::failure(&e))?;
    if context.json {
        output::document(&document(&report))?;
    } else {
        output::text(&text(&report, verify.first_key.is_some()))?;
    }
    match &report.bad {
        None => Ok(()),
        Some(bad) => {
            let failure = Failure::failed(format!(
                "the log does not verify: {}, line {}, seq {}: {}",
                bad.file.display(),
                bad.line,
                bad.seq,
                output::printable(&bad.what),
            ));
            // Only a line that is wrong has proven ones before it; what is missing may be anywhere.
            Err(match bad.line {
                0 => failure,
                _ => failure.hint("what stands before that record is proven; what follows is not"),
            })
        }
    }
}

fn checkpoint(text: &str) -> Result<Checkpoint, Failure> {
    let Some(file) = text.strip_prefix('@') else {
        return parse(text.trim());
    };
    let lines = read(Path::new(file))?;
    let last = lines
        .lines()
        .rfind(|line| !line.trim().is_empty())
        .unwrap_or_default();
    parse(last.trim())
}

fn parse(line: &str) -> Result<Checkpoint, Failure> {
    line.parse().map_err(|_| {
        Failure::usage("that is no checkpoint")
            .hint("it is the line that `audit checkpoint` prints")
    })
}

fn read(file: &Path) -> Result<String, Failure> {
    let name = file.display();
    let cannot = |e| Failure::usage(format!("cannot read {name}: {e}"));
    let size = std::fs::metadata(file).map_err(cannot)?.len();
    if size > MAX_CHECKPOINT {
        return Err(Failure::usage(format!(
            "{name} has more than {MAX_CHECKPOINT} bytes"
        )));
    }
    std::fs::read_to_string(file).map_err(cannot)
}

fn text(report: &Report, first_key: bool) -> String {
    let mut text = String::new();
    for note in &report.notes {
        text.push_str(&format!("note: {}\n", output::printable(note)));
    }
    if report.pending > 0 {
        text.push_str(&format!(
            "note: {} more still in journals\n",
            report.pending
        ));
    }
    if report.bad.is_none() {
        let (records, files) = (report.records, report.files);
        text.push_str(&format!("verified: {records} records in {files} files\n"));
        match report.macs_from {
            Some(1) => {}
            // The first key was there: what it does not reach is not in the log, as the notes say.
            _ if first_key => {}
            Some(seq) => text.push_str(&format!(
                "their keys are at hand from seq {seq} on; `--key` with the first key proves all\n"
            )),
            None if records > 0 => {
                text.push_str("their key is not at hand; `--key` with the first key proves all\n");
            }
            None => {}
        }
    }
    text
}

fn document(report: &Report) -> serde_json::Value {
    let bad = report.bad.as_ref().map(|bad| {
        json!({
            "file": bad.file.display().to_string(),
            "line": bad.line,
            "seq": bad.seq,
            "what": bad.what,
        })
    });
    json!({
        "verified": report.bad.is_none(),
        "records": report.records,
        "files": report.files,
        "pending": report.pending,
        "last-seq": report.last_seq,
        "macs-from": report.macs_from,
        "notes": report.notes,
        "bad": bad,
    })
}
