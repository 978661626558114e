//! `strongroom get`: the value, byte for byte.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use strongroom::Session;
use strongroom::backend::Which;
use zeroize::Zeroizing;

use crate::context::Context;
use crate::failure::Failure;
use crate::input::WipedBuffer;
use crate::output;
use crate::support::{describe, json_field, time};

/// Print a value, byte for byte; no newline is added
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  strongroom get stripe/api-key
  strongroom get prod:db/main --field password
  strongroom get tls/key --version 2 > key.pem
  strongroom get db/main --json | jq -r .value")]
pub(crate) struct Args {
    /// The secret: [<vault-id>:]<path>
    #[arg(value_name = "REF")]
    reference: String,

    /// The value of this version, in place of the current one
    #[arg(long, value_name = "N")]
    version: Option<u64>,

    /// One field of a value that is a JSON object: a text without its quotes, anything else as JSON
    #[arg(long, value_name = "NAME")]
    field: Option<String>,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<(), Failure> {
    context
        .operate("strongroom get", async |session| {
            read(session, &args, context.json).await
        })
        .await
}

async fn read(session: &Session, args: &Args, json: bool) -> Result<(), Failure> {
    let which = args.version.map_or(Which::Current, Which::Version);
    let secret = session.get(&args.reference, which).await?;
    let field = match &args.field {
        Some(name) => Some(json_field::extract(secret.value.expose(), name)?),
        None => None,
    };
    let value = match &field {
        Some(field) => field.expose(),
        None => secret.value.expose(),
    };
    if !json {
        return output::value(value);
    }
    let mut fields = Map::new();
    fields.insert("reference".into(), json!(secret.reference.to_string()));
    fields.insert("version".into(), json!(secret.version));
    if let Some(name) = &args.field {
        fields.insert("field".into(), json!(name));
    }
    let (_, description) = session.describe(&args.reference).await?;
    fields.extend(describe::fields(&description));
    if args.version.is_some() && description.version != Some(secret.version) {
        // What was read is not what the description is of.
        let (_, versions) = session.versions(&args.reference).await?;
        let read = versions.iter().find(|v| v.version == secret.version);
        let expires = read.and_then(|v| v.expires).map(time::show);
        fields.insert("expires".into(), json!(expires));
    }
    output::bytes(document(value, fields)?.as_slice())
}

/// The document, with the value written in front of the other fields in memory that is wiped.
fn document(value: &[u8], fields: Map<String, Value>) -> Result<WipedBuffer, Failure> {
    let mut document = WipedBuffer::with_capacity(2 * value.len() + 1024);
    let written = (|| {
        match std::str::from_utf8(value) {
            Ok(text) => {
                document.write_all(b"{\"value\":")?;
                serde_json::to_writer(&mut document, text)?;
            }
            Err(_) => {
                let text = Zeroizing::new(STANDARD.encode(value));
                write!(document, "{{\"value-base64\":\"{}\"", text.as_str())?;
            }
        }
        for (name, field) in fields {
            write!(document, ",{}:{field}", json!(name))?;
        }
        document.write_all(b"}\n")
    })();
    written.map_err(|e| Failure::output(&e))?;
    Ok(document)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(value: &[u8]) -> Value {
        let mut fields = Map::new();
        fields.insert("version".into(), json!(3));
        serde_json::from_slice(document(value, fields).unwrap().as_slice()).unwrap()
    }

    #[test]
    fn text_is_a_string_and_bytes_are_base64() {
        assert_eq!(
            parsed(b"a\"\n\0"),
            json!({"value": "a\"\n\0", "version": 3})
        );
        assert_eq!(parsed(b""), json!({"value": "", "version": 3}));
        assert_eq!(
            parsed(b"\xff\x00"),
            json!({"value-base64": "/wA=", "version": 3})
        );
    }
}
