//! What only shows at the end of a log.

use super::{Bad, Run};
use crate::files;

impl Run<'_> {
    /// A journal that is damaged in the boot that its writer opened the log in: a power cut, the only
    /// innocent cause, would have ended that.
    pub(super) fn damaged(&self, name: &str) -> Option<Bad> {
        let writer = self
            .writers
            .get(name)
            .filter(|writer| !writer.ended && writer.seq > self.gap)?;
        let boot = files::boot_id();
        if writer.boot.as_ref().is_some_and(|opened| *opened != boot) {
            return None;
        }
        Some(Bad {
            file: self.log.clone(),
            line: 0,
            seq: writer.seq,
            what: format!(
                "is the last of writer {name}, whose journal was damaged or emptied within one boot, \
                 which no power cut explains; records are missing"
            ),
        })
    }

    /// What only shows at the end.
    pub(super) fn end(&mut self, current: Option<(u64, u64)>, has_journal: impl Fn(&str) -> bool) {
        let end = |seq: u64, what: String| {
            Some(Bad {
                file: self.log.clone(),
                line: 0,
                seq,
                what,
            })
        };
        let boot = files::boot_id();
        let furthest = self.claims.iter().max_by_key(|(_, claim)| claim.seq);
        let bad = if let Some((.., gap)) = self.gaps.first() {
            Some(gap.clone())
        } else if let Some(what) = &self.broken_claim {
            end(self.seq, what.clone())
        } else if current.is_none() {
            end(self.seq + 1, "the log is missing".to_owned())
        } else if let Some((what, claim)) = furthest.filter(|(_, claim)| claim.seq > self.seq) {
            end(
                self.seq + 1,
                format!(
                    "is not there: the log was cut; {what} goes to record {}",
                    claim.seq
                ),
            )
        } else if furthest
            .is_some_and(|(_, claim)| claim.boot == boot && current != Some((claim.dev, claim.ino)))
        {
            end(self.seq, "the log was replaced by another file".to_owned())
        } else if let Some(kept) = self.checkpoint.filter(|kept| kept.seq > self.seq) {
            end(
                self.seq + 1,
                format!(
                    "is not there: log and head were rolled back; the checkpoint is record {}",
                    kept.seq
                ),
            )
        } else if let Some((first, prev, resumed)) = self.first {
            let known = resumed
                || first == 1
                || self
                    .removed
                    .iter()
                    .any(|(last, hash)| *last + 1 == first && *hash == hex::encode(prev));
            if known {
                self.lost_checkpoint()
                    .or_else(|| self.lost_writer(has_journal))
            } else {
                Some(Bad {
                    file: self.first_file.clone().unwrap_or_else(|| self.log.clone()),
                    line: 0,
                    seq: 1,
                    what: format!(
                        "records before {first} are missing, and no record tells of their removal"
                    ),
                })
            }
        } else {
            None
        };
        self.report.bad = bad;
        if let Some((first, ..)) = self.first.filter(|(first, ..)| *first > 1) {
            self.report.notes.push(format!(
                "the log begins with record {first}; that what came before was removed or lost by \
                 rights is the word of whoever had the key then, which only a checkpoint kept \
                 elsewhere can prove"
            ));
        }
        if self.report.macs_from != self.first.map(|(first, ..)| first) {
            let from = self.report.macs_from.map_or_else(
                || "no record".to_owned(),
                |seq| format!("records from {seq} on"),
            );
            self.report.notes.push(format!("without the first key, MACs were checked for {from}; before that the chain of hashes alone"));
        }
    }

    /// A checkpoint that was kept and is not in the log: deleted history is as bad as forged history.
    fn lost_checkpoint(&mut self) -> Option<Bad> {
        let kept = self.checkpoint.filter(|_| !self.checkpoint_seen)?;
        let removed = self.removed.iter().any(|(last, _)| kept.seq <= *last);
        if kept.removal_allowed && removed {
            self.report.notes.push(format!(
                "record {} of the checkpoint is in a file that was removed",
                kept.seq
            ));
            return None;
        }
        Some(Bad {
            file: self.log.clone(),
            line: 0,
            seq: kept.seq,
            what: "of the checkpoint is not in the log: removed by age, or wiped; keep newer \
                   checkpoints, or bring the closed file back"
                .to_owned(),
        })
    }

    fn lost_writer(&self, has_journal: impl Fn(&str) -> bool) -> Option<Bad> {
        let lost = self
            .writers
            .iter()
            .filter(|(name, writer)| !writer.ended && writer.seq > self.gap && !has_journal(name));
        let (name, writer) = lost.min_by_key(|(_, writer)| writer.seq)?;
        Some(Bad {
            file: self.log.clone(),
            line: 0,
            seq: writer.seq,
            what: format!(
                "is the last of writer {name}, which neither ended nor was recovered, and whose journal is gone"
            ),
        })
    }
}
