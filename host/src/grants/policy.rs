use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use strongroom_backend::{Prefix, Reference, SecretPath, VaultId};

use super::granted::Scope;
use super::{Action, Actions, Denied, Digest, Granted, HttpHost, Job, Name, Pattern, Principal};

/// One grant of a component or a role: these actions on these secrets of one vault, on conditions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The vault; no pattern reaches into another.
    pub vault: VaultId,
    /// The secrets; one of the patterns must match.
    pub secrets: Vec<Pattern>,
    /// The actions.
    pub actions: Actions,
    /// When the grant ends, in milliseconds since the Unix epoch: from that instant on it grants nothing.
    pub expires: Option<u64>,
    /// The hosts that `use-http` may send the value to.
    pub hosts: Vec<HttpHost>,
    /// The one field of the value, a JSON object, that `read` gives; none: all of it.
    pub field: Option<Arc<str>>,
    /// The line of the configuration that it stands on.
    pub line: usize,
}

/// Every grant in force, compiled from one configuration. It never changes: a reload makes another
/// policy with a higher generation.
#[derive(Debug)]
pub struct Policy {
    generation: u64,
    vaults: BTreeSet<VaultId>,
    components: HashMap<Name, Subject>,
    operator: Arc<str>,
    host: Arc<str>,
    syncs: Vec<SyncRule>,
}

/// What keeps one vault a copy of a part of another.
#[derive(Debug)]
struct SyncRule {
    label: Arc<str>,
    to: VaultId,
    from: Prefix,
}

impl SyncRule {
    fn allows(&self, asked: &Asked<'_>) -> bool {
        let source = asked.vault == self.from.vault()
            && matches!(asked.action, Action::Read | Action::List)
            && asked
                .path
                .is_none_or(|path| path.as_str().starts_with(self.from.path()));
        source || *asked.vault == self.to
    }
}

#[derive(Debug)]
struct Subject {
    pin: Option<Digest>,
    /// The component's own grants, then those of its roles in the order it names them.
    sets: Vec<Arc<[Rule]>>,
}

#[derive(Debug)]
pub(super) struct Rule {
    pub(super) label: Arc<str>,
    pub(super) grant: Grant,
}

/// What is asked, in the one form that is decided.
struct Asked<'a> {
    action: Action,
    vault: &'a VaultId,
    /// None: the listing of the vault.
    path: Option<&'a SecretPath>,
    /// Where `use-http` would send the value; none: not known yet.
    host: Option<(&'a str, u16)>,
}

/// What allows it.
struct Found<'p> {
    label: &'p Arc<str>,
    valid_until: Option<u64>,
    field: Option<&'p Arc<str>>,
}

impl<'p> Found<'p> {
    fn of(label: &'p Arc<str>) -> Self {
        Self {
            label,
            valid_until: None,
            field: None,
        }
    }

    fn by(rule: &'p Rule) -> Self {
        Self {
            valid_until: rule.grant.expires,
            field: rule.grant.field.as_ref(),
            ..Self::of(&rule.label)
        }
    }
}

impl Policy {
    /// Starts a policy that knows these vaults and grants nothing.
    pub(crate) fn builder(
        generation: u64,
        vaults: impl IntoIterator<Item = VaultId>,
    ) -> PolicyBuilder {
        PolicyBuilder {
            roles: HashMap::new(),
            policy: Self {
                generation,
                vaults: vaults.into_iter().collect(),
                components: HashMap::new(),
                operator: "operator".into(),
                host: "host".into(),
                syncs: Vec::new(),
            },
        }
    }

    /// The number of the configuration that this policy was compiled from.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The vaults that exist; everything in another one is denied to everybody.
    pub fn vaults(&self) -> impl Iterator<Item = &VaultId> {
        self.vaults.iter()
    }

    /// Whether `principal` may do `action` to `reference` at `now_ms`, in milliseconds since the Unix epoch.
    ///
    /// For [`Action::UseHttp`] this says that some host may get the value; where it really goes is
    /// for [`Policy::decide_http`].
    ///
    /// # Errors
    ///
    /// [`Denied`] where no grant allows it, in the same way whatever exists.
    pub fn decide(
        &self,
        principal: &Principal,
        action: Action,
        reference: &Reference,
        now_ms: u64,
    ) -> Result<Granted, Denied> {
        let (vault, path) = (reference.vault(), Some(reference.path()));
        let asked = Asked {
            action,
            vault,
            path,
            host: None,
        };
        self.find(principal, &asked, now_ms)
            .map(|found| self.proof(found, action, Scope::Secret(reference.clone())))
    }

    /// Decides for the first of `actions` that is granted, as for `describe`, which needs `list` or `read`.
    ///
    /// # Errors
    ///
    /// [`Denied`] where none of them is granted.
    pub fn decide_any(
        &self,
        principal: &Principal,
        actions: &[Action],
        reference: &Reference,
        now_ms: u64,
    ) -> Result<Granted, Denied> {
        let decide = |action: &Action| self.decide(principal, *action, reference, now_ms).ok();
        actions.iter().find_map(decide).ok_or(Denied)
    }

    /// Whether `principal` may start to list a vault: it has a grant in force to list something
    /// there. Each name that the listing shows needs a decision of its own.
    ///
    /// # Errors
    ///
    /// [`Denied`] where no grant lists anything there, as for a vault that does not exist.
    pub fn may_list_any(
        &self,
        principal: &Principal,
        vault: &VaultId,
        now_ms: u64,
    ) -> Result<Granted, Denied> {
        let action = Action::List;
        let asked = Asked {
            action,
            vault,
            path: None,
            host: None,
        };
        self.find(principal, &asked, now_ms)
            .map(|found| self.proof(found, action, Scope::Listing(vault.clone())))
    }

