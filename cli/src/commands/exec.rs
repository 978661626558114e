//! `strongroom exec`: a program with secrets in its environment.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;
use std::sync::Arc;

use rustix::fs::Access;
use strongroom::Session;
use strongroom::backend::{SecretValue, VaultId};
use strongroom::config::Config;

use crate::context::Context;
use crate::failure::Failure;

/// The most secrets for one program; more is a mistake, and the kernel would refuse it anyway.
const MAX_SECRETS: usize = 1024;

/// Secrets that are read in one call: few enough for a slow service to answer within the deadline.
const AT_ONCE: usize = 20;

/// The longest `NAME=value` that Linux passes to a program (MAX_ARG_STRLEN, with its final NUL).
const MAX_VARIABLE: usize = 128 * 1024 - 1;

/// Variables of ours: which configuration, how to log, and whatever a key source is named by.
const OURS: &str = "STRONGROOM_";

/// What backends take from the environment when the configuration names no variable.
const CREDENTIALS: [(&str, &[&str]); 5] = [
    (
        "aws-",
        &[
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
            "AWS_WEB_IDENTITY_TOKEN_FILE",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        ],
    ),
    (
        "azure-",
        &[
            "AZURE_CLIENT_SECRET",
            "AZURE_CLIENT_CERTIFICATE_PATH",
            "AZURE_CLIENT_CERTIFICATE_PASSWORD",
            "AZURE_FEDERATED_TOKEN_FILE",
        ],
    ),
    ("gcp-", &["GOOGLE_APPLICATION_CREDENTIALS"]),
    ("hashicorp-", &["VAULT_TOKEN"]),
    ("kubernetes", &["KUBECONFIG"]),
];

/// Run a program with secrets in its environment
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  strongroom exec --env DATABASE_URL=db/main -- ./server
  strongroom exec --env TOKEN=prod:ci/token --env KEY=stripe/api-key -- make deploy

The program takes this process over, so signals and its exit code are its own. It does not get
STRONGROOM_*, nor the variables that hold the keys of vaults and the credentials of backends.")]
pub(crate) struct Args {
    /// A variable and the secret whose value it gets; may be repeated
    #[arg(long, value_name = "NAME=REF", required = true)]
    env: Vec<Binding>,

    /// Leave a variable that would be taken away
    #[arg(long, value_name = "NAME")]
    keep: Vec<OsString>,

    /// The program and its arguments
    #[arg(last = true, required = true, value_name = "PROGRAM")]
    command: Vec<OsString>,
}

/// Why an argument that is no option of ours is refused, without repeating it: it may be a value.
pub(crate) fn unknown_argument() -> Failure {
    Failure::usage("`exec` has no such option; it is not repeated here, since it may be a value")
        .hint("write `strongroom exec --env NAME=REF -- PROGRAM ARGUMENTS`")
}

/// `NAME=REF`.
#[derive(Clone, Debug)]
struct Binding {
    name: String,
    reference: String,
}

impl FromStr for Binding {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((name, reference)) if !name.is_empty() && !name.contains('\0') => Ok(Self {
                name: name.to_owned(),
                reference: reference.to_owned(),
            }),
            _ => Err("expected NAME=REF"),
        }
    }
}

/// Runs `exec`; returns only where the program cannot be started.
pub(crate) async fn run(args: Args, context: &Context) -> Result<u8, Failure> {
    check_names(&args.env)?;
    let (program, arguments) = args
        .command
        .split_first()
        .ok_or_else(|| Failure::usage("no program was given"))?;
    // Before any value is read: a program that is not there needs none.
    let path = find(program)?;

    let broker = context.broker().await?;
    let removed = removed(&broker.config(), &args.keep);
    let values = match broker.operator() {
        Ok(session) => read(&session.via("strongroom exec"), &args.env).await,
        Err(error) => Err(error.into()),
    };
    // The records are in the log before the program can see a value.
    let closed = broker.close().await;
    let values = values?;
    closed?;

    let mut command = Command::new(&path);
    command.arg0(program).args(arguments);
    for name in removed {
        command.env_remove(name);
    }
    for (name, value) in &values {
        command.env(name, OsStr::from_bytes(value.expose()));
    }
    // The standard library gives the program default signal handling and an empty mask.
    let error = command.exec();
    Err(Failure::usage(format!(
        "cannot start {}: {error}",
        path.display()
    )))
}

