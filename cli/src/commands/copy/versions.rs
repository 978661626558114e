//! All versions of a secret, oldest first, where both vaults keep them.

use jiff::Timestamp;
use strongroom::backend::{PutOptions, SecretValue, VersionState, Which};
use strongroom::{CallError, ErrorCode};

use super::Copying;
use crate::failure::Failure;
use crate::transfer::Done;

/// A version that can be read, and when it expires.
struct Readable {
    number: u64,
    expires: Option<u64>,
    current: bool,
}

impl Copying<'_> {
    /// Copies what `to` lacks. Where it has the first of them already, as after an interrupted copy,
    /// the others follow; the numbers are the target's own.
    pub(super) async fn all_versions(&self, from: &str, to: &str) -> Result<Done, Failure> {
        let sources = self.readable(from).await.map_err(of_side(from))?;
        if !sources.iter().any(|version| version.current) {
            // An older value may not become current anywhere: the answer is that of a read.
            self.session.get(from, Which::Current).await?;
            return Ok(Done::Failed);
        }
        let targets = match self.readable(to).await {
            Err(error) if error.code == ErrorCode::NotFound => Vec::new(),
            targets => targets.map_err(of_side(to))?,
        };
        let begun = self.begins_with(from, &sources, to, &targets).await?;
        let (done, rest) = match (targets.is_empty(), begun) {
            (true, _) => (Done::Created, sources.as_slice()),
            (false, true) => {
                let rest = sources.get(targets.len()..).unwrap_or_default();
                let done = if rest.is_empty() {
                    Done::Same
                } else {
                    Done::Overwritten
                };
                (done, rest)
            }
            (false, false) if self.args.overwrite => (Done::Overwritten, sources.as_slice()),
            (false, false) => return Ok(Done::Differs),
        };
        if self.args.dry_run {
            return Ok(done);
        }
        let mut metadata = self.about(from).await?.1;
        let mut last = None;
        for (index, version) in rest.iter().enumerate() {
            let secret = self
                .session
                .get(from, Which::Version(version.number))
                .await?;
            let options = PutOptions {
                expires: version.expires,
                metadata: std::mem::take(&mut metadata),
                ..PutOptions::default()
            };
            last = Some(self.hashes.of(&secret.value));
            if index == 0 && targets.is_empty() {
                self.writer.put(to, &secret.value, options).await?;
            } else {
                let value = SecretValue::copy_of(secret.value.expose());
                self.session.set(to, value, options).await?;
            }
        }
        if let Some(last) = last {
            let back = self.session.get(to, Which::Current).await?;
            if self.hashes.of(&back.value) != last {
                return Ok(Done::Differs);
            }
        }
        if self.args.remove {
            self.session.delete(from, None).await?;
        }
        Ok(done)
    }

    /// Whether the versions of `to` are the first ones of `from`, value for value.
    async fn begins_with(
        &self,
        from: &str,
        sources: &[Readable],
        to: &str,
        targets: &[Readable],
    ) -> Result<bool, CallError> {
        if targets.len() > sources.len() {
            return Ok(false);
        }
        for (source, target) in sources.iter().zip(targets) {
            let source = self
                .session
                .get(from, Which::Version(source.number))
                .await?;
            let source = self.hashes.of(&source.value);
            let target = self.session.get(to, Which::Version(target.number)).await?;
            if source != self.hashes.of(&target.value) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The versions that can be read by number, oldest first.
    async fn readable(&self, reference: &str) -> Result<Vec<Readable>, CallError> {
        let (_, mut versions) = self.session.versions(reference).await?;
        let now = u64::try_from(Timestamp::now().as_millisecond()).unwrap_or_default();
        versions.retain(|version| {
            let kept = matches!(
                version.state,
                VersionState::Current | VersionState::Superseded
            );
            kept && version.expires.is_none_or(|at| now < at)
        });
        versions.reverse();
        let readable = versions.into_iter().map(|version| Readable {
            number: version.version,
            expires: version.expires,
            current: version.state == VersionState::Current,
        });
        Ok(readable.collect())
    }
}

/// Says which of the two sides keeps no versions.
fn of_side(side: &str) -> impl Fn(CallError) -> Failure {
    move |error| {
        let keeps_none = matches!(error.code, ErrorCode::Unsupported(_));
        let failure = Failure::from(error);
        if !keeps_none {
            return failure;
        }
        failure
            .while_doing(format!(
                "all versions are copied where both sides keep them, and {side} does not"
            ))
            .hint("without `--all-versions` the current value is copied")
    }
}
