//! Vaults that stand for others: chains, and copies that are kept in step.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use strongroom_backend::{Prefix, VaultId};
use strongroom_backend_layers::OnError;

use super::copies;
use super::layers::{duration, refuse};
use super::parse::{Known, known_vault};
use super::reader::{At, Reader, Section, quoted};
use super::vault::VaultConfig;
use crate::grants::nearest;

/// A chain within a chain within a chain is a mistake long before this.
const MOST_NESTED: usize = 8;
/// Each member may be asked for each read.
const MOST_MEMBERS: usize = 16;
/// So may each vault below a chain of chains, once for each way that leads to it: without a bound,
/// one read of a name that none of them has would ask 16 to the power of the levels.
const MOST_ASKED: usize = 64;

/// A vault that stands for others, asked in order.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChainConfig {
    /// The vaults, first asked first.
    pub members: Vec<VaultId>,
    /// What a failure of one of them does.
    pub on_error: OnError,
}

/// A vault that is kept a copy of a part of another.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SyncConfig {
    /// What is copied: a vault and the beginning of its names, in whose place names here have `to`.
    pub from: Prefix,
    /// What names here begin with; empty, or whole segments that end with `/`.
    pub to: String,
    /// Whether it is copied when the host starts.
    pub on_start: bool,
    /// Whether it is copied when the source tells of a change, which not every store can.
    pub on_change: bool,
    /// How often it is copied; none: only at the start and on demand.
    pub every: Option<Duration>,
    /// How old the copy may be to be served.
    pub max_stale: Duration,
}

impl SyncConfig {
    /// A copy that is not made anew within a day is not in step with anything.
    pub const MAX_STALE: Duration = Duration::from_secs(24 * 60 * 60);
    const LEAST_EVERY: Duration = Duration::from_secs(1);
    /// A copy that is served for less is none.
    const LEAST_STALE: Duration = Duration::from_millis(100);
    const MOST: Duration = Duration::from_secs(366 * 24 * 60 * 60);
}

/// The vaults that a table leads to, each with its place; checked when all of them are known.
pub(super) type Links = Vec<(String, Range<usize>)>;

/// Reads `chain` and what goes with it.
pub(super) fn chain(section: &mut Section<'_, '_>) -> Option<(ChainConfig, Links)> {
    let reader = section.reader;
    let mut texts = section.strings("chain");
    if texts.len() > MOST_MEMBERS {
        let message = || format!("'chain' holds more than {MOST_MEMBERS} vaults");
        reader.report(section.span(), message);
        texts.truncate(MOST_MEMBERS);
    }
    if section.lacks("chain") {
        section.missing("chain", ": the ids of vaults, first asked first");
        return None;
    }
    let on_error = on_error(section);
    let parse = |text: &At<&str>| VaultId::parse(text.value).ok();
    let config = ChainConfig {
        members: texts.iter().filter_map(parse).collect(),
        on_error,
    };
    let links = texts
        .into_iter()
        .map(|text| (text.value.to_owned(), text.span))
        .collect();
    Some((config, links))
}

fn on_error(section: &mut Section<'_, '_>) -> OnError {
    let Some(word) = section.string("on-error") else {
        return OnError::default();
    };
    match word.value {
        "stop" => OnError::Stop,
        "next" => OnError::Next,
        _ => {
            section.reader.report(&word.span, || {
                let near = nearest(word.value, ["stop", "next"].into_iter());
                format!("unknown word {}{near}", quoted(word.value))
            });
            OnError::default()
        }
    }
}

/// Reads `sync`, which only a store of this machine can have.
pub(super) fn sync(outer: &mut Section<'_, '_>, backend: &str) -> Option<(SyncConfig, Links)> {
    if !matches!(backend, "local" | "memory") {
        refuse(
            outer,
            &["sync"],
            "only a vault of backend 'local' or 'memory' can be a copy",
        );
        return None;
    }
    let mut section = outer.section("sync")?;
    let from = section.string("from");
    if section.lacks("from") {
        section.missing("from", ", as in from = \"prod:app/\"");
    }
    let on_start = section.boolean("on-start").unwrap_or(true);
    let on_change = section.boolean("on-change").unwrap_or(true);
    let every = SyncConfig::LEAST_EVERY..=SyncConfig::MOST;
    let every = duration(&mut section, "every", every);
    let max_stale = SyncConfig::LEAST_STALE..=SyncConfig::MOST;
    let max_stale = duration(&mut section, "max-stale", max_stale).unwrap_or(SyncConfig::MAX_STALE);
    let to = section.string("to");
    let (reader, name) = (section.reader, section.name().to_owned());
    if every.is_some_and(|every| every >= max_stale) {
        let message = || {
            "'every' must be shorter than 'max-stale' (24h where it is not set), or the copy is too \
             old to be served before it is made anew"
                .into()
        };
        reader.report(section.span(), message);
    }
    section.finish();
    let to = to.map_or(Some(String::new()), |to| {
        let parsed = Prefix::parse(&format!("here:{}", to.value), None);
        let whole = to.value.is_empty() || to.value.ends_with('/');
        if parsed.is_ok() && whole {
            return Some(to.value.to_owned());
        }
        reader.report(&to.span, || {
            "'to' must be whole segments of a path that end with '/': \"app/\"".into()
        });
        None
    });
    let from = from?;
    match Prefix::parse(from.value, None) {
        Ok(prefix) if !prefix.path().is_empty() && !prefix.path().ends_with('/') => {
            let message = || {
                "'from' must be a vault, or whole segments of it that end with '/': \"prod:app/\""
                    .into()
            };
            reader.report(&from.span, message);
            None
        }
        Ok(prefix) => {
            let links = vec![(prefix.vault().as_str().to_owned(), from.span)];
            let config = SyncConfig {
                from: prefix,
                to: to?,
                on_start,
                on_change,
                every,
                max_stale,
            };
            Some((config, links))
        }
        Err(error) => {
            reader.report(&from.span, || format!("'{name}.from': {error}"));
            None
        }
    }
}

