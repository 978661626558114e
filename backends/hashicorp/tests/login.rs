//! Tokens and logins against a server that checks them: who may what, and for how long.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may stop at whatever it did not expect"
)]

mod common;

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use strongroom_backend::{Backend, ErrorKind};
use strongroom_backend_hashicorp::{AppRole, Auth, Config, Credential};

use common::{Mount, Server, failed, get, open, put};

/// What a store needs to read and list, and nothing else.
fn reads(mount: &str) -> String {
    format!(
        r#"path "{mount}/data/*" {{ capabilities = ["read"] }}
           path "{mount}/metadata/*" {{ capabilities = ["read", "list"] }}"#
    )
}

/// What the documentation says a store needs for everything.
fn all(mount: &str) -> String {
    format!(
        r#"path "{mount}/data/*" {{ capabilities = ["create", "read", "update"] }}
           path "{mount}/metadata/*" {{ capabilities = ["read", "list", "patch"] }}
           path "{mount}/delete/*" {{ capabilities = ["update"] }}
           path "{mount}/undelete/*" {{ capabilities = ["update"] }}
           path "{mount}/destroy/*" {{ capabilities = ["update"] }}"#
    )
}

struct Role {
    mount: Mount,
    server: Server,
    method: String,
    policy: String,
}

/// An engine, and an AppRole method of its own whose tokens live as `settings` say.
async fn role(rules: fn(&str) -> String, settings: Value) -> (Role, Config) {
    let server = Server::shared();
    let mount = server.mount(2).await;
    let policy = mount.path.replace('/', "-");
    let method = format!("approle-{policy}");
    server.policy(&policy, &rules(&mount.path)).await;
    let enable = json!({ "type": "approle" });
    server
        .ok(Method::POST, &format!("sys/auth/{method}"), Some(enable))
        .await;
    let mut body = settings;
    body["token_policies"] = json!([policy]);
    server
        .ok(Method::POST, &format!("auth/{method}/role/app"), Some(body))
        .await;
    let ask = |what: &str| format!("auth/{method}/role/app/{what}");
    let role_id = server.ok(Method::GET, &ask("role-id"), None).await;
    let secret_id = server
        .ok(Method::POST, &ask("secret-id"), Some(json!({})))
        .await;
    let auth = Auth::AppRole(app_role(
        role_id["role_id"].as_str().unwrap(),
        mount.file("secret-id", secret_id["secret_id"].as_str().unwrap()),
        &method,
    ));
    let config = server.config_with(&mount.path, auth);
    let role = Role {
        mount,
        server,
        method,
        policy,
    };
    (role, config)
}

fn app_role(role_id: &str, secret_id: Credential, mount: &str) -> AppRole {
    let text = format!("role-id = '{role_id}'\nsecret-id-env = 'X'\nmount = '{mount}'");
    let mut role: AppRole = toml::from_str(&text).unwrap();
    role.secret_id = Some(secret_id);
    role
}

impl Role {
    async fn end(self) {
        let disable = format!("sys/auth/{}", self.method);
        self.server.ok(Method::DELETE, &disable, None).await;
    }
}

#[tokio::test]
async fn the_policy_in_the_documentation_is_enough_for_everything() {
    let (role, config) = role(all, json!({ "token_ttl": "1h" })).await;
    let store = open(&config).await;
    put(&store, "db/main", "one").await;
    put(&store, "db/main", "two").await;
    let path = common::path("db/main");
    store.delete(&path, None).await.unwrap();
    let versioning = store.versioning().unwrap();
    versioning.undelete(&path, None).await.unwrap();
    versioning.destroy(&path, 1).await.unwrap();
    let metadata = strongroom_backend::Metadata {
        kind: Some("database".to_owned()),
        ..Default::default()
    };
    versioning.set_metadata(&path, &metadata).await.unwrap();
    assert_eq!(get(&store, "db/main").await.unwrap(), "two");
    let lines = store.check().await.unwrap();
    let all = lines.join("\n");
    assert!(
        all.contains("authenticated by AppRole as 'approle-"),
        "{all}"
    );
    assert!(all.contains(&role.policy), "{all}");
    assert!(all.contains("KV v2") && !all.contains("may not"), "{all}");
    role.end().await;
}

