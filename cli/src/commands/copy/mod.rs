//! `strongroom copy`: secrets from one vault to another.

mod versions;

use std::sync::Arc;

use strongroom::backend::{Metadata, PutOptions, Reference, SecretValue};
use strongroom::{COPY_LABELS, CallError, ErrorCode, Session};

use crate::context::Context;
use crate::failure::Failure;
use crate::output;
use crate::transfer::{
    CHUNK, Done, Fingerprints, Selection, Tally, Target, Writer, chunk_of, is_prefix,
};

/// Copy one secret, all under a prefix, or all that match a pattern, to another place
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  strongroom copy prod:shared/ app-secrets:shared/ --dry-run
  strongroom copy prod: app-secrets:                     all of a vault
  strongroom copy 'prod:*/db-password' app-secrets:      what matches, as in grants
  strongroom copy prod:stripe/key app-secrets:           one secret, under the same name
  strongroom copy prod:stripe/key app-secrets:old/ --move

What ends with `:` or `/` is a prefix. Targets are read and compared by keyed hash first: what is the
same is not written again, so an interrupted copy goes on where it stopped. Each copy is read back
and compared before it counts, and before --move deletes its source.")]
pub(crate) struct Args {
    /// A reference, a prefix or a pattern
    from: String,

    /// A reference, or a prefix
    to: String,

    /// Say what would change, and change nothing
    #[arg(long)]
    dry_run: bool,

    /// Replace values that differ
    #[arg(long)]
    overwrite: bool,

    /// Delete each source once its copy was read back and is the same
    #[arg(long = "move")]
    remove: bool,

    /// Leave kind, description and labels behind
    #[arg(long)]
    values_only: bool,

    /// Copy the older versions that can still be read, too, oldest first
    #[arg(long)]
    all_versions: bool,
}

/// Runs `copy`.
pub(crate) async fn run(args: Args, context: &Context) -> Result<(), Failure> {
    context
        .operate("strongroom copy", async |session| {
            copy_all(session, &args).await
        })
        .await?
        .finish(context)
}

/// A source and its target.
struct Pair {
    from: String,
    to: String,
}

/// One run of the command.
struct Copying<'c> {
    session: &'c Session,
    args: &'c Args,
    hashes: Fingerprints,
    writer: Writer<'c>,
}

async fn copy_all(session: &Session, args: &Args) -> Result<Tally, Failure> {
    let pairs = pairs(session, args).await?;
    let copying = Copying {
        session,
        args,
        hashes: Fingerprints::new()?,
        writer: Writer::new(session, args.overwrite),
    };
    let bar = output::progress(pairs.len() as u64, "copying");
    let mut tally = Tally::new(args.dry_run);
    if args.all_versions {
        for Pair { from, to } in &pairs {
            tally.add(to, copying.all_versions(from, to).await);
            bar.inc(1);
        }
    } else {
        for chunk in pairs.chunks(CHUNK) {
            let done = copying.chunk(chunk).await?;
            for (pair, done) in chunk.iter().zip(done) {
                tally.add(&pair.to, done);
                bar.inc(1);
            }
        }
    }
    bar.finish_and_clear();
    Ok(tally)
}

/// What is copied where: sources as they are listed, targets that are sound and none a source.
async fn pairs(session: &Session, args: &Args) -> Result<Vec<Pair>, Failure> {
    let (from, to) = (args.from.as_str(), args.to.as_str());
    let selection = Selection::parse(session, from)?;
    if let Selection::One(source) = &selection {
        let target = if is_prefix(to) {
            format!("{to}{}", name_under(to, source))
        } else {
            to.into()
        };
        return Ok(vec![pair(session, source, &target)?]);
    }
    if !is_prefix(to) {
        return Err(Failure::usage("many secrets cannot be copied to one name")
            .hint(format!("write {to}/ for a prefix")));
    }
    let sources = selection.references(session).await?;
    if sources.is_empty() {
        return Err(Failure::not_found(format!(
            "there are no secrets under {from}"
        )));
    }
    let base = selection.base();
    let targets = sources.iter().map(|source| {
        let name = source.path().as_str();
        let name = name.strip_prefix(base).unwrap_or(name);
        pair(session, source, &format!("{to}{name}"))
    });
    targets.collect()
}

/// The name that one secret gets under a prefix: its own in another vault, its last segment in a
/// folder.
fn name_under<'r>(to: &str, source: &'r Reference) -> &'r str {
    let path = source.path().as_str();
    if to.ends_with(':') {
        path
    } else {
        path.rsplit('/').next().unwrap_or(path)
    }
}