fn check_names(bindings: &[Binding]) -> Result<(), Failure> {
    if bindings.len() > MAX_SECRETS {
        return Err(Failure::usage(format!(
            "more than {MAX_SECRETS} secrets for one program"
        )));
    }
    let mut names = BTreeSet::new();
    match bindings.iter().find(|binding| !names.insert(&binding.name)) {
        Some(twice) => Err(Failure::usage(format!("--env names {} twice", twice.name))),
        None => Ok(()),
    }
}

/// The values by the names of their variables. Of several failures the first in the order given is
/// told; others may have been read, and are on record then.
async fn read(
    session: &Session,
    bindings: &[Binding],
) -> Result<BTreeMap<String, Arc<SecretValue>>, Failure> {
    // Each vault has its own time: one that does not answer must not take that of the next.
    let mut vaults: BTreeMap<Option<VaultId>, Vec<(usize, String)>> = BTreeMap::new();
    for (at, Binding { reference, .. }) in bindings.iter().enumerate() {
        let parsed = session.parse(reference).ok();
        let vault = parsed.map(|reference| reference.vault().clone());
        let all = vaults.entry(vault).or_default();
        all.push((at, reference.clone()));
    }
    let mut secrets = BTreeMap::new();
    for all in vaults.values() {
        for chunk in all.chunks(AT_ONCE) {
            let references: Vec<_> = chunk.iter().map(|(_, it)| it.clone()).collect();
            let read = session.get_many(&references).await?;
            let failed = read.iter().any(Result::is_err);
            secrets.extend(chunk.iter().map(|(at, _)| *at).zip(read));
            // What is left of this vault comes later in the order given.
            if failed {
                break;
            }
        }
    }
    let mut values = BTreeMap::new();
    for (at, Binding { name, .. }) in bindings.iter().enumerate() {
        let Some(secret) = secrets.remove(&at) else {
            return Err(Failure::failed(format!("--env {name} was not read")));
        };
        let secret =
            secret.map_err(|error| Failure::from(error).while_doing(format!("--env {name}")))?;
        check_value(name, &secret.value)?;
        values.insert(name.clone(), secret.value);
    }
    Ok(values)
}

fn check_value(name: &str, value: &SecretValue) -> Result<(), Failure> {
    if value.expose().contains(&0) {
        return Err(Failure::failed(format!(
            "--env {name}: the value holds a NUL byte, which no variable can"
        )));
    }
    if name.len() + 1 + value.len() > MAX_VARIABLE {
        return Err(Failure::failed(format!(
            "--env {name}: the value is longer than the {MAX_VARIABLE} bytes of a variable"
        ))
        .hint("write it to a file with `strongroom get`"));
    }
    Ok(())
}

/// The variables of this process that the program must not have.
fn removed(config: &Config, keep: &[OsString]) -> BTreeSet<OsString> {
    let mut names: BTreeSet<OsString> = std::env::vars_os()
        .map(|(name, _)| name)
        .filter(|name| name.as_bytes().starts_with(OURS.as_bytes()))
        .collect();
    names.extend(config.secret_variables().into_iter().map(OsString::from));
    for vault in config.vaults.values() {
        let known = CREDENTIALS
            .iter()
            .filter(|(backend, _)| vault.backend.starts_with(backend));
        names.extend(known.flat_map(|(_, variables)| variables.iter().map(OsString::from)));
    }
    for name in keep {
        names.remove(name);
    }
    names
}

/// The file that would be run: as named where the name has a slash, else the first on `PATH`.
fn find(program: &OsStr) -> Result<PathBuf, Failure> {
    let runs = |path: &Path| path.is_file() && rustix::fs::access(path, Access::EXEC_OK).is_ok();
    let found = if program.as_bytes().contains(&b'/') {
        Some(PathBuf::from(program)).filter(|path| runs(path))
    } else {
        std::env::var_os("PATH").and_then(|path| {
            std::env::split_paths(&path)
                .map(|folder| folder.join(program))
                .find(|path| runs(path))
        })
    };
    found.ok_or_else(|| {
        Failure::usage(format!("there is no program {}", program.to_string_lossy()))
            .hint("nothing was read; name the program after `--`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binding_needs_both_halves() {
        assert!("A=b".parse::<Binding>().is_ok());
        assert!("=b".parse::<Binding>().is_err());
        assert!("A".parse::<Binding>().is_err());
    }
}
