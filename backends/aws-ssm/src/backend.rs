//! The store: its settings in force, and what it answers.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_ssm::types::ParameterTier;
use strongroom_backend::{
    Backend, Capabilities, Change, CompareAndSet, Description, Error, ErrorKind, ListPage,
    Metadata, PutOptions, Result, Secret, SecretPath, SecretValue, VersionInfo, VersionNumbers,
    VersionState, Versioning, Which,
};
use strongroom_backend_aws::Session;

use crate::config::{Config, Tier};
use crate::error::{Fault, Result as Answer};
use crate::listing::Listings;
use crate::naming::Naming;
use crate::note::Note;
use crate::service::{Kept, MOST_VERSIONS, Read, Service, Write};
use crate::tags::Written;
use crate::value::{Form, to_text};
use crate::write;

/// The most bytes of text in each tier.
const STANDARD: usize = 4096;
const ADVANCED: usize = 8192;

/// Secrets in AWS SSM Parameter Store.
pub struct SsmBackend {
    capabilities: Capabilities,
    session: Session,
    pub(crate) service: Service,
    pub(crate) naming: Naming,
    pub(crate) listings: Listings,
    key_id: Option<String>,
    tier: Tier,
}

impl SsmBackend {
    /// Makes the store from its settings without any call; files are relative to `base_dir`.
    ///
    /// # Errors
    ///
    /// `Config` for settings that cannot be.
    pub async fn open(config: &Config, base_dir: &Path) -> Result<Self> {
        let session = Session::open(&config.aws, base_dir).await?;
        Self::with_session(config, session)
    }

    /// Makes the store over a session that the caller has: its own credentials, say.
    ///
    /// # Errors
    ///
    /// `Config` for settings that cannot be.
    pub fn with_session(config: &Config, session: Session) -> Result<Self> {
        let naming = Naming::new(&config.prefix, &config.names)
            .map_err(|text| Error::new(ErrorKind::Config, text))?;
        Ok(Self {
            capabilities: Capabilities {
                max_value: limit(config.tier) as u64,
                write: true,
                list: true,
                versions: VersionNumbers::Counted,
                restarts: true,
                compare_and_set: CompareAndSet::CreateOnly,
                undelete: false,
                delete_version: false,
                destroy: false,
                metadata: true,
                expiry: false,
            },
            service: Service::new(&session),
            session,
            naming,
            listings: Listings::default(),
            key_id: config.key_id.clone(),
            tier: config.tier,
        })
    }

    pub(crate) fn name(&self, path: &SecretPath) -> Answer<String> {
        Ok(self.naming.name(path)?)
    }

    async fn read(&self, path: &SecretPath, which: Which) -> Answer<Read> {
        let name = self.name(path)?;
        match which {
            Which::Current => self.service.get(&name, None).await,
            Which::Version(number @ 1..=MOST_VERSIONS) => {
                self.service.get(&name, Some(number)).await
            }
            Which::Version(_) => Err(Fault::Missing),
        }
    }

    /// The versions that are kept, oldest first; at least one.
    async fn history(&self, path: &SecretPath) -> Answer<Vec<Kept>> {
        let kept = self.service.history(&self.name(path)?).await?;
        if kept.is_empty() {
            return Err(Fault::Missing);
        }
        Ok(kept)
    }

    /// How `value` is written to `path`, checked against every limit.
    fn written(
        &self,
        path: &SecretPath,
        value: &SecretValue,
        author: Option<&str>,
    ) -> Result<Write> {
        let limit = limit(self.tier);
        if value.len() > limit {
            return Err(Error::too_large(limit as u64));
        }
        let form = Form::of(value);
        let stored = form.stored(value.len());
        if stored > limit {
            let most = form.most(limit);
            return Err(Error::new(
                ErrorKind::TooLarge(most as u64),
                format!(
                    "the value is larger than {most} bytes, what a parameter of {limit} bytes holds of \
                     a value that is not plain text"
                ),
            ));
        }
        let tier = match self.tier {
            Tier::Standard => ParameterTier::Standard,
            Tier::Advanced => ParameterTier::Advanced,
            // A parameter that is advanced stays so, whatever its size: that is for the service to say.
            Tier::Auto if stored <= STANDARD => ParameterTier::IntelligentTiering,
            Tier::Auto => ParameterTier::Advanced,
        };
        let note = Note {
            author: author.map(ToOwned::to_owned),
            path: self.naming.is_encoded(path).then(|| path.to_string()),
        };
        Ok(Write {
            name: self.name(path)?,
            text: to_text(value),
            tier,
            key: self.key_id.clone(),
            description: (!self.naming.is_given(path)).then(|| note.to_text()),
        })
    }
}

/// The most bytes of text that are written.
fn limit(tier: Tier) -> usize {
    match tier {
        Tier::Standard => STANDARD,
        Tier::Advanced | Tier::Auto => ADVANCED,
    }
}

