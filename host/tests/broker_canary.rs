//! A value leaves the broker as a value and in no other form.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed test panics"
)]

mod support;

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use strongroom::backend::{ErrorKind, Metadata, PutOptions, SecretValue, Which};
use strongroom::{BuildError, CallError, ErrorCode, Page, Registry, Secret};
use strongroom_backend_testkit::{Canary, Fault, Operation, When};
use support::Rig;
use support::guest::Guest;
use tracing_subscriber::fmt::MakeWriter;

/// Everything that is traced, by anyone in this process, at every level.
#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Captured {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

const GRANTS: &str = r#"
[component.billing]
grants = [ { vault = "app", secrets = ["ok/*"], actions = ["data-read", "data-write", "undelete", "destroy", "rollback"] } ]
quotas = { bytes-per-second = "64 MiB", calls-per-second = 500 }
"#;

/// Looks for every canary wherever text comes out.
struct Watcher(Vec<Canary>);

impl Watcher {
    fn text(&self, what: &str, text: &str) {
        for canary in &self.0 {
            let form = canary.found_in(text);
            assert_eq!(form, None, "a value is in {what}");
        }
    }

    fn error(&self, error: &CallError) {
        for canary in &self.0 {
            assert_eq!(canary.found_in_error(error), None, "a value is in an error");
        }
    }