/// Checks that vaults lead to vaults that are there, and never back to themselves, that they are not
/// nested too deep or too many to ask, and that no copy is made of a copy: its age would be counted
/// from when it was copied, not from when it was true.
pub(super) fn check(
    reader: &Reader<'_>,
    known: &Known,
    vaults: &BTreeMap<VaultId, VaultConfig>,
    links: &BTreeMap<VaultId, Links>,
) {
    let mut walk = Walk {
        reader,
        known,
        vaults,
        links,
        seen: BTreeMap::new(),
        way: Vec::new(),
    };
    let mut bounded = true;
    for id in vaults.keys() {
        bounded &= walk.visit(id).asked <= MOST_ASKED;
    }
    if bounded {
        copies::check(reader, vaults, links);
    }
}

/// A walk that takes each link once: a stranger's chains of chains must not take as long as there are
/// ways through them.
struct Walk<'w> {
    reader: &'w Reader<'w>,
    known: &'w Known,
    vaults: &'w BTreeMap<VaultId, VaultConfig>,
    links: &'w BTreeMap<VaultId, Links>,
    /// What was found; none on the way to there.
    seen: BTreeMap<VaultId, Option<Found>>,
    /// From where the walk began to where it is, each with the link that it went on by.
    way: Vec<(VaultId, Range<usize>)>,
}

/// What lies below a vault.
#[derive(Clone, Default)]
struct Found {
    /// How many vaults lie within each other.
    depth: usize,
    /// How many stores one read may ask, those counted again to which several ways lead.
    asked: usize,
    /// A copy that it is, or leads to.
    copy: Option<VaultId>,
}

impl Walk<'_> {
    fn visit(&mut self, id: &VaultId) -> Found {
        if let Some(Some(found)) = self.seen.get(id) {
            return found.clone();
        }
        self.seen.insert(id.clone(), None);
        self.way.push((id.clone(), 0..0));
        let copies = self.vaults.get(id).is_some_and(|it| it.sync.is_some());
        let mut all = Found::default();
        // A chain that is too large makes each above it so: only the innermost is reported.
        let mut told = false;
        for (text, span) in self.links.get(id).into_iter().flatten() {
            let at = At {
                value: text.as_str(),
                span: span.clone(),
            };
            let Some(next) = known_vault(self.reader, &at, self.known) else {
                continue;
            };
            if let Some((_, by)) = self.way.last_mut() {
                *by = span.clone();
            }
            if let Some(None) = self.seen.get(&next) {
                self.report_loop(&next);
                // Without a bound, and said so already.
                (all.asked, told) = (usize::MAX, true);
                continue;
            }
            let found = self.visit(&next);
            all.depth = all.depth.max(found.depth + 1);
            all.asked = all.asked.saturating_add(found.asked);
            told |= found.asked > MOST_ASKED;
            if let (true, Some(copy)) = (copies, &found.copy) {
                let message = || {
                    format!("[vault.{copy}] is a copy itself: copy what it is a copy of instead")
                };
                self.reader.report(span, message);
            }
            all.copy = all.copy.or(found.copy);
        }
        self.way.pop();
        if copies {
            all.copy = Some(id.clone());
        }
        if let Some(vault) = self.vaults.get(id).filter(|_| all.depth > MOST_NESTED) {
            let message = || format!("more than {MOST_NESTED} vaults lie within each other here");
            self.reader.report(&vault.span, message);
        }
        let chain = self.vaults.get(id).filter(|it| it.chain.is_some());
        match chain {
            None => all.asked = 1,
            Some(vault) if all.asked > MOST_ASKED && !told => {
                let message = || format!("one read here may ask more than {MOST_ASKED} vaults");
                self.reader.report(&vault.span, message);
            }
            Some(_) => {}
        }
        self.seen.insert(id.clone(), Some(all.clone()));
        all
    }

    /// The last vault of the way leads to `id`, which lies on it.
    fn report_loop(&self, id: &VaultId) {
        let way = self.way.iter().skip_while(|(passed, _)| passed != id);
        let Some((_, span)) = way.clone().next() else {
            return;
        };
        let message = || {
            let way: String = way.map(|(passed, _)| format!("{passed} -> ")).collect();
            format!("[vault.{id}] leads back to itself: {way}{id}")
        };
        self.reader.report(span, message);
    }
}
