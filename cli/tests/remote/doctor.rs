//! What `doctor` says of each way to be wrong: its cause, the next step, and no word too much.

use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use strongroom_backend_testkit::wire::{Reply, Wire};

use super::fake::Denial;
use super::servers::{
    Shop, aws, azure, fresh, key_vault, kubernetes, server, settings, token, vault,
};

/// Whether a text has a run of twelve digits, as accounts of AWS have.
fn has_account(text: &str) -> bool {
    text.split(|c: char| !c.is_ascii_digit())
        .any(|digits| digits.len() == 12)
}

/// `doctor` on this vault ends with `code` and has these words in its failure.
#[track_caller]
fn fails(shop: &Shop, vault: &str, code: i32, parts: &[&str]) {
    let answer = shop.run(["doctor", vault]).exits(code);
    let text = answer.text();
    let failed = text
        .lines()
        .skip_while(|line| !line.starts_with(&format!("FAILED  vault {vault}: ")));
    let failed: String = failed.take(2).collect::<Vec<_>>().join("\n");
    for part in parts.iter().chain(&["next: "]) {
        assert!(failed.contains(part), "no {part:?} in {text}");
    }
    for output in [text, &answer.stderr] {
        let told = ["canary", "arn:", "eyJ"]
            .into_iter()
            .find(|word| output.contains(word));
        assert_eq!(told, None, "{output}");
        assert!(!has_account(output), "{output}");
        for (name, value) in &shop.variables {
            // `root` is the name of the user too.
            assert!(
                value.len() < 8 || !output.contains(value),
                "${name} in {output}"
            );
        }
    }
    // The same as a document, for programs.
    let json = shop.run(["doctor", vault, "--json"]).exits(code).json();
    assert_eq!(json["ok"], false);
}

fn one(settings: String) -> Shop {
    Shop::new([("far", settings)])
}

fn ssm(settings: &str) -> Shop {
    one(format!(
        "backend = \"aws-ssm\"\nprefix = \"/{}/\"\n{settings}",
        fresh()
    ))
}

fn kv(settings: &str) -> Shop {
    one(format!("backend = \"hashicorp-vault\"\n{settings}"))
}

/// An address of this machine at which nothing listens.
fn nobody_there(scheme: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("{scheme}://{}", listener.local_addr().unwrap())
}

/// The strict server of AWS, with the keys of one of its users.
fn strict(user: &str) -> Shop {
    let keys = server(&format!("STRONGROOM_TEST_AWS_STRICT_{user}"));
    let (id, secret) = keys.split_once(':').unwrap();
    ssm(&aws(&server("STRONGROOM_TEST_AWS_STRICT")))
        .with("SHOP_KEY_ID", id)
        .with("SHOP_KEY", secret)
}

#[test]
fn a_name_that_does_not_resolve() {
    let parts = ["cannot be resolved", "endpoint or region"];
    fails(&ssm(&aws("https://name.invalid")), "far", 5, &parts);
    let vault = "address = \"https://name.invalid\"\nmount = \"secret\"\n\
                 auth = { token-env = \"SHOP_TOKEN\" }\n";
    fails(&kv(vault), "far", 5, &parts);
}

#[test]
fn a_region_that_there_is_not() {
    let keys = "region = \"xx-nowhere-9\"\n\
         auth = { access-key-id-env = \"SHOP_KEY_ID\", secret-access-key-env = \"SHOP_KEY\" }\n";
    fails(&ssm(keys), "far", 5, &["region"]);
}

