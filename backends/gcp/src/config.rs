//! The settings of a GCP vault, as they stand in `strongroom.toml`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use strongroom_backend_remote::{Endpoint, refuse_credential};

/// The settings of a GCP Secret Manager vault. Unknown keys are errors.
///
/// ```
/// use strongroom_backend_gcp::{Auth, Config};
///
/// let config: Config = toml::from_str(
///     r#"
///     project = "shop-prod"
///     prefix = "app-"
///     auth = { key-file = "keys/gcp.json" }
///
///     [names]
///     "stripe/api-key" = "LegacyStripeKey"
///     "#,
/// )?;
/// assert_eq!(config.auth, Auth::key_file("keys/gcp.json"));
/// # Ok::<(), toml::de::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// The project, by id or by number.
    pub project: String,
    /// The location of regional secrets, as `europe-west3`. Without it the vault has global ones.
    pub location: Option<String>,
    /// What all names that were not given in `names` begin with.
    pub prefix: String,
    /// Where the service keeps the values of secrets that are made here; global secrets only.
    /// Default: automatic.
    pub replication: Option<Replication>,
    /// Another address than `https://secretmanager.googleapis.com` or the location's: a private
    /// link, an emulator.
    pub endpoint: Option<Endpoint>,
    /// A file of certificates in PEM that are trusted for the service in place of the system's;
    /// relative to the folder of the configuration.
    pub ca_file: Option<PathBuf>,
    /// Secrets that others named: their names in the service, by path.
    pub names: BTreeMap<String, String>,
    /// How to authenticate.
    pub auth: Auth,
}

impl Config {
    /// The secrets of `project`, by application default credentials.
    pub fn new(project: impl Into<String>) -> Self {
        Self {
            project: project.into(),
            location: None,
            prefix: String::new(),
            replication: None,
            endpoint: None,
            ca_file: None,
            names: BTreeMap::new(),
            auth: Auth::Default,
        }
    }

    /// The address of the service for these secrets, unless `endpoint` says another.
    pub(crate) fn service(&self) -> String {
        match &self.location {
            Some(location) => format!("https://secretmanager.{location}.rep.googleapis.com"),
            None => "https://secretmanager.googleapis.com".to_owned(),
        }
    }

    /// The environment variables that these settings take credentials from: what a program that is
    /// started with secrets must not inherit.
    pub fn variables(&self) -> Vec<&str> {
        match &self.auth {
            Auth::Default => vec!["GOOGLE_APPLICATION_CREDENTIALS"],
            _ => Vec::new(),
        }
    }
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Raw {
    project: String,
    location: Option<String>,
    #[serde(default)]
    prefix: String,
    replication: Option<Replication>,
    endpoint: Option<Endpoint>,
    ca_file: Option<PathBuf>,
    #[serde(default)]
    names: BTreeMap<String, String>,
    #[serde(default)]
    auth: Auth,
    #[serde(default, deserialize_with = "refuse_credential")]
    access_token: (),
    #[serde(default, deserialize_with = "refuse_credential")]
    api_key: (),
    #[serde(default, deserialize_with = "refuse_credential")]
    credentials: (),
    #[serde(default, deserialize_with = "refuse_credential")]
    private_key: (),
    #[serde(default, deserialize_with = "refuse_credential")]
    token: (),
}

impl<'de> Deserialize<'de> for Config {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Raw::deserialize(deserializer)?;
        let () = raw.access_token;
        let ((), (), (), ()) = (raw.api_key, raw.credentials, raw.private_key, raw.token);
        Ok(Self {
            project: raw.project,
            location: raw.location,
            prefix: raw.prefix,
            replication: raw.replication,
            endpoint: raw.endpoint,
            ca_file: raw.ca_file,
            names: raw.names,
            auth: raw.auth,
        })
    }
}

/// Where the service keeps the values of a global secret.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Replication {
    /// `"automatic"`: wherever the service sees fit.
    Automatic,
    /// `["europe-west1", "europe-west4"]`: in these locations and nowhere else.
    Locations(Vec<String>),
}

impl<'de> Deserialize<'de> for Replication {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        #[serde(untagged, expecting = "\"automatic\" or a list of locations")]
        enum Raw {
            Word(String),
            Locations(Vec<String>),
        }
        match Raw::deserialize(deserializer)? {
            Raw::Word(word) if word == "automatic" => Ok(Self::Automatic),
            Raw::Locations(list) if !list.is_empty() => Ok(Self::Locations(list)),
            _ => Err(de::Error::custom(
                "replication is \"automatic\" or a list of at least one location",
            )),
        }
    }
}

/// How to authenticate. Never a credential itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Auth {
    /// `"default"`: application default credentials. The file that
    /// `GOOGLE_APPLICATION_CREDENTIALS` names (a key, or workload identity federation), what
    /// `gcloud auth application-default login` left, the metadata server; in this order.
    #[default]
    Default,
    /// `{ key-file = "...", allow-links = false }`: the key of a service account, in JSON.
    KeyFile(CredentialFile),
    /// `{ credentials-file = "...", allow-links = false }`: any file that application default
    /// credentials can be in: workload identity federation, an impersonated service account, a user.
    CredentialsFile(CredentialFile),
    /// `"none"`: no credentials at all; for emulators on loopback.
    None,
}

