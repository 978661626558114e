//! The settings of a store, as they stand in `strongroom.toml`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Component, Path, PathBuf};

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use strongroom_backend_remote::{Endpoint, place, refuse_credential};

/// How many versions of a secret are kept where the settings do not say. A Secret holds 1 MiB in
/// all, and every read of it carries all of its versions.
pub const DEFAULT_KEEP_VERSIONS: usize = 10;

/// The most versions that may be kept: what is known of each stands in one annotation.
pub const MAX_KEEP_VERSIONS: usize = 100;

/// The settings of a store in a namespace of a cluster. Unknown keys are errors.
///
/// ```toml
/// auth = { kubeconfig = "cluster.kubeconfig", context = "prod" }
/// namespace = "app"
/// prefix = "shop-"
///
/// [names]
/// "stripe/api-key" = "stripe-credentials"
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Config {
    /// Who we are, and for which cluster.
    pub auth: Auth,
    /// The namespace of the Secrets. Without it that of the pod, with [`Auth::InCluster`] only:
    /// the namespace of a kubeconfig changes as people work with it.
    #[serde(default)]
    pub namespace: Option<String>,
    /// Whether the first write makes the namespace where there is none.
    #[serde(default)]
    pub create_namespace: bool,
    /// Whose Secrets these are.
    #[serde(default)]
    pub layout: Layout,
    /// What the names of all Secrets of this vault begin with, but those given in `names`.
    #[serde(default)]
    pub prefix: String,
    /// Names that others chose, by path: of a Secret, or `name/key` with [`Layout::Foreign`].
    #[serde(default)]
    pub names: BTreeMap<String, String>,
    /// How many versions of a secret are kept, 1 to [`MAX_KEEP_VERSIONS`]; the oldest is
    /// destroyed first, and earlier than that where they would not fit into 1 MiB.
    #[serde(default = "default_keep_versions")]
    pub keep_versions: usize,
    /// Another address of the same API server than the kubeconfig or the pod's environment says.
    #[serde(default)]
    pub endpoint: Option<Endpoint>,
    /// Whether a watch on the namespace tells caches of what others change.
    #[serde(default = "yes")]
    pub watch: bool,
    /// Whether a program that the kubeconfig names may be run to log in.
    #[serde(default)]
    pub allow_exec: bool,
    #[serde(default, rename = "token", deserialize_with = "refuse_credential")]
    no_token: (),
    #[serde(default, rename = "password", deserialize_with = "refuse_credential")]
    no_password: (),
    #[serde(default, rename = "client-key", deserialize_with = "refuse_credential")]
    no_client_key: (),
    #[serde(
        default,
        rename = "client-key-data",
        deserialize_with = "refuse_credential"
    )]
    no_client_key_data: (),
}

impl Config {
    /// Settings for a namespace, all else as by default.
    pub fn new(auth: Auth, namespace: impl Into<String>) -> Self {
        Self {
            auth,
            namespace: Some(namespace.into()),
            create_namespace: false,
            layout: Layout::default(),
            prefix: String::new(),
            names: BTreeMap::new(),
            keep_versions: DEFAULT_KEEP_VERSIONS,
            endpoint: None,
            watch: true,
            allow_exec: false,
            no_token: (),
            no_password: (),
            no_client_key: (),
            no_client_key_data: (),
        }
    }

    /// What tells this store from others: the cluster, as kubeconfig, context and endpoint say it, the
    /// namespace, whose Secrets they are, and the prefix. No kubeconfig is read: that two of them
    /// lead to one cluster is not known here.
    pub fn place(&self) -> String {
        let (auth, file, context) = match &self.auth {
            Auth::Default => ("default", None, None),
            Auth::InCluster => ("in-cluster", None, None),
            Auth::Kubeconfig { path, context } => {
                ("kubeconfig", Some(spelled(path)), context.as_deref())
            }
        };
        let layout = match self.layout {
            Layout::Own => "own",
            Layout::Foreign => "foreign",
        };
        place(&[
            ("auth", Some(auth)),
            ("kubeconfig", file.as_deref()),
            ("context", context),
            ("endpoint", self.endpoint.as_ref().map(Endpoint::as_str)),
            ("namespace", self.namespace.as_deref()),
            ("layout", Some(layout)),
            ("prefix", Some(&self.prefix)),
        ])
    }
}

/// A path without what says nothing: `./`, and slashes too many.
fn spelled(path: &Path) -> String {
    let parts = path.components();
    let path: PathBuf = parts.filter(|part| *part != Component::CurDir).collect();
    path.display().to_string()
}

/// Where cluster and credentials come from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Auth {
    /// `"default"`: the files in `$KUBECONFIG`, else `~/.kube/config`, else as in a pod.
    Default,
    /// `"in-cluster"`: the service account of the pod that we run in. Its token is read again as
    /// the cluster renews it.
    InCluster,
    /// `{ kubeconfig = "...", context = "..." }`
    Kubeconfig {
        /// The file; relative to the folder of the configuration.
        path: PathBuf,
        /// The context in it; its current one if not said.
        context: Option<String>,
    },
}

/// Whose Secrets a vault serves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Layout {
    /// Our own: a Secret for each reference, with versions and metadata.
    #[default]
    Own,
    /// Those that other tools wrote, as `name/key`, read-only.
    Foreign,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Table {
    kubeconfig: PathBuf,
    context: Option<String>,
    #[serde(default, rename = "token", deserialize_with = "refuse_credential")]
    _no_token: (),
}

