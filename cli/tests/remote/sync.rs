//! A copy on this machine of a part of a server, which serves while that one does not.

use std::fs;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::servers::{Shop, server, settings};

/// Another project with the store of the copy, for which it is none.
const SECOND: &str = "second/strongroom.toml";
/// The secret of that store that says when the copy was last in step.
const MARK: &str = "_strongroom/synced";

/// `offline` has a part of `prod`, and `either` asks the one and then the other.
fn copied(prod: String) -> Shop {
    let offline = "backend = \"local\"\npath = \"second/offline.vault\"\n\
                   key = { file = \"second/keys/offline.key\" }\n\
                   [vault.offline.sync]\nfrom = \"prod:app/\"\nto = \"app/\"\nmax-stale = \"6h\"\n";
    let either = "chain = [\"prod\", \"offline\"]\non-error = \"next\"\n";
    let shop = Shop::new([
        ("prod", prod),
        ("offline", offline.into()),
        ("either", either.into()),
    ]);
    let second = ["init", "second", "--vault", "offline"];
    shop.room.run(second).ok();
    shop
}

/// Has the copy be as if it had been made so many hours earlier.
fn make_older(shop: &Shop, hours: u64) {
    let mark = |verb| ["--config", SECOND, verb, MARK];
    let made = shop.room.run(mark("get")).ok();
    let (at, origin) = made.text().split_once(' ').unwrap();
    let at = at.parse::<u64>().unwrap() - hours * 3_600_000;
    let older = format!("{at} {origin}");
    shop.room.feed(mark("set"), older).ok();
}

/// The record of the last read of `app/key` through this vault.
fn last_read(shop: &Shop, vault: &str) -> serde_json::Value {
    let records = shop.records();
    let read = |record: &&serde_json::Value| {
        record["vault"] == vault && record["secret"] == "app/key" && record["action"] == "read"
    };
    records.iter().rfind(read).unwrap().clone()
}

/// A way to a server by an address of its own, which stays when it is cut: a store at another
/// address would be another store, and a copy of this one none of that.
struct Line {
    address: SocketAddr,
    up: Arc<AtomicBool>,
}

impl Line {
    /// It lasts as long as the tests.
    fn to(server: &str) -> Self {
        let server = server.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let up = Arc::new(AtomicBool::new(true));
        let open = Arc::clone(&up);
        thread::spawn(move || {
            while let Ok((near, _)) = listener.accept() {
                if open.load(Ordering::SeqCst) {
                    let far = TcpStream::connect(&server).unwrap();
                    carry(near.try_clone().unwrap(), far.try_clone().unwrap());
                    carry(far, near);
                }
            }
        });
        Self { address, up }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on whoever connects is hung up on. No command is under way.
    fn cut(&self) {
        self.up.store(false, Ordering::SeqCst);
    }

    fn mend(&self) {
        self.up.store(true, Ordering::SeqCst);
    }
}

/// Hands on what comes until one end hangs up.
fn carry(mut from: TcpStream, mut to: TcpStream) {
    thread::spawn(move || {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
}

#[test]
fn a_copy_serves_while_its_source_is_away_and_says_how_old_it_is() {
    let server = server("STRONGROOM_TEST_VAULT");
    let line = Line::to(&server);
    let shop = copied(settings("hashicorp-vault").replace(&server, &line.url()));
    shop.set("prod:app/key", "one");
    shop.set("prod:other", "not copied");
    let first = shop.run(["sync", "offline"]).ok();
    assert_eq!(first.text(), "offline: 1 copied, 0 unchanged, 0 deleted\n");
    shop.set("prod:app/key", "two");
    assert_eq!(shop.get("either:app/key"), "two");
    assert_eq!(last_read(&shop, "either")["detail"], "from=prod");

    line.cut();
    make_older(&shop, 3);
    shop.run(["get", "prod:app/key"]).exits(5);
    for name in ["offline:app/key", "either:app/key"] {
        assert_eq!(shop.get(name), "one", "{name}");
        let about = shop.run(["describe", name, "--json"]).ok().json();
        assert_eq!(about["labels"]["synced-age"], "3h", "{about}");
        assert_eq!(about["labels"]["synced-from"], "prod:app/key", "{about}");
    }
    assert_eq!(last_read(&shop, "offline")["detail"], "synced=3h");
    let chained = last_read(&shop, "either");
    assert_eq!(chained["detail"], "from=offline synced=3h");
    let doctor = shop.run(["doctor", "offline"]).ok();
    let aged = doctor.text().contains("a copy of prod:app/, 3h old");
    assert!(aged, "{}", doctor.text());
    // What the copy does not have may be there all the same.
    shop.run(["get", "either:other"]).exits(5).says("prod");
    shop.run(["sync", "offline"]).exits(5);
    assert_eq!(shop.get("offline:app/key"), "one");

    make_older(&shop, 4);
    let too_old = "the copy of prod:app/ is older than 'max-stale' allows: 7h";
    for verb in ["get", "describe"] {
        let refused = shop.run([verb, "offline:app/key"]).exits(5);
        refused.says(too_old);
    }
    assert_eq!(last_read(&shop, "offline")["outcome"], "failed");
    shop.run(["get", "either:app/key"]).exits(5).says("prod");
    let doctor = shop.run(["doctor", "offline"]).exits(5);
    for part in [too_old, "strongroom sync offline"] {
        assert!(doctor.text().contains(part), "{}", doctor.text());
    }

    line.mend();
    let last = shop.run(["sync", "offline"]).ok();
    assert_eq!(last.text(), "offline: 1 copied, 0 unchanged, 0 deleted\n");
    assert_eq!(shop.get("offline:app/key"), "two");
    assert_eq!(last_read(&shop, "offline")["detail"], "synced=0m");
    shop.run(["audit", "verify"]).ok();
}

#[test]
fn a_source_at_another_address_is_no_outage_of_the_one_that_was_copied() {
    let shop = copied(settings("hashicorp-vault"));
    shop.set("prod:app/key", "one");
    shop.run(["sync", "offline"]).ok();
    let file = shop.room.path("strongroom.toml");
    let text = fs::read_to_string(&file).unwrap();
    let elsewhere = text.replace(&server("STRONGROOM_TEST_VAULT"), "http://127.0.0.1:1");
    assert_ne!(elsewhere, text);
    fs::write(&file, elsewhere).unwrap();
    let none = shop.run(["get", "offline:app/key"]).exits(5);
    none.says("the copy of prod:app/ was not made yet");
    shop.run(["get", "either:app/key"]).exits(5);
    // What was copied is still there for the one that it is a copy of.
    fs::write(&file, text).unwrap();
    assert_eq!(shop.get("offline:app/key"), "one");
}
