use std::fmt::Write as _;
use std::path::Path;

use arbitrary::{Result, Unstructured};
use strongroom::config::{Backends, Config};
use strongroom::grants::{Action, Actions, Name, Pattern, Principal};
use strongroom_backend::Reference;

#[path = "../../host/tests/grants_model/mod.rs"]
mod grants_model;

use grants_model::{Grant, allowed};

const VAULTS: [&str; 3] = ["app", "prod", "gone"];
/// 2027-01-01T00:00:00Z; expiries and questions stand within milliseconds of it.
const NOW: u64 = 1_798_761_600_000;
/// The model tries every split at a star, so that its work must be bounded.
const LONGEST: usize = 24;

/// Decides as the model of the host's tests does.
pub fn grants(data: &[u8]) {
    let _ = compare(&mut Unstructured::new(data));
}

fn compare(data: &mut Unstructured<'_>) -> Result<()> {
    let mut own = Vec::new();
    let mut roles = Vec::new();
    for _ in 0..data.int_in_range(0..=4)? {
        let list = if data.ratio(1, 3)? {
            &mut roles
        } else {
            &mut own
        };
        list.push(grant(data)?);
    }
    let text = format!(
        "[vault.app]\nbackend = 'memory'\n[vault.prod]\nbackend = 'memory'\n\
         [component.it]\nroles = ['r']\n{}[role.r]\n{}",
        toml_of(&own),
        toml_of(&roles)
    );
    let config = Config::parse(
        text.as_bytes(),
        Path::new("/s.toml"),
        &Backends::new(["memory"]),
    );
    let policy = config
        .unwrap_or_else(|error| panic!("{error}\n{text}"))
        .policy(1);
    let all: Vec<_> = own.into_iter().chain(roles).collect();
    let name = Name::parse("it").expect("a name");
    let principal = Principal::Component { name, digest: None };
    for _ in 0..8 {
        let path = word(data, b"ab/")?;
        let vault = *data.choose(&VAULTS)?;
        let action = *data.choose(&Action::ALL)?;
        let now = NOW + data.int_in_range(0..=4)?;
        let Ok(asked) = Reference::parse(&format!("{vault}:{path}"), None) else {
            continue;
        };
        let decided = policy.decide(&principal, action, &asked, now).is_ok();
        let expected = vault != "gone" && allowed(&all, action.as_str(), vault, &path, now);
        assert_eq!(decided, expected, "{action} {asked} at {now}\n{text}");
        let explained = policy.explain(&principal, action, &asked, now);
        assert_eq!(explained.decision.is_ok(), decided);
    }
    Ok(())
}

fn grant(data: &mut Unstructured<'_>) -> Result<Grant> {
    let mut secrets: Vec<String> = Vec::new();
    for _ in 0..data.int_in_range(1..=3)? {
        let pattern = word(data, b"ab*/")?;
        if Pattern::parse(&pattern).is_ok() && !secrets.contains(&pattern) {
            secrets.push(pattern);
        }
    }
    if secrets.is_empty() {
        secrets.push("**".into());
    }
    let words: Vec<_> = Actions::words()
        .filter(|word| *word != "use-http")
        .collect();
    Ok(Grant {
        vault: (*data.choose(&VAULTS[..2])?).to_owned(),
        secrets,
        actions: vec![*data.choose(&words)?],
        expires: match data.int_in_range(0..=4)? {
            0 => None,
            ms => Some(NOW + ms),
        },
    })
}

fn word(data: &mut Unstructured<'_>, letters: &[u8]) -> Result<String> {
    let length = data.int_in_range(1..=LONGEST)?;
    let letter = |_| data.choose(letters).map(|letter| char::from(*letter));
    (0..length).map(letter).collect()
}

fn toml_of(grants: &[Grant]) -> String {
    let mut text = String::from("grants = [\n");
    for grant in grants {
        let Grant {
            vault,
            secrets,
            actions,
            expires,
        } = grant;
        let _ = write!(
            text,
            "{{ vault = {vault:?}, secrets = {secrets:?}, actions = {actions:?}"
        );
        if let Some(at) = expires {
            let _ = write!(text, ", expires = 2027-01-01T00:00:00.{:03}Z", at - NOW);
        }
        text.push_str(" },\n");
    }
    text + "]\n"
}
