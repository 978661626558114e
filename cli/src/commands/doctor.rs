//! `strongroom doctor`: tries everything that a host will need, and says what to do about the rest.

use std::error::Error as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use serde_json::json;
use strongroom::audit::{self, Location, Verify, first_key_path};
use strongroom::backend::{VaultId, Which};
use strongroom::config::{AuditConfig, Config, VaultConfig};
use strongroom::{Broker, CallError, ErrorCode, RolledBack};

use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output;

/// How far the clock may be behind a file that was written before: more than file systems round.
const CLOCK_SLACK: Duration = Duration::from_secs(60);

/// Test the configuration, the audit log and each vault, and say how to mend what is wrong
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  strongroom doctor
  strongroom doctor app-secrets
  strongroom doctor --accept-rollback app-secrets     after you restored it from a backup yourself

A vault fails, too, where the clock of its service is so far off ours that it does harm.

Exit code: 0 all is well, 5 something cannot answer now, 1 anything else.")]
pub(crate) struct Args {
    /// This vault alone
    #[arg(value_parser = vault)]
    vault: Option<VaultId>,

    /// Go on with a store that is older than the audit log knows; this is put on record
    #[arg(long, value_name = "VAULT", value_parser = vault, conflicts_with = "vault")]
    accept_rollback: Option<VaultId>,
}

/// Runs `doctor`.
pub(crate) async fn run(args: Args, context: &Context) -> Result<(), Failure> {
    let (_, config) = context.load()?;
    if let Some(vault) = args.vault.as_ref().or(args.accept_rollback.as_ref())
        && !config.vaults.contains_key(vault)
    {
        let names: Vec<_> = config.vaults.keys().map(VaultId::as_str).collect();
        return Err(Failure::usage(format!("there is no vault {vault}"))
            .hint(format!("the configuration has {}", names.join(", "))));
    }
    if let Some(vault) = args.accept_rollback {
        return accept(&vault, context).await;
    }
    let mut checks = Checks::default();
    checks.good(
        "configuration",
        format!("{} is sound", config.file().display()),
    );
    checks.add("clock", clock(&config));
    // Nothing can be asked without a log to record it.
    match context.broker().await {
        Ok(broker) => {
            checks.audit_log(&broker);
            for vault in config.vaults.values() {
                if args.vault.as_ref().is_none_or(|only| *only == vault.id) {
                    checks.vault(&broker, vault).await;
                }
            }
            let closed = broker.close().await;
            checks.add(
                "audit log",
                closed
                    .map(|()| "closed in order".to_owned())
                    .map_err(Failure::from),
            );
        }
        // A log that is not there, or on a failing disk, has no records to read.
        Err(failure) if failure.exit == Exit::Unavailable => {
            checks.bad("audit log", failure);
            return checks.finish(context);
        }
        Err(failure) => checks.bad("configuration", failure),
    }
    if let Some(settings) = &config.audit {
        checks.records(settings);
    }
    checks.finish(context)
}

async fn accept(vault: &VaultId, context: &Context) -> Result<(), Failure> {
    let broker = context.broker().await?;
    let accepted = broker.accept_rollback(vault).await;
    let closed = broker.close().await;
    accepted.map_err(|error| Failure::from(error).while_doing(vault.as_str()))?;
    closed?;
    if context.json {
        return output::document(&json!({ "vault": vault.as_str(), "accepted": true }));
    }
    output::line(&format!(
        "{vault} is accepted as it is now; this is on record"
    ))
}

/// What was tried, in order.
#[derive(Default)]
struct Checks(Vec<Check>);

struct Check {
    subject: String,
    result: Result<String, Failure>,
}

impl Checks {
    fn add(&mut self, subject: impl Into<String>, result: Result<String, Failure>) {
        self.0.push(Check {
            subject: subject.into(),
            result,
        });
    }

    fn good(&mut self, subject: impl Into<String>, detail: impl Into<String>) {
        self.add(subject, Ok(detail.into()));
    }

    fn bad(&mut self, subject: impl Into<String>, failure: Failure) {
        self.add(subject, Err(failure));
    }