    /// Whether the value may be put, unseen, into a request to this host and port.
    ///
    /// # Errors
    ///
    /// [`Denied`] where no grant names the secret and the host together.
    pub fn decide_http(
        &self,
        principal: &Principal,
        reference: &Reference,
        host: &str,
        port: u16,
        now_ms: u64,
    ) -> Result<Granted, Denied> {
        let action = Action::UseHttp;
        let asked = Asked {
            action,
            vault: reference.vault(),
            path: Some(reference.path()),
            host: Some((host, port)),
        };
        self.find(principal, &asked, now_ms)
            .map(|found| self.proof(found, action, Scope::Secret(reference.clone())))
    }

    /// The one decision. Whether a vault exists makes no difference for a component: its grants are
    /// gone through in the same way.
    fn find(
        &self,
        principal: &Principal,
        asked: &Asked<'_>,
        now_ms: u64,
    ) -> Result<Found<'_>, Denied> {
        match principal {
            Principal::Component { name, digest } => {
                let subject = self.components.get(name).ok_or(Denied)?;
                if !subject.admits(*digest) {
                    return Err(Denied);
                }
                let mut rules = subject
                    .rules()
                    .filter(|rule| rule.grant.allows(asked, now_ms));
                // Grants only add: one of the whole value is not narrowed by one of a field.
                let first = rules.next().ok_or(Denied)?;
                let whole = match first.grant.field {
                    None => Some(first),
                    Some(_) => rules.find(|rule| rule.grant.field.is_none()),
                };
                Ok(Found::by(whole.unwrap_or(first)))
            }
            Principal::Operator { .. } if self.vaults.contains(asked.vault) => {
                Ok(Found::of(&self.operator))
            }
            Principal::Host { job: Job::Sync } if Job::Sync.may(asked.action) => {
                let rule = self.syncs.iter().find(|rule| rule.allows(asked));
                rule.map(|rule| Found::of(&rule.label)).ok_or(Denied)
            }
            Principal::Host { job }
                if *job != Job::Sync
                    && job.may(asked.action)
                    && self.vaults.contains(asked.vault) =>
            {
                Ok(Found::of(&self.host))
            }
            Principal::Operator { .. } | Principal::Host { .. } => Err(Denied),
        }
    }

    fn proof(&self, found: Found<'_>, action: Action, scope: Scope) -> Granted {
        let Found {
            label,
            valid_until,
            field,
        } = found;
        let field = field.filter(|_| action == Action::Read).cloned();
        Granted::new(
            label.clone(),
            self.generation,
            valid_until,
            action,
            scope,
            field,
        )
    }

    pub(super) fn component_names(&self) -> impl Iterator<Item = &str> {
        self.components.keys().map(Name::as_str)
    }

    /// The rules of a component, and whether it may use them with these bytes.
    pub(super) fn component(
        &self,
        name: &Name,
        digest: Option<Digest>,
    ) -> Option<(bool, impl Iterator<Item = &Rule>)> {
        let subject = self.components.get(name)?;
        Some((subject.admits(digest), subject.rules()))
    }
}

impl Subject {
    fn admits(&self, digest: Option<Digest>) -> bool {
        self.pin.is_none_or(|pin| digest == Some(pin))
    }

    fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.sets.iter().flat_map(|set| set.iter())
    }
}

impl Grant {
    /// Whether the grant is in force at this time.
    pub fn in_force(&self, now_ms: u64) -> bool {
        self.expires.is_none_or(|until| now_ms < until)
    }

    fn allows(&self, asked: &Asked<'_>, now_ms: u64) -> bool {
        let path = |path: &SecretPath| self.secrets.iter().any(|pattern| pattern.matches(path));
        let host = |(host, port)| self.hosts.iter().any(|of| of.matches(host, port));
        self.actions.contains(asked.action)
            && self.vault == *asked.vault
            && self.in_force(now_ms)
            && asked.path.is_none_or(path)
            && asked.host.is_none_or(host)
    }
}

/// Collects grants, and numbers them as audit records name them.
#[derive(Debug)]
pub(crate) struct PolicyBuilder {
    policy: Policy,
    roles: HashMap<Name, Arc<[Rule]>>,
}

impl PolicyBuilder {
    /// Adds a role. Roles come before the components that carry them.
    pub(crate) fn role(&mut self, name: &Name, grants: impl IntoIterator<Item = Grant>) {
        let rules = number("role", name, grants);
        self.roles.insert(name.clone(), rules);
    }

    /// Adds a component with its digest pin, its own grants and its roles. A role that was not added
    /// gives nothing.
    pub(crate) fn component<'r>(
        &mut self,
        name: &Name,
        pin: Option<Digest>,
        grants: impl IntoIterator<Item = Grant>,
        roles: impl IntoIterator<Item = &'r Name>,
    ) {
        let mut sets = vec![number("component", name, grants)];
        let carried = roles.into_iter().filter_map(|role| self.roles.get(role));
        sets.extend(carried.cloned());
        self.policy
            .components
            .insert(name.clone(), Subject { pin, sets });
    }

    /// Lets the host keep `to` a copy of `from`.
    pub(crate) fn sync(&mut self, to: &VaultId, from: &Prefix) {
        self.policy.syncs.push(SyncRule {
            label: format!("vault.{to}.sync").into(),
            to: to.clone(),
            from: from.clone(),
        });
    }

    /// The finished policy.
    pub(crate) fn build(self) -> Policy {
        self.policy
    }
}

fn number(of: &str, name: &Name, grants: impl IntoIterator<Item = Grant>) -> Arc<[Rule]> {
    let rule = |(index, grant)| Rule {
        label: format!("{of}.{name}.grants[{index}]").into(),
        grant,
    };
    grants.into_iter().enumerate().map(rule).collect()
}
