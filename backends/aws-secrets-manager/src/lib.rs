//! AWS Secrets Manager as a Strongroom store.
//!
//! ```toml
//! [vault.prod]
//! backend = "aws-secrets-manager"
//! region = "eu-central-1"
//! prefix = "prod/app/"
//! auth = { profile = "prod" }       # "default-chain" (default), a profile, or variables with keys
//! # kms-key-id = "alias/app"        # for secrets that are made here
//! # recovery-window-days = 30       # 7 to 30
//! # endpoint = "https://vpce-..."   # private links, emulators
//! # ca-file = "ca.pem"
//!
//! [vault.prod.names]
//! "stripe/api-key" = "LegacyStripeKey"
//! ```
//!
//! ```no_run
//! use std::path::Path;
//!
//! use strongroom_backend::{Backend, SecretPath, Which};
//! use strongroom_backend_aws_secrets_manager::{Config, SecretsManagerBackend};
//!
//! # async fn read(config: Config) -> strongroom_backend::Result<()> {
//! let store = SecretsManagerBackend::open(&config, Path::new("/etc/strongroom")).await?;
//! let key = store.get(&SecretPath::parse("stripe/api-key").unwrap(), Which::Current).await?;
//! assert_eq!(key.version, 1);
//! # Ok(())
//! # }
//! ```
//!
//! # Values
//!
//! At most 65,536 bytes, as they are: text (UTF-8) as `SecretString`, so that other tools read JSON and passwords
//! as their own, other bytes as `SecretBinary`. The service takes no empty value; one of ours is kept as
//! the binary text `strongroom: an empty value`.
//!
//! # Versions
//!
//! A version that we write has its number in its id: `strongroom-<20 digits>-<hash of the name>`. Numbers
//! of a secret begin at 1 and rise by one, with gaps where a secret was deleted or two writers met. A
//! version that another tool wrote (the console, a rotation) has a random id; its number is the time when it was made, in
//! milliseconds, which the service keeps for good, and ours go on from there. Two of them made in the
//! same millisecond cannot be read by number.
//!
//! The service keeps about 100 versions, and older ones without labels may go at any time; a version that
//! is gone is not found. More than 100 writes of one secret in 24 hours meet a quota.
//!
//! # Compare-and-set
//!
//! Any expected version, as one step of the service, against every other writer: `AWSCURRENT` moves only from
//! the version that was expected. A write is two requests and a look before (`DescribeSecret`, `PutSecretValue`,
//! `UpdateSecretVersionStage`). A writer that dies in between leaves a version that was never
//! current; `versions` shows it as pending until the next write, and as superseded after that.
//!
//! Author, kind and labels are tags, the description is the secret's own: of a secret that is there
//! they change after the value, in requests of their own. A failure in between leaves the new value with
//! the old ones, and is told.
//!
//! # Deleting
//!
//! A delete is of the whole secret, schedules it for deletion after `recovery-window-days`, and can be taken
//! back until then. Before that a mark becomes current, so that a write after a delete never makes the old value readable
//! in between. Other tools see that mark as the value `strongroom: deleted` if they restore the secret; the last
//! value has the label `AWSPREVIOUS`. A secret that another tool scheduled has no mark: it is not
//! written over, but has to be taken back first. No single version can be deleted or destroyed.
//!
//! # Names
//!
//! Every path is a name of the service as it stands, below `prefix`, but for those that end as ARNs do, with
//! a hyphen and six letters or digits: such a secret is called `<slug>--<hash>`, and a tag, `strongroom:path`,
//! tells its path. A list is eventually consistent: a new secret may take some seconds to show.
//!
//! # Permissions
//!
//! Reading: `secretsmanager:GetSecretValue`, and `BatchGetSecretValue` (without it secrets are read one
//! by one), `DescribeSecret` and `ListSecretVersionIds` for versions, `ListSecrets`. Writing: `CreateSecret`,
//! `PutSecretValue`, `UpdateSecretVersionStage`, `UpdateSecret`, `TagResource`, `UntagResource`, `DescribeSecret`,
//! `DeleteSecret`, `RestoreSecret`. With a key of your own: `kms:Decrypt` and `kms:GenerateDataKey` on it.
#![forbid(unsafe_code)]

mod client;
mod config;
mod delete;
mod error;
mod list;
mod many;
mod naming;
mod read;
mod state;
mod store;
mod tags;
mod value;
mod version;
mod write;

pub use config::Config;
pub use store::SecretsManagerBackend;
