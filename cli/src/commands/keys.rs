//! `strongroom keys`: new keys for a local store, values untouched.

mod setting;

use std::path::{Path, PathBuf};

use serde_json::json;
use strongroom::audit::Action;
use strongroom::backend::{ErrorKind, VaultId};
use strongroom::config::{Config, VaultConfig};
use strongroom::{Broker, CallError};
use strongroom_backend_local::{self as local, LocalBackend};

use crate::context::Context;
use crate::failure::{Failure, backend_kind, chain};
use crate::output;
use crate::record::Recorded;
use setting::Setting;
pub(crate) use setting::draft_beside;

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
that were made before, so destroy it only when those are gone. If it breaks off, run it again with the
same source: it goes on where it stopped.")]
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
    listed(broker, vault)
        .await
        .map_err(|error| Failure::from(error).while_doing(vault.id.as_str()))?;
    let store = opened(vault, None).await?;
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
    record.end(rotation.is_ok(), Some(&store)).await?;
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
    let line = match listed(broker, vault).await {
        Ok(()) => change(broker, &config, vault, source).await?,
        Err(error) => {
            let wrong_key = backend_kind(&error) == Some(ErrorKind::Unauthenticated);
            // Killed between the store and the configuration, an earlier run has left the store
            // with the new key alone: then the setting is all that is missing.
            if !wrong_key || opened(vault, Some(source.clone())).await.is_err() {
                return Err(Failure::from(error).while_doing(vault.id.as_str()));
            }
            finish(broker, &config, vault, &source).await?
        }
    };
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

/// Gives the store the new source, then the configuration; its new line.
async fn change(
    broker: &Broker,
    config: &Config,
    vault: &VaultConfig,
    source: local::KeySource,
) -> Result<String, Failure> {
    let store = opened(vault, None).await?;
    // Written beside the configuration and read back before the store changes: from then on only
    // a rename is left to do.
    let mut setting = Setting::prepare(config, &vault.id, &source)?;
    let record = begin_rekey(broker, vault).await?;
    setting.keep();
    let base = config.resolve(Path::new(""));
    let (changed, store) = blocking(move || (store.rekey(&source, &base), store)).await?;
    let recorded = record.end(changed.is_ok(), Some(&store)).await;
    if let Err(error) = changed {
        if opened(vault, None).await.is_ok() {
            setting.discard();
        }
        return Err(failed(&vault.id, &error));
    }
    // Also where the outcome is not on record: the intent is, and nothing else opens the store.
    let line = setting.commit()?;
    recorded.map(|()| line)
}

/// Gives the configuration the source that the store has already; its new line.
async fn finish(
    broker: &Broker,
    config: &Config,
    vault: &VaultConfig,
    source: &local::KeySource,
) -> Result<String, Failure> {
    let mut setting = Setting::prepare(config, &vault.id, source)?;
    setting.keep();
    let record = begin_rekey(broker, vault).await?;
    let committed = setting.commit();
    record.end(committed.is_ok(), None).await?;
    committed
}

async fn begin_rekey(broker: &Broker, vault: &VaultConfig) -> Result<Recorded, Failure> {
    let via = "strongroom keys rekey";
    Recorded::begin(broker, &vault.id, Action::KeysRekey, via).await
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

/// Has the broker open the store: it refuses one that was set back.
async fn listed(broker: &Broker, vault: &VaultConfig) -> Result<(), CallError> {
    let session = broker.operator()?.via("strongroom keys");
    session
        .list(&format!("{}:", vault.id), None)
        .await
        .map(drop)
}

/// The store, opened with its own key source or another one.
async fn opened(
    vault: &VaultConfig,
    source: Option<local::KeySource>,
) -> Result<LocalBackend, Failure> {
    let mut settings: local::Config = vault
        .settings()
        .map_err(|wrong| Failure::usage(wrong.to_string()))?;
    if let Some(source) = source {
        settings.key = source;
    }
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
