//! The API server's address and our credentials, from a kubeconfig or from the pod that we run in.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use kube::config::{
    AuthInfo, ExecConfig, ExecInteractiveMode, InClusterError, KubeConfigOptions, Kubeconfig,
    KubeconfigError, LoadDataError,
};
use strongroom_backend_remote::{Endpoint, limits};
use zeroize::Zeroizing;

use crate::config::{Auth, Config};
use crate::error::{Fault, Result};

/// Variables of our own that a program that logs us in has no business with.
const OURS: &str = "STRONGROOM_";

/// What a client is made of: everything read and judged, nothing called yet.
pub(crate) async fn load(config: &Config, base_dir: &Path) -> Result<kube::Config> {
    let mut loaded = match &config.auth {
        Auth::InCluster => in_cluster()?,
        Auth::Kubeconfig { path, context } => {
            from_files(&[base_dir.join(path)], context.as_deref()).await?
        }
        Auth::Default => match default_files()? {
            Some(files) => from_files(&files, None).await?,
            None => in_cluster()?,
        },
    };
    if let Some(endpoint) = &config.endpoint {
        let address = endpoint.as_str().parse();
        loaded.cluster_url =
            address.map_err(|_| Fault::Config("`endpoint` is not a URL".into()))?;
    }
    let address = loaded.cluster_url.to_string();
    Endpoint::parse(&address)
        .map_err(|error| Fault::Config(format!("the API server's address: {error}")))?;
    if loaded.accept_invalid_certs {
        return Err(Fault::Config(
            "the kubeconfig says `insecure-skip-tls-verify`: anyone on the way could read the \
             secrets. Give the cluster's `certificate-authority` instead"
                .into(),
        ));
    }
    judge_programs(&mut loaded.auth_info, config.allow_exec)?;
    loaded.connect_timeout = Some(limits::CONNECT);
    loaded.write_timeout = Some(limits::REQUEST);
    // A watch is quiet for long; what reads an answer has a limit of its own.
    loaded.read_timeout = None;
    loaded.default_retry = false;
    Ok(loaded)
}

/// The longest name of a file.
const MOST_NAME: usize = 255;
/// The most bytes of names that are of use: a trust in more is refused.
const MOST_TEXT: usize = 4 << 20;

/// What a kubeconfig, of whichever context, has as names of files: certificates, keys, tokens, and
/// what it says of a program that logs in. Nothing for what is no kubeconfig.
pub fn names_in(bytes: &[u8]) -> Vec<String> {
    let Some(Ok(read)) = text(bytes).map(|text| Kubeconfig::from_yaml(&text)) else {
        return Vec::new();
    };
    let clusters = read.clusters.into_iter().filter_map(|it| it.cluster);
    let authorities = clusters.filter_map(|it| it.certificate_authority);
    let users = read.auth_infos.into_iter().filter_map(|it| it.auth_info);
    // Of many users most log in with the same program.
    let mut names = BTreeSet::new();
    let mut size = 0;
    for name in authorities.chain(users.flat_map(names_of)) {
        let len = name.len();
        if names.insert(name) {
            size += len;
        }
        if size > MOST_TEXT {
            break;
        }
    }
    names.into_iter().collect()
}

fn names_of(user: AuthInfo) -> Vec<String> {
    let mut names = Vec::new();
    names.extend(user.client_certificate);
    names.extend(user.client_key);
    names.extend(user.token_file);
    if let Some(exec) = user.exec {
        names.extend(on_path(&exec));
        names.extend(exec.command);
        names.extend(exec.args.into_iter().flatten());
        let variables = exec.env.into_iter().flatten().flatten();
        names.extend(variables.map(|(_, value)| value));
    }
    // The rest of it is tokens.
    let provider = user.auth_provider.into_iter().flat_map(|it| it.config);
    let of_program = provider.filter(|(key, _)| key.starts_with("cmd-"));
    names.extend(of_program.map(|(_, value)| value));
    names
}

