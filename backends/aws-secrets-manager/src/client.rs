//! The requests to the service, one function each.

use std::collections::BTreeMap;

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::Builder;
use aws_sdk_secretsmanager::primitives::DateTime;
use aws_sdk_secretsmanager::types::{Filter, FilterNameStringType, SecretListEntry, Tag};
use strongroom_backend_aws::Session;

use crate::error::{Fault, Refused, Result, Why};
use crate::state::{CURRENT, State};
use crate::tags::{self, Tags};
use crate::value::Stored;
use crate::version::Ids;

/// The most names of one call that gets many.
pub(crate) const MOST_IN_BATCH: usize = 20;
/// The most entries of a page.
const PAGE: i32 = 100;
/// The most pages of the versions of one secret: it keeps some hundreds.
const VERSION_PAGES: usize = 50;
/// The most pages of secrets: an account has 500,000.
const SECRET_PAGES: usize = 5_000;
/// The most values of one filter.
pub(crate) const MOST_IN_FILTER: usize = 10;

type Answer<T> = std::result::Result<T, Refused>;

/// The service, as we ask it.
#[derive(Clone, Debug)]
pub(crate) struct Service(Client);

/// A version's value, as it came.
pub(crate) struct Read {
    pub(crate) name: Option<String>,
    pub(crate) id: Option<String>,
    pub(crate) labels: Vec<String>,
    pub(crate) created: Option<u64>,
    pub(crate) stored: Stored,
}

/// A version without its value.
pub(crate) struct Listed {
    pub(crate) id: String,
    pub(crate) labels: Vec<String>,
    pub(crate) created: Option<u64>,
}

/// What is listed.
#[derive(Clone, Debug)]
pub(crate) enum Matching {
    /// Secrets whose names begin with one of these.
    Names(Vec<String>),
    /// Those of them that keep their path in a tag.
    Encoded(String),
}

impl Service {
    pub(crate) fn new(session: &Session) -> Self {
        let config = Builder::from(session.sdk())
            .interceptor(session.veil())
            .build();
        Self(Client::from_conf(config))
    }

    /// The current value, or that of one version.
    pub(crate) async fn value(&self, name: &str, id: Option<&str>) -> Answer<Read> {
        let call = self.0.get_secret_value().secret_id(name);
        let call = match id {
            Some(id) => call.version_id(id),
            None => call.version_stage(CURRENT),
        };
        let answer = call.send().await;
        let answer = answer.map_err(|error| Refused::new("reading a secret", &error))?;
        Ok(Read {
            name: answer.name,
            id: answer.version_id,
            labels: answer.version_stages.unwrap_or_default(),
            created: answer.created_date.as_ref().and_then(millis),
            stored: Stored::new(answer.secret_string, answer.secret_binary),
        })
    }

    /// The current values of up to [`MOST_IN_BATCH`] secrets, and the names that have none with the code that says
    /// why. The order is the service's.
    pub(crate) async fn values(
        &self,
        names: &[String],
    ) -> Answer<(Vec<Read>, Vec<(String, String)>)> {
        let (mut values, mut errors, mut token) = (Vec::new(), Vec::new(), None);
        // Not all values need to fit in one answer.
        for _ in 0..=MOST_IN_BATCH {
            let call = self
                .0
                .batch_get_secret_value()
                .set_secret_id_list(Some(names.to_vec()))
                .set_next_token(token.take());
            let answer = call.send().await;
            let answer = answer.map_err(|error| Refused::new("reading several secrets", &error))?;
            values.extend(
                answer
                    .secret_values
                    .into_iter()
                    .flatten()
                    .map(|entry| Read {
                        name: entry.name,
                        id: entry.version_id,
                        labels: entry.version_stages.unwrap_or_default(),
                        created: entry.created_date.as_ref().and_then(millis),
                        stored: Stored::new(entry.secret_string, entry.secret_binary),
                    }),
            );
            for error in answer.errors.into_iter().flatten() {
                if let (Some(name), Some(code)) = (error.secret_id, error.error_code) {
                    errors.push((name, code));
                }
            }
            token = answer.next_token.filter(|token| !token.is_empty());
            if token.is_none() {
                break;
            }
        }
        Ok((values, errors))
    }

