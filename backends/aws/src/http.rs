//! The HTTP client: bounded replies, no redirects, no proxy for what is not encrypted.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_smithy_http_client::Connector;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use http_body_util::Limited;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use strongroom_backend::{Error, ErrorKind, Result};
use strongroom_backend_remote::limits;

use crate::clock::Clock;

/// The largest CA file that is read.
const MOST_CA: u64 = 1 << 20;
/// Different timeouts that connectors are kept for; the client and its providers use three.
const MOST_CONNECTORS: usize = 8;

/// A reply that says it is larger than [`limits::REPLY`].
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the reply is too large")]
pub(crate) struct TooLarge;

/// Whom a client trusts.
#[derive(Clone, Debug)]
pub(crate) enum Trust {
    /// The system's authorities.
    System,
    /// The authorities of a file, in PEM that is known to parse.
    Only(Vec<u8>),
    /// The system's and those of a file.
    Both(Vec<u8>),
    /// None: for a service without TLS.
    Nobody,
}

impl Trust {
    fn context(&self) -> Result<TlsContext> {
        let store = match self {
            Self::System => TrustStore::default(),
            Self::Only(pem) => TrustStore::empty().with_pem_certificate(pem.clone()),
            Self::Both(pem) => TrustStore::default().with_pem_certificate(pem.clone()),
            Self::Nobody => TrustStore::empty(),
        };
        let context = TlsContext::builder().with_trust_store(store).build();
        context.map_err(|_| Error::new(ErrorKind::Config, "TLS cannot be set up"))
    }
}

/// Reads a CA file, and makes sure that each certificate in it is one: the client would panic.
pub(crate) fn read_ca(path: &Path) -> Result<Vec<u8>> {
    let wrong = |what: String| Error::new(ErrorKind::Config, what);
    let shown = path.display();
    let size = std::fs::metadata(path)
        .map_err(|e| wrong(format!("the CA file {shown} cannot be read: {e}")))?
        .len();
    if size > MOST_CA {
        return Err(wrong(format!("the CA file {shown} is larger than 1 MiB")));
    }
    let pem = std::fs::read(path)
        .map_err(|e| wrong(format!("the CA file {shown} cannot be read: {e}")))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate =
            certificate.map_err(|_| wrong(format!("the CA file {shown} is not PEM")))?;
        let added = roots.add(certificate);
        added.map_err(|_| {
            wrong(format!(
                "the CA file {shown} has a certificate that cannot be used"
            ))
        })?;
    }
    if roots.is_empty() {
        return Err(wrong(format!(
            "the CA file {shown} has no certificate in PEM"
        )));
    }
    Ok(pem)
}

/// A client whose replies are bounded by [`limits::REPLY`]. It follows no redirect: the SDK's
/// connectors do not.
pub(crate) fn client(trust: &Trust, clock: Arc<Clock>) -> Result<SharedHttpClient> {
    Ok(SharedHttpClient::new(Bounded {
        context: trust.context()?,
        proxy: proxy()?,
        clock,
        connectors: Mutex::default(),
    }))
}

/// The proxy of the environment, for `https://` alone: a plain request would show it everything.
fn proxy() -> Result<ProxyConfig> {
    let variable = |names: &[&str]| {
        let set = names.iter().filter_map(|name| std::env::var(name).ok());
        set.into_iter().find(|text| !text.is_empty())
    };
    let Some(url) = variable(&["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]) else {
        return Ok(ProxyConfig::disabled());
    };
    // The URL is not repeated: it may hold a password.
    let proxy = ProxyConfig::https(url).map_err(|_| {
        Error::new(
            ErrorKind::Config,
            "the proxy in the environment (HTTPS_PROXY or ALL_PROXY) is not a URL",
        )
    })?;
    Ok(match variable(&["NO_PROXY", "no_proxy"]) {
        Some(rules) => proxy.no_proxy(rules),
        None => proxy,
    })
}

type Timeouts = (Option<Duration>, Option<Duration>);

struct Bounded {
    context: TlsContext,
    proxy: ProxyConfig,
    clock: Arc<Clock>,
    /// A connector has its own pool of connections: one for each pair of timeouts, made once.
    connectors: Mutex<Vec<(Timeouts, SharedHttpConnector)>>,
}

impl fmt::Debug for Bounded {
    /// Without the proxy, whose URL may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bounded")
    }
}

impl Bounded {
    fn connector(&self, settings: &HttpConnectorSettings) -> SharedHttpConnector {
        let connector = Connector::builder()
            .connector_settings(settings.clone())
            .proxy_config(self.proxy.clone())
            .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
            .tls_context(self.context.clone())
            .build();
        SharedHttpConnector::new(BoundedConnector {
            inner: connector,
            clock: Arc::clone(&self.clock),
        })
    }
}

impl HttpClient for Bounded {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let key = (settings.connect_timeout(), settings.read_timeout());
        let mut connectors = self
            .connectors
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some((_, connector)) = connectors.iter().find(|(timeouts, _)| *timeouts == key) {
            return connector.clone();
        }
        let connector = self.connector(settings);
        if connectors.len() < MOST_CONNECTORS {
            connectors.push((key, connector.clone()));
        }
        connector
    }
}

#[derive(Debug)]
struct BoundedConnector {
    inner: Connector,
    clock: Arc<Clock>,
}

impl HttpConnector for BoundedConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let call = self.inner.call(request);
        let clock = Arc::clone(&self.clock);
        HttpConnectorFuture::new(async move {
            let response = call.await?;
            clock.look(response.headers().get("date"));
            bound(response)
        })
    }
}

fn bound(mut response: HttpResponse) -> std::result::Result<HttpResponse, ConnectorError> {
    if response
        .body()
        .content_length()
        .is_some_and(|length| length > limits::REPLY as u64)
    {
        return Err(ConnectorError::other(TooLarge.into(), None));
    }
    let body = response.take_body();
    *response.body_mut() = SdkBody::from_body_1_x(Limited::new(body, limits::REPLY));
    Ok(response)
}
