//! What a program that `exec` starts must not inherit.

use super::servers::Shop;

/// Whether the program has variables of these names.
fn inherited(shop: &Shop, names: &[&str]) -> Vec<String> {
    let args = ["exec", "--env", "WANTED=local:a", "--", "env"];
    let answer = shop.run(args).ok();
    let lines = answer.text().lines();
    let found = lines.filter_map(|line| Some(line.split_once('=')?.0.to_owned()));
    found
        .filter(|name| names.contains(&name.as_str()))
        .collect()
}

#[test]
fn variables_that_the_configuration_names_are_taken_away() {
    let shop = Shop::new([
        (
            "aws",
            "backend = \"aws-ssm\"\nprefix = \"/a/\"\nauth = { access-key-id-env = \"SHOP_KEY_ID\", \
             secret-access-key-env = \"SHOP_KEY\", session-token-env = \"SHOP_SESSION\" }\n"
                .into(),
        ),
        (
            "vault",
            "backend = \"hashicorp-vault\"\naddress = \"https://vault.invalid\"\nmount = \"secret\"\n\
             auth = { approle = { role-id = \"r\", secret-id-env = \"SHOP_ROLE\" } }\n"
                .into(),
        ),
        (
            "azure",
            "backend = \"azure-key-vault\"\nvault = \"shop\"\nauth = { tenant-id = \"t\", \
             client-id = \"c\", client-secret-env = \"SHOP_APP\" }\n"
                .into(),
        ),
    ])
    .with("SHOP_SESSION", "x")
    .with("SHOP_ROLE", "x")
    .with("SHOP_APP", "x")
    .with("SHOP_OTHER", "x");
    shop.set("local:a", "v");
    let names = [
        "SHOP_KEY_ID",
        "SHOP_KEY",
        "SHOP_SESSION",
        "SHOP_ROLE",
        "SHOP_APP",
        "SHOP_OTHER",
        "STRONGROOM_CONFIG",
        "WANTED",
    ];
    let mut found = inherited(&shop, &names);
    found.sort();
    assert_eq!(found, ["SHOP_OTHER", "WANTED"]);
    let kept = [
        "exec",
        "--env",
        "A=local:a",
        "--keep",
        "SHOP_KEY",
        "--",
        "env",
    ];
    assert!(shop.run(kept).ok().text().contains("SHOP_KEY="));
}

#[test]
fn variables_that_a_platforms_client_reads_by_itself_are_taken_away() {
    let own = [
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AZURE_CLIENT_SECRET",
        "AZURE_FEDERATED_TOKEN_FILE",
        "GOOGLE_APPLICATION_CREDENTIALS",
        "KUBECONFIG",
        "VAULT_TOKEN",
    ];
    let tables = [
        ("aws", "backend = \"aws-secrets-manager\"\n"),
        (
            "azure",
            "backend = \"azure-key-vault\"\nvault = \"shop\"\nauth = \"workload-identity\"\n",
        ),
        (
            "gcp",
            "backend = \"gcp-secret-manager\"\nproject = \"shop\"\n",
        ),
        (
            "kubernetes",
            "backend = \"kubernetes\"\nauth = \"default\"\nnamespace = \"shop\"\n",
        ),
        (
            "vault",
            "backend = \"hashicorp-vault\"\naddress = \"https://vault.invalid\"\nmount = \"secret\"\n\
             auth = { token-env = \"VAULT_TOKEN\" }\n",
        ),
    ];
    let with_all = |mut shop: Shop| {
        for name in own {
            shop = shop.with(name, "/x");
        }
        shop.set("local:a", "v");
        shop
    };
    let shop = with_all(Shop::new(tables.map(|(id, text)| (id, text.to_owned()))));
    assert_eq!(inherited(&shop, &own), [""; 0]);
    // Where no vault uses them they are none of ours.
    let shop = with_all(Shop::new([]));
    assert_eq!(inherited(&shop, &own).len(), own.len());
}
