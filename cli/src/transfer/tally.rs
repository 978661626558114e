//! Telling what came of each secret.

use serde_json::json;

use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output;

/// What came of one secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    /// Written where there was none.
    Created,
    /// Written over another value.
    Overwritten,
    /// The value was there already.
    Same,
    /// Another value is there, and it was kept.
    Differs,
    /// Neither read nor written to the end.
    Failed,
}

impl Done {
    const ALL: [Self; 5] = [
        Self::Created,
        Self::Overwritten,
        Self::Same,
        Self::Differs,
        Self::Failed,
    ];

    fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Overwritten => "overwritten",
            Self::Same => "same",
            Self::Differs => "differs",
            Self::Failed => "failed",
        }
    }

    fn plan(self) -> &'static str {
        match self {
            Self::Created => "create",
            Self::Overwritten => "overwrite",
            Self::Same => "same",
            Self::Differs => "differs (kept without --overwrite)",
            Self::Failed => "cannot",
        }
    }
}

/// What came of all of them.
pub(crate) struct Tally {
    dry_run: bool,
    lines: Vec<Line>,
}

struct Line {
    target: String,
    done: Done,
    failure: Option<Failure>,
}

impl Tally {
    pub(crate) fn new(dry_run: bool) -> Self {
        Self {
            dry_run,
            lines: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, target: &str, result: Result<Done, impl Into<Failure>>) {
        let (done, failure) = match result {
            Ok(done) => (done, None),
            Err(error) => (Done::Failed, Some(error.into())),
        };
        self.lines.push(Line {
            target: target.to_owned(),
            done,
            failure,
        });
    }

    pub(crate) fn count(&self, done: Done) -> usize {
        self.lines.iter().filter(|line| line.done == done).count()
    }

    /// Prints what was done, and ends in failure where it was not all.
    ///
    /// # Errors
    ///
    /// A single secret's own failure; of several, exit code 1 with the counts.
    pub(crate) fn finish(mut self, context: &Context) -> Result<(), Failure> {
        if context.json {
            output::document(&self.document())?;
        } else {
            output::text(&self.text())?;
        }
        if let [line] = self.lines.as_mut_slice()
            && let Some(failure) = line.failure.take()
        {
            return Err(failure.while_doing(&line.target));
        }
        let (differ, failed) = (self.count(Done::Differs), self.count(Done::Failed));
        if failed > 0 || (differ > 0 && !self.dry_run) {
            let exit = if failed > 0 || self.lines.len() > 1 {
                Exit::Failed
            } else {
                Exit::Conflict
            };
            let message = format!(
                "{failed} failed, {differ} kept another value: {}",
                self.counts()
            );
            return Err(Failure::new(exit, message).hint(if differ > 0 {
                "`--overwrite` replaces what differs; what is the same is not written again"
            } else {
                "run it again once the cause is mended: what is the same is not written again"
            }));
        }
        Ok(())
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for line in &self.lines {
            let word = if self.dry_run {
                line.done.plan()
            } else {
                line.done.word()
            };
            if self.dry_run || matches!(line.done, Done::Differs | Done::Failed) {
                text.push_str(&format!("{word}: {}", line.target));
                if let Some(failure) = &line.failure {
                    text.push_str(&format!(": {}", output::printable(&failure.message)));
                }
                text.push('\n');
            }
        }
        if !self.dry_run {
            text.push_str(&self.counts());
            text.push('\n');
        }
        text
    }

    fn counts(&self) -> String {
        let counts = Done::ALL
            .iter()
            .map(|done| (self.count(*done), done.word()));
        let counts: Vec<_> = counts
            .filter(|(count, _)| *count > 0)
            .map(|(n, word)| format!("{n} {word}"))
            .collect();
        if counts.is_empty() {
            "nothing to do".to_owned()
        } else {
            counts.join(", ")
        }
    }

    fn document(&self) -> serde_json::Value {
        let secrets: Vec<_> = self
            .lines
            .iter()
            .map(|line| {
                json!({
                    "reference": line.target,
                    "result": line.done.word(),
                    "error": line.failure.as_ref().map(|failure| &failure.message),
                })
            })
            .collect();
        let mut document = json!({ "dry-run": self.dry_run, "secrets": secrets });
        if let Some(document) = document.as_object_mut() {
            document
                .extend(Done::ALL.map(|done| (done.word().to_owned(), self.count(done).into())));
        }
        document
    }
}
