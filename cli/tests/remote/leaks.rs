//! With everything logged, a value shows only where it was asked for.

use strongroom_backend_testkit::Canary;

use super::servers::{KINDS, Shop, server};
use super::support::Answer;

#[track_caller]
fn quiet(canary: &Canary, what: &str, answer: &Answer) {
    let output = String::from_utf8_lossy(&answer.stdout);
    for (place, text) in [("stdout", &*output), ("stderr", &*answer.stderr)] {
        if let Some(form) = canary.found_in(text) {
            panic!("{place} of {what} has the value as {form}: {text}");
        }
    }
}

fn nothing_kept(canary: &Canary, shop: &Shop) {
    for (path, bytes) in shop.room.everything() {
        let form = canary.found_in(&String::from_utf8_lossy(&bytes));
        assert_eq!(form, None, "{} has the value", path.display());
    }
}

#[test]
fn no_output_and_no_file_has_a_value() {
    let canary = Canary::new(*b"qZ7-canary\"\\\xff\x00-w3Xk-9fT2-tail");
    let shop = Shop::everywhere().with("STRONGROOM_LOG", "trace");
    for (at, kind) in KINDS.into_iter().enumerate() {
        let name = format!("{kind}:app/key");
        let next = format!("{}:app/key", KINDS[(at + 1) % KINDS.len()]);
        let set = shop.feed(&["set", &name], canary.bytes()).ok();
        quiet(&canary, &format!("set {name}"), &set);
        let get = shop.run(["get", &name]).ok();
        assert_eq!(get.stdout, canary.bytes(), "{kind}");
        assert_eq!(canary.found_in(&get.stderr), None, "{}", get.stderr);
        for args in [
            &["describe", &name][..],
            &["versions", &name],
            &["list", &name[..name.len() - 3]],
            &["doctor", kind],
            &["get", &name, "--field", "none"],
            &["set", &name, "--if-version", "99999999999"],
            &["copy", &name, &next, "--dry-run"],
            &["copy", &name, &next, "--move"],
            &["delete", &next],
        ] {
            let answer = shop.feed(args, canary.bytes());
            quiet(&canary, &args.join(" "), &answer);
        }
    }
    nothing_kept(&canary, &shop);
}

#[test]
fn no_error_has_a_value_or_a_credential() {
    let canary = Canary::new(*b"vB4-canary-of-a-refused-write-Lq8");
    let strict = super::servers::aws(&server("STRONGROOM_TEST_AWS_STRICT"));
    let listening = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = format!("http://{}", listening.local_addr().unwrap());
    drop(listening);
    let shop = Shop::new([
        (
            "signature",
            format!("backend = \"aws-ssm\"\nprefix = \"/x/\"\n{strict}"),
        ),
        (
            "closed",
            format!(
                "backend = \"hashicorp-vault\"\naddress = {closed:?}\nmount = \"secret\"\n\
                 auth = {{ token-env = \"SHOP_TOKEN\" }}\n"
            ),
        ),
    ])
    .with("SHOP_TOKEN", "s.canary-of-a-token-5x5x")
    .with("STRONGROOM_LOG", "trace");
    for vault in ["signature", "closed"] {
        let name = format!("{vault}:app/key");
        let answer = shop.feed(&["set", &name], canary.bytes());
        assert_ne!(answer.code, 0);
        quiet(&canary, vault, &answer);
        for secret in ["canary-secret-key", "canary-of-a-token"] {
            assert!(!answer.stderr.contains(secret), "{}", answer.stderr);
        }
    }
    nothing_kept(&canary, &shop);
}
