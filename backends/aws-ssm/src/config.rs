//! The settings of the store, as they stand in `strongroom.toml`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use strongroom_backend_aws::{Auth, AwsConfig};
use strongroom_backend_remote::{Endpoint, place, refuse_credential};

use crate::naming;

/// The settings of an `aws-ssm` store. Unknown keys are errors.
///
/// ```toml
/// region = "eu-central-1"
/// prefix = "/prod/app/"
/// auth = { profile = "prod" }
/// key-id = "alias/app"
/// tier = "auto"
///
/// [names]
/// "stripe/api-key" = "LegacyStripeKey"
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "Raw")]
#[non_exhaustive]
pub struct Config {
    /// Where the service is and how to authenticate: `region`, `auth`, `endpoint`, `ca-file`.
    pub aws: AwsConfig,
    /// What the names of all parameters of this vault begin with, but for those in `names`. It
    /// begins and ends with `/`.
    pub prefix: String,
    /// Paths whose parameters have names that others chose, without the prefix.
    pub names: BTreeMap<String, String>,
    /// The KMS key that values are encrypted with; the account's own for parameters if not set.
    pub key_id: Option<String>,
    /// The tier of parameters that are written.
    pub tier: Tier,
}

impl Config {
    /// Settings that all have their defaults but these.
    pub fn new(aws: AwsConfig, prefix: impl Into<String>) -> Self {
        Self {
            aws,
            prefix: prefix.into(),
            names: BTreeMap::new(),
            key_id: None,
            tier: Tier::Auto,
        }
    }

    /// What tells this store from others: [account and region](AwsConfig::place), and the prefix to
    /// the letter. Names, keys and tiers are other ways to treat it.
    pub fn place(&self) -> String {
        place(&[
            ("aws", Some(&self.aws.place())),
            ("prefix", Some(&self.prefix)),
        ])
    }

    /// The environment variables that hold credentials of this store.
    pub fn variables(&self) -> Vec<&str> {
        self.aws.variables()
    }
}

/// How large a parameter can be, and what it costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Tier {
    /// Up to 4,096 bytes, without charge.
    Standard,
    /// Up to 8,192 bytes, charged by the month; never standard again.
    Advanced,
    /// Standard up to 4,096 bytes, advanced above.
    #[default]
    Auto,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Raw {
    region: Option<String>,
    #[serde(default)]
    auth: Auth,
    endpoint: Option<Endpoint>,
    ca_file: Option<PathBuf>,
    #[serde(deserialize_with = "prefix")]
    prefix: String,
    #[serde(default)]
    names: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "key")]
    key_id: Option<String>,
    #[serde(default)]
    tier: Tier,
    #[serde(default, deserialize_with = "refuse_credential")]
    access_key_id: (),
    #[serde(default, deserialize_with = "refuse_credential")]
    secret_access_key: (),
    #[serde(default, deserialize_with = "refuse_credential")]
    session_token: (),
}

impl From<Raw> for Config {
    fn from(raw: Raw) -> Self {
        let ((), (), ()) = (raw.access_key_id, raw.secret_access_key, raw.session_token);
        let mut aws = AwsConfig::default();
        aws.region = raw.region;
        aws.auth = raw.auth;
        aws.endpoint = raw.endpoint;
        aws.ca_file = raw.ca_file;
        Self {
            aws,
            prefix: raw.prefix,
            names: raw.names,
            key_id: raw.key_id,
            tier: raw.tier,
        }
    }
}

fn prefix<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    match naming::check_prefix(&text) {
        Ok(()) => Ok(text),
        Err(reason) => Err(D::Error::custom(reason)),
    }
}

fn key<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let plain =
        !text.is_empty() && text.len() <= 2048 && text.bytes().all(|b| b.is_ascii_graphic());
    if plain {
        Ok(Some(text))
    } else {
        Err(D::Error::custom(
            "'key-id' is the id, ARN or alias of a KMS key: as in \"alias/app\"",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn settings_of_the_documentation_parse() {
        let text = "region = 'us-east-1'\nprefix = '/prod/app/'\nauth = { profile = 'prod' }\n\
                    endpoint = 'http://127.0.0.1:5000'\nkey-id = 'alias/app'\ntier = 'standard'\n\
                    [names]\n'stripe/api-key' = 'LegacyStripeKey'";
        let config = parse(text).unwrap();
        assert_eq!(config.aws.region.as_deref(), Some("us-east-1"));
        assert_eq!(config.aws.auth, Auth::Profile("prod".into()));
        assert_eq!(config.tier, Tier::Standard);
        assert_eq!(config.names.len(), 1);
        let least = parse("prefix = '/a/'").unwrap();
        assert_eq!(least, Config::new(AwsConfig::default(), "/a/"));
        assert_eq!(least.tier, Tier::Auto);
    }

    #[test]
    fn the_place_is_region_account_and_prefix() {
        let place = |text: &str| parse(text).unwrap().place();
        let one = place("region = 'eu-central-1'\nprefix = '/prod/'");
        for same in [
            "key-id = 'alias/app'",
            "tier = 'advanced'",
            "auth = 'default-chain'",
            "ca-file = 'ca.pem'",
            "[names]\na = 'B'",
        ] {
            let text = format!("region = 'eu-central-1'\nprefix = '/prod/'\n{same}");
            assert_eq!(place(&text), one, "{same}");
        }
        for other in [
            "prefix = '/prod/'",
            "region = 'eu-west-1'\nprefix = '/prod/'",
            "region = 'eu-central-1'\nprefix = '/Prod/'",
            "region = 'eu-central-1'\nprefix = '/prod/app/'",
            "region = 'eu-central-1'\nprefix = '/prod/'\nauth = { profile = 'p' }",
            "region = 'eu-central-1'\nprefix = '/prod/'\nendpoint = 'http://127.0.0.1:5000'",
        ] {
            assert_ne!(place(other), one, "{other}");
        }
    }

    #[test]
    fn what_is_wrong_is_refused() {
        for text in [
            "",
            "prefix = 'prod/'",
            "prefix = '/prod'",
            "prefix = '//'",
            "prefix = '/a b/'",
            "prefix = '/a:5/'",
            "prefix = '/aws-things/'",
            "prefix = '/SSM/'",
            "prefix = '/a/'\ntier = 'gold'",
            "prefix = '/a/'\nkey-id = ''",
            "prefix = '/a/'\nsecret-access-key = 'canary'",
            "prefix = '/a/'\nregoin = 'us-east-1'",
            "prefix = '/a/'\nendpoint = 'http://10.0.0.1'",
            "prefix = '/a/'\nauth = { access-key-id = 'canary' }",
        ] {
            let error = parse(text).unwrap_err();
            assert!(!error.message().contains("canary"), "{error}");
        }
    }
}
