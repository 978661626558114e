//! Chains and copies that are refused, and how long it takes to find out.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed test panics"
)]

use std::path::Path;

use strongroom::config::{Backends, Config};

fn parse(text: impl AsRef<[u8]>) -> Result<Config, String> {
    let backends = Backends::new(["local", "memory"]);
    let parsed = Config::parse(text.as_ref(), Path::new("/etc/s.toml"), &backends);
    parsed.map_err(|error| error.to_string())
}

/// In an outage the copy would answer for another secret than the one that was asked for.
#[test]
fn a_chain_asks_a_copy_for_the_names_of_its_source_or_not_at_all() {
    let text = |to: &str, chain: &str| {
        format!(
            "[vault.prod]\nbackend = 'memory'\n[vault.inner]\nchain = ['prod']\n\
             [vault.offline]\nbackend = 'memory'\n[vault.offline.sync]\nfrom = 'prod:app/'\n{to}\n\
             [vault.safe]\nchain = [{chain}]\n"
        )
    };
    for to in ["", "to = 'other/'"] {
        let error = parse(text(to, "'prod', 'offline'")).unwrap_err();
        assert!(
            error.contains("[vault.offline.sync] to = 'app/'"),
            "{error}"
        );
    }
    let right = text("to = 'app/'", "'prod', 'offline'");
    parse(right).unwrap();
    // Where either stands in another chain, this one would not know that the source said no.
    for chain in ["'inner', 'offline'", "'prod', 'outer'"] {
        let outer = format!(
            "{}[vault.outer]\nchain = ['offline']\n",
            text("to = 'app/'", chain)
        );
        let error = parse(outer).unwrap_err();
        assert!(error.contains("among its own members"), "{error}");
    }
    parse(text("", "'offline', 'prod'")).unwrap();
}

/// Each of 16 vaults of a level stands for all 16 of the next: 16 to the power of the levels ways lead
/// through them, and a found file is read before anybody trusts it.
#[test]
fn chains_of_chains_are_walked_once() {
    let text = |levels: usize| {
        let mut text = String::new();
        for level in 0..levels {
            let next: Vec<_> = (0..16).map(|at| format!("'v{}-{at}'", level + 1)).collect();
            for at in 0..16 {
                let next = next.join(", ");
                text.push_str(&format!("[vault.v{level}-{at}]\nchain = [{next}]\n"));
            }
        }
        for at in 0..16 {
            text.push_str(&format!("[vault.v{levels}-{at}]\nbackend = 'memory'\n"));
        }
        text
    };
    let error = parse(text(8)).unwrap_err();
    assert!(error.contains("may ask more than 64 vaults"), "{error}");
    let error = parse(text(60)).unwrap_err();
    assert!(
        error.contains("more than 8 vaults lie within each other"),
        "{error}"
    );
    let error = parse(text(63)).unwrap_err();
    assert!(error.contains("more than 1000 vaults"), "{error}");
}

/// One read of a name that no vault has asks all of them, and one to which two ways lead twice.
#[test]
fn chains_of_chains_are_bounded_by_what_one_read_asks() {
    let stores: Vec<_> = (0..17).map(|at| format!("'s{at}'")).collect();
    let mut base = String::new();
    for at in 0..stores.len() {
        base.push_str(&format!("[vault.s{at}]\nbackend = 'memory'\n"));
    }
    for at in 0..4 {
        let members = stores[..16].join(", ");
        base.push_str(&format!("[vault.c{at}]\nchain = [{members}]\n"));
    }
    let chain = |members: &str| format!("{base}[vault.all]\nchain = [{members}]\n");
    parse(chain("'c0', 'c1', 'c2', 'c3'")).unwrap();
    // A read of a copy asks the copy alone.
    let copy = "[vault.copy]\nbackend = 'memory'\nsync = { from = 'all:' }\n[vault.two]\n\
                chain = ['copy', 's0']\n";
    parse(chain("'c0', 'c1', 'c2', 'c3'") + copy).unwrap();
    let error = parse(chain("'c0', 'c1', 'c2', 'c3', 's16'")).unwrap_err();
    assert!(error.contains("may ask more than 64 vaults"), "{error}");
    // What stands around it is not told of as well.
    let above = chain("'c0', 'c1', 'c2', 'c3', 's16'") + "[vault.above]\nchain = ['all']\n";
    let error = parse(above).unwrap_err();
    assert_eq!(error.matches("may ask more").count(), 1, "{error}");
    // Each level doubles the ways, with two vaults a level.
    let mut doubled =
        String::from("[vault.d0]\nbackend = 'memory'\n[vault.e0]\nbackend = 'memory'\n");
    for at in 1..=7 {
        let members = format!("chain = ['d{}', 'e{}']", at - 1, at - 1);
        doubled.push_str(&format!(
            "[vault.d{at}]\n{members}\n[vault.e{at}]\n{members}\n"
        ));
        let parsed = parse(&doubled);
        assert_eq!(parsed.is_ok(), at <= 6, "{at} {parsed:?}");
    }
}

/// Each member that is one too many must not cost a look at all the others.
#[test]
fn a_chain_of_a_whole_file_is_refused_at_once() {
    let members = "'a', ".repeat(170_000);
    let error = parse(format!("[vault.a]\nchain = [{members}]\n")).unwrap_err();
    assert!(error.contains("'chain' holds 'a' twice"), "{error}");
}
