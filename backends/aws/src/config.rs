//! The settings that both stores have.

use std::fmt;
use std::path::PathBuf;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use strongroom_backend_remote::{Endpoint, place, refuse_credential};

/// The settings that both AWS stores have.
///
/// It has no `Deserialize` of its own: serde's `flatten` and `deny_unknown_fields` do not go
/// together, and an unknown key must be an error that names its line. Each store lists these keys
/// among its own, with the credentials that people would try to write there refused:
///
/// ```
/// use std::path::PathBuf;
///
/// use serde::Deserialize;
/// use strongroom_backend_aws::{Auth, AwsConfig};
/// use strongroom_backend_remote::{Endpoint, refuse_credential};
///
/// #[derive(Deserialize)]
/// #[serde(deny_unknown_fields, rename_all = "kebab-case")]
/// struct Raw {
///     region: Option<String>,
///     #[serde(default)]
///     auth: Auth,
///     endpoint: Option<Endpoint>,
///     ca_file: Option<PathBuf>,
///     #[serde(default, deserialize_with = "refuse_credential")]
///     access_key_id: (),
///     #[serde(default, deserialize_with = "refuse_credential")]
///     secret_access_key: (),
///     #[serde(default, deserialize_with = "refuse_credential")]
///     session_token: (),
///     // ... and the store's own.
/// }
/// # let text = "region = 'eu-central-1'\nauth = { profile = 'prod' }";
/// # let raw: Raw = toml::from_str(text).unwrap();
/// let mut config = AwsConfig::default();
/// config.region = raw.region;
/// # let _ = (raw.auth, raw.endpoint, raw.ca_file);
/// # let _ = (raw.access_key_id, raw.secret_access_key, raw.session_token);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AwsConfig {
    /// The region. Without it: `AWS_REGION`, `AWS_DEFAULT_REGION`, then the profile's.
    pub region: Option<String>,
    /// How to authenticate.
    pub auth: Auth,
    /// Another address than the region's: a private link, an emulator. Also that of STS, which
    /// `doctor` asks who we are.
    pub endpoint: Option<Endpoint>,
    /// A file of certificates in PEM that are trusted for the service in place of the system's;
    /// relative to the folder of the configuration.
    pub ca_file: Option<PathBuf>,
}

impl AwsConfig {
    /// Which account's service in which region this is, as far as the settings say it: region,
    /// endpoint, and the profile or the variable of the access key. What the environment or a
    /// profile would give is not looked up.
    pub fn place(&self) -> String {
        let (profile, key) = match &self.auth {
            Auth::DefaultChain => (None, None),
            Auth::Profile(name) => (Some(&**name), None),
            Auth::Keys(keys) => (None, Some(&*keys.access_key_id_env)),
        };
        place(&[
            ("region", self.region.as_deref()),
            ("endpoint", self.endpoint.as_ref().map(Endpoint::as_str)),
            ("profile", profile),
            ("access-key-id-env", key),
        ])
    }

    /// The environment variables that these settings take credentials from: what a program that is
    /// started with secrets must not inherit.
    pub fn variables(&self) -> Vec<&str> {
        match &self.auth {
            Auth::Keys(keys) => {
                let mut names = vec![&*keys.access_key_id_env, &*keys.secret_access_key_env];
                names.extend(keys.session_token_env.as_deref());
                names
            }
            Auth::DefaultChain | Auth::Profile(_) => {
                vec![
                    "AWS_ACCESS_KEY_ID",
                    "AWS_SECRET_ACCESS_KEY",
                    "AWS_SESSION_TOKEN",
                ]
            }
        }
    }
}

/// How to authenticate. Never a credential itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Auth {
    /// `"default-chain"`: environment, profile files, web identity, container, instance, in this order.
    #[default]
    DefaultChain,
    /// `{ profile = "prod" }`: one profile of the AWS configuration files, whatever the environment says:
    /// keys, single sign-on, a role to assume, a process to run.
    Profile(String),
    /// `{ access-key-id-env = "...", secret-access-key-env = "..." }`: variables that hold the keys.
    Keys(KeyVariables),
}

/// The names of the environment variables that hold keys.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyVariables {
    /// The variable of the access key's id.
    pub access_key_id_env: String,
    /// The variable of the secret key.
    pub secret_access_key_env: String,
    /// The variable of the session token, for temporary keys.
    pub session_token_env: Option<String>,
}

impl Auth {
    /// Keys in the two variables of these names.
    pub fn keys(id: impl Into<String>, secret: impl Into<String>) -> Self {
        Self::Keys(KeyVariables {
            access_key_id_env: id.into(),
            secret_access_key_env: secret.into(),
            session_token_env: None,
        })
    }

    /// The way of authentication in words for the operator.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::DefaultChain => "the default chain".to_owned(),
            Self::Profile(name) => format!("profile '{name}'"),
            Self::Keys(keys) => format!("the keys in ${}", keys.access_key_id_env),
        }
    }
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Raw {
    profile: Option<String>,
    access_key_id_env: Option<String>,
    secret_access_key_env: Option<String>,
    session_token_env: Option<String>,
    #[serde(default, deserialize_with = "refuse_credential")]
    access_key_id: (),
    #[serde(default, deserialize_with = "refuse_credential")]
    secret_access_key: (),
    #[serde(default, deserialize_with = "refuse_credential")]
    session_token: (),
}