/// A file with a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CredentialFile {
    /// The file; relative to the folder of the configuration.
    pub path: PathBuf,
    /// Whether the file may be a symbolic link, as mounted secrets are.
    pub allow_links: bool,
}

impl Auth {
    /// A service account's key file that must not be a symbolic link.
    pub fn key_file(path: impl Into<PathBuf>) -> Self {
        Self::KeyFile(CredentialFile {
            path: path.into(),
            allow_links: false,
        })
    }

    /// A file of application default credentials that must not be a symbolic link.
    pub fn credentials_file(path: impl Into<PathBuf>) -> Self {
        Self::CredentialsFile(CredentialFile {
            path: path.into(),
            allow_links: false,
        })
    }
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawAuth {
    key_file: Option<PathBuf>,
    credentials_file: Option<PathBuf>,
    #[serde(default)]
    allow_links: bool,
    #[serde(default, deserialize_with = "refuse_credential")]
    access_token: (),
    #[serde(default, deserialize_with = "refuse_credential")]
    key: (),
    #[serde(default, deserialize_with = "refuse_credential")]
    private_key: (),
    #[serde(default, deserialize_with = "refuse_credential")]
    token: (),
}

impl TryFrom<RawAuth> for Auth {
    type Error = &'static str;

    fn try_from(raw: RawAuth) -> Result<Self, Self::Error> {
        let ((), (), (), ()) = (raw.access_token, raw.key, raw.private_key, raw.token);
        let allow_links = raw.allow_links;
        let file = |path| CredentialFile { path, allow_links };
        match (raw.key_file, raw.credentials_file) {
            (Some(path), None) => Ok(Self::KeyFile(file(path))),
            (None, Some(path)) => Ok(Self::CredentialsFile(file(path))),
            _ => Err(WAYS),
        }
    }
}

const WAYS: &str = "auth is \"default\", { key-file = \"...\" }, { credentials-file = \"...\" } or, \
                    on loopback, \"none\"";

impl<'de> Deserialize<'de> for Auth {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Ways;

        impl<'de> Visitor<'de> for Ways {
            type Value = Auth;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(WAYS)
            }

            // What stands there is not repeated: it may be a credential.
            fn visit_str<E: de::Error>(self, word: &str) -> Result<Auth, E> {
                match word {
                    "default" => Ok(Auth::Default),
                    "none" => Ok(Auth::None),
                    _ => Err(E::custom(WAYS)),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Auth, A::Error> {
                let raw = RawAuth::deserialize(MapAccessDeserializer::new(map))?;
                raw.try_into().map_err(de::Error::custom)
            }
        }

        deserializer.deserialize_any(Ways)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, toml::de::Error> {
        toml::from_str(&format!("project = 'p'\n{text}"))
    }

    #[test]
    fn a_project_is_enough() {
        assert_eq!(parse("").unwrap(), Config::new("p"));
        assert!(toml::from_str::<Config>("prefix = 'a'").is_err());
    }

    #[test]
    fn ways_to_authenticate() {
        let auth = |text: &str| parse(&format!("auth = {text}")).map(|config| config.auth);
        assert_eq!(auth("'default'").unwrap(), Auth::Default);
        assert_eq!(auth("'none'").unwrap(), Auth::None);
        assert_eq!(auth("{ key-file = 'k' }").unwrap(), Auth::key_file("k"));
        let linked = CredentialFile {
            path: "c".into(),
            allow_links: true,
        };
        assert_eq!(
            auth("{ credentials-file = 'c', allow-links = true }").unwrap(),
            Auth::CredentialsFile(linked)
        );
        for wrong in [
            "'adc'",
            "{}",
            "3",
            "{ key-file = 'a', credentials-file = 'b' }",
            "{ key-file = 'a', more = 1 }",
        ] {
            assert!(auth(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn replication_is_a_word_or_a_list() {
        let replication = |text: &str| parse(&format!("replication = {text}"));
        let config = replication("['europe-west1', 'europe-west4']").unwrap();
        let locations = vec!["europe-west1".to_owned(), "europe-west4".to_owned()];
        assert_eq!(config.replication, Some(Replication::Locations(locations)));
        let config = replication("'automatic'").unwrap();
        assert_eq!(config.replication, Some(Replication::Automatic));
        for wrong in ["'auto'", "[]", "1", "{}"] {
            assert!(replication(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn credentials_in_the_file_are_refused_without_their_text() {
        for text in [
            "token = 'canary-3f'",
            "access-token = 'canary-3f'",
            "private-key = 'canary-3f'",
            "credentials = { private_key = 'canary-3f' }",
            "auth = { private-key = 'canary-3f' }",
            "auth = { token = 'canary-3f' }",
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.message().contains("does not belong"), "{error}");
            assert!(!error.message().contains("canary"), "{error}");
        }
        let error = parse("auth = 'canary-3f'").unwrap_err();
        assert!(!error.message().contains("canary"), "{error}");
    }

    #[test]
    fn unknown_keys_and_plain_http_are_errors() {
        assert!(parse("projects = 'p'").is_err());
        assert!(parse("endpoint = 'http://10.0.0.1'").is_err());
        assert!(parse("endpoint = 'http://127.0.0.1:9'").is_ok());
    }
}
