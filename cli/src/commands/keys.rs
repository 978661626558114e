//! `strongroom keys`: new keys for a local store, values untouched.

mod record;
mod setting;

use std::path::{Path, PathBuf};

use serde_json::json;
use strongroom::Broker;
use strongroom::audit::Action;
use strongroom::backend::VaultId;
use strongroom::config::{Config, VaultConfig};
use strongroom_backend_local::{self as local, LocalBackend};

use crate::context::Context;
use crate::failure::{Failure, chain};
use crate::output;
use record::Recorded;
use setting::Setting;

/// Give a local vault new keys
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Rotate(Rotate),
    Rekey(Rekey),
}

/// Make a new key-encryption key and wrap all data keys again under it
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Values are not touched, and hosts that run go on. If it breaks off, run it again: it goes on where it
stopped.")]
struct Rotate {
    /// The vault [default: the default vault]
    #[arg(value_parser = vault_id)]
    vault: Option<VaultId>,
}

/// Open the same store with another key source from now on
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  strongroom keys rekey --file keys/new.key
  strongroom keys rekey prod --passphrase-file /run/keys/passphrase

The configuration gets the new source. The old one no longer opens the store; it still opens copies
that were made before, so destroy it only when those are gone.")]
struct Rekey {
    /// The vault [default: the default vault]
    #[arg(value_parser = vault_id)]
    vault: Option<VaultId>,

    #[command(flatten)]
    source: Source,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Source {
    /// A key file; it is made where it is missing
    #[arg(long, value_name = "F")]
    file: Option<PathBuf>,

    /// A file with a passphrase, readable by you alone
    #[arg(long, value_name = "F")]
    passphrase_file: Option<PathBuf>,
}

/// Runs `keys`.
pub(crate) async fn run(args: Args, context: &Context) -> Result<(), Failure> {
    let broker = context.broker().await?;
    let result = match args.command {
        Command::Rotate(args) => rotate(&broker, args, context).await,
        Command::Rekey(args) => rekey(&broker, args, context).await,
    };
    let closed = broker.close().await;
    result?;
    Ok(closed?)
}

async fn rotate(broker: &Broker, args: Rotate, context: &Context) -> Result<(), Failure> {
    let config = broker.config();
    let vault = vault(&config, args.vault)?;
    let store = open(broker, vault).await?;
    let bar = output::progress(0, "wrapping");
    let moving = bar.clone();
    let record = Recorded::begin(
        broker,
        &vault.id,
        Action::KeysRotate,
        "strongroom keys rotate",
    )
    .await?;
    let rotated = blocking(move || {
        let rotation = store.rotate_keys(|done, total| {
            moving.set_length(total);
            moving.set_position(done);
        });
        (rotation, store)
    });
    let (rotation, store) = rotated.await?;
    bar.finish_and_clear();
    record.end(rotation.is_ok(), &store).await?;
    let rotation = rotation.map_err(|error| failed(&vault.id, &error))?;
    if !rotation.scrubbed {
        output::warning("a reader held old pages back; they go with the next change of the vault");
    }
    if context.json {
        return output::document(&json!({
            "vault": vault.id.as_str(),
            "key": rotation.key,
            "rewrapped": rotation.rewrapped,
            "scrubbed": rotation.scrubbed,
        }));
    }
    let (key, count) = (rotation.key, rotation.rewrapped);
    output::line(&format!(
        "{}: key {key} is in force; {count} data keys were wrapped again",
        vault.id
    ))
}

async fn rekey(broker: &Broker, args: Rekey, context: &Context) -> Result<(), Failure> {
    let config = broker.config();
    let vault = vault(&config, args.vault)?;
    let source = source(&args.source)?;
    // Written beside the configuration and read back before the store changes: from then on only
    // a rename is left to do.
    let setting = Setting::prepare(&config, &vault.id, &source)?;
    let store = open(broker, vault).await?;
    let record = Recorded::begin(
        broker,
        &vault.id,
        Action::KeysRekey,
        "strongroom keys rekey",
    )
    .await?;
    let base = config.resolve(Path::new(""));
    let new = source.clone();
    let (changed, store) = blocking(move || (store.rekey(&new, &base), store)).await?;
    record.end(changed.is_ok(), &store).await?;
    changed.map_err(|error| failed(&vault.id, &error))?;
    let line = setting.line().to_owned();
    setting.commit()?;
    if context.json {
        return output::document(&json!({ "vault": vault.id.as_str(), "key": line }));
    }
    output::line(&format!(
        "{}: opens with {line} from now on; the configuration says so",
        vault.id
    ))?;
    output::note(
        "restart hosts that run with the old source; it still opens older copies of the store",
    );
    Ok(())
}

fn vault(config: &Config, named: Option<VaultId>) -> Result<&VaultConfig, Failure> {
    let id = named
        .or_else(|| config.default_vault.clone())
        .ok_or_else(|| {
            Failure::usage("no vault was named, and the configuration has no default vault")
        })?;
    let vault = config
        .vaults
        .get(&id)
        .ok_or_else(|| Failure::usage(format!("there is no vault {id}")))?;
    if &*vault.backend != "local" {
        return Err(
            Failure::usage(format!("the keys of {id} are kept by {}", vault.backend))
                .hint("only a `local` vault has keys of ours"),
        );
    }
    Ok(vault)
}

/// The store, once the broker has opened it too: it refuses one that was set back.
async fn open(broker: &Broker, vault: &VaultConfig) -> Result<LocalBackend, Failure> {
    let session = broker.operator()?.via("strongroom keys");
    session
        .list(&format!("{}:", vault.id), None)
        .await
        .map_err(|error| Failure::from(error).while_doing(vault.id.as_str()))?;
    let settings: local::Config = vault
        .settings()
        .map_err(|wrong| Failure::usage(wrong.to_string()))?;
    let base = vault.resolve(Path::new(""));
    let opened = blocking(move || LocalBackend::open(&settings, &base)).await?;
    opened.map_err(|error| failed(&vault.id, &error))
}

fn source(source: &Source) -> Result<local::KeySource, Failure> {
    let absolute = |path: &PathBuf| {
        std::path::absolute(path)
            .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
    };
    match (&source.file, &source.passphrase_file) {
        (Some(file), _) => Ok(local::KeySource::file(absolute(file)?)),
        (None, Some(file)) => Ok(local::KeySource::passphrase_file(absolute(file)?)),
        (None, None) => Err(Failure::usage(
            "name the new source: --file or --passphrase-file",
        )),
    }
}

fn failed(vault: &VaultId, error: &strongroom::backend::Error) -> Failure {
    use strongroom::backend::ErrorKind;
    let message = format!("{vault}: {}", chain(error));
    match error.kind() {
        ErrorKind::Unavailable => Failure::unavailable(message),
        ErrorKind::Config | ErrorKind::PermissionDenied | ErrorKind::Unauthenticated => {
            Failure::usage(message)
        }
        _ => Failure::failed(message),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| Failure::failed("a thread of the command broke off"))
}

fn vault_id(text: &str) -> Result<VaultId, String> {
    VaultId::parse(text).map_err(|error| error.to_string())
}