    /// What is known of a secret, deleted ones included; none where the name was never used or is free again.
    pub(crate) async fn state(&self, name: &str) -> Result<Option<State>> {
        let answer = self.0.describe_secret().secret_id(name).send().await;
        let answer = match answer.map_err(|error| Refused::new("describing a secret", &error)) {
            Ok(answer) => answer,
            Err(refused) if refused.why == Why::Missing => return Ok(None),
            Err(refused) => return Err(refused.into()),
        };
        if answer.name.as_deref() != Some(name) {
            return Err(Fault::Strange("another secret's name"));
        }
        let tags = answer.tags.into_iter().flatten();
        let created = answer.created_date.as_ref().and_then(millis).unwrap_or(0);
        let updated = answer.last_changed_date.as_ref().and_then(millis);
        Ok(Some(State {
            ids: Ids::of(name),
            scheduled: answer.deleted_date.is_some(),
            replicated: answer
                .replication_status
                .is_some_and(|copies| !copies.is_empty()),
            labels: answer.version_ids_to_stages.into_iter().flatten().collect(),
            dates: BTreeMap::new(),
            tags: Tags(tags.filter_map(pair).collect()),
            description: answer.description,
            created,
            updated: updated.unwrap_or(created),
            rotates: answer.next_rotation_date.as_ref().and_then(millis),
        }))
    }

    /// The same with the dates of other tools' versions, which take a second request where there are some.
    pub(crate) async fn dated(&self, name: &str) -> Result<Option<State>> {
        let Some(mut state) = self.state(name).await? else {
            return Ok(None);
        };
        if state.has_foreign() {
            let versions = self.versions(name, false).await?;
            state.dates = versions
                .into_iter()
                .filter_map(|version| Some((version.id, version.created?)))
                .collect();
        }
        Ok(Some(state))
    }

    /// The versions that have labels, and with `all` the others that the service still keeps.
    pub(crate) async fn versions(&self, name: &str, all: bool) -> Result<Vec<Listed>> {
        let (mut versions, mut token) = (Vec::new(), None);
        for _ in 0..VERSION_PAGES {
            let call = self
                .0
                .list_secret_version_ids()
                .secret_id(name)
                .include_deprecated(all)
                .max_results(PAGE)
                .set_next_token(token.take());
            let answer = call.send().await;
            let answer = answer.map_err(|error| Refused::new("listing versions", &error))?;
            for entry in answer.versions.into_iter().flatten() {
                let Some(id) = entry.version_id else { continue };
                versions.push(Listed {
                    id,
                    labels: entry.version_stages.unwrap_or_default(),
                    created: entry.created_date.as_ref().and_then(millis),
                });
            }
            token = answer.next_token.filter(|token| !token.is_empty());
            if token.is_none() {
                return Ok(versions);
            }
        }
        Err(Fault::Strange("the list of versions does not end"))
    }

    /// Makes a secret with its first version. The service does nothing, and says yes, where there is one
    /// with this version and this value already.
    pub(crate) async fn create(&self, new: New<'_>) -> Answer<()> {
        let (string, binary) = new.stored.into_fields();
        let call = self
            .0
            .create_secret()
            .name(new.name)
            .client_request_token(new.id)
            .set_secret_string(string)
            .set_secret_binary(binary)
            .set_description(new.description)
            .set_kms_key_id(new.kms_key_id.map(ToOwned::to_owned))
            .set_tags(Some(new.tags.into_iter().map(tag).collect()));
        let answer = call.send().await;
        answer
            .map(drop)
            .map_err(|error| Refused::new("making a secret", &error))
    }

    /// Adds a version, and makes nothing current: `AWSCURRENT` is not among `labels`. The service does
    /// nothing, and says yes, where the version is there with this value. Answers with the version's labels.
    pub(crate) async fn add(
        &self,
        name: &str,
        id: &str,
        stored: Stored,
        labels: &[&str],
    ) -> Answer<Vec<String>> {
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        let (string, binary) = stored.into_fields();
        let call = self
            .0
            .put_secret_value()
            .secret_id(name)
            .client_request_token(id)
            .set_secret_string(string)
            .set_secret_binary(binary)
            .set_version_stages(Some(labels));
        let answer = call.send().await;
        let answer = answer.map_err(|error| Refused::new("adding a version", &error))?;
        Ok(answer.version_stages.unwrap_or_default())
    }

    /// Moves `AWSCURRENT` from one version to another, in one step of the service, which refuses where
    /// it is not on `from`. The service puts `AWSPREVIOUS` on `from`.
    pub(crate) async fn promote(&self, name: &str, from: Option<&str>, to: &str) -> Answer<()> {
        let call = self
            .0
            .update_secret_version_stage()
            .secret_id(name)
            .version_stage(CURRENT)
            .set_remove_from_version_id(from.map(ToOwned::to_owned))
            .move_to_version_id(to);
        let answer = call.send().await;
        answer
            .map(drop)
            .map_err(|error| Refused::new("making a version the current one", &error))
    }

    /// Schedules a secret for deletion.
    pub(crate) async fn delete(&self, name: &str, days: i64) -> Answer<()> {
        let call = self
            .0
            .delete_secret()
            .secret_id(name)
            .recovery_window_in_days(days);
        let answer = call.send().await;
        answer
            .map(drop)
            .map_err(|error| Refused::new("deleting a secret", &error))
    }

    /// Takes a secret off the schedule.
    pub(crate) async fn restore(&self, name: &str) -> Answer<()> {
        let answer = self.0.restore_secret().secret_id(name).send().await;
        answer
            .map(drop)
            .map_err(|error| Refused::new("restoring a secret", &error))
    }

