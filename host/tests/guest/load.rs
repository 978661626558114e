//! Which bytes run under which name.

use strongroom::BuildError;
use strongroom::grants::Digest;
use wasmtime::component::Component;

use crate::support::Rig;
use crate::support::guest::{Guest, bytes, engine, run};

const GRANTED: &str = "grants = [ { vault = \"app\", secrets = [\"a\"], actions = [\"read\"] } ]\n";

#[tokio::test]
async fn only_the_pinned_bytes_load() {
    let pinned = Digest::of(&bytes("reader_only"));
    let text = format!("[component.pinned]\ndigest = \"{pinned}\"\n{GRANTED}");
    let rig = Rig::new(&text).await;
    rig.put("a", "v").await;
    let lines = run(&rig.broker, "pinned", "reader_only", &["a"]).await;
    assert_eq!(lines, ["value 76"]);
    let component = rig.broker.component("pinned").unwrap();
    let other = component.load(engine(), &bytes("read_secret"));
    let Err(BuildError::Digest {
        name,
        pinned: expected,
        found,
    }) = other
    else {
        panic!("other bytes were loaded");
    };
    assert_eq!((&*name, expected), ("pinned", pinned.to_string()));
    assert_eq!(found, Digest::of(&bytes("read_secret")).to_string());
    let unverified = component.instance_unverified();
    assert!(matches!(unverified.err(), Some(BuildError::Digest { .. })));
    let record = &rig.records()[0];
    assert_eq!(record.digest, Some(pinned.to_string()));
}

#[tokio::test]
async fn bytes_that_nobody_hashed_run_where_none_are_pinned_and_have_no_digest() {
    let rig = Rig::new(&format!("[component.free]\n{GRANTED}")).await;
    rig.put("a", "v").await;
    let component = rig.broker.component("free").unwrap();
    let compiled = Component::new(engine(), bytes("reader_only")).unwrap();
    let guest = Guest::with(&compiled, component.instance_unverified().unwrap(), &["a"]);
    assert_eq!(guest.end().await.0, ["value 76"]);
    let record = &rig.records()[0];
    assert_eq!((&record.digest, record.instance.is_some()), (&None, true));
}

#[tokio::test]
async fn each_instance_has_an_id_of_its_own() {
    let rig = Rig::new(&format!("[component.free]\n{GRANTED}")).await;
    rig.put("a", "v").await;
    for _ in 0..3 {
        run(&rig.broker, "free", "reader_only", &["a", "a"]).await;
    }
    let mut instances: Vec<_> = rig
        .records()
        .into_iter()
        .map(|r| r.instance.unwrap())
        .collect();
    assert_eq!(instances.len(), 6);
    instances.dedup();
    assert_eq!(instances.len(), 3);
}

#[tokio::test]
async fn bytes_that_are_no_component_are_named_as_what_they_are() {
    let rig = Rig::new(&format!("[component.free]\n{GRANTED}")).await;
    let component = rig.broker.component("free").unwrap();
    let whole = bytes("reader_only");
    for (wrong, what) in [
        (&b"hello"[..], "not WebAssembly"),
        (b"\0asm\x01\0\0\0", "core WebAssembly module"),
        (&whole[..whole.len() / 2], "truncated or damaged"),
    ] {
        let error = component.load(engine(), wrong).err().unwrap();
        assert!(error.to_string().contains(what), "{error}");
    }
}
