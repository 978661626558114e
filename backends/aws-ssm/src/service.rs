//! The requests to the service, one function each, and what of the answers is believed.

use aws_sdk_ssm::Client;
use aws_sdk_ssm::config::Builder;
use aws_sdk_ssm::types::{
    Parameter, ParameterStringFilter, ParameterTier, ParameterType, ResourceTypeForTagging, Tag,
};
use aws_smithy_types::DateTime;
use strongroom_backend::SecretValue;
use strongroom_backend_aws::Session;
use zeroize::Zeroizing;

use crate::error::{Fault, Refused, Result};
use crate::tags::{self, Tags};
use crate::value::from_text;

/// The most names of one call that gets many.
pub(crate) const MOST_IN_BATCH: usize = 10;
/// The most values of one filter.
pub(crate) const MOST_IN_FILTER: usize = 50;
/// The most entries of a page.
const PAGE: i32 = 50;
/// The most pages of one history: the service keeps 100 versions.
const HISTORY_PAGES: usize = 30;
/// The most parameters of one listing: as many as an account can have, and some.
const MOST_LISTED: usize = 200_000;
/// The most pages of one listing. They need not be full, and more would outlast any deadline.
const LIST_PAGES: usize = 2_000;
/// The highest number that a version can have got: beyond it we need not ask.
pub(crate) const MOST_VERSIONS: u64 = 1 << 53;

type Answer<T> = std::result::Result<T, Refused>;

/// The service, as we ask it.
#[derive(Clone, Debug)]
pub(crate) struct Service(Client);

/// A value with its version.
pub(crate) struct Read {
    pub(crate) value: SecretValue,
    pub(crate) version: u64,
}

/// A version without its value.
pub(crate) struct Kept {
    pub(crate) version: u64,
    pub(crate) modified: u64,
    pub(crate) description: Option<String>,
}

/// A parameter in a listing.
pub(crate) struct Listed {
    pub(crate) name: String,
    pub(crate) description: Option<String>,
}

/// What is written.
pub(crate) struct Write {
    pub(crate) name: String,
    pub(crate) text: Zeroizing<String>,
    pub(crate) tier: ParameterTier,
    pub(crate) key: Option<String>,
    pub(crate) description: Option<String>,
}

/// How a write meets what is there.
pub(crate) enum Over {
    /// It must not be there; these tags are set with it.
    Nothing(Vec<tags::Tag>),
    /// It may be there.
    Anything,
}

impl Service {
    pub(crate) fn new(session: &Session) -> Self {
        let config = Builder::from(session.sdk()).interceptor(session.veil());
        Self(Client::from_conf(config.build()))
    }

    /// One value. The selector is ours alone: a name has no colon.
    pub(crate) async fn get(&self, name: &str, version: Option<u64>) -> Result<Read> {
        let selected = match version {
            None => name.to_owned(),
            Some(number) => format!("{name}:{number}"),
        };
        let call = self.0.get_parameter().name(selected).with_decryption(true);
        let output = call.send().await;
        let output = output.map_err(|error| Refused::reading("ssm:GetParameter", &error))?;
        let parameter = output.parameter.ok_or(Fault::Astray("no parameter"))?;
        if parameter.name.as_deref() != Some(name) {
            return Err(Fault::Astray("another name"));
        }
        let read = read(parameter)?;
        if version.is_some_and(|number| number != read.version) {
            return Err(Fault::Astray("another version"));
        }
        Ok(read)
    }

    /// Up to ten values, in any order, by name; those that are missing are left out.
    pub(crate) async fn get_many(&self, names: &[String]) -> Result<Vec<(String, Result<Read>)>> {
        let call = self.0.get_parameters().set_names(Some(names.to_vec()));
        let output = call.with_decryption(true).send().await;
        let output = output.map_err(|error| Refused::reading("ssm:GetParameters", &error))?;
        let parameters = output.parameters.unwrap_or_default();
        if parameters.len() > names.len() {
            return Err(Fault::Astray("more parameters than names"));
        }
        let mut answers = Vec::with_capacity(parameters.len());
        for parameter in parameters {
            let name = parameter.name.clone().unwrap_or_default();
            if !names.contains(&name) {
                return Err(Fault::Astray("another name"));
            }
            answers.push((name, read(parameter)));
        }
        // A name that is neither there nor said to be missing is not one that is missing.
        let missing = output.invalid_parameters.unwrap_or_default();
        for name in names {
            let told = answers.iter().any(|(answered, _)| answered == name);
            if !told && !missing.contains(name) {
                answers.push((name.clone(), Err(Fault::Astray("a name without an answer"))));
            }
        }
        Ok(answers)
    }

    /// The current version's number, without its value.
    pub(crate) async fn version(&self, name: &str) -> Result<u64> {
        let call = self.0.get_parameter().name(name).with_decryption(false);
        let output = call.send().await;
        let output = output.map_err(|error| Refused::new("ssm:GetParameter", &error))?;
        let parameter = output.parameter.ok_or(Fault::Astray("no parameter"))?;
        number(parameter.version)
    }

    /// Writes a version; returns its number.
    pub(crate) async fn put(&self, write: &Write, over: &Over) -> Result<u64> {
        let call = self
            .0
            .put_parameter()
            .name(&write.name)
            .value(write.text.as_str())
            .r#type(ParameterType::SecureString)
            .tier(write.tier.clone())
            .set_key_id(write.key.clone())
            .set_description(write.description.clone());
        let call = match over {
            Over::Nothing(tags) => call
                .overwrite(false)
                .set_tags((!tags.is_empty()).then(|| to_tags(tags))),
            Over::Anything => call.overwrite(true),
        };
        let output = call.send().await;
        let output = output.map_err(|error| Refused::new("ssm:PutParameter", &error))?;
        number(output.version)
    }

