//! `strongroom export`: the secrets of a vault as a file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use strongroom::backend::SecretValue;
use strongroom::{ErrorCode, Session};

use super::import::Format;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::formats;
use crate::input::WipedBuffer;
use crate::output;
use crate::transfer::{CHUNK, Selection, chunk_of};

/// Write the secrets of a vault, those under a prefix or those that match a pattern, as a .env or JSON file
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  strongroom export app-secrets: --format env --output .env
  strongroom export app-secrets:billing/ --format json
  strongroom export 'app-secrets:billing/*' --format env

The prefix is left out of the names, so that `import` to the same place gives the same secrets.
Every value is one read on record.")]
pub(crate) struct Args {
    /// The vault, and what the names begin with
    #[arg(value_name = "VAULT:[PREFIX]")]
    from: String,

    /// The form of the file [default: env, or json with --json]
    #[arg(long, value_enum)]
    format: Option<Format>,

    /// A new file, readable by you alone, instead of standard output
    #[arg(long, value_name = "F")]
    output: Option<PathBuf>,
}

/// Runs `export`.
pub(crate) async fn run(args: Args, context: &Context) -> Result<(), Failure> {
    if !args.from.contains(':') {
        let vault = output::printable(&args.from);
        return Err(
            Failure::usage("export takes a vault, a colon and perhaps a prefix")
                .hint(format!("write {vault}: for all of that vault")),
        );
    }
    let format = args.format.unwrap_or(if context.json {
        Format::Json
    } else {
        Format::Env
    });
    // Before anything is read and recorded: a file in the way makes it all useless.
    let file = args.output.as_deref().map(NewFile::create).transpose()?;
    let secrets = context
        .operate("strongroom export", async |session| {
            read(session, &args.from, format).await
        })
        .await?;
    let mut text = WipedBuffer::with_capacity(1 << 16);
    render(&mut text, format, &secrets).map_err(|error| Failure::output(&error))?;
    match file {
        Some(file) => file.keep(text.as_slice()),
        None => output::bytes(text.as_slice()),
    }
}

type Secrets = Vec<(String, Arc<SecretValue>)>;

async fn read(session: &Session, from: &str, format: Format) -> Result<Secrets, Failure> {
    // A prefix may end within a name here, and a single name is a prefix of its own.
    let selection = match Selection::parse(session, from)? {
        Selection::One(_) => Selection::Prefix(from.to_owned()),
        many => many,
    };
    let references = selection.references(session).await?;
    if references.is_empty() {
        output::warning(&format!("{from} has no secrets"));
    }
    let mut named = Vec::with_capacity(references.len());
    for reference in &references {
        let path = reference.path().as_str();
        let name = path.strip_prefix(selection.base()).unwrap_or(path);
        check_name(name, &reference.to_string(), format)?;
        named.push((reference.to_string(), name));
    }
    let mut secrets = Vec::with_capacity(references.len());
    let bar = output::progress(references.len() as u64, "exporting");
    for chunk in named.chunks(CHUNK) {
        let texts: Vec<_> = chunk.iter().map(|(text, _)| text.clone()).collect();
        let values = chunk_of(session, &texts).await?;
        for ((text, name), value) in chunk.iter().zip(values) {
            match value {
                Ok(value) => {
                    check_value(&value, text, format)?;
                    secrets.push(((*name).to_owned(), value));
                }
                Err(error) if error.code == ErrorCode::NotFound => {
                    output::warning(&format!(
                        "{text} was deleted or has expired; it is left out"
                    ));
                }
                Err(error) => return Err(Failure::from(error).while_doing(text)),
            }
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    Ok(secrets)
}

fn check_name(name: &str, reference: &str, format: Format) -> Result<(), Failure> {
    if name.is_empty() {
        return Err(
            Failure::usage(format!("{reference} has no name beyond the prefix"))
                .hint("shorten the prefix, or use `strongroom get` for a single secret"),
        );
    }
    if format == Format::Env && !formats::env::is_name(name) {
        return Err(
            Failure::failed(format!("{reference} cannot be a variable: {name:?}"))
                .hint("use `--format json`, or a prefix that leaves plain names"),
        );
    }
    if format == Format::Env && !formats::env::is_shell_name(name) {
        output::warning(&format!(
            "{name} is for dotenv libraries; a shell cannot take that name"
        ));
    }
    Ok(())
}

fn check_value(value: &SecretValue, reference: &str, format: Format) -> Result<(), Failure> {
    let text = std::str::from_utf8(value.expose());
    if format == Format::Env && !text.is_ok_and(|text| !text.contains('\0')) {
        return Err(
            Failure::failed(format!("{reference} is not text, which a variable must be"))
                .hint("use `--format json`, which keeps it as base64"),
        );
    }
    Ok(())
}

fn render(out: &mut impl Write, format: Format, secrets: &Secrets) -> io::Result<()> {
    if format == Format::Json {
        return formats::json::write(out, secrets.iter().map(|(n, v)| (n.as_str(), &**v)));
    }
    for (name, value) in secrets {
        let text = std::str::from_utf8(value.expose()).map_err(io::Error::other)?;
        formats::env::write(out, name, text)?;
    }
    Ok(())
}

/// A file that was not there before, gone again unless it is kept.
struct NewFile<'p> {
    path: &'p Path,
    file: File,
    kept: bool,
}

impl<'p> NewFile<'p> {
    fn create(path: &'p Path) -> Result<Self, Failure> {
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path);
        let file = file.map_err(|error| {
            let failure = Failure::new(
                Exit::Usage,
                format!("cannot create {}: {error}", path.display()),
            );
            match error.kind() {
                io::ErrorKind::AlreadyExists => {
                    failure.hint("it is never overwritten; remove it first")
                }
                _ => failure,
            }
        })?;
        Ok(Self {
            path,
            file,
            kept: false,
        })
    }

    fn keep(mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.file
            .write_all(bytes)
            .and_then(|()| self.file.sync_all())
            .map_err(|e| Failure::failed(format!("cannot write {}: {e}", self.path.display())))?;
        self.kept = true;
        Ok(())
    }
}

impl Drop for NewFile<'_> {
    fn drop(&mut self) {
        if !self.kept {
            // Nothing more can be done about a file that cannot be removed.
            let _ = fs::remove_file(self.path);
        }
    }
}
