//! The settings of a Vault or OpenBao store, as they stand in `strongroom.toml`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use strongroom_backend_remote::{Endpoint, refuse_credential};

/// Where Kubernetes puts the token of a pod's service account.
pub const SERVICE_ACCOUNT_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// The settings of a Vault or OpenBao store. Unknown keys are errors, and so is a credential.
///
/// ```toml
/// address = "https://vault.example.com:8200"
/// mount = "team/secret"
/// prefix = "app"
/// auth = { token-env = "VAULT_TOKEN" }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Raw")]
#[non_exhaustive]
pub struct Config {
    /// The server: `https://`, or `http://` on loopback.
    pub address: Endpoint,
    /// The whole path of the KV engine, as `secret` or `team/secret`.
    pub mount: String,
    /// The folder below the mount that all secrets are in. Default: none.
    pub prefix: String,
    /// The namespace that mount and logins are in. Default: none.
    pub namespace: Option<String>,
    /// Which KV version the engine has. Default: [`Kv::Auto`].
    pub kv: Kv,
    /// How to authenticate; there is no default.
    pub auth: Auth,
    /// The only authorities that are trusted for TLS, in PEM; relative to the folder of the
    /// configuration. Default: those of the platform.
    pub ca_file: Option<PathBuf>,
    /// Whether the server's certificate is checked. Default: `true`.
    pub verify_tls: bool,
    /// Names that others gave, below the mount, by path.
    pub names: BTreeMap<String, String>,
}

impl Config {
    /// Settings with defaults for the rest.
    pub fn new(address: Endpoint, mount: impl Into<String>, auth: Auth) -> Self {
        Self {
            address,
            mount: mount.into(),
            prefix: String::new(),
            namespace: None,
            kv: Kv::Auto,
            auth,
            ca_file: None,
            verify_tls: true,
            names: BTreeMap::new(),
        }
    }
}

/// Which version of KV an engine has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Kv {
    /// The server is asked at the first call.
    #[default]
    Auto,
    /// One value for each secret.
    V1,
    /// Versions, compare-and-set, soft delete and metadata.
    V2,
}

/// How to authenticate. Never the credential itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RawAuth")]
#[non_exhaustive]
pub enum Auth {
    /// `{ token-env = "VAULT_TOKEN" }` or `{ token-file = "..." }`: a token that somebody else made.
    Token(Credential),
    /// `{ approle = { ... } }`.
    AppRole(AppRole),
    /// `{ kubernetes = { ... } }`.
    Kubernetes(Kubernetes),
}

/// Where a credential is read, each time it is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Credential {
    /// An environment variable.
    Env(String),
    /// A file; one newline at its end does not count. Relative to the folder of the configuration.
    File(PathBuf),
}

/// A login by AppRole.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RawAppRole")]
#[non_exhaustive]
pub struct AppRole {
    /// The id of the role; no secret.
    pub role_id: String,
    /// Where the secret id is, unless the role needs none.
    pub secret_id: Option<Credential>,
    /// Where the method is mounted. Default: `approle`.
    pub mount: String,
}

/// A login with the token of a Kubernetes service account.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RawKubernetes")]
#[non_exhaustive]
pub struct Kubernetes {
    /// The role to log in as.
    pub role: String,
    /// Where the method is mounted. Default: `kubernetes`.
    pub mount: String,
    /// The file with the service account's token. Default: [`SERVICE_ACCOUNT_TOKEN`].
    pub token_file: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Raw {
    address: Endpoint,
    mount: String,
    #[serde(default)]
    prefix: String,
    namespace: Option<String>,
    #[serde(default)]
    kv: Kv,
    auth: Auth,
    ca_file: Option<PathBuf>,
    #[serde(default = "yes")]
    verify_tls: bool,
    #[serde(default)]
    names: BTreeMap<String, String>,
    #[serde(default, rename = "token", deserialize_with = "refuse_credential")]
    _token: (),
    #[serde(default, rename = "password", deserialize_with = "refuse_credential")]
    _password: (),
    #[serde(default, rename = "secret-id", deserialize_with = "refuse_credential")]
    _secret_id: (),
}

impl TryFrom<Raw> for Config {
    type Error = &'static str;