    pub(crate) async fn delete(&self, name: &str) -> Answer<()> {
        let output = self.0.delete_parameter().name(name).send().await;
        output
            .map(drop)
            .map_err(|error| Refused::new("ssm:DeleteParameter", &error))
    }

    /// The versions that are kept, oldest first.
    pub(crate) async fn history(&self, name: &str) -> Result<Vec<Kept>> {
        let mut kept = Vec::new();
        let mut token: Option<String> = None;
        for _ in 0..HISTORY_PAGES {
            let call = self.0.get_parameter_history().name(name);
            let call = call.with_decryption(false).max_results(PAGE);
            let output = call.set_next_token(token.clone()).send().await;
            let output = output.map_err(|error| Refused::new("ssm:GetParameterHistory", &error))?;
            for version in output.parameters.unwrap_or_default() {
                kept.push(Kept {
                    version: number(version.version)?,
                    modified: version.last_modified_date.map_or(0, millis),
                    description: version.description,
                });
            }
            token = next(token, output.next_token)?;
            if token.is_none() {
                kept.sort_by_key(|kept| kept.version);
                kept.dedup_by_key(|kept| kept.version);
                return Ok(kept);
            }
        }
        Err(Fault::TooMany("the history has more pages than versions"))
    }

    /// The parameters that all `filters` match, in any order.
    pub(crate) async fn list(&self, filters: Vec<ParameterStringFilter>) -> Result<Vec<Listed>> {
        let mut listed: Vec<Listed> = Vec::new();
        let mut token: Option<String> = None;
        for _ in 0..LIST_PAGES {
            let call = self.0.describe_parameters().max_results(PAGE);
            let call = call.set_parameter_filters(Some(filters.clone()));
            let output = call.set_next_token(token.clone()).send().await;
            let output = output.map_err(|error| Refused::new("ssm:DescribeParameters", &error))?;
            for parameter in output.parameters.unwrap_or_default() {
                listed.push(Listed {
                    name: parameter
                        .name
                        .ok_or(Fault::Astray("a parameter without a name"))?,
                    description: parameter.description,
                });
            }
            if listed.len() > MOST_LISTED {
                return Err(Fault::TooMany("more than 200,000 parameters"));
            }
            token = next(token, output.next_token)?;
            if token.is_none() {
                return Ok(listed);
            }
        }
        Err(Fault::TooMany("the pages do not end"))
    }

    /// One page of a listing of one, to learn whether we may list.
    pub(crate) async fn list_one(&self, filters: Vec<ParameterStringFilter>) -> Result<()> {
        let call = self.0.describe_parameters().max_results(1);
        let output = call.set_parameter_filters(Some(filters)).send().await;
        output.map_err(|error| Refused::new("ssm:DescribeParameters", &error))?;
        Ok(())
    }

    pub(crate) async fn tags(&self, name: &str) -> Answer<Tags> {
        let call = self.0.list_tags_for_resource().resource_id(name);
        let output = call
            .resource_type(ResourceTypeForTagging::Parameter)
            .send()
            .await
            .map_err(|error| Refused::new("ssm:ListTagsForResource", &error))?;
        let tags = output.tag_list.unwrap_or_default();
        Ok(Tags(
            tags.into_iter().map(|tag| (tag.key, tag.value)).collect(),
        ))
    }

    pub(crate) async fn add_tags(&self, name: &str, tags: &[tags::Tag]) -> Answer<()> {
        let call = self.0.add_tags_to_resource().resource_id(name);
        let call = call.set_tags(Some(to_tags(tags)));
        let output = call
            .resource_type(ResourceTypeForTagging::Parameter)
            .send()
            .await;
        output
            .map(drop)
            .map_err(|error| Refused::new("ssm:AddTagsToResource", &error))
    }

    pub(crate) async fn remove_tags(&self, name: &str, keys: Vec<String>) -> Answer<()> {
        let call = self.0.remove_tags_from_resource().resource_id(name);
        let output = call
            .resource_type(ResourceTypeForTagging::Parameter)
            .set_tag_keys(Some(keys))
            .send()
            .await;
        output
            .map(drop)
            .map_err(|error| Refused::new("ssm:RemoveTagsFromResource", &error))
    }
}

fn read(parameter: Parameter) -> Result<Read> {
    let version = number(parameter.version)?;
    let text = parameter.value.ok_or(Fault::Astray("no value"))?;
    Ok(Read {
        value: from_text(text)?,
        version,
    })
}

fn number(version: i64) -> Result<u64> {
    match u64::try_from(version) {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(Fault::Astray("no version number")),
    }
}

/// The token of the next page, and none after the last.
fn next(before: Option<String>, token: Option<String>) -> Result<Option<String>> {
    let token = token.filter(|token| !token.is_empty());
    if token.is_some() && token == before {
        return Err(Fault::Astray("the same page again"));
    }
    Ok(token)
}

fn millis(time: DateTime) -> u64 {
    time.to_millis()
        .ok()
        .and_then(|millis| u64::try_from(millis).ok())
        .unwrap_or(0)
}

fn to_tags(tags: &[tags::Tag]) -> Vec<Tag> {
    let made = tags
        .iter()
        .map(|(key, value)| Tag::builder().key(key).value(value).build());
    // A tag with a key and a value builds.
    made.filter_map(std::result::Result::ok).collect()
}