/// Where a program that is named without a folder would be found: in each folder that the file says, and
/// of ours in those that hang on the current one. The others are the user's choice.
fn on_path(exec: &ExecConfig) -> Vec<String> {
    let is_name = |it: &&str| it.len() <= MOST_NAME && !it.contains('/');
    let Some(command) = exec.command.as_deref().filter(is_name) else {
        return Vec::new();
    };
    let said = exec.env.iter().flatten().filter_map(|variable| {
        let named = variable.get("name").is_some_and(|name| name == "PATH");
        named.then(|| variable.get("value")).flatten()
    });
    let mut folders: BTreeSet<PathBuf> = said.flat_map(std::env::split_paths).collect();
    let ours = std::env::var_os("PATH").unwrap_or_default();
    folders.extend(std::env::split_paths(&ours).filter(|folder| folder.is_relative()));
    let mut places = Vec::new();
    let mut size = 0;
    for folder in folders {
        let place = folder.join(command).to_string_lossy().into_owned();
        size += place.len();
        places.push(place);
        // More than who asks takes.
        if size > MOST_TEXT {
            break;
        }
    }
    places
}

/// The text of a kubeconfig, in any encoding that its reader takes.
fn text(bytes: &[u8]) -> Option<Zeroizing<String>> {
    let utf8 = |bytes: &[u8]| {
        let text = std::str::from_utf8(bytes).ok()?;
        Some(Zeroizing::new(text.to_owned()))
    };
    let (rest, big_end_first) = match bytes {
        [0xFF, 0xFE, rest @ ..] => (rest, false),
        [0xFE, 0xFF, rest @ ..] => (rest, true),
        [0xEF, 0xBB, 0xBF, rest @ ..] => return utf8(rest),
        _ => return utf8(bytes),
    };
    let pairs = rest.chunks_exact(2);
    let pairs = pairs.filter_map(|pair| <[u8; 2]>::try_from(pair).ok());
    let units: Vec<u16> = match big_end_first {
        true => pairs.map(u16::from_be_bytes).collect(),
        false => pairs.map(u16::from_le_bytes).collect(),
    };
    let text = String::from_utf16(&Zeroizing::new(units)).ok()?;
    Some(Zeroizing::new(text))
}

/// A program that logs us in runs with all that we may do: only if the settings say so.
fn judge_programs(auth: &mut AuthInfo, allowed: bool) -> Result<()> {
    let provider = auth.auth_provider.as_ref();
    let runs = auth.exec.is_some() || provider.is_some_and(|provider| provider.name != "oidc");
    if runs && !allowed {
        return Err(Fault::Config(
            "the kubeconfig logs in by running a program: set `allow-exec = true` if you trust it, \
             or use a context with a token file or a client certificate"
                .into(),
        ));
    }
    if let Some(exec) = &mut auth.exec {
        exec.interactive_mode = Some(ExecInteractiveMode::Never);
        let ours = std::env::vars_os()
            .filter_map(|(name, _)| name.into_string().ok())
            .filter(|name| name.starts_with(OURS));
        exec.drop_env = Some(ours.collect());
    }
    Ok(())
}

/// The files that `kubectl` would read; none where it would read nothing.
fn default_files() -> Result<Option<Vec<PathBuf>>> {
    let named = std::env::var_os("KUBECONFIG").unwrap_or_default();
    let named: Vec<_> = std::env::split_paths(&named)
        .filter(|path| !path.as_os_str().is_empty())
        .collect();
    if named.is_empty() {
        let file = std::env::home_dir().map(|home| home.join(".kube").join("config"));
        return Ok(file.filter(|file| file.exists()).map(|file| vec![file]));
    }
    let found: Vec<_> = named.into_iter().filter(|path| path.exists()).collect();
    if found.is_empty() {
        return Err(Fault::Config(
            "no file that $KUBECONFIG names is there".into(),
        ));
    }
    Ok(Some(found))
}

async fn from_files(files: &[PathBuf], context: Option<&str>) -> Result<kube::Config> {
    let mut merged = Kubeconfig::default();
    for file in files {
        trust(file)?;
        let read = Kubeconfig::read_from(file).map_err(|error| unusable(file, &error))?;
        merged = merged.merge(read).map_err(|error| unusable(file, &error))?;
    }
    let proxy = uses_proxy(&merged, context);
    let options = KubeConfigOptions {
        context: context.map(str::to_owned),
        ..KubeConfigOptions::default()
    };
    let first = files
        .first()
        .map(PathBuf::as_path)
        .unwrap_or_else(|| Path::new(""));
    let mut config = kube::Config::from_custom_kubeconfig(merged, &options)
        .await
        .map_err(|error| unusable(first, &error))?;
    if proxy {
        return Err(Fault::Config(
            "the kubeconfig says `proxy-url`, which is not supported: name an address that is \
             reached without one in `endpoint`"
                .into(),
        ));
    }
    // $HTTPS_PROXY is not ours to follow: nobody said that secrets may go that way.
    config.proxy_url = None;
    Ok(config)
}

