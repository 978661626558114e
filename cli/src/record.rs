//! Puts what an operator does to a whole vault on record: the intent before it, the outcome after it.

use strongroom::Broker;
use strongroom::audit::{
    Action, AppendError, Call, Counter, Entry, Outcome, Subject, Target, Text, Via,
};
use strongroom::backend::{Backend, VaultId};
use strongroom_backend_local::LocalBackend;

use crate::failure::{Failure, chain};

/// A change whose intent is on disk.
pub(crate) struct Recorded {
    broker: Broker,
    subject: Subject,
    target: Target,
    grant: Text,
    via: Via,
    action: Action,
    intent: Call,
}

impl Recorded {
    /// Records the intent; without it nothing may be changed.
    pub(crate) async fn begin(
        broker: &Broker,
        vault: &VaultId,
        action: Action,
        via: &'static str,
    ) -> Result<Self, Failure> {
        let log = broker.log();
        let principal = broker.operator()?.principal().to_string();
        let subject = log.subject(&principal, None, None);
        let target = log.target(&subject, Some(vault.as_str()), None);
        let grant = log.grant("operator");
        let mut recorded = Self {
            broker: broker.clone(),
            subject,
            target,
            grant,
            via: log.via(via),
            action,
            intent: Call(0),
        };
        let intent = recorded.complete(Entry::intent(&recorded.subject, action));
        recorded.intent = recorded.write(&intent).await?;
        Ok(recorded)
    }

    /// Records how it ended, with the counter that `store` has now where it was changed.
    pub(crate) async fn end(self, done: bool, store: Option<&LocalBackend>) -> Result<(), Failure> {
        let mark = store.and_then(|store| store.mark().ok().flatten());
        let outcome = if done {
            Outcome::Allowed
        } else {
            Outcome::Failed
        };
        let entry = Entry {
            of: Some(self.intent),
            counter: mark.as_ref().map(|mark| Counter {
                store: &mark.store,
                value: mark.counter,
                accept: false,
            }),
            ..self.complete(Entry::outcome(&self.subject, self.action, outcome))
        };
        self.write(&entry).await.map(drop)
    }

    fn complete<'e>(&'e self, entry: Entry<'e>) -> Entry<'e> {
        let generation = self.broker.with_policy(|policy| policy.generation());
        Entry {
            target: Some(&self.target),
            grant: Some(&self.grant),
            via: self.via,
            policy: u32::try_from(generation).unwrap_or(u32::MAX),
            ..entry
        }
    }

    async fn write(&self, entry: &Entry<'_>) -> Result<Call, Failure> {
        let unavailable = |error: AppendError| Failure::unavailable(chain(&error));
        let log = self.broker.log();
        let call = match log.append(entry) {
            Err(AppendError::Full) => {
                log.ready(&self.subject).await.map_err(unavailable)?;
                log.append(entry)
            }
            taken => taken,
        };
        let call = call.map_err(unavailable)?;
        log.wait_durable(call).await.map_err(unavailable)?;
        Ok(call)
    }
}
