//! A vault's client with what it is configured for, and the one way to change a secret's notes.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use google_cloud_secretmanager_v1::model::Replication as Kept;
use google_cloud_secretmanager_v1::model::Secret;
use google_cloud_secretmanager_v1::model::replication::user_managed::Replica;
use google_cloud_secretmanager_v1::model::replication::{Automatic, UserManaged};
use strongroom_backend::SecretPath;
use strongroom_backend_remote::Endpoint;

use crate::config::{Auth, Config, Replication};
use crate::error::{Fault, Result};
use crate::login::Login;
use crate::notes::Notes;
use crate::resource::{Resource, Space, check_location};
use crate::rest::Rest;

/// How often a change is tried anew when others change the same secret at the same time.
const ATTEMPTS: u32 = 8;
/// The longest pause before the second attempt; it doubles.
const PAUSE: Duration = Duration::from_millis(40);

/// One vault.
pub(crate) struct Vault {
    pub(crate) rest: Rest,
    pub(crate) space: Space,
    /// None for regional secrets, whose location says it.
    replication: Option<Kept>,
}

impl Vault {
    pub(crate) fn new(config: &Config, base: &Path) -> Result<Self> {
        let space = Space::new(config)?;
        let replication = replication(config)?;
        let endpoint = endpoint(config)?;
        if !endpoint.is_tls() && config.auth != Auth::None {
            return Err(Fault::Config(
                "over plain 'http://' no credentials are sent, as any program may listen on a loopback \
                 port: say auth = \"none\" for an emulator"
                    .to_owned(),
            ));
        }
        if config.auth == Auth::None && !is_loopback(&endpoint) {
            return Err(Fault::Config(
                "auth = \"none\" is for endpoints on loopback: say how to authenticate".to_owned(),
            ));
        }
        let ca_file = config.ca_file.as_ref().map(|path| base.join(path));
        let login = Login::new(&config.auth, base)?;
        Ok(Self {
            rest: Rest::new(endpoint, ca_file.as_deref(), login)?,
            space,
            replication,
        })
    }

    /// A secret to be made, with these notes.
    pub(crate) fn fresh(&self, notes: &Notes) -> Result<Secret> {
        let mut secret = Secret::new();
        secret.replication = self.replication.clone();
        notes.write_to(&mut secret)?;
        Ok(secret)
    }

    /// The notes of a secret of this path; one that is noted to be of another path is not ours.
    pub(crate) fn notes(&self, path: &SecretPath, secret: &Secret) -> Result<Notes> {
        let notes = Notes::of(secret)?;
        if self.space.contradicts(path, notes.path.as_deref()) {
            return Err(Fault::Damaged(
                "the secret of this name is noted to be of another path: look at its annotations",
            ));
        }
        Ok(notes)
    }

    /// Changes the notes of a secret, whatever others do to them meanwhile: what was read is written
    /// back under its entity tag, or read again. `change` may be called several times.
    pub(crate) async fn note(
        &self,
        path: &SecretPath,
        resource: &Resource,
        change: impl Fn(&mut Notes) + Send,
    ) -> Result<()> {
        let mut attempt = 0;
        loop {
            let mut secret = self.rest.secret(resource).await?;
            let before = self.notes(path, &secret)?;
            let mut notes = before.clone();
            change(&mut notes);
            if notes == before {
                return Ok(());
            }
            notes.path = Some(path.as_str().to_owned());
            notes.touch(now());
            let mask = notes.write_to(&mut secret)?;
            let update = Secret::new()
                .set_name(resource.name())
                .set_etag(secret.etag)
                .set_annotations(secret.annotations)
                .set_labels(secret.labels);
            match self.rest.update(resource, &update, &mask).await {
                Ok(_) => return Ok(()),
                Err(fault) if fault.is_stale() => attempt += 1,
                Err(fault) => return Err(fault),
            }
            if attempt == ATTEMPTS {
                return Err(Fault::Busy);
            }
            pause(attempt).await;
        }
    }
}

