//! What a real guest reads of a store's no, and what its operator does.
#![allow(clippy::unwrap_used, reason = "a test ends where its helper fails")]

#[path = "support/guests.rs"]
mod guests;
mod support;

use guests::{command, guest, probe};
use strongroom_backend_testkit::Canary;
use strongroom_backend_testkit::wire::{Reply, Wire};
use support::{Answer, Room};

const VALUE: &str = "vQ9-canary-of-a-value-7Kd2";
const TOKEN: &str = "tH3-canary-of-a-token-Wm5x";

/// A vault over a server of Vault that takes the token and answers all else so.
fn room(server: &Wire) -> Room {
    let room = Room::new();
    let wasm = guest("probe.wasm");
    room.configure(&format!(
        "[vault.far]\nbackend = \"hashicorp-vault\"\naddress = {:?}\nmount = \"kv\"\n\
         kv = \"v1\"\nauth = {{ token-env = \"SHOP_TOKEN\" }}\n\
         [component.probe]\nwasm = {wasm:?}\n\
         grants = [{{ vault = \"far\", secrets = [\"**\"], actions = [\"read\"] }}]\n",
        server.url()
    ));
    room
}

#[test]
fn the_guest_reads_the_variant_and_the_operator_the_cause() {
    let failed = "error: failed the vault refused or broke\n";
    let unavailable = "error: unavailable the vault cannot answer now\n";
    let no = format!(r#"{{"errors":["{VALUE} and {TOKEN} of account 493827160549"]}}"#);
    for (reply, variant, cause) in [
        (
            Reply::json(403, &no),
            failed,
            "the token may not read secrets",
        ),
        (
            Reply::json(429, &no),
            unavailable,
            "a rate limit is used up",
        ),
        (
            Reply::cut(200, &format!("{no}{no}")),
            unavailable,
            "the connection ended before the whole answer",
        ),
    ] {
        let server = Wire::http(move |request| match request.path() {
            "/v1/auth/token/lookup-self" => {
                Reply::json(200, r#"{"data":{"ttl":0,"policies":["p"]}}"#)
            }
            _ => reply.clone(),
        });
        let room = room(&server);
        let output = command(&room, probe(&["get", "far:app/key"]))
            .env("STRONGROOM_CONFIG", room.path("strongroom.toml"))
            .env("SHOP_TOKEN", TOKEN)
            .env("STRONGROOM_LOG", "warn")
            .output();
        let answer = Answer::from(output.unwrap()).exits(1).says(cause);
        assert_eq!(answer.text(), variant);
        let mut texts = vec![answer.text().to_owned(), answer.stderr];
        let files = room.everything().into_iter();
        texts.extend(files.map(|(_, bytes)| String::from_utf8_lossy(&bytes).into_owned()));
        for text in &texts {
            for hidden in [VALUE, TOKEN] {
                assert_eq!(Canary::new(hidden).found_in(text), None, "{cause}: {text}");
            }
            assert!(!text.contains("493827160549"), "{cause}: {text}");
        }
    }
}