#[tokio::test]
async fn a_token_that_only_reads_is_denied_the_rest() {
    let (role, config) = role(reads, json!({ "token_ttl": "1h" })).await;
    let admin = open(&role.server.config(&role.mount)).await;
    put(&admin, "there", "value").await;
    let store = open(&config).await;
    assert_eq!(get(&store, "there").await.unwrap(), "value");
    let path = common::path("there");
    let value = strongroom_backend::SecretValue::copy_of(b"canary-8a21");
    let options = strongroom_backend::PutOptions::default();
    let versioning = store.versioning().unwrap();
    for (what, result) in [
        (
            "`update` on the engine's data/",
            store.put(&path, &value, &options).await.map(drop),
        ),
        (
            "`update` on the engine's delete/",
            store.delete(&path, None).await.map(drop),
        ),
        (
            "`update` on the engine's destroy/",
            versioning.destroy(&path, 1).await.map(drop),
        ),
    ] {
        let (kind, text) = failed(result);
        assert_eq!(kind, ErrorKind::PermissionDenied, "{text}");
        assert!(text.contains(what) && !text.contains("canary"), "{text}");
    }
    assert_eq!(get(&store, "there").await.unwrap(), "value");
    let lines = store.check().await.unwrap().join("\n");
    assert!(
        lines.contains("may list, read, see metadata below"),
        "{lines}"
    );
    assert!(lines.contains("may not write"), "{lines}");
    role.end().await;
}

#[tokio::test]
async fn doctor_tells_a_missing_right_to_list_and_to_read() {
    let server = Server::shared();
    let mount = server.mount(2).await;
    put(&open(&server.config(&mount)).await, "there", "value").await;
    for (rules, text) in [
        (
            format!(
                r#"path "{}/data/*" {{ capabilities = ["read"] }}"#,
                mount.path
            ),
            "`list`",
        ),
        (
            format!(
                r#"path "{}/metadata/*" {{ capabilities = ["read", "list"] }}"#,
                mount.path
            ),
            "but not read a secret that is there",
        ),
    ] {
        let token = server.token("strongroom-doctor", &rules, json!({})).await;
        let auth = mount.credential("limited", &token);
        let store = open(&server.config_with(&mount.path, auth)).await;
        let (kind, told) = failed(store.check().await);
        assert_eq!(kind, ErrorKind::PermissionDenied, "{told}");
        assert!(told.contains(text), "{told}");
    }
}

#[tokio::test]
async fn a_wrong_mount_and_a_wrong_engine_are_told() {
    let server = Server::shared();
    let mount = server.mount(2).await;
    let at = |path: &str| server.config_with(path, mount.credential("token", &server.token));
    let (kind, text) = failed(get(&open(&at("no/such")).await, "a").await);
    assert_eq!(kind, ErrorKind::PermissionDenied, "{text}");
    assert!(
        text.contains("'no/such'") && text.contains("check 'mount'"),
        "{text}"
    );
    let deeper = format!("{}/app", mount.path);
    let (kind, text) = failed(get(&open(&at(&deeper)).await, "a").await);
    assert_eq!(kind, ErrorKind::Config, "{text}");
    assert!(
        text.contains(&format!("mount = \"{}\"", mount.path)),
        "{text}"
    );
    let transit = format!("transit-{}", mount.path.replace('/', "-"));
    let engine = json!({ "type": "transit" });
    server
        .ok(Method::POST, &format!("sys/mounts/{transit}"), Some(engine))
        .await;
    let (kind, text) = failed(get(&open(&at(&transit)).await, "a").await);
    assert_eq!(kind, ErrorKind::Config, "{text}");
    assert!(text.contains("not KV"), "{text}");
    server
        .ok(Method::DELETE, &format!("sys/mounts/{transit}"), None)
        .await;
    // Told what it is, the store does not ask, and the server's answer tells.
    for (kv, text) in [
        ("v2", "no engine is mounted"),
        ("v1", "no engine is mounted"),
    ] {
        let mut config = at("no/such");
        config.kv = toml::from_str::<toml::Table>(&format!("kv = '{kv}'")).unwrap()["kv"]
            .clone()
            .try_into()
            .unwrap();
        let (kind, told) = failed(get(&open(&config).await, "a").await);
        assert_eq!(kind, ErrorKind::Config, "{told}");
        assert!(told.contains(text), "{told}");
    }
    let mut config = server.config(&mount);
    config.kv = strongroom_backend_hashicorp::Kv::V1;
    let (kind, told) = failed(get(&open(&config).await, "a").await);
    assert_eq!(kind, ErrorKind::Config, "{told}");
    assert!(told.contains("KV v2 and was taken for v1"), "{told}");
}

#[tokio::test]
async fn a_bad_credential_is_unauthenticated_and_not_shown() {
    let (role, mut config) = role(reads, json!({})).await;
    if let Auth::AppRole(approle) = &mut config.auth {
        approle.secret_id = Some(role.mount.file("wrong", "canary-77d2-secret-id"));
    }
    let store = open(&config).await;
    let (kind, text) = failed(get(&store, "a").await);
    assert_eq!(kind, ErrorKind::Unauthenticated, "{text}");
    assert!(
        text.contains("AppRole login") && !text.contains("canary"),
        "{text}"
    );
    let auth = role.mount.credential("token", "s.canary-77d2-token");
    let store = open(&role.server.config_with(&role.mount.path, auth)).await;
    for result in [
        get(&store, "a").await.map(drop),
        store.check().await.map(drop),
    ] {
        let (kind, text) = failed(result);
        assert_eq!(kind, ErrorKind::Unauthenticated, "{text}");
        assert!(text.contains("token") && !text.contains("canary"), "{text}");
    }
    role.end().await;
}