    fn debug(&self, thing: &dyn std::fmt::Debug) {
        for canary in &self.0 {
            assert_eq!(canary.found_in_debug(thing), None, "a value is in Debug");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_value_is_in_traces_records_errors_or_debug_output() {
    let captured = Captured::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_ansi(false)
        .with_writer(captured.clone())
        .finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();

    let texts = ["CaNaRy+one/7c1d9e02-f00d", "cAnArY<two>&b5a8~66e0-beef"];
    let watcher = Watcher(texts.iter().map(|t| Canary::new(*t)).collect());
    let rig = Rig::new(GRANTS).await;
    rig.put("ok/a", texts[0]).await;
    let session = rig.session("billing");
    let value = |text: &str| SecretValue::copy_of(text.as_bytes());

    let secret: Secret = session.get("ok/a", Which::Current).await.unwrap();
    watcher.debug(&secret);
    let plain = PutOptions::default();
    session
        .set("ok/a", value(texts[1]), plain.clone())
        .await
        .unwrap();
    let page: Page = session.list("", None).await.unwrap();
    watcher.debug(&page);
    watcher.debug(&session.describe("ok/a").await.unwrap());
    watcher.debug(&session.versions("ok/a").await.unwrap());
    watcher.debug(
        &session
            .get_many(&["ok/a".to_owned(), "no".to_owned()])
            .await,
    );

    // A secret passed where a name belongs, in each place that takes a text.
    for text in texts {
        let metadata = Metadata {
            labels: Some(vec![(String::new(), text.to_owned())]),
            ..Metadata::default()
        };
        let errors = [
            session.get(text, Which::Current).await.unwrap_err(),
            session.describe(text).await.unwrap_err(),
            session.list(text, None).await.unwrap_err(),
            session.list("", Some(text)).await.unwrap_err(),
            session.delete(text, None).await.unwrap_err(),
            session.rotate(text).await.unwrap_err(),
            session
                .set(text, value(text), plain.clone())
                .await
                .unwrap_err(),
            session.set_metadata("ok/a", metadata).await.unwrap_err(),
            session.parse(text).unwrap_err(),
        ];
        errors.iter().for_each(|error| watcher.error(error));
        let error: BuildError = rig.broker.component(text).err().unwrap();
        // The name of a component is the operator's, and is repeated to them.
        assert!(matches!(error, BuildError::UnknownComponent(_)));
    }

    // Every way to fail, with the value in hand.
    for kind in [
        ErrorKind::Failed,
        ErrorKind::Damaged,
        ErrorKind::Unavailable,
        ErrorKind::PermissionDenied,
        ErrorKind::Conflict(9),
        ErrorKind::TooLarge(3),
    ] {
        for operation in [Operation::Get, Operation::Put] {
            let once = When::next(1).on(operation);
            rig.faults.arm(Fault::FailAfter(kind), once);
        }
        let wrote = session.set("ok/a", value(texts[0]), plain.clone()).await;
        watcher.error(&wrote.unwrap_err());
        let read = session.get("ok/a", Which::Version(1)).await;
        watcher.error(&read.unwrap_err());
        rig.faults.heal();
    }
    let expected = PutOptions {
        expected: Some(77),
        ..PutOptions::default()
    };
    let conflict = session.set("ok/a", value(texts[0]), expected).await;
    assert!(matches!(conflict.unwrap_err().code, ErrorCode::Conflict(_)));
    let large = SecretValue::new(texts[0].repeat(50_000).into_bytes());
    let large = session.set("ok/a", large, plain.clone()).await;
    watcher.error(&large.unwrap_err());

    // A guest, which prints values where guests may: on its own standard output.
    let mut guest = Guest::probe(&rig.broker, "billing").await;
    assert!(guest.one("get ok/a").await.starts_with("value "));
    guest.ask("read ok/a").await;
    guest.ask("get-many ok/a ok/b").await;
    guest.ask(&format!("get {}", texts[0])).await;
    guest
        .ask(&format!("set ok/g {}", support::guest::hex(texts[1])))
        .await;
    guest.ask("open-reveal ok/g").await;
    guest.ask("rollback ok/a 1").await;
    let (_, ended) = guest.end().await;
    ended.unwrap().unwrap();
    let mut over = 0;
    for _ in 0..2000 {
        over += u32::from(session.get("ok/a", Which::Current).await.is_err());
    }
    assert!(over > 0);
    rig.edit(&format!("{GRANTS}# {}\n", texts[0])).await;
    rig.home
        .write_config(&format!("no-such-key = \"{}\"\n", texts[1]));
    tokio::time::sleep(Duration::from_millis(400)).await;

    rig.broker.clone().close().await.unwrap();
    for entry in std::fs::read_dir(rig.home.dir.path()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_file() && !name.starts_with("strongroom.toml") {
            let bytes = std::fs::read(&path).unwrap();
            watcher.text(&name, &String::from_utf8_lossy(&bytes));
        }
    }
    for record in rig.home.recorded() {
        watcher.debug(&record);
    }
    let traced = captured.0.lock().unwrap().clone();
    let traced = String::from_utf8_lossy(&traced);
    assert!(traced.contains("refused"), "nothing was traced: {traced}");
    assert!(!traced.contains("strongroom:vault"), "the bindings trace");
    // What a guest prints is the guest's own, and wasmtime-wasi traces it at DEBUG.
    let printed = "wasmtime_wasi::p2::write_stream: worker writing";
    let ours: String = traced.lines().filter(|l| !l.contains(printed)).collect();
    watcher.text("the traces", &ours);
}

/// Answers by the trait if there is it, and else by the fallback: the inherent constant wins.
macro_rules! implements {
    ($type:ty: $bound:path) => {{
        #[allow(dead_code, reason = "not asked where the bound holds")]
        trait Fallback {
            const IMPLEMENTS: bool = false;
        }
        impl<T: ?Sized> Fallback for T {}
        struct Probe<T: ?Sized>(std::marker::PhantomData<T>);
        #[allow(dead_code, reason = "exists only where the bound holds")]
        impl<T: ?Sized + $bound> Probe<T> {
            const IMPLEMENTS: bool = true;
        }
        <Probe<$type>>::IMPLEMENTS
    }};
}

#[test]
fn a_value_cannot_be_cloned_shown_or_serialised() {
    const {
        assert!(implements!(String: Clone), "the check itself works");
        assert!(!implements!(SecretValue: Clone));
        assert!(!implements!(SecretValue: Copy));
        assert!(!implements!(SecretValue: std::fmt::Display));
        assert!(!implements!(SecretValue: AsRef<[u8]>));
        assert!(!implements!(SecretValue: std::ops::Deref));
        assert!(!implements!(SecretValue: std::hash::Hash));
        assert!(!implements!(SecretValue: serde::Serialize));
        assert!(!implements!(Secret: serde::Serialize));
        assert!(!implements!(Secret: Clone));
        assert!(!implements!(strongroom::Broker: std::fmt::Debug));
        assert!(!implements!(strongroom::Session: std::fmt::Debug));
        assert!(!implements!(Registry: std::fmt::Debug));
    }
}
