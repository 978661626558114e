use std::sync::Arc;

use jiff::Timestamp;
use toml::de::DeValue;

use super::fields::{MOST_FIELD, is_field};
use super::parse::{Known, known_vault};
use super::reader::{Section, quoted, section, wrong_type};
use crate::grants::{Action, Actions, Grant, HttpHost, Pattern, nearest};

/// Reads the `grants` of a component or a role.
pub(super) fn grants(outer: &mut Section<'_, '_>, known: &Known) -> Vec<Grant> {
    let reader = outer.reader;
    let mut grants = Vec::new();
    for (index, value) in outer.array("grants").iter().enumerate() {
        let name = format!("{}.grants[{index}]", outer.name());
        if let Some(inner) = section(reader, name, value) {
            grants.extend(grant(inner, known));
        }
    }
    grants
}

/// None where something is wrong; what was reported then keeps the whole file from being used.
fn grant(mut section: Section<'_, '_>, known: &Known) -> Option<Grant> {
    let reader = section.reader;
    let vault = match section.string("vault") {
        Some(text) => known_vault(reader, &text, known),
        None if section.lacks("vault") => {
            section.missing("vault", ": a grant names the vault that it is for");
            None
        }
        None => None,
    };
    let secrets = patterns(&mut section);
    let actions = actions(&mut section);
    let expires = expires(&mut section);
    let hosts = hosts(&mut section, actions);
    let field = field(&mut section, actions);
    let line = reader.line(section.span());
    section.finish();
    Some(Grant {
        vault: vault?,
        secrets,
        actions,
        expires,
        hosts,
        field,
        line,
    })
}

fn patterns(section: &mut Section<'_, '_>) -> Vec<Pattern> {
    let texts = section.strings("secrets");
    if section.lacks("secrets") {
        section.missing(
            "secrets",
            ": patterns of the secrets, \"**\" for all of the vault",
        );
    }
    let mut patterns = Vec::with_capacity(texts.len());
    for text in texts {
        match Pattern::parse(text.value) {
            Ok(pattern) => patterns.push(pattern),
            Err(error) => {
                let message = || format!("pattern {}: {error}", quoted(text.value));
                section.reader.report(&text.span, message);
            }
        }
    }
    patterns
}

fn actions(section: &mut Section<'_, '_>) -> Actions {
    let words = section.strings("actions");
    if section.lacks("actions") {
        section.missing("actions", ", as in actions = [\"read\"]");
    }
    let mut actions = Actions::default();
    for word in words {
        match Actions::parse(word.value) {
            Some(parsed) => actions = actions.union(parsed),
            None => section.reader.report(&word.span, || {
                let near = nearest(word.value, Actions::words());
                format!("unknown action {}{near}", quoted(word.value))
            }),
        }
    }
    actions
}

/// Without an offset a time would mean another instant on another machine.
fn expires(section: &mut Section<'_, '_>) -> Option<u64> {
    let value = section.any("expires")?;
    let (reader, span) = (section.reader, value.span());
    let DeValue::Datetime(time) = value.get_ref() else {
        wrong_type(
            reader,
            "expires",
            "a time without quotes, as in 2027-01-01T00:00:00Z",
            value.get_ref(),
            &span,
        );
        return None;
    };
    let Ok(instant) = time.to_string().parse::<Timestamp>() else {
        let message =
            || "'expires' must be a date, a time and an offset, as in 2027-01-01T00:00:00Z".into();
        reader.report(&span, message);
        return None;
    };
    // Before 1970 has expired in any case.
    Some(u64::try_from(instant.as_millisecond()).unwrap_or(0))
}

fn hosts(section: &mut Section<'_, '_>, actions: Actions) -> Vec<HttpHost> {
    let texts = section.strings("hosts");
    let mut hosts = Vec::with_capacity(texts.len());
    for text in texts {
        match HttpHost::parse(text.value) {
            Ok(host) => hosts.push(host),
            Err(error) => {
                let message = || format!("host {}: {error}", quoted(text.value));
                section.reader.report(&text.span, message);
            }
        }
    }
    let named = !section.lacks("hosts");
    match (actions.contains(Action::UseHttp), named) {
        (true, false) => section.missing(
            "hosts",
            ": 'use-http' names the hosts that may get the value",
        ),
        (false, true) => {
            let message = || "'hosts' goes with the action 'use-http'".into();
            section.reader.report(section.span(), message);
        }
        _ => {}
    }
    hosts
}

/// A field goes with seeing: whatever else a grant allows is of the whole secret.
fn field(section: &mut Section<'_, '_>, actions: Actions) -> Option<Arc<str>> {
    let text = section.string("field")?;
    let reader = section.reader;
    if !is_field(text.value) {
        let message = || format!("'field' must have 1 to {MOST_FIELD} bytes");
        reader.report(&text.span, message);
    }
    let seeing = Actions::of(&[Action::Read, Action::List]);
    if actions.union(seeing) != seeing {
        let message = || "'field' goes with the actions 'read' and 'list' alone".into();
        reader.report(&text.span, message);
    }
    Some(text.value.into())
}
