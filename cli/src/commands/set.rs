//! `strongroom set`: writes a value.

use std::path::PathBuf;

use serde_json::json;
use strongroom::Session;
use strongroom_backend::{Metadata, PutOptions, SecretValue};

use crate::context::Context;
use crate::failure::Failure;
use crate::support::time;
use crate::{input, output, prompt};

/// Write a value: from standard input, a file or a prompt
///
/// The value is kept byte for byte. It is never taken from the command line: other users see a
/// command line in the list of processes, and the shell keeps it in its history.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  strongroom set stripe/api-key                      asks twice, without echo
  printf %s \"$KEY\" | strongroom set stripe/api-key
  strongroom set tls/key --file key.pem --kind certificate --expires 90d
  strongroom set db/main --file - --if-version 3 < db.json")]
pub(crate) struct Args {
    /// The secret: [<vault-id>:]<path>
    #[arg(value_name = "REF")]
    reference: String,

    /// Read the value from this file; - is standard input
    #[arg(long, value_name = "F")]
    file: Option<PathBuf>,

    /// Drop one newline at the end of the value
    #[arg(long)]
    trim: bool,

    /// Take an empty value from standard input, which is refused otherwise: it mostly means that
    /// the command before the pipe has failed
    #[arg(long)]
    allow_empty: bool,

    /// Write only if this is the current version; 0: only if there is none
    #[arg(long, value_name = "N")]
    if_version: Option<u64>,

    /// api-key, database, certificate, signing-key, oauth-token, config, or a word of your own
    #[arg(long, value_name = "WORD")]
    kind: Option<String>,

    /// A text for people
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,

    /// A label; may be given several times, and takes the place of all that were there
    #[arg(long = "label", value_name = "K=V")]
    labels: Vec<String>,

    /// When this version expires: RFC 3339, or a duration from now such as 90d
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<(), Failure> {
    let options = PutOptions {
        expected: args.if_version,
        expires: args.expires.as_deref().map(time::future).transpose()?,
        author: None,
        metadata: Metadata {
            kind: args.kind.clone(),
            description: args.description.clone(),
            labels: labels(&args.labels)?,
        },
    };
    context
        .operate("strongroom set", async |session| {
            write(session, &args, options, context.json).await
        })
        .await
}

async fn write(
    session: &Session,
    args: &Args,
    options: PutOptions,
    json: bool,
) -> Result<(), Failure> {
    // Before a value is asked for: a typing error should not cost a second prompt.
    let reference = session.parse(&args.reference)?;
    let value = finish(read(args)?, args.trim);
    if value.is_empty() && !args.allow_empty {
        if from_standard_input(args) {
            return Err(Failure::usage("standard input has no value")
                .hint("nothing was changed; for an empty value: `--allow-empty`"));
        }
        output::warning("the value is empty");
    }
    let version = session.set(&args.reference, value, options).await?;
    if json {
        return output::document(&json!({
            "reference": reference.to_string(),
            "version": version,
        }));
    }
    output::line(&format!("{reference} version {version}"))
}

fn read(args: &Args) -> Result<SecretValue, Failure> {
    match &args.file {
        Some(path) => input::file(path),
        None if input::is_interactive() => prompt::twice("Value (not shown)"),
        None => input::standard(),
    }
}

fn from_standard_input(args: &Args) -> bool {
    args.file.as_deref().is_none_or(|file| file == "-")
}

/// Drops one newline at the end where that was asked for, and warns of one otherwise.
fn finish(value: SecretValue, trim: bool) -> SecretValue {
    let Some(shorter) = value.expose().strip_suffix(b"\n") else {
        return value;
    };
    if trim {
        return SecretValue::copy_of(shorter);
    }
    output::warning("the value ends with a newline, which is kept; `--trim` drops it");
    value
}

fn labels(texts: &[String]) -> Result<Option<Vec<(String, String)>>, Failure> {
    if texts.is_empty() {
        return Ok(None);
    }
    let mut labels: Vec<(String, String)> = Vec::with_capacity(texts.len());
    for text in texts {
        let (name, value) = text
            .split_once('=')
            .filter(|(name, _)| !name.is_empty())
            .ok_or_else(|| Failure::usage("a label is written as name=value"))?;
        if labels.iter().any(|(other, _)| other == name) {
            return Err(Failure::usage(format!("the label '{name}' is given twice")));
        }
        labels.push((name.to_owned(), value.to_owned()));
    }
    Ok(Some(labels))
}

/// Why a value on the command line is refused, without repeating it. The parser, which knows no
/// argument for it, is where it is noticed.
pub(crate) fn on_the_command_line() -> Failure {
    Failure::usage(
        "a value is not taken from the command line: it is now in the shell's history, and other \
         users could read it in the list of processes",
    )
    .hint(
        "give it on standard input, with `--file F`, or at the prompt that `strongroom set REF` \
         shows; if it was a real secret, take it out of the history and replace it where it came from",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_newline_is_dropped_and_no_more() {
        let trimmed = |bytes: &[u8]| finish(SecretValue::copy_of(bytes), true).expose().to_vec();
        assert_eq!(trimmed(b"a\n"), b"a");
        assert_eq!(trimmed(b"a\n\n"), b"a\n");
        assert_eq!(trimmed(b"a"), b"a");
        assert_eq!(trimmed(b"\n"), b"");
        assert_eq!(trimmed(b"a\r\n"), b"a\r");
    }

    #[test]
    fn labels_are_split_at_the_first_sign() {
        let parse =
            |texts: &[&str]| labels(&texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>());
        assert_eq!(parse(&[]).unwrap(), None);
        assert_eq!(
            parse(&["a=b=c", "d="]).unwrap(),
            Some(vec![
                ("a".into(), "b=c".into()),
                ("d".into(), String::new())
            ])
        );
        assert!(parse(&["a"]).is_err());
        assert!(parse(&["=a"]).is_err());
        assert!(parse(&["a=1", "a=2"]).is_err());
    }
}