impl<'de> Deserialize<'de> for Auth {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AuthVisitor)
    }
}

struct AuthVisitor;

impl<'de> Visitor<'de> for AuthVisitor {
    type Value = Auth;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"default\", \"in-cluster\" or { kubeconfig = \"...\", context = \"...\" }")
    }

    // What stands there may be a token: it is not repeated.
    fn visit_str<E: Error>(self, word: &str) -> Result<Auth, E> {
        match word {
            "default" => Ok(Auth::Default),
            "in-cluster" => Ok(Auth::InCluster),
            _ => Err(E::custom(
                "auth is \"default\", \"in-cluster\" or { kubeconfig = \"...\", context = \"...\" }",
            )),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Auth, A::Error> {
        let table = Table::deserialize(MapAccessDeserializer::new(map))?;
        Ok(Auth::Kubeconfig {
            path: table.kubeconfig,
            context: table.context,
        })
    }
}

fn yes() -> bool {
    true
}

fn default_keep_versions() -> usize {
    DEFAULT_KEEP_VERSIONS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn the_ways_to_log_in_parse() {
        let auth = |text: &str| parse(&format!("auth = {text}\nnamespace = 'app'")).map(|c| c.auth);
        assert_eq!(auth("'default'").unwrap(), Auth::Default);
        assert_eq!(auth("'in-cluster'").unwrap(), Auth::InCluster);
        let file = Auth::Kubeconfig {
            path: "k".into(),
            context: Some("prod".into()),
        };
        assert_eq!(
            auth("{ kubeconfig = 'k', context = 'prod' }").unwrap(),
            file
        );
        assert!(auth("{}").is_err());
        assert!(auth("{ kubeconfig = 'k', user = 'x' }").is_err());
        let error = auth("'eyJhbGciOi-canary'").unwrap_err();
        assert!(!error.message().contains("canary"), "{error}");
        assert!(error.message().contains("in-cluster"), "{error}");
    }

    #[test]
    fn nothing_is_called_before_auth_is_said() {
        let error = parse("namespace = 'app'").unwrap_err();
        assert!(error.message().contains("auth"), "{error}");
    }

    #[test]
    fn a_credential_in_the_file_is_refused() {
        for key in ["token", "password", "client-key", "client-key-data"] {
            let text = format!("auth = 'default'\nnamespace = 'app'\n{key} = 'canary'");
            let error = parse(&text).unwrap_err();
            assert!(error.message().contains("does not belong"), "{error}");
        }
        let error = parse("namespace = 'app'\nauth = { kubeconfig = 'k', token = 'canary' }");
        assert!(error.unwrap_err().message().contains("does not belong"));
    }

    #[test]
    fn the_place_is_cluster_namespace_layout_and_prefix() {
        let place = |text: &str| parse(text).unwrap().place();
        let auth = "auth = { kubeconfig = 'k', context = 'prod' }";
        let one = place(&format!("{auth}\nnamespace = 'app'"));
        for same in [
            "watch = false",
            "keep-versions = 3",
            "allow-exec = true",
            "create-namespace = true",
            "layout = 'own'",
            "prefix = ''",
            "[names]\na = 'b'",
        ] {
            let text = format!("{auth}\nnamespace = 'app'\n{same}");
            assert_eq!(place(&text), one, "{same}");
        }
        let spelled = "auth = { kubeconfig = './k', context = 'prod' }\nnamespace = 'app'";
        assert_eq!(place(spelled), one);
        for other in [
            "auth = { kubeconfig = 'k', context = 'prod' }\nnamespace = 'shop'",
            "auth = { kubeconfig = 'k', context = 'test' }\nnamespace = 'app'",
            "auth = { kubeconfig = 'k' }\nnamespace = 'app'",
            "auth = { kubeconfig = 'l', context = 'prod' }\nnamespace = 'app'",
            "auth = 'default'\nnamespace = 'app'",
            "auth = 'in-cluster'\nnamespace = 'app'",
            "auth = 'in-cluster'",
        ] {
            assert_ne!(place(other), one, "{other}");
        }
        for other in [
            "layout = 'foreign'",
            "prefix = 'a-'",
            "endpoint = 'https://10.0.0.1'",
        ] {
            let text = format!("{auth}\nnamespace = 'app'\n{other}");
            assert_ne!(place(&text), one, "{other}");
        }
    }

    #[test]
    fn the_rest_has_defaults() {
        let config = parse("auth = 'default'\nnamespace = 'app'").unwrap();
        assert_eq!(config, Config::new(Auth::Default, "app"));
        let text = "auth = 'in-cluster'\nlayout = 'foreign'\nkeep-versions = 3\n\
                    create-namespace = true\nendpoint = 'https://10.0.0.1'\n[names]\na = 'b'";
        let config = parse(text).unwrap();
        assert_eq!(config.layout, Layout::Foreign);
        assert!(config.create_namespace && config.namespace.is_none());
        for text in [
            "layout = 'other'",
            "keep_versions = 3",
            "endpoint = 'http://10.0.0.1'",
            "verify-tls = false",
        ] {
            assert!(
                parse(&format!("auth = 'default'\n{text}")).is_err(),
                "{text}"
            );
        }
    }
}