#[async_trait]
impl Backend for SsmBackend {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn get(&self, path: &SecretPath, which: Which) -> Result<Secret> {
        let read = self.read(path, which).await?;
        Ok(secret(read))
    }

    async fn put(
        &self,
        path: &SecretPath,
        value: &SecretValue,
        options: &PutOptions,
    ) -> Result<Change> {
        if options.expires.is_some() {
            return Err(Error::unsupported("versions of a parameter do not expire"));
        }
        if options.expected.is_some_and(|expected| expected > 0) {
            return Err(Error::unsupported(
                "a write to a parameter can expect that there is none, and no version",
            ));
        }
        let write = self.written(path, value, options.author.as_deref())?;
        let tags = Written::of(&options.metadata)?;
        let _changing = self.listings.changing();
        let version = if options.expected.is_some() {
            write::create(&self.service, write, tags).await?
        } else if tags.is_empty() {
            write::replace(&self.service, write).await?
        } else {
            let service = self.service.clone();
            whole(write::replace_with(service, write, tags)).await?
        };
        Ok(change(version))
    }

    async fn describe(&self, path: &SecretPath) -> Result<Description> {
        let name = self.name(path)?;
        let tags = async { self.service.tags(&name).await.map_err(Fault::from) };
        let (kept, tags) = futures::try_join!(self.history(path), tags)?;
        let (Some(first), Some(last)) = (kept.first(), kept.last()) else {
            return Err(Error::not_found());
        };
        // A description that is not ours is the parameter's own.
        let own = last.description.clone();
        let own = own.filter(|text| !text.is_empty() && Note::parse(text).is_none());
        Ok(Description {
            version: Some(last.version),
            created: first.modified,
            updated: last.modified,
            expires: None,
            rotates: None,
            kind: tags.kind(),
            description: tags.description().or(own),
            labels: tags.labels(),
        })
    }

    async fn delete(&self, path: &SecretPath, version: Option<u64>) -> Result<Change> {
        if version.is_some() {
            return Err(Error::unsupported(
                "one version of a parameter cannot be deleted, only all of them",
            ));
        }
        let name = self.name(path)?;
        let _changing = self.listings.changing();
        self.service.delete(&name).await.map_err(Fault::from)?;
        Ok(change(0))
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<ListPage> {
        Ok(self.page(prefix, after, limit).await?)
    }

    async fn versions(&self, path: &SecretPath) -> Result<Vec<VersionInfo>> {
        let kept = self.history(path).await?;
        let current = kept.last().map(|last| last.version);
        let info = |kept: Kept| VersionInfo {
            version: kept.version,
            state: if Some(kept.version) == current {
                VersionState::Current
            } else {
                VersionState::Superseded
            },
            created: kept.modified,
            expires: None,
            author: kept
                .description
                .and_then(|text| Note::parse(&text))
                .and_then(|note| note.author),
        };
        Ok(kept.into_iter().rev().map(info).collect())
    }

    async fn check(&self) -> Result<Vec<String>> {
        let mut lines = self.session.check().await?;
        self.may_list().await?;
        lines.push(format!(
            "reached Parameter Store {}; may list the parameters under {}",
            self.session.way(),
            self.naming.prefix()
        ));
        lines.extend(self.session.clock_line()?);
        Ok(lines)
    }

    async fn get_many(&self, paths: &[SecretPath]) -> Vec<Result<Secret>> {
        self.many(paths).await
    }

    fn versioning(&self) -> Option<&dyn Versioning> {
        Some(self)
    }
}

#[async_trait]
impl Versioning for SsmBackend {
    async fn undelete(&self, _: &SecretPath, _: Option<u64>) -> Result<Change> {
        Err(Error::unsupported(
            "a deleted parameter is gone for good and cannot be taken back",
        ))
    }

    async fn destroy(&self, _: &SecretPath, _: u64) -> Result<Change> {
        Err(Error::unsupported(
            "one version of a parameter cannot be destroyed, only all of them with a delete",
        ))
    }

    async fn set_metadata(&self, path: &SecretPath, metadata: &Metadata) -> Result<Change> {
        let name = self.name(path)?;
        let tags = Written::of(metadata)?;
        whole(write::retag(self.service.clone(), name, tags)).await?;
        Ok(change(0))
    }
}

/// Runs a change of several calls to its end, even where nobody awaits it any more.
async fn whole<R: Send + 'static>(
    change: impl Future<Output = Answer<R>> + Send + 'static,
) -> Result<R> {
    let done = tokio::spawn(change).await;
    let broken = |_| Error::new(ErrorKind::Failed, "a change was broken off");
    Ok(done.map_err(broken)??)
}

pub(crate) fn secret(read: Read) -> Secret {
    Secret {
        value: Arc::new(read.value),
        version: read.version,
        expires: None,
    }
}

fn change(version: u64) -> Change {
    Change {
        version,
        counter: None,
    }
}
