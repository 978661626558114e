//! `strongroom copy`: secrets from one vault to another.

use strongroom::backend::{Metadata, PutOptions, Reference, SecretValue, Which};
use strongroom::{CallError, ErrorCode, Session};

use crate::context::Context;
use crate::failure::Failure;
use crate::output;
use crate::transfer::{self, Done, Tally, Target};

/// Copy one secret, or all under a prefix, to another place
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  strongroom copy prod:shared/ app-secrets:shared/ --dry-run
  strongroom copy prod: app-secrets:                     all of a vault
  strongroom copy prod:stripe/key app-secrets:            one secret, under the same name
  strongroom copy prod:stripe/key app-secrets:old/ --move

What ends with `:` or `/` is a prefix. Targets are read and compared first: what is the same is not
written again, so an interrupted copy goes on where it stopped.")]
pub(crate) struct Args {
    /// A reference, or a prefix
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

async fn copy_all(session: &Session, args: &Args) -> Result<Tally, Failure> {
    let pairs = pairs(session, args).await?;
    let bar = output::progress(pairs.len() as u64, "copying");
    let mut tally = Tally::new(args.dry_run);
    for (from, to) in pairs {
        let done = copy(session, &from, &to, args).await;
        tally.add(&to, done);
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(tally)
}

/// What is copied where: sources as they are listed, targets that are sound and none a source.
async fn pairs(session: &Session, args: &Args) -> Result<Vec<(String, String)>, Failure> {
    let (from, to) = (args.from.as_str(), args.to.as_str());
    if !is_prefix(from) {
        let source = session.parse(from)?;
        let target = if is_prefix(to) {
            format!("{to}{}", name_under(to, &source))
        } else {
            to.into()
        };
        return Ok(vec![pair(session, &source, &target)?]);
    }
    if !is_prefix(to) {
        return Err(Failure::usage("many secrets cannot be copied to one name")
            .hint(format!("write {to}/ for a prefix")));
    }
    let sources = transfer::references(session, from).await?;
    if sources.is_empty() {
        return Err(Failure::not_found(format!(
            "there are no secrets under {from}"
        )));
    }
    let path = from.split_once(':').map_or(from, |(_, path)| path);
    let targets = sources.iter().map(|source| {
        let name = source.path().as_str();
        pair(
            session,
            source,
            &format!("{to}{}", name.strip_prefix(path).unwrap_or(name)),
        )
    });
    targets.collect()
}

fn is_prefix(text: &str) -> bool {
    text.ends_with([':', '/'])
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

fn pair(session: &Session, source: &Reference, target: &str) -> Result<(String, String), Failure> {
    let target = session
        .parse(target)
        .map_err(|e| Failure::from(e).while_doing(target))?;
    if target == *source {
        return Err(Failure::usage(format!(
            "{source} would be copied to itself"
        )));
    }
    Ok((source.to_string(), target.to_string()))
}

async fn copy(session: &Session, from: &str, to: &str, args: &Args) -> Result<Done, CallError> {
    let source = session.get(from, Which::Current).await?;
    let target = transfer::compare(session, to, &source.value).await?;
    let done = match target {
        Target::Same => Done::Same,
        Target::Missing => Done::Created,
        Target::Differs if args.overwrite => Done::Overwritten,
        Target::Differs => return Ok(Done::Differs),
    };
    if args.dry_run {
        return Ok(done);
    }
    if target != Target::Same {
        let (expires, metadata) = about(session, from).await?;
        let options = PutOptions {
            // Somebody may have written since the comparison; without --overwrite theirs stays.
            expected: (!args.overwrite).then_some(0),
            expires,
            metadata: if args.values_only {
                Metadata::default()
            } else {
                metadata
            },
            ..PutOptions::default()
        };
        session
            .set(to, SecretValue::copy_of(source.value.expose()), options)
            .await?;
    }
    if args.remove {
        if transfer::compare(session, to, &source.value).await? != Target::Same {
            // Someone wrote there in between: the only sure copy is the source.
            return Ok(Done::Differs);
        }
        session.delete(from, None).await?;
    }
    Ok(done)
}

/// What is known of the source beside its value, nothing where its vault keeps nothing.
async fn about(session: &Session, from: &str) -> Result<(Option<u64>, Metadata), CallError> {
    match session.describe(from).await {
        Ok((_, about)) => Ok((
            about.expires,
            Metadata {
                kind: about.kind,
                description: about.description,
                labels: (!about.labels.is_empty()).then_some(about.labels),
            },
        )),
        Err(error) if matches!(error.code, ErrorCode::Unsupported(_)) => {
            Ok((None, Metadata::default()))
        }
        Err(error) => Err(error),
    }
}