impl TryFrom<Raw> for Auth {
    type Error = &'static str;

    fn try_from(raw: Raw) -> Result<Self, Self::Error> {
        let ((), (), ()) = (raw.access_key_id, raw.secret_access_key, raw.session_token);
        let named = |name: &String| !name.is_empty() && !name.contains(['=', '\0']);
        let variables = (raw.access_key_id_env, raw.secret_access_key_env);
        match (raw.profile, variables, raw.session_token_env) {
            (Some(profile), (None, None), None) if !profile.is_empty() => {
                Ok(Self::Profile(profile))
            }
            (None, (Some(id), Some(secret)), token)
                if named(&id) && named(&secret) && token.as_ref().is_none_or(named) =>
            {
                Ok(Self::Keys(KeyVariables {
                    access_key_id_env: id,
                    secret_access_key_env: secret,
                    session_token_env: token,
                }))
            }
            _ => Err(WAYS),
        }
    }
}

const WAYS: &str = "'auth' is one of \"default-chain\", { profile = \"...\" } and \
                    { access-key-id-env = \"...\", secret-access-key-env = \"...\" }, \
                    with session-token-env for temporary keys";

impl<'de> Deserialize<'de> for Auth {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Ways;
        impl<'de> Visitor<'de> for Ways {
            type Value = Auth;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"default-chain\" or a table with the way to authenticate")
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<Auth, E> {
                // The word is not repeated: it may be a key that was pasted here.
                (word == "default-chain")
                    .then_some(Auth::DefaultChain)
                    .ok_or_else(|| E::custom(WAYS))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Auth, A::Error> {
                let raw = Raw::deserialize(MapAccessDeserializer::new(map))?;
                Auth::try_from(raw).map_err(de::Error::custom)
            }
        }
        deserializer.deserialize_any(Ways)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    struct Table {
        auth: Auth,
    }

    fn auth(text: &str) -> Result<Auth, toml::de::Error> {
        toml::from_str::<Table>(&format!("auth = {text}")).map(|table| table.auth)
    }

    #[test]
    fn the_three_ways_parse() {
        assert_eq!(auth("'default-chain'").unwrap(), Auth::DefaultChain);
        let profile = auth("{ profile = 'prod' }").unwrap();
        assert_eq!(profile, Auth::Profile("prod".into()));
        let keys = auth("{ access-key-id-env = 'A', secret-access-key-env = 'B' }").unwrap();
        assert_eq!(keys, Auth::keys("A", "B"));
        let with_token = auth(
            "{ access-key-id-env = 'A', secret-access-key-env = 'B', session-token-env = 'C' }",
        );
        let config = AwsConfig {
            auth: with_token.unwrap(),
            ..AwsConfig::default()
        };
        assert_eq!(config.variables(), ["A", "B", "C"]);
    }

    #[test]
    fn the_place_is_the_account_s_service_in_a_region() {
        let auths = [
            Auth::DefaultChain,
            Auth::Profile("a".into()),
            Auth::Profile("b".into()),
            Auth::keys("a", "s"),
            Auth::keys("b", "s"),
        ];
        let mut places = std::collections::BTreeSet::new();
        for auth in &auths {
            for region in [None, Some("eu-central-1".to_owned())] {
                for endpoint in [None, Endpoint::parse("https://vpce-1.example.com").ok()] {
                    let config = AwsConfig {
                        region: region.clone(),
                        auth: auth.clone(),
                        endpoint,
                        ca_file: None,
                    };
                    places.insert(config.place());
                }
            }
        }
        assert_eq!(places.len(), auths.len() * 4);

        let mut one = AwsConfig {
            auth: auth("{ access-key-id-env = 'A', secret-access-key-env = 'B' }").unwrap(),
            endpoint: Endpoint::parse("https://VPCE-1.example.com:443/").ok(),
            ..AwsConfig::default()
        };
        let place = one.place();
        one.auth = auth(
            "{ access-key-id-env = 'A', secret-access-key-env = 'C', session-token-env = 'D' }",
        )
        .unwrap();
        one.endpoint = Endpoint::parse("https://vpce-1.example.com").ok();
        one.ca_file = Some("ca.pem".into());
        assert_eq!(one.place(), place);
    }

    #[test]
    fn what_is_not_one_way_is_refused() {
        for text in [
            "'chain'",
            "{}",
            "{ profile = '' }",
            "{ access-key-id-env = 'A' }",
            "{ secret-access-key-env = 'A', session-token-env = 'B' }",
            "{ profile = 'p', access-key-id-env = 'A', secret-access-key-env = 'B' }",
            "{ access-key-id-env = 'A=1', secret-access-key-env = 'B' }",
            "{ role = 'x' }",
            "3",
        ] {
            assert!(auth(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_credential_in_the_file_is_refused_without_its_text() {
        for text in [
            "{ access-key-id = 'canary', secret-access-key = 'canary' }",
            "{ session-token = 'canary' }",
            "'canary'",
        ] {
            let error = auth(text).unwrap_err();
            assert!(!error.message().contains("canary"), "{error}");
        }
        let error = auth("{ secret-access-key = 'canary' }").unwrap_err();
        assert!(error.message().contains("does not belong"), "{error}");
    }
}