#[tokio::test]
async fn a_login_method_that_is_not_there_is_told() {
    let server = Server::shared();
    let mount = server.mount(2).await;
    let role = app_role("r", mount.file("s", "secret"), "nowhere/approle");
    let store = open(&server.config_with(&mount.path, Auth::AppRole(role))).await;
    let (kind, text) = failed(get(&store, "a").await);
    assert!(
        matches!(kind, ErrorKind::Config | ErrorKind::Unauthenticated),
        "{kind:?} {text}"
    );
    assert!(text.contains("auth/nowhere/approle"), "{text}");
}

/// The login's tokens live two seconds, five with all renewals: over eight seconds they are
/// renewed, and got anew, and no call fails.
#[tokio::test(flavor = "multi_thread")]
async fn a_short_token_is_renewed_and_then_got_anew() {
    let settings = json!({ "token_ttl": "2s", "token_max_ttl": "5s", "secret_id_num_uses": 0 });
    let (role, config) = role(all, settings).await;
    let store = open(&config).await;
    put(&store, "a", "value").await;
    let began = std::time::Instant::now();
    while began.elapsed() < Duration::from_secs(8) {
        assert_eq!(get(&store, "a").await.unwrap(), "value");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    role.end().await;
}

/// While nobody calls it is renewed all the same: a token of a role that gives one secret id for one
/// login only could not be got anew.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_renewed_while_nobody_calls() {
    let settings = json!({ "token_ttl": "2s", "token_max_ttl": "1h" });
    let (role, config) = role(all, settings).await;
    let store = open(&config).await;
    put(&store, "a", "value").await;
    // No second login is possible.
    std::fs::remove_file(role.mount.folder().join("secret-id")).unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(get(&store, "a").await.unwrap(), "value");
    role.end().await;
}

#[tokio::test]
async fn a_token_that_was_revoked_is_replaced_by_a_login() {
    let (role, config) = role(all, json!({ "token_ttl": "1h" })).await;
    let store = open(&config).await;
    put(&store, "a", "value").await;
    // Whatever this login gave is gone at once.
    let revoke = format!("sys/leases/revoke-prefix/auth/{}", role.method);
    role.server.ok(Method::POST, &revoke, Some(json!({}))).await;
    // A token that was just accepted is not looked at again for some seconds.
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(get(&store, "a").await.unwrap(), "value");
    role.server.ok(Method::POST, &revoke, Some(json!({}))).await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    put(&store, "a", "again").await;
    role.server.ok(Method::POST, &revoke, Some(json!({}))).await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert!(store.check().await.is_ok());
    role.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_given_token_is_renewed_and_a_file_is_read_again() {
    let server = Server::shared();
    let mount = server.mount(2).await;
    let rules = all(&mount.path);
    let policy = mount.path.replace('/', "-");
    let short = json!({ "ttl": "2s", "renewable": true, "explicit_max_ttl": "6s" });
    let token = server.token(&policy, &rules, short).await;
    let config = server.config_with(&mount.path, mount.credential("given", &token));
    let store = open(&config).await;
    put(&store, "a", "value").await;
    tokio::time::sleep(Duration::from_millis(3500)).await;
    assert_eq!(get(&store, "a").await.unwrap(), "value");
    // Its last end is past now.
    tokio::time::sleep(Duration::from_secs(4)).await;
    let (kind, text) = failed(get(&store, "a").await);
    assert_eq!(kind, ErrorKind::Unauthenticated, "{text}");
    assert!(
        text.contains("give a new one") && !text.contains(&token),
        "{text}"
    );
    let next = server.token(&policy, &rules, json!({ "ttl": "1h" })).await;
    mount.credential("given", &next);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(get(&store, "a").await.unwrap(), "value");
}

#[tokio::test]
async fn a_token_that_may_not_look_itself_up_still_works() {
    let server = Server::shared();
    let mount = server.mount(2).await;
    let settings = json!({ "no_default_policy": true });
    let name = mount.path.replace('/', "-");
    let token = server.token(&name, &all(&mount.path), settings).await;
    let mut config = server.config_with(&mount.path, mount.credential("bare", &token));
    config.kv = strongroom_backend_hashicorp::Kv::V2;
    let store = open(&config).await;
    put(&store, "a", "value").await;
    assert_eq!(get(&store, "a").await.unwrap(), "value");
}