    fn try_from(raw: Raw) -> Result<Self, Self::Error> {
        if !raw.verify_tls && raw.ca_file.is_some() {
            return Err(
                "`ca-file` says whom to trust and `verify-tls = false` to trust anyone: \
                        leave one of them out",
            );
        }
        Ok(Self {
            address: raw.address,
            mount: raw.mount,
            prefix: raw.prefix,
            namespace: raw.namespace,
            kv: raw.kv,
            auth: raw.auth,
            ca_file: raw.ca_file,
            verify_tls: raw.verify_tls,
            names: raw.names,
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawAuth {
    token_env: Option<String>,
    token_file: Option<PathBuf>,
    approle: Option<AppRole>,
    kubernetes: Option<Kubernetes>,
    #[serde(default, rename = "token", deserialize_with = "refuse_credential")]
    _token: (),
    #[serde(default, rename = "password", deserialize_with = "refuse_credential")]
    _password: (),
    #[serde(default, rename = "secret-id", deserialize_with = "refuse_credential")]
    _secret_id: (),
}

impl TryFrom<RawAuth> for Auth {
    type Error = &'static str;

    fn try_from(raw: RawAuth) -> Result<Self, Self::Error> {
        match (raw.token_env, raw.token_file, raw.approle, raw.kubernetes) {
            (Some(name), None, None, None) => Ok(Self::Token(Credential::Env(name))),
            (None, Some(path), None, None) => Ok(Self::Token(Credential::File(path))),
            (None, None, Some(approle), None) => Ok(Self::AppRole(approle)),
            (None, None, None, Some(kubernetes)) => Ok(Self::Kubernetes(kubernetes)),
            _ => Err(
                "`auth` has exactly one of `token-env`, `token-file`, `approle` and `kubernetes`",
            ),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawAppRole {
    role_id: String,
    secret_id_env: Option<String>,
    secret_id_file: Option<PathBuf>,
    mount: Option<String>,
    #[serde(default, rename = "secret-id", deserialize_with = "refuse_credential")]
    _secret_id: (),
}

impl TryFrom<RawAppRole> for AppRole {
    type Error = &'static str;

    fn try_from(raw: RawAppRole) -> Result<Self, Self::Error> {
        let secret_id = match (raw.secret_id_env, raw.secret_id_file) {
            (Some(name), None) => Some(Credential::Env(name)),
            (None, Some(path)) => Some(Credential::File(path)),
            (None, None) => None,
            _ => return Err("a secret id has one of `secret-id-env` and `secret-id-file`"),
        };
        Ok(Self {
            role_id: raw.role_id,
            secret_id,
            mount: raw.mount.unwrap_or_else(|| "approle".to_owned()),
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawKubernetes {
    role: String,
    mount: Option<String>,
    token_file: Option<PathBuf>,
    #[serde(default, rename = "token", deserialize_with = "refuse_credential")]
    _token: (),
    #[serde(default, rename = "jwt", deserialize_with = "refuse_credential")]
    _jwt: (),
}

impl TryFrom<RawKubernetes> for Kubernetes {
    type Error = &'static str;

    fn try_from(raw: RawKubernetes) -> Result<Self, Self::Error> {
        Ok(Self {
            role: raw.role,
            mount: raw.mount.unwrap_or_else(|| "kubernetes".to_owned()),
            token_file: raw
                .token_file
                .unwrap_or_else(|| SERVICE_ACCOUNT_TOKEN.into()),
        })
    }
}

fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "address = 'https://vault.example.com'\nmount = 'secret'\n";

    fn parse(text: &str) -> Result<Config, toml::de::Error> {
        toml::from_str(&format!("{BASE}{text}"))
    }

    #[test]
    fn the_four_logins_parse() {
        let auth = |text: &str| parse(&format!("auth = {text}")).unwrap().auth;
        assert_eq!(
            auth("{ token-env = 'VAULT_TOKEN' }"),
            Auth::Token(Credential::Env("VAULT_TOKEN".into()))
        );
        assert_eq!(
            auth("{ token-file = 't' }"),
            Auth::Token(Credential::File("t".into()))
        );
        assert_eq!(
            auth("{ approle = { role-id = 'r', secret-id-file = 's' } }"),
            Auth::AppRole(AppRole {
                role_id: "r".into(),
                secret_id: Some(Credential::File("s".into())),
                mount: "approle".into(),
            })
        );
        assert_eq!(
            auth("{ kubernetes = { role = 'r', mount = 'k8s/a' } }"),
            Auth::Kubernetes(Kubernetes {
                role: "r".into(),
                mount: "k8s/a".into(),
                token_file: SERVICE_ACCOUNT_TOKEN.into(),
            })
        );
    }

    #[test]
    fn there_is_no_default_login_and_no_second_one() {
        assert!(parse("").is_err());
        for auth in [
            "{}",
            "'token'",
            "{ token-env = 'A', token-file = 'b' }",
            "{ token-envs = 'A' }",
            "{ approle = { secret-id-env = 'S' } }",
            "{ approle = { role-id = 'r', secret-id-env = 'S', secret-id-file = 's' } }",
            "{ kubernetes = {} }",
        ] {
            assert!(parse(&format!("auth = {auth}")).is_err(), "{auth}");
        }
    }

    #[test]
    fn a_credential_in_the_file_is_refused_and_not_repeated() {
        let canary = "hvs.canary-5c1d";
        for text in [
            format!("token = '{canary}'\nauth = {{ token-env = 'A' }}"),
            format!("secret-id = '{canary}'\nauth = {{ token-env = 'A' }}"),
            format!("auth = {{ token = '{canary}' }}"),
            format!("auth = {{ approle = {{ role-id = 'r', secret-id = '{canary}' }} }}"),
            format!("auth = {{ kubernetes = {{ role = 'r', jwt = '{canary}' }} }}"),
        ] {
            let error = parse(&text).unwrap_err();
            let text = error.message();
            assert!(text.contains("does not belong"), "{text}");
            assert!(!text.contains(canary), "{text}");
        }
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let auth = "auth = { token-env = 'A' }\n";
        assert!(parse(&format!("{auth}verify-tls = false\nca-file = 'ca.pem'")).is_err());
        assert!(parse(&format!("{auth}kv = 'v3'")).is_err());
        assert!(parse(&format!("{auth}adress = 'x'")).is_err());
        let config = parse(&format!("{auth}kv = 'v1'\nnamespace = 'team'")).unwrap();
        assert_eq!(config.kv, Kv::V1);
        assert!(config.verify_tls);
    }
}