fn uses_proxy(kubeconfig: &Kubeconfig, context: Option<&str>) -> bool {
    let Some(chosen) = context.or(kubeconfig.current_context.as_deref()) else {
        return false;
    };
    let context = kubeconfig
        .contexts
        .iter()
        .find(|context| context.name == chosen);
    let Some(context) = context.and_then(|context| context.context.as_ref()) else {
        return false;
    };
    let cluster = kubeconfig
        .clusters
        .iter()
        .find(|c| c.name == context.cluster);
    let proxy = cluster.and_then(|cluster| cluster.cluster.as_ref()?.proxy_url.as_ref());
    proxy.is_some_and(|proxy| !proxy.is_empty())
}

/// Whoever writes a kubeconfig decides where our secrets go and which programs we run.
fn trust(file: &Path) -> Result<()> {
    let name = file.display();
    let stat = std::fs::metadata(file)
        .map_err(|error| Fault::Config(format!("the kubeconfig {name}: {error}")))?;
    let us = rustix::process::geteuid().as_raw();
    if stat.uid() != us && stat.uid() != 0 {
        return Err(Fault::Config(format!(
            "the kubeconfig {name} belongs to another user"
        )));
    }
    if stat.mode() & 0o022 != 0 {
        let text = format!("the kubeconfig {name} may be written by others: chmod go-w it");
        return Err(Fault::Config(text));
    }
    Ok(())
}

fn in_cluster() -> Result<kube::Config> {
    kube::Config::incluster().map_err(|error| {
        let text = match error {
            InClusterError::ReadEnvironmentVariable(_) => {
                "this is no pod: $KUBERNETES_SERVICE_HOST and _PORT are not set. Name a kubeconfig: \
                 auth = { kubeconfig = \"...\" }"
            }
            InClusterError::ReadDefaultNamespace(_) | InClusterError::ReadCertificateBundle(_) => {
                "the service account is not mounted: check `automountServiceAccountToken` of the pod"
            }
            _ => "the pod's service account or its environment cannot be understood",
        };
        Fault::Config(text.into())
    })
}

/// Says what is wrong with a kubeconfig. What its parser says may repeat a credential.
fn unusable(file: &Path, error: &KubeconfigError) -> Fault {
    let what = match error {
        KubeconfigError::CurrentContextNotSet => "it has no current context: name one".into(),
        KubeconfigError::ReadConfig(error, _) => error.to_string(),
        KubeconfigError::Parse(_) => "it is not the YAML of a kubeconfig".into(),
        KubeconfigError::LoadContext(name) => format!("it has no context '{name}'"),
        KubeconfigError::LoadClusterOfContext(name) => format!("it has no cluster '{name}'"),
        KubeconfigError::MissingClusterUrl => "its cluster has no `server`".into(),
        KubeconfigError::ParseClusterUrl(_) => "its cluster's `server` is not a URL".into(),
        KubeconfigError::LoadCertificateAuthority(error) => unread("certificate-authority", error),
        KubeconfigError::LoadClientCertificate(error) => unread("client-certificate", error),
        KubeconfigError::LoadClientKey(error) => unread("client-key", error),
        KubeconfigError::ParseCertificates(_) => "its `certificate-authority` is not PEM".into(),
        _ => "it cannot be understood".into(),
    };
    Fault::Config(format!("the kubeconfig {}: {what}", file.display()))
}

fn unread(what: &str, error: &LoadDataError) -> String {
    match error {
        LoadDataError::DecodeBase64(_) => format!("its `{what}-data` is not base64"),
        LoadDataError::ReadFile(error, path) => {
            format!("its `{what}` {}: {error}", path.display())
        }
        LoadDataError::NoBase64DataOrFile => format!("it has no `{what}`"),
    }
}