/// A part of a time that doubles, so that those who met do not meet again.
pub(crate) async fn pause(attempt: u32) {
    let longest = PAUSE.saturating_mul(1 << attempt.min(5));
    let part = getrandom::u32().unwrap_or(u32::MAX);
    let part = f64::from(part) / f64::from(u32::MAX);
    tokio::time::sleep(longest.mul_f64(part)).await;
}

/// Runs a change of several calls to its end, also where the caller goes away in the middle: a
/// value without its notes, or half of a secret's versions deleted, is nothing to leave behind.
pub(crate) async fn to_the_end<T: Send + 'static>(
    change: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    tokio::spawn(change).await.unwrap_or(Err(Fault::Broken))
}

/// Milliseconds since the Unix epoch.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn endpoint(config: &Config) -> Result<Endpoint> {
    if let Some(endpoint) = &config.endpoint {
        return Ok(endpoint.clone());
    }
    Endpoint::parse(&config.service()).map_err(|error| Fault::Config(error.to_string()))
}

fn is_loopback(endpoint: &Endpoint) -> bool {
    let host = endpoint.host();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || address
            .parse()
            .is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}

fn replication(config: &Config) -> Result<Option<Kept>> {
    if config.location.is_some() {
        return match config.replication {
            None => Ok(None),
            Some(_) => Err(Fault::Config(
                "replication is for global secrets: regional ones are where `location` says"
                    .to_owned(),
            )),
        };
    }
    let kept = Kept::new();
    Ok(Some(match &config.replication {
        None | Some(Replication::Automatic) => kept.set_automatic(Automatic::new()),
        Some(Replication::Locations(locations)) => {
            for location in locations {
                check_location(location)?;
            }
            let replicas = locations
                .iter()
                .map(|location| Replica::new().set_location(location));
            kept.set_user_managed(UserManaged::new().set_replicas(replicas))
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vault(change: impl FnOnce(&mut Config)) -> Result<Vault> {
        let mut config = Config::new("p");
        config.auth = Auth::None;
        config.endpoint = Endpoint::parse("http://127.0.0.1:1").ok();
        change(&mut config);
        Vault::new(&config, Path::new(""))
    }

    #[test]
    fn credentials_and_endpoints_that_do_not_fit_are_refused() {
        let endpoint = |text: &str| Endpoint::parse(text).ok();
        assert!(vault(|_| {}).is_ok());
        assert!(vault(|c| c.endpoint = endpoint("https://[::1]:1")).is_ok());
        for text in ["https://example.com", "https://127.0.0.1.nip.io"] {
            assert!(vault(|c| c.endpoint = endpoint(text)).is_err(), "{text}");
        }
        assert!(vault(|c| c.endpoint = None).is_err());
        assert!(vault(|c| c.auth = Auth::Default).is_err());
        assert!(vault(|c| c.auth = Auth::key_file("k")).is_err());
        assert!(vault(|c| c.ca_file = Some("missing.pem".into())).is_err());
    }

    #[test]
    fn secrets_are_made_where_the_settings_say() {
        let made = |vault: Vault| vault.fresh(&Notes::default()).unwrap().replication;
        let automatic = made(vault(|_| {}).unwrap()).unwrap();
        assert!(automatic.automatic().is_some());
        let locations = Replication::Locations(vec!["europe-west1".into(), "europe-west4".into()]);
        let managed = made(vault(|c| c.replication = Some(locations)).unwrap()).unwrap();
        assert_eq!(managed.user_managed().unwrap().replicas.len(), 2);
        let regional = vault(|c| c.location = Some("europe-west3".into())).unwrap();
        assert_eq!(made(regional), None);
        let both = vault(|c| {
            c.location = Some("europe-west3".into());
            c.replication = Some(Replication::Automatic);
        });
        assert!(both.is_err());
    }

    #[test]
    fn regional_secrets_have_an_endpoint_of_their_own() {
        let mut config = Config::new("p");
        config.location = Some("europe-west3".into());
        assert_eq!(
            endpoint(&config).unwrap().as_str(),
            "https://secretmanager.europe-west3.rep.googleapis.com"
        );
    }
}