    /// Sets tags.
    pub(crate) async fn tag(&self, name: &str, tags: Vec<tags::Tag>) -> Answer<()> {
        let tags = tags.into_iter().map(tag).collect();
        let call = self.0.tag_resource().secret_id(name).set_tags(Some(tags));
        let answer = call.send().await;
        answer
            .map(drop)
            .map_err(|error| Refused::new("tagging a secret", &error))
    }

    /// Removes tags.
    pub(crate) async fn untag(&self, name: &str, keys: Vec<String>) -> Answer<()> {
        let call = self.0.untag_resource().secret_id(name);
        let answer = call.set_tag_keys(Some(keys)).send().await;
        answer
            .map(drop)
            .map_err(|error| Refused::new("removing tags of a secret", &error))
    }

    /// Sets the description.
    pub(crate) async fn explain(&self, name: &str, description: &str) -> Answer<()> {
        let call = self.0.update_secret().secret_id(name);
        let answer = call.description(description).send().await;
        answer
            .map(drop)
            .map_err(|error| Refused::new("describing a secret anew", &error))
    }

    /// A page of the secrets that are not scheduled for deletion, and the token of the next.
    pub(crate) async fn page(
        &self,
        matching: &Matching,
        size: i32,
        token: Option<String>,
    ) -> Answer<(Vec<SecretListEntry>, Option<String>)> {
        let call = self
            .0
            .list_secrets()
            .include_planned_deletion(false)
            .max_results(size.min(PAGE))
            .set_filters(Some(filters(matching)).filter(|filters| !filters.is_empty()))
            .set_next_token(token);
        let answer = call.send().await;
        let answer = answer.map_err(|error| Refused::new("listing secrets", &error))?;
        let token = answer.next_token.filter(|token| !token.is_empty());
        Ok((answer.secret_list.unwrap_or_default(), token))
    }

    /// Every secret that matches, page by page.
    pub(crate) async fn list(
        &self,
        matching: &Matching,
        mut visit: impl FnMut(SecretListEntry) + Send,
    ) -> Result<()> {
        let mut token = None;
        for _ in 0..SECRET_PAGES {
            let (entries, next) = self.page(matching, PAGE, token.clone()).await?;
            entries.into_iter().for_each(&mut visit);
            if next.is_none() {
                return Ok(());
            }
            if next == token {
                break;
            }
            token = next;
        }
        Err(Fault::Refused(
            "the listing does not end: more secrets than an account has, or a service that repeats itself",
        ))
    }
}

/// A secret to be made.
pub(crate) struct New<'n> {
    pub(crate) name: &'n str,
    pub(crate) id: &'n str,
    pub(crate) stored: Stored,
    pub(crate) description: Option<String>,
    pub(crate) kms_key_id: Option<&'n str>,
    pub(crate) tags: Vec<tags::Tag>,
}

/// The service joins filters by "and", and the values of one by "or". Each value is the beginning of
/// what it finds; what comes is looked at again.
fn filters(matching: &Matching) -> Vec<Filter> {
    let filter = |key, values: Vec<String>| {
        let values = Some(values).filter(|values| values.iter().all(|value| !value.is_empty()))?;
        Some(Filter::builder().key(key).set_values(Some(values)).build())
    };
    let name = FilterNameStringType::Name;
    let filters = match matching {
        Matching::Names(names) => [filter(name, names.clone()), None],
        Matching::Encoded(prefix) => [
            filter(name, vec![prefix.clone()]),
            filter(FilterNameStringType::TagKey, vec![tags::PATH.to_owned()]),
        ],
    };
    filters.into_iter().flatten().collect()
}

/// The key and value of a tag.
pub(crate) fn pair(tag: Tag) -> Option<tags::Tag> {
    Some((tag.key?, tag.value.unwrap_or_default()))
}

fn tag((key, value): tags::Tag) -> Tag {
    Tag::builder().key(key).value(value).build()
}

/// The nearest millisecond: the service sends seconds with a fraction, which a float holds a little below or above.
fn millis(time: &DateTime) -> Option<u64> {
    let seconds = u64::try_from(time.secs()).ok()?;
    let rest = u64::from(time.subsec_nanos()).saturating_add(500_000) / 1_000_000;
    seconds.checked_mul(1_000)?.checked_add(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_that_the_service_means() {
        for sent in [
            1_523_477_145_713,
            1_795_837_557_869,
            1_795_837_557_999,
            0,
            1,
        ] {
            let time = DateTime::from_secs_f64(sent as f64 / 1000.0);
            assert_eq!(millis(&time), Some(sent));
        }
        assert_eq!(millis(&DateTime::from_secs(-1)), None);
        assert_eq!(millis(&DateTime::from_secs(i64::MAX)), None);
    }
}
