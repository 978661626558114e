use std::fmt;
use std::sync::Arc;

use strongroom_backend::Reference;

use super::policy::Rule;
use super::words::{nearest, timestamp};
use super::{Action, Denied, Granted, Policy, Principal};

/// The most grants that an explanation of a denial names.
const NEAR: usize = 5;

/// Why something is allowed or denied, for the operator alone: it tells what a guest must not know.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The decision.
    pub decision: Result<Granted, Denied>,
    /// What is wrong before any grant is looked at: an unknown component or vault, a digest pin.
    pub notes: Vec<String>,
    /// The grants that come closest to what was asked, closest first.
    pub near: Vec<NearMiss>,
}

/// A grant that does not allow what was asked.
#[derive(Clone, Debug)]
pub struct NearMiss {
    /// Its label, as audit records have it.
    pub label: Arc<str>,
    /// The line of the configuration that it stands on.
    pub line: usize,
    /// What keeps it from allowing it; never empty.
    pub why: Vec<String>,
}

impl Policy {
    /// Decides as [`Policy::decide`] does, and says why.
    pub fn explain(
        &self,
        principal: &Principal,
        action: Action,
        reference: &Reference,
        now_ms: u64,
    ) -> Explanation {
        let mut explanation = Explanation {
            decision: self.decide(principal, action, reference, now_ms),
            notes: Vec::new(),
            near: Vec::new(),
        };
        if explanation.decision.is_ok() {
            return explanation;
        }
        let vault = reference.vault().as_str();
        if !self.vaults().any(|known| known.as_str() == vault) {
            let known = self.vaults().map(|id| id.as_str());
            let note = format!("there is no vault '{vault}'{}", nearest(vault, known));
            explanation.notes.push(note);
        }
        match principal {
            Principal::Component { name, digest } => match self.component(name, *digest) {
                None => {
                    let known = nearest(name.as_str(), self.component_names());
                    let note = format!("there is no [component.{name}]{known}");
                    explanation.notes.push(note);
                }
                Some((admitted, rules)) => {
                    if !admitted {
                        let note = "the component's entry pins other bytes by 'digest'";
                        explanation.notes.push(note.into());
                    }
                    explanation.near = nearest_rules(rules, action, reference, now_ms);
                }
            },
            Principal::Host { job } if !job.may(action) => {
                let note = format!("the host's job '{}' does not {action}", job.as_str());
                explanation.notes.push(note);
            }
            Principal::Operator { .. } | Principal::Host { .. } => {}
        }
        explanation
    }
}

fn nearest_rules<'r>(
    rules: impl Iterator<Item = &'r Rule>,
    action: Action,
    reference: &Reference,
    now_ms: u64,
) -> Vec<NearMiss> {
    let miss = |rule: &Rule| NearMiss {
        label: rule.label.clone(),
        line: rule.grant.line,
        why: obstacles(rule, action, reference, now_ms),
    };
    // A grant that lets it pass is no near miss: then the component's digest is what denies.
    let mut near: Vec<_> = rules
        .map(miss)
        .filter(|miss| !miss.why.is_empty())
        .collect();
    near.sort_by_key(|miss| miss.why.len());
    near.truncate(NEAR);
    near
}

fn obstacles(rule: &Rule, action: Action, reference: &Reference, now_ms: u64) -> Vec<String> {
    let grant = &rule.grant;
    let mut why = Vec::new();
    if grant.vault != *reference.vault() {
        why.push(format!("is for vault '{}'", grant.vault));
    }
    if !grant.secrets.iter().any(|of| of.matches(reference.path())) {
        let patterns: Vec<_> = grant.secrets.iter().map(|of| of.as_str()).collect();
        why.push(format!("covers only {}", patterns.join(", ")));
    }
    if !grant.actions.contains(action) {
        why.push(format!("allows {}, not {action}", grant.actions));
    }
    if let Some(expires) = grant.expires
        && !grant.in_force(now_ms)
    {
        why.push(format!("expired at {}", timestamp(expires)));
    }
    why
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.decision {
            Ok(granted) => {
                write!(f, "allowed by {}", granted.label())?;
                if let Some(field) = granted.field() {
                    write!(f, ", the field '{field}' alone")?;
                }
                if let Some(until) = granted.valid_until() {
                    write!(f, ", until {}", timestamp(until))?;
                }
            }
            Err(Denied) => f.write_str("denied: no grant allows it")?,
        }
        for note in &self.notes {
            write!(f, "\n  {note}")?;
        }
        for miss in &self.near {
            let why = miss.why.join("; ");
            write!(f, "\n  {} (line {}) {why}", miss.label, miss.line)?;
        }
        Ok(())
    }
}
