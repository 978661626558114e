//! The settings of the store, as they stand in `strongroom.toml`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use strongroom_backend_aws::{Auth, AwsConfig};
use strongroom_backend_remote::{Endpoint, place, refuse_credential};

use crate::naming;

/// Days in which a deleted secret can be taken back, unless the settings say otherwise.
const DAYS: i64 = 30;

/// The settings of an `aws-secrets-manager` store. Unknown keys are errors.
///
/// ```toml
/// region = "eu-central-1"
/// prefix = "prod/app/"
/// auth = { profile = "prod" }
/// kms-key-id = "alias/app"
/// recovery-window-days = 14
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
    /// What the names of all secrets of this vault begin with, but for those in `names`. Default: nothing.
    pub prefix: String,
    /// Paths whose secrets have names that others chose, without the prefix.
    pub names: BTreeMap<String, String>,
    /// The KMS key of secrets that are made here; the account's own for Secrets Manager if not set.
    pub kms_key_id: Option<String>,
    /// Days in which a deleted secret can be taken back, 7 to 30. Default: 30.
    pub recovery_window_days: i64,
}

impl Config {
    /// Settings that all have their defaults but these.
    pub fn new(aws: AwsConfig) -> Self {
        Self {
            aws,
            prefix: String::new(),
            names: BTreeMap::new(),
            kms_key_id: None,
            recovery_window_days: DAYS,
        }
    }

    /// What tells this store from others: [account and region](AwsConfig::place), and the prefix to
    /// the letter. Names, keys and the recovery window are other ways to treat it.
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Raw {
    region: Option<String>,
    #[serde(default)]
    auth: Auth,
    endpoint: Option<Endpoint>,
    ca_file: Option<PathBuf>,
    #[serde(default, deserialize_with = "prefix")]
    prefix: String,
    #[serde(default)]
    names: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "key")]
    kms_key_id: Option<String>,
    #[serde(default = "days_by_default", deserialize_with = "days")]
    recovery_window_days: i64,
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
            kms_key_id: raw.kms_key_id,
            recovery_window_days: raw.recovery_window_days,
        }
    }
}

fn days_by_default() -> i64 {
    DAYS
}

fn prefix<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    if naming::is_legal(&text) {
        Ok(text)
    } else {
        Err(D::Error::custom(
            "a prefix has only letters, digits and '/_+=.@-': as in \"prod/app/\"",
        ))
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
            "'kms-key-id' is the id, ARN or alias of a KMS key: as in \"alias/app\"",
        ))
    }
}

fn days<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let days = i64::deserialize(deserializer)?;
    if (7..=30).contains(&days) {
        Ok(days)
    } else {
        Err(D::Error::custom(
            "'recovery-window-days' is 7 to 30: the service keeps a deleted secret no shorter and no longer",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_needs_to_be_set() {
        let config = parse("").unwrap();
        assert_eq!(config, Config::new(AwsConfig::default()));
        assert_eq!(config.recovery_window_days, 30);
    }

    #[test]
    fn everything_can_be_set() {
        let config = parse(
            r#"
            region = "eu-central-1"
            auth = { profile = "prod" }
            endpoint = "http://127.0.0.1:5000"
            ca-file = "ca.pem"
            prefix = "prod/app/"
            kms-key-id = "alias/app"
            recovery-window-days = 7
            [names]
            "stripe/api-key" = "LegacyStripeKey"
            "#,
        )
        .unwrap();
        assert_eq!(config.aws.region.as_deref(), Some("eu-central-1"));
        assert_eq!(config.prefix, "prod/app/");
        assert_eq!(config.names["stripe/api-key"], "LegacyStripeKey");
        assert_eq!(config.recovery_window_days, 7);
    }

    #[test]
    fn the_place_is_region_account_and_prefix() {
        let place = |text: &str| parse(text).unwrap().place();
        let one = place("prefix = 'a'");
        for same in [
            "kms-key-id = 'alias/app'",
            "recovery-window-days = 7",
            "auth = 'default-chain'",
            "ca-file = 'ca.pem'",
            "[names]\na = 'B'",
        ] {
            assert_eq!(place(&format!("prefix = 'a'\n{same}")), one, "{same}");
        }
        for other in [
            "",
            "prefix = 'a/'",
            "prefix = 'A'",
            "prefix = 'a'\nregion = 'eu-central-1'",
            "prefix = 'a'\nauth = { profile = 'p' }",
            "prefix = 'a'\nendpoint = 'http://127.0.0.1:5000'",
        ] {
            assert_ne!(place(other), one, "{other}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_line() {
        for (text, part) in [
            ("colour = 1", "unknown field"),
            ("recovery-window-days = 6", "7 to 30"),
            ("recovery-window-days = 31", "7 to 30"),
            ("prefix = 'arn:aws:'", "only letters"),
            ("kms-key-id = ''", "ARN or alias"),
            ("endpoint = 'http://10.0.0.1'", "loopback"),
            ("secret-access-key = 'canary-1b2c'", "does not belong"),
            (
                "auth = { secret-access-key = 'canary-1b2c' }",
                "does not belong",
            ),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(part), "{error}");
            assert!(error.contains("line 1"), "{error}");
        }
    }
}