fn pair(session: &Session, source: &Reference, target: &str) -> Result<Pair, Failure> {
    let target = session
        .parse(target)
        .map_err(|e| Failure::from(e).while_doing(target))?;
    if target == *source {
        return Err(Failure::usage(format!(
            "{source} would be copied to itself"
        )));
    }
    Ok(Pair {
        from: source.to_string(),
        to: target.to_string(),
    })
}

impl Copying<'_> {
    /// Reads, compares, writes, reads back, and only then deletes.
    async fn chunk(&self, pairs: &[Pair]) -> Result<Vec<Result<Done, CallError>>, CallError> {
        let from: Vec<_> = pairs.iter().map(|pair| pair.from.clone()).collect();
        let values = chunk_of(self.session, &from).await?;
        // A source that cannot be read has no part in what follows.
        let read: Vec<_> = pairs
            .iter()
            .zip(&values)
            .filter_map(|(pair, value)| Some((pair, value.as_ref().ok()?)))
            .collect();
        let to: Vec<_> = read.iter().map(|(pair, _)| pair.to.clone()).collect();
        let hashes: Vec<_> = read
            .iter()
            .map(|(_, value)| self.hashes.of(value))
            .collect();
        let targets = self.hashes.compare(self.session, &to, &hashes).await?;
        let mut done = Vec::with_capacity(read.len());
        for ((pair, value), target) in read.iter().zip(targets) {
            done.push(match target {
                Ok(target) => self.write(pair, value, target).await,
                Err(error) => Err(error),
            });
        }
        if !self.args.dry_run && done.iter().any(written) {
            let back = self.hashes.compare(self.session, &to, &hashes).await?;
            for (((pair, _), done), back) in read.iter().zip(&mut done).zip(back) {
                if done.is_ok() && !matches!(done, Ok(Done::Differs)) {
                    *done = self.prove(pair, back, done).await;
                }
            }
        } else if self.args.remove && !self.args.dry_run {
            for ((pair, _), done) in read.iter().zip(&mut done) {
                if matches!(done, Ok(Done::Same)) {
                    *done = self.prove(pair, Ok(Target::Same), done).await;
                }
            }
        }
        let mut done = done.into_iter();
        let result = |value: Result<Arc<SecretValue>, CallError>| match value {
            Ok(_) => done.next().unwrap_or(Ok(Done::Failed)),
            Err(error) => Err(error),
        };
        Ok(values.into_iter().map(result).collect())
    }

    async fn write(
        &self,
        pair: &Pair,
        value: &SecretValue,
        target: Target,
    ) -> Result<Done, CallError> {
        let done = match target {
            Target::Same => return Ok(Done::Same),
            Target::Missing => Done::Created,
            Target::Differs if self.args.overwrite => Done::Overwritten,
            Target::Differs => return Ok(Done::Differs),
        };
        if !self.args.dry_run {
            let (expires, metadata) = self.about(&pair.from).await?;
            let options = PutOptions {
                expires,
                metadata,
                ..PutOptions::default()
            };
            self.writer.put(&pair.to, value, options).await?;
        }
        Ok(done)
    }

    /// Counts a copy only once its target was read back and is the same; then the source may go.
    async fn prove(
        &self,
        pair: &Pair,
        back: Result<Target, CallError>,
        done: &Result<Done, CallError>,
    ) -> Result<Done, CallError> {
        if back? != Target::Same {
            // Somebody wrote there in between: the only sure copy is the source.
            return Ok(Done::Differs);
        }
        if self.args.remove {
            self.session.delete(&pair.from, None).await?;
        }
        done.clone()
    }

    /// What is known of the source beside its value, nothing where its vault keeps nothing.
    async fn about(&self, from: &str) -> Result<(Option<u64>, Metadata), CallError> {
        match self.session.describe(from).await {
            Ok((_, about)) if self.args.values_only => Ok((about.expires, Metadata::default())),
            Ok((_, about)) => Ok((
                about.expires,
                Metadata {
                    kind: about.kind,
                    description: about.description,
                    labels: Some(own_labels(about.labels)).filter(|labels| !labels.is_empty()),
                },
            )),
            Err(error) if matches!(error.code, ErrorCode::Unsupported(_)) => {
                Ok((None, Metadata::default()))
            }
            Err(error) => Err(error),
        }
    }
}

/// Without those of a copy that is kept in step: elsewhere they would be false, and have it pass for one.
fn own_labels(labels: Vec<(String, String)>) -> Vec<(String, String)> {
    let of_a_copy = |name: &str| COPY_LABELS.contains(&name);
    let own = labels.into_iter().filter(|(name, _)| !of_a_copy(name));
    own.collect()
}

fn written(done: &Result<Done, CallError>) -> bool {
    matches!(done, Ok(Done::Created | Done::Overwritten))
}