    fn audit_log(&mut self, broker: &Broker) {
        let health = broker.log().health();
        match &health.failed {
            Some(why) => self.bad("audit log", Failure::unavailable(why.to_string())),
            None => self.good("audit log", "opens, and records"),
        }
        for warning in &health.warnings {
            self.good("audit log", format!("note: {warning}"));
        }
    }

    /// Reads the whole log, with the first key where that still lies beside the log's key.
    fn records(&mut self, settings: &AuditConfig) {
        let first = first_key_path(&settings.key.path);
        let verify = Verify {
            first_key: Some(first).filter(|first| first.exists()),
            location: Location {
                log: settings.path.clone(),
                key: settings.key.path.clone(),
                allow_links: settings.key.allow_links,
            },
            checkpoint: None,
        };
        let bar = output::working("reading the audit log");
        let report = audit::verify(&verify);
        bar.finish_and_clear();
        let report = match report {
            Ok(report) => report,
            Err(error) => return self.bad("audit log", error.into()),
        };
        match &report.bad {
            None => {
                let count = |count, what| match count {
                    1 => format!("1 {what}"),
                    count => format!("{count} {what}s"),
                };
                let (records, files) =
                    (count(report.records, "record"), count(report.files, "file"));
                self.good("audit log", format!("verified: {records} in {files}"));
            }
            Some(bad) => self.bad(
                "audit log",
                Failure::failed(format!(
                    "it does not verify: {}, line {}, seq {}: {}",
                    bad.file.display(),
                    bad.line,
                    bad.seq,
                    bad.what
                ))
                .hint(
                    "keep the log as it is and find out what changed it; \
                     `strongroom audit resume` begins a new one, on record",
                ),
            ),
        }
        for note in &report.notes {
            self.good("audit log", format!("note: {note}"));
        }
    }

    async fn vault(&mut self, broker: &Broker, config: &VaultConfig) {
        let vault = &config.id;
        let subject = format!("vault {vault}");
        let bar = output::progress(1, "checking");
        let lines = broker.check_vault(vault).await;
        bar.finish_and_clear();
        match lines {
            Ok(lines) => lines.into_iter().for_each(|line| self.good(&subject, line)),
            // Whatever else is tried would fail in the same way.
            Err(error) => return self.bad(subject, explained(error, config)),
        }
        let session = match broker.operator() {
            Ok(session) => session.via("strongroom doctor"),
            Err(error) => return self.bad(subject, error.into()),
        };
        let all = format!("{vault}:");
        let listed = session.list(&all, None);
        let names = |page: strongroom::Page| match (page.references.len(), page.cursor) {
            (0, _) => "lists: no secrets yet".to_owned(),
            (1, None) => "lists: 1 secret".to_owned(),
            (count, None) => format!("lists: {count} secrets"),
            (count, Some(_)) => format!("lists: {count} secrets and more"),
        };
        // A store that cannot list has said so above, and is none the worse for it.
        match listed.await {
            Err(error) if matches!(error.code, ErrorCode::Unsupported(_)) => {}
            listed => self.add(
                &subject,
                listed.map(names).map_err(|e| explained(e, config)),
            ),
        }
        if let Some(canary) = &config.canary {
            let reference = format!("{vault}:{canary}");
            let read = session.get(&reference, Which::Current);
            let told = |secret: strongroom::Secret| match secret.version {
                0 => format!("reads {canary}"),
                version => format!("reads {canary}, version {version}"),
            };
            let missing = |error: CallError| match error.code {
                ErrorCode::NotFound => {
                    Failure::not_found(format!("its canary {canary} is not there"))
                        .hint(format!("write it: strongroom set {vault}:{canary}"))
                }
                _ => explained(error, config),
            };
            self.add(&subject, read.await.map(told).map_err(missing));
        }
    }

