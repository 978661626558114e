//! The Kubernetes login, checked by a real Kubernetes API server's token review.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may stop at whatever it did not expect"
)]

mod common;

use std::path::PathBuf;

use reqwest::{Certificate, Method};
use serde_json::{Value, json};
use strongroom_backend::ErrorKind;
use strongroom_backend_hashicorp::Auth;

use common::{Server, failed, get, open, put, variable};

/// The API server, as its administrator.
struct Kubernetes {
    address: String,
    authority: String,
    token: String,
    http: reqwest::Client,
}

impl Kubernetes {
    fn new() -> Self {
        let folder = PathBuf::from(variable("STRONGROOM_TEST_KUBERNETES"));
        let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
        let kubeconfig: Value = serde_json::from_str(&read("kubeconfig")).unwrap();
        let authority = read("ca.crt");
        let certificate = Certificate::from_pem(authority.as_bytes()).unwrap();
        let http = reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only([certificate]);
        Self {
            address: read("server").trim().to_owned(),
            token: kubeconfig["users"][0]["user"]["token"]
                .as_str()
                .unwrap()
                .to_owned(),
            authority,
            http: http.build().unwrap(),
        }
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        let url = format!("{}/{path}", self.address);
        let call = self.http.post(url).bearer_auth(&self.token).json(body);
        let answer = call.send().await.unwrap();
        let (status, body) = (answer.status(), answer.json::<Value>().await.unwrap());
        assert!(status.is_success(), "{path}: {status} {body}");
        body
    }

    /// A new service account's token.
    async fn account(&self, name: &str) -> String {
        let accounts = "api/v1/namespaces/default/serviceaccounts";
        self.post(accounts, &json!({ "metadata": { "name": name } }))
            .await;
        let request = json!({ "spec": { "expirationSeconds": 600 } });
        let token = self
            .post(&format!("{accounts}/{name}/token"), &request)
            .await;
        token["status"]["token"].as_str().unwrap().to_owned()
    }
}

#[tokio::test]
async fn a_service_account_logs_in_and_no_other() {
    let kubernetes = Kubernetes::new();
    let server = Server::shared();
    let mount = server.mount(2).await;
    let name = mount.path.replace('/', "-");
    let method = format!("k8s/{name}");
    let enable = json!({ "type": "kubernetes" });
    server
        .ok(Method::POST, &format!("sys/auth/{method}"), Some(enable))
        .await;
    let config = json!({
        "kubernetes_host": kubernetes.address,
        "kubernetes_ca_cert": kubernetes.authority,
        "token_reviewer_jwt": kubernetes.token,
        "disable_local_ca_jwt": true,
    });
    server
        .ok(Method::POST, &format!("auth/{method}/config"), Some(config))
        .await;
    let rules = format!(
        r#"path "{}/data/*" {{ capabilities = ["create", "read", "update"] }}"#,
        mount.path
    );
    server.policy(&name, &rules).await;
    let account = format!("app-{name}");
    let role = json!({
        "bound_service_account_names": [account],
        "bound_service_account_namespaces": ["default"],
        "token_policies": [name],
        "token_ttl": "1h",
    });
    server
        .ok(Method::POST, &format!("auth/{method}/role/app"), Some(role))
        .await;

    let file = mount.folder().join("jwt");
    let text = format!(
        "kubernetes = {{ role = 'app', mount = '{method}', token-file = '{}' }}",
        file.display()
    );
    let auth: Auth = toml::from_str(&text).unwrap();
    let config = server.config_with(&mount.path, auth);
    let token = kubernetes.account(&account).await;
    std::fs::write(&file, &token).unwrap();
    let store = open(&config).await;
    put(&store, "a", "value").await;
    assert_eq!(get(&store, "a").await.unwrap(), "value");

    let other = kubernetes.account(&format!("other-{name}")).await;
    for wrong in [other.as_str(), "ey.no.token"] {
        std::fs::write(&file, wrong).unwrap();
        let (kind, text) = failed(get(&open(&config).await, "a").await);
        assert_eq!(kind, ErrorKind::Unauthenticated, "{text}");
        assert!(
            text.contains("Kubernetes login") && !text.contains(wrong),
            "{text}"
        );
    }
    server
        .ok(Method::DELETE, &format!("sys/auth/{method}"), None)
        .await;
}
