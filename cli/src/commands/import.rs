//! `strongroom import`: the variables of a file become secrets.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use strongroom::Session;
use strongroom::backend::{PutOptions, Reference, SecretValue};
use zeroize::Zeroizing;

use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::formats::{self, Variable};
use crate::input::WipedBuffer;
use crate::output;
use crate::transfer::{CHUNK, Done, Fingerprints, Tally, Target, Writer};

/// The largest file that is read: far more than anyone keeps in one, and little enough to hold.
const MAX_FILE: usize = 64 << 20;

/// Write each variable of a .env or JSON file as a secret of its own name
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  strongroom import .env --to app-secrets: --dry-run
  strongroom import .env --to app-secrets:billing/
  strongroom import secrets.json --to app-secrets: --overwrite

Values are kept as they stand: nothing is expanded. A variable whose value is there already is not
written again. Without --overwrite nothing is written at all where one has another value.")]
pub(crate) struct Args {
    /// The file; `-` is standard input
    file: PathBuf,

    /// The vault, and what each name is put after
    #[arg(long, value_name = "VAULT:[PREFIX]")]
    to: String,

    /// What the file is [default: by its name and first character]
    #[arg(long, value_enum)]
    format: Option<Format>,

    /// Say what would be written, and write nothing
    #[arg(long)]
    dry_run: bool,

    /// Replace values that differ
    #[arg(long)]
    overwrite: bool,
}

/// The files that are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// NAME=value lines
    Env,
    /// One object
    Json,
}

/// Runs `import`.
pub(crate) async fn run(args: Args, context: &Context) -> Result<(), Failure> {
    let secrets = read(&args)?;
    context
        .operate("strongroom import", async |session| {
            write(session, &args, &secrets).await
        })
        .await?
        .finish(context)
}

/// The variables with their references, all of them sound before anything is opened.
fn read(args: &Args) -> Result<Vec<(Reference, SecretValue)>, Failure> {
    if !args.to.contains(':') {
        return Err(
            Failure::usage("--to takes a vault, a colon and perhaps a prefix").hint(format!(
                "write --to {}: for all of that vault",
                output::printable(&args.to)
            )),
        );
    }
    let file = args.file.display();
    let bytes = bytes(&args.file)?;
    let variables = match args
        .format
        .unwrap_or_else(|| guess(&args.file, bytes.as_slice()))
    {
        Format::Env => formats::env::parse(bytes.as_slice()),
        Format::Json => formats::json::parse(bytes.as_slice()),
    };
    let variables = variables.map_err(|wrong| Failure::usage(format!("{file}: {wrong}")))?;
    let place = |variable: Variable| {
        let text = format!("{}{}", args.to, variable.name);
        match Reference::parse(&text, None) {
            Ok(reference) => Ok((reference, variable.value)),
            Err(why) => {
                let name = output::printable(&variable.name);
                Err(Failure::usage(format!(
                    "{file}: {name:?} cannot name a secret: {why}"
                )))
            }
        }
    };
    variables.into_iter().map(place).collect()
}

async fn write(
    session: &Session,
    args: &Args,
    secrets: &[(Reference, SecretValue)],
) -> Result<Tally, Failure> {
    let hashes = Fingerprints::new()?;
    let mut targets = Vec::with_capacity(secrets.len());
    for chunk in secrets.chunks(CHUNK) {
        let names: Vec<_> = chunk.iter().map(|(name, _)| name.to_string()).collect();
        let wanted: Vec<_> = chunk.iter().map(|(_, value)| hashes.of(value)).collect();
        let there = hashes.compare(session, &names, &wanted).await?;
        for ((text, (_, value)), target) in names.into_iter().zip(chunk).zip(there) {
            let target = target.map_err(|error| Failure::from(error).while_doing(&text))?;
            targets.push((text, target, value));
        }
    }
    let mut tally = Tally::new(args.dry_run);
    let blocked = !args.overwrite && targets.iter().any(|(_, t, _)| *t == Target::Differs);
    if blocked && !args.dry_run {
        let differ = targets
            .iter()
            .filter(|(_, target, _)| *target == Target::Differs);
        let names: Vec<_> = differ.map(|(text, _, _)| text.as_str()).collect();
        let message = format!("another value stands in {}", names.join(", "));
        return Err(Failure::new(Exit::Conflict, message)
            .hint("nothing was written; `--overwrite` replaces them"));
    }
    let bar = output::progress(targets.len() as u64, "importing");
    let writer = Writer::new(session, args.overwrite);
    for (text, target, value) in targets {
        let done = match target {
            Target::Same => Ok(Done::Same),
            Target::Differs if !args.overwrite => Ok(Done::Differs),
            Target::Differs => put(&writer, args, &text, value, Done::Overwritten).await,
            Target::Missing => put(&writer, args, &text, value, Done::Created).await,
        };
        tally.add(&text, done);
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(tally)
}

async fn put(
    writer: &Writer<'_>,
    args: &Args,
    target: &str,
    value: &SecretValue,
    done: Done,
) -> Result<Done, strongroom::CallError> {
    if !args.dry_run {
        writer.put(target, value, PutOptions::default()).await?;
    }
    Ok(done)
}

fn guess(file: &Path, bytes: &[u8]) -> Format {
    let named = file
        .extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
    let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    if named || first == Some(&b'{') {
        Format::Json
    } else {
        Format::Env
    }
}

fn bytes(path: &Path) -> Result<WipedBuffer, Failure> {
    let name = path.display();
    let cannot = |error: io::Error| {
        let exit = match error.kind() {
            io::ErrorKind::NotFound => Exit::NotFound,
            _ => Exit::Usage,
        };
        Failure::new(exit, format!("cannot read {name}: {error}"))
    };
    let mut source: Box<dyn Read> = if path == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(File::open(path).map_err(cannot)?)
    };
    let mut all = WipedBuffer::with_capacity(1 << 16);
    let mut chunk = Zeroizing::new(vec![0; 1 << 16]);
    loop {
        let count = match source.read(&mut chunk) {
            Ok(0) => return Ok(all),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(cannot(error)),
        };
        all.write_all(chunk.get(..count).unwrap_or_default())
            .map_err(cannot)?;
        if all.as_slice().len() > MAX_FILE {
            return Err(
                Failure::failed(format!("{name} has more than {MAX_FILE} bytes"))
                    .hint("split it; nothing was written"),
            );
        }
    }
}
