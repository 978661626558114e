//! `strongroom check`: what a component may do, and why.

use jiff::Timestamp;
use serde_json::{Value, json};
use strongroom::backend::Reference;
use strongroom::config::Config;
use strongroom::grants::{Action, Explanation, Name, Principal};

use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output;
use crate::support::time;

/// Say whether a component may do something, and which grant decides
///
/// Reads the configuration alone: no vault is asked and nothing is recorded. Exit code 3 when denied.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  strongroom check billing read stripe/api-key
  strongroom check billing write prod:shared/token --json")]
pub(crate) struct Args {
    /// The component, as [component.<name>] in the configuration
    #[arg(value_name = "COMPONENT")]
    component: String,

    /// read, list, write, delete, undelete, rollback, destroy, rotate, lease, use-http, use-encrypt,
    /// use-decrypt, use-sign, use-verify or use-hmac
    #[arg(value_name = "ACTION", value_parser = parse_action, hide_possible_values = true)]
    action: Action,

    /// The secret: [<vault-id>:]<path>; without a vault id in the component's default vault
    #[arg(value_name = "REF")]
    reference: String,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<(), Failure> {
    let (_, config) = context.load()?;
    let now = u64::try_from(Timestamp::now().as_millisecond()).unwrap_or_default();
    let question = Question::new(&args, &config)?;
    let explanation =
        config
            .policy(0)
            .explain(&question.principal, args.action, &question.reference, now);
    if context.json {
        output::document(&document(&args, &question.reference, &explanation))?;
    } else {
        output::line(&format!(
            "{} {} {}: {explanation}",
            args.component, args.action, question.reference
        ))?;
    }
    match explanation.decision {
        Ok(_) => Ok(()),
        Err(_) => Err(Failure::new(Exit::Denied, String::new())),
    }
}

/// What the policy is asked.
struct Question {
    principal: Principal,
    reference: Reference,
}

impl Question {
    fn new(args: &Args, config: &Config) -> Result<Self, Failure> {
        let name = Name::parse(&args.component)
            .map_err(|e| Failure::usage(format!("the component's name: {e}")))?;
        let entry = config.components.get(&name);
        let default = match entry {
            Some(entry) => entry.default_vault.as_ref(),
            None => config.default_vault.as_ref(),
        };
        let reference = Reference::parse(&args.reference, default)
            .map_err(|e| Failure::usage(format!("invalid reference: {e}")))?;
        // As the bytes that the entry pins: whether a file has them is `run`'s to find out.
        let digest = entry.and_then(|entry| entry.digest);
        Ok(Self {
            principal: Principal::Component { name, digest },
            reference,
        })
    }
}

fn document(args: &Args, reference: &Reference, explanation: &Explanation) -> Value {
    let granted = explanation.decision.as_ref().ok();
    let near = explanation
        .near
        .iter()
        .map(|miss| json!({ "grant": &*miss.label, "line": miss.line, "why": miss.why }));
    json!({
        "component": args.component,
        "action": args.action.as_str(),
        "reference": reference.to_string(),
        "allowed": granted.is_some(),
        "grant": granted.map(|granted| granted.label().to_string()),
        "until": granted.and_then(|granted| granted.valid_until()).map(time::show),
        "notes": explanation.notes,
        "near": near.collect::<Vec<_>>(),
    })
}

fn parse_action(word: &str) -> Result<Action, String> {
    if let Some(action) = Action::parse(word) {
        return Ok(action);
    }
    let near = Action::ALL
        .iter()
        .map(|action| (strsim::damerau_levenshtein(word, action.as_str()), action))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, _)| *distance <= 2);
    Err(match (word, near) {
        ("data-read", _) => "is short for 'list' and 'read': ask for one of them".into(),
        ("data-write", _) => "is short for 'write' and 'delete': ask for one of them".into(),
        (_, Some((_, near))) => format!("is no action: did you mean '{near}'?"),
        (_, None) => {
            let all: Vec<_> = Action::ALL.iter().map(|action| action.as_str()).collect();
            format!("is no action; the actions are {}", all.join(", "))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_action_gets_the_nearest_word() {
        assert_eq!(parse_action("use-http"), Ok(Action::UseHttp));
        assert!(parse_action("raed").unwrap_err().contains("'read'"));
        assert!(
            parse_action("data-read")
                .unwrap_err()
                .contains("'list' and 'read'")
        );
        assert!(parse_action("everything").unwrap_err().contains("use-hmac"));
    }
}