/// A store of AWS and an STS in `eu-central-1` that take no signature for another region; with
/// `any`, the STS takes one for every region, as the global one does.
fn in_frankfurt(any: bool) -> Wire {
    let xml = |status, body: &str| Reply::Whole {
        status,
        headers: vec![("content-type".to_owned(), "text/xml".to_owned())],
        body: body.as_bytes().to_vec(),
    };
    Wire::http(move |request| {
        let signed = request.header("authorization").unwrap_or_default();
        let here = signed.contains("/eu-central-1/");
        match request.header("x-amz-target") {
            Some(_) if here => Reply::json(200, r#"{"Parameters":[],"SecretList":[]}"#),
            Some(_) => Reply::json(
                400,
                &json!({
                    "__type": "InvalidSignatureException",
                    "message": "Credential should be scoped to a valid region. ",
                })
                .to_string(),
            ),
            None if here || any => xml(
                200,
                "<GetCallerIdentityResponse><GetCallerIdentityResult>\
                 <Arn>arn:aws:iam::123456789012:user/ops</Arn><UserId>A</UserId>\
                 <Account>123456789012</Account></GetCallerIdentityResult>\
                 </GetCallerIdentityResponse>",
            ),
            None => xml(
                403,
                "<ErrorResponse><Error><Type>Sender</Type><Code>SignatureDoesNotMatch</Code>\
                 <Message>Credential should be scoped to a valid region.</Message></Error>\
                 </ErrorResponse>",
            ),
        }
    })
}

#[test]
fn a_region_that_the_service_is_not_in() {
    let parts = [
        "another region",
        "check 'region' and 'endpoint'",
        "next: mend the table [vault.far]",
    ];
    for any in [false, true] {
        let server = in_frankfurt(any);
        let wrong = aws(&server.url());
        let right = wrong.replace("us-east-1", "eu-central-1");
        for (kind, prefix) in [("aws-ssm", "/shop/"), ("aws-secrets-manager", "shop/")] {
            let shop = |settings: &str| {
                one(format!(
                    "backend = \"{kind}\"\nprefix = \"{prefix}\"\n{settings}"
                ))
            };
            fails(&shop(&wrong), "far", 1, &parts);
            shop(&right).run(["doctor", "far"]).ok();
        }
    }
}

#[test]
fn nothing_listens() {
    let parts = ["nothing listens", "check the endpoint, the port"];
    fails(&ssm(&aws(&nobody_there("http"))), "far", 5, &parts);
    let sm = format!(
        "backend = \"aws-secrets-manager\"\n{}",
        aws(&nobody_there("http"))
    );
    fails(&one(sm), "far", 5, &parts);
    let vault = format!(
        "address = {:?}\nmount = \"secret\"\nauth = {{ token-env = \"SHOP_TOKEN\" }}\n",
        nobody_there("http")
    );
    fails(&kv(&vault), "far", 5, &parts);
    let gcp = format!(
        "backend = \"gcp-secret-manager\"\nproject = \"shop\"\nauth = \"none\"\nendpoint = {:?}\n",
        nobody_there("http")
    );
    fails(&one(gcp), "far", 5, &parts);
    let key_vault = format!(
        "backend = \"azure-key-vault\"\n{}",
        azure(&nobody_there("https"))
    );
    fails(&one(key_vault), "far", 5, &parts);
    let cluster = format!(
        "backend = \"kubernetes\"\n{}endpoint = {:?}\n",
        kubernetes("kubeconfig"),
        nobody_there("https")
    );
    fails(&one(cluster), "far", 5, &parts);
}

#[test]
fn a_key_whose_signature_is_wrong() {
    let shop = strict("ADMIN").with("SHOP_KEY", "canary-of-a-wrong-secret-access-key-0000");
    fails(&shop, "far", 1, &["SignatureDoesNotMatch"]);
}

#[test]
fn a_key_that_nobody_knows() {
    let shop = strict("ADMIN").with("SHOP_KEY_ID", "AKIAIOSFODNN7EXAMPLE");
    fails(&shop, "far", 1, &["InvalidClientTokenId"]);
}

#[test]
fn variables_that_are_not_set() {
    let mut shop = ssm(&aws(&server("STRONGROOM_TEST_AWS")));
    shop.variables.retain(|(name, _)| *name != "SHOP_KEY");
    fails(&shop, "far", 1, &["SHOP_KEY"]);
    let mut shop = one(settings("hashicorp-vault"));
    shop.variables.retain(|(name, _)| *name != "SHOP_TOKEN");
    fails(&shop, "far", 1, &["SHOP_TOKEN"]);
    let mut shop = one(settings("azure-key-vault"));
    shop.variables.retain(|(name, _)| *name != "SHOP_APP");
    fails(&shop, "far", 1, &["SHOP_APP"]);
}

#[test]
fn a_user_of_aws_without_permission() {
    fails(&strict("NOBODY"), "far", 1, &["AccessDenied"]);
}

#[test]
fn a_token_that_is_none_and_one_that_has_expired() {
    let parts = ["token"];
    let shop = one(settings("hashicorp-vault")).with("SHOP_TOKEN", "s.canary-no-such-token");
    fails(&shop, "far", 1, &parts);
    let short = token(
        "path \"secret/*\" { capabilities = [\"read\", \"list\"] }",
        "1s",
    );
    let shop = one(settings("hashicorp-vault")).with("SHOP_TOKEN", short);
    std::thread::sleep(Duration::from_millis(1500));
    fails(&shop, "far", 1, &parts);
}

#[test]
fn a_token_whose_policy_is_too_narrow() {
    let narrow = token(
        "path \"secret/data/elsewhere/*\" { capabilities = [\"read\"] }",
        "5m",
    );
    let shop = one(settings("hashicorp-vault")).with("SHOP_TOKEN", narrow);
    fails(&shop, "far", 1, &["may not", "polic"]);
}

#[test]
fn a_client_of_azure_whose_secret_is_wrong() {
    let shop = one(settings("azure-key-vault")).with("SHOP_APP", "canary-of-a-wrong-secret");
    fails(&shop, "far", 1, &["client's secret is wrong"]);
}

#[test]
fn a_client_of_azure_without_permission() {
    let shop = one(settings("azure-key-vault"));
    key_vault(|fake| fake.state().denied = vec![("list", Denial::Role)]);
    fails(&shop, "far", 1, &["may not", "Key Vault Secrets Officer"]);
}

#[test]
fn a_user_of_kubernetes_without_permission() {
    let shop = one(format!(
        "backend = \"kubernetes\"\n{}",
        kubernetes("app.kubeconfig")
    ));
    fails(&shop, "far", 1, &["may not"]);
}

#[test]
fn a_namespace_of_kubernetes_that_is_not_there() {
    let file = PathBuf::from(server("STRONGROOM_TEST_KUBERNETES")).join("kubeconfig");
    let shop = one(format!(
        "backend = \"kubernetes\"\nauth = {{ kubeconfig = {file:?} }}\nnamespace = \"{}\"\n",
        fresh()
    ));
    fails(&shop, "far", 1, &["namespace"]);
}

#[test]
fn a_mount_that_is_not_there() {
    let shop = kv(&(vault() + "mount = \"nowhere\"\n"));
    fails(&shop, "far", 1, &["mount"]);
}

/// A sealed server can serve again without a change here: it is an outage.
#[test]
fn a_server_of_vault_that_is_sealed() {
    let server = Wire::http(|request| match request.path() {
        "/v1/sys/health" => Reply::json(
            503,
            r#"{"initialized":true,"sealed":true,"standby":true,"version":"2.7.2"}"#,
        ),
        _ => Reply::json(503, r#"{"errors":["Vault is sealed"]}"#),
    });
    let shop = kv(&format!(
        "address = {:?}\nmount = \"secret\"\nauth = {{ token-env = \"SHOP_TOKEN\" }}\n",
        server.url()
    ));
    let parts = [
        "the server is sealed: unseal it",
        "next: see that the service is up",
    ];
    fails(&shop, "far", 5, &parts);
    // What is asked for nonetheless is told the same.
    shop.run(["get", "far:a"]).exits(5).says("is sealed");
}

#[test]
fn a_namespace_of_vault_that_is_not_there() {
    let shop = kv(&(vault() + "mount = \"secret\"\nnamespace = \"nowhere\"\n"));
    fails(&shop, "far", 1, &["namespace"]);
}

#[test]
fn an_authority_that_did_not_sign() {
    let folder = PathBuf::from(server("STRONGROOM_TEST_VAULT_TLS"));
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let table = |ca: PathBuf| {
        format!(
            "address = {:?}\nmount = \"secret\"\nca-file = {ca:?}\n\
             auth = {{ token-env = \"SHOP_TOKEN\" }}\n",
            read("address").trim()
        )
    };
    let other = PathBuf::from(server("STRONGROOM_TEST_KUBERNETES")).join("ca.crt");
    let shop = kv(&table(other)).with("SHOP_TOKEN", read("token").trim());
    let parts = ["certificate is not trusted", "ca-file"];
    fails(&shop, "far", 1, &parts);
    // With the right one it gets further than TLS.
    let shop = kv(&table(folder.join("ca.pem"))).with("SHOP_TOKEN", read("token").trim());
    let answer = shop.run(["doctor", "far"]);
    assert!(!answer.text().contains("certificate"), "{}", answer.text());
}