    fn finish(self, context: &Context) -> Result<(), Failure> {
        if context.json {
            output::document(&self.document())?;
        } else {
            output::text(&self.text())?;
        }
        let failed: Vec<_> = self
            .0
            .iter()
            .filter_map(|check| check.result.as_ref().err())
            .collect();
        if failed.is_empty() {
            return Ok(());
        }
        let waits = failed
            .iter()
            .all(|failure| failure.exit == Exit::Unavailable);
        let exit = if waits {
            Exit::Unavailable
        } else {
            Exit::Failed
        };
        Err(Failure::new(
            exit,
            format!("{} of {} checks failed", failed.len(), self.0.len()),
        ))
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for Check { subject, result } in &self.0 {
            match result {
                Ok(detail) => {
                    text.push_str(&format!(
                        "ok      {subject}: {}\n",
                        output::printable(detail)
                    ));
                }
                Err(failure) => {
                    let message = output::printable(&failure.message);
                    text.push_str(&format!("FAILED  {subject}: {message}\n"));
                    if let Some(hint) = &failure.hint {
                        text.push_str(&format!("        next: {hint}\n"));
                    }
                }
            }
        }
        text
    }

    fn document(&self) -> serde_json::Value {
        let checks = self.0.iter().map(|Check { subject, result }| match result {
            Ok(detail) => json!({ "subject": subject, "ok": true, "detail": detail }),
            Err(failure) => json!({
                "subject": subject,
                "ok": false,
                "detail": failure.message,
                "hint": failure.hint,
            }),
        });
        json!({
            "ok": self.0.iter().all(|check| check.result.is_ok()),
            "checks": checks.collect::<Vec<_>>(),
        })
    }
}

/// The failure with a next step that is not "run doctor".
fn explained(error: CallError, config: &VaultConfig) -> Failure {
    let vault = &config.id;
    let rolled_back = error
        .source()
        .is_some_and(|source| source.is::<RolledBack>());
    let mut failure = Failure::from(error);
    let on_disk = matches!(&*config.backend, "local" | "files");
    failure.hint = Some(if rolled_back {
        format!(
            "find out who put it there; if you restored it yourself: \
             strongroom doctor --accept-rollback {vault}"
        )
    } else if config.sync.is_some() && failure.exit == Exit::Unavailable {
        format!("bring it in step with its source: strongroom sync {vault}")
    } else {
        match (failure.exit, on_disk) {
            (Exit::Unavailable, true) => {
                "see that nothing else holds it and that its disk has room, then try again"
                    .to_owned()
            }
            (Exit::Unavailable, false) => {
                "see that the service is up and reachable from here, then try again".to_owned()
            }
            (Exit::Usage, true) => {
                format!("mend the table [vault.{vault}], its key or its file's mode")
            }
            (Exit::Usage, false) => format!(
                "mend the table [vault.{vault}], the credentials it names, or what they may do"
            ),
            (Exit::NotFound, _) => format!("see that the path in [vault.{vault}] is right"),
            (_, true) => {
                "keep the file as it is, and restore the vault from its last backup".to_owned()
            }
            (_, false) => format!(
                "do what the line says; if it says nothing, see that [vault.{vault}] names the right \
                 service and place"
            ),
        }
    });
    failure
}

/// A clock that is behind what it wrote itself makes records and expiry times wrong.
fn clock(config: &Config) -> Result<String, Failure> {
    let now = SystemTime::now();
    let mut files = vec![config.file().to_owned()];
    files.extend(config.audit.as_ref().map(|audit| audit.path.clone()));
    let written = |path: &Path| {
        std::fs::metadata(path)
            .and_then(|about| about.modified())
            .ok()
    };
    let ahead = files.iter().find(|path| {
        written(path)
            .and_then(|at| at.duration_since(now).ok())
            .is_some_and(|by| by > CLOCK_SLACK)
    });
    match ahead {
        None => Ok(format!("{:.0}", Timestamp::now())),
        Some(path) => Err(Failure::failed(format!(
            "it is {:.0}, but {} was written later than that",
            Timestamp::now(),
            path.display()
        ))
        .hint("set the clock; expiry times and the log depend on it")),
    }
}

/// A vault's id, from an argument.
pub(super) fn vault(text: &str) -> Result<VaultId, String> {
    VaultId::parse(text).map_err(|error| error.to_string())
}
